from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import Outcome, quiet_trainer
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR

from optimcifar import ImageClassifier, ParamRule, RunSummary, SequentialSchedule, Shapes10DataModule
from optimcifar.callbacks.hyperparameters import flat_settings

Run = Callable[..., Outcome]


def recorded(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "summary.json").read_text())["hyperparameters"]
    return found


def test_overrides_of_the_command_line_are_recorded(optimcifar: Run, small: list[str], tmp_path: Path) -> None:
    options = ("--model.optimizer.lr", 0.03, "--data.batch_size", 32, "--trainer.gradient_clip_val", 0.5)
    assert optimcifar("fit", *small, *options).status == 0
    found = recorded(tmp_path / "lightning_logs/version_0")
    expected = {
        "optimizer": "torch.optim.SGD",
        "optimizer.lr": 0.03,
        "optimizer.momentum": 0.9,
        "optimizer.nesterov": False,  # a default that nobody gave
        "lr_scheduler": None,
        "net": "optimcifar.ConvNet",
        "net.num_classes": 10,
        "data": "optimcifar.Shapes10DataModule",
        "data.batch_size": 32,
        "data.train_images": 1000,
        "trainer.max_epochs": 2,
        "trainer.gradient_clip_val": 0.5,
    }
    assert {name: found[name] for name in expected} == expected
    assert not [name for name in found if "seed" in name or "logger" in name or "progress" in name]


def test_lengths_that_nobody_gave_are_recorded_as_the_runs(optimcifar: Run, small: list[str], tmp_path: Path) -> None:
    options = ("--model.lr_scheduler", "CosineAnnealingLR", "--model.lr_interval", "step")
    assert optimcifar("fit", *small, *options).status == 0
    found = recorded(tmp_path / "lightning_logs/version_0")
    assert (found["lr_scheduler"], found["lr_scheduler.T_max"]) == ("torch.optim.lr_scheduler.CosineAnnealingLR", 26)
    assert found["lr_interval"] == "step"


FUNCTIONS = """
from torch.optim import SGD, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, LRScheduler

def cosine(optimizer: Optimizer, length: int = 7) -> LRScheduler:
    return CosineAnnealingLR(optimizer, length)

def fast(params) -> Optimizer:
    return SGD(params, lr=0.5)
"""


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            ["--model.lr_scheduler", "own.cosine"],
            {"lr_scheduler": "torch.optim.lr_scheduler.CosineAnnealingLR", "lr_scheduler.T_max": 7},
        ),
        (["--model.optimizer", "own.fast"], {"optimizer": "torch.optim.SGD", "optimizer.lr": 0.5}),
        (
            [
                *("--model.lr_scheduler", "SequentialSchedule", "--model.lr_scheduler.milestones", "[1]"),
                *("--model.lr_scheduler.schedulers", "[own.cosine, {class_path: LinearLR}]"),
            ],
            {
                "lr_scheduler.schedulers.0": "torch.optim.lr_scheduler.CosineAnnealingLR",
                "lr_scheduler.schedulers.0.T_max": 7,
                "lr_scheduler.schedulers.1": "torch.optim.lr_scheduler.LinearLR",
            },
        ),
    ],
    ids=["schedule", "optimizer", "part of a schedule"],
)
def test_functions_are_recorded_as_what_they_return(
    options: list[str], expected: dict[str, Any], optimcifar: Run, small: list[str], tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(FUNCTIONS)
    assert optimcifar("fit", *small, *options).status == 0
    found = recorded(tmp_path / "lightning_logs/version_0")
    assert {name: found[name] for name in expected} == expected
    checkpoint = "lightning_logs/version_0/checkpoints/last.ckpt"
    goes_on = optimcifar("fit", "--ckpt_path", checkpoint, "--trainer.max_epochs", 3)
    assert (goes_on.status, goes_on.err) == (0, "")
    repeated = optimcifar("fit", "--config", "lightning_logs/version_0/config.yaml")
    assert (repeated.status, repeated.err) == (0, "")
    assert recorded(tmp_path / "lightning_logs/version_2") == found


def test_nested_classes_groups_and_callbacks_are_recorded(optimcifar: Run, small: list[str], tmp_path: Path) -> None:
    muon = ("--model.optimizer", "MuonWithAux", "--model.optimizer.aux", "SGD", "--model.optimizer.aux.lr", 0.3)
    more = ("--model.lr_scheduler", "LambdaLR", "--model.lr_scheduler.lr_lambda", "rates.constant")
    groups = ("--model.param_groups", '[{"names": "net.fc3.*", "options": {"lr": 0.5}}]')
    (tmp_path / "rates.py").write_text("def constant(epoch: int) -> float:\n    return 1.0\n")
    outcome = optimcifar("fit", *small, *muon, *more, *groups, "--trainer.callbacks+=WeightAverages")
    assert (outcome.status, outcome.err) == (0, "")
    found = recorded(tmp_path / "lightning_logs/version_0")
    expected = {
        "optimizer": "optimcifar.MuonWithAux",
        "optimizer.aux": "torch.optim.SGD",
        "optimizer.aux.lr": 0.3,
        "lr_scheduler.lr_lambda": "rates.constant",
        "param_groups.0.names": "net.fc3.*",
        "param_groups.0.options.lr": 0.5,
        "trainer.callbacks.0": "optimcifar.WeightAverages",
        "trainer.callbacks.0.ema_decay": 0.999,
    }
    assert {name: found[name] for name in expected} == expected


def test_a_resumed_run_keeps_its_hyperparameters(optimcifar: Run, small: list[str], tmp_path: Path) -> None:
    run = tmp_path / "lightning_logs/version_0"
    assert optimcifar("fit", *small, "--model.optimizer", "Adam", "--model.optimizer.lr", 0.002).status == 0
    before = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(before | {"status": "interrupted"}))
    assert optimcifar("resume", run).status == 0
    assert recorded(run) == before["hyperparameters"]


def test_a_run_made_in_python_records_what_it_uses() -> None:
    rate = 0.25
    parts: list[Any] = [partial(LinearLR, total_iters=1), partial(CosineAnnealingLR)]
    classifier = ImageClassifier(
        optimizer=lambda p: torch.optim.RMSprop(p, lr=rate),
        lr_scheduler=partial(SequentialSchedule, schedulers=parts, milestones=[1]),
        param_groups=[ParamRule("net.fc*", options={"weight_decay": 0.1})],
    )
    summary = RunSummary()
    trainer = quiet_trainer(max_epochs=3, gradient_clip_val=2.0, callbacks=[summary])
    trainer.fit(classifier, Shapes10DataModule(train_images=300, val_size=100, batch_size=50))
    found = summary.values["hyperparameters"]
    expected = {
        "optimizer": "torch.optim.RMSprop",
        "optimizer.lr": 0.25,
        "optimizer.alpha": 0.99,
        "lr_scheduler": "optimcifar.SequentialSchedule",
        "lr_scheduler.schedulers.0": "torch.optim.lr_scheduler.LinearLR",
        "lr_scheduler.schedulers.1.T_max": 2,
        "lr_interval": "epoch",
        "param_groups.0.options.weight_decay": 0.1,
        "data.batch_size": 50,
        "trainer.max_epochs": 3,
        "trainer.gradient_clip_val": 2.0,
    }
    assert {name: found[name] for name in expected} == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": {"class_path": "m.C", "init_args": {"x": 1}}}, {"a": "m.C", "a.x": 1}),
        ({"a": (1, torch.tensor(0.5), Path("p"))}, {"a": [1, 0.5, "p"]}),
        ({"a": [{"class_path": "m.C"}, 2]}, {"a.0": "m.C", "a.1": 2}),
        (
            {"a": float("inf"), "b": torch.optim.SGD, "c": len},
            {"a": "inf", "b": "torch.optim.SGD", "c": "builtins.len"},
        ),
        ({"a": partial(torch.optim.SGD, lr=0.1)}, {"a": "torch.optim.SGD", "a.lr": 0.1}),
        ({"a": object()}, {"a": "builtins.object"}),
    ],
)
def test_settings_become_flat_names_and_values_that_json_holds(value: Any, expected: dict[str, Any]) -> None:
    found = dict(flat_settings(value))
    assert found == expected
    json.dumps(found, allow_nan=False)
