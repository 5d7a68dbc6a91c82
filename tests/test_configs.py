from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import CONFIGS, Outcome

SGD = {"lr": 0.01, "momentum": 0.9, "dampening": 0, "weight_decay": 0, "nesterov": False}

# optimizer and its arguments, schedule and its arguments
EXPECTED: dict[str, tuple[str, dict[str, Any], str | None, dict[str, Any]]] = {
    "sgd": ("SGD", SGD, None, {}),
    "adagrad": (
        "Adagrad",
        {"lr": 0.01, "lr_decay": 0, "weight_decay": 0, "initial_accumulator_value": 0, "eps": 1e-10},
        None,
        {},
    ),
    "rmsprop": (
        "RMSprop",
        {"lr": 0.01, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0, "momentum": 0, "centered": False},
        None,
        {},
    ),
    "adam": ("Adam", {"lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0, "amsgrad": False}, None, {}),
    "adadelta": ("Adadelta", {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0}, None, {}),
    "sgd_steplr": ("SGD", SGD, "StepLR", {"step_size": 2, "gamma": 0.1}),
    "sgd_cosine": ("SGD", SGD | {"lr": 0.1}, "CosineAnnealingLR", {"T_max": 2, "eta_min": 0}),
    "sgd_swa": ("SGD", SGD, "StepLR", {"step_size": 2, "gamma": 0.1}),
}

# The others: their optimizer, their schedule, and how often it moves.
OTHERS: dict[str, tuple[str, str | None, str]] = {
    "adamw_cosine": ("torch.optim.AdamW", "torch.optim.lr_scheduler.CosineAnnealingLR", "step"),
    "sgd_onecycle": ("torch.optim.SGD", "torch.optim.lr_scheduler.OneCycleLR", "step"),
    "sgd_warmup_cosine": ("torch.optim.SGD", "optimcifar.SequentialSchedule", "step"),
    "muon": ("optimcifar.MuonWithAux", None, "epoch"),
    "nadam": ("torch.optim.NAdam", None, "epoch"),
    "radam": ("torch.optim.RAdam", None, "epoch"),
    "adamax": ("torch.optim.Adamax", None, "epoch"),
    "asgd": ("torch.optim.ASGD", None, "epoch"),
    "rprop": ("torch.optim.Rprop", None, "epoch"),
    "lbfgs": ("torch.optim.LBFGS", None, "epoch"),
    "adafactor": ("torch.optim.Adafactor", None, "epoch"),
    "schedulefree": ("schedulefree.AdamWScheduleFree", None, "epoch"),
}

PATHS = sorted(CONFIGS.glob("*.yaml"))


def test_every_configuration_is_expected_here() -> None:
    assert {path.stem for path in PATHS} == {*EXPECTED, *OTHERS}


@pytest.mark.parametrize("name", EXPECTED)
def test_configuration_spells_out_what_its_source_gave(name: str) -> None:
    model = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["model"]
    optimizer, arguments, scheduler, scheduler_arguments = EXPECTED[name]
    assert model["optimizer"] == {"class_path": f"torch.optim.{optimizer}", "init_args": arguments}
    if scheduler:
        assert model["lr_scheduler"] == {
            "class_path": f"torch.optim.lr_scheduler.{scheduler}",
            "init_args": scheduler_arguments,
        }
        assert model["lr_interval"] == "epoch"
    else:
        assert "lr_scheduler" not in model


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_configurations_are_comparable_and_say_what_they_show(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    assert (config["seed_everything"], config["trainer"]["max_epochs"]) == (0, 10)
    data = {"root": "data", "batch_size": 64, "val_size": 5000, "mean": 0.5, "std": 0.5}
    assert config["data"] == {"class_path": "optimcifar.CIFAR10DataModule", "init_args": data}
    assert re.match(r"# \w[^\n]{20,}\n", path.read_text())


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_configuration_trains(path: Path, optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path) -> None:
    outcome = optimcifar("fit", "--config", path, *small, "--trainer.max_epochs", 7, "--trainer.limit_train_batches", 3)
    assert (outcome.status, outcome.err) == (0, "")
    summary = json.loads((tmp_path / "lightning_logs/version_0/summary.json").read_text())
    assert (summary["status"], summary["steps"]) == ("finished", 21)
    if path.stem in EXPECTED:
        optimizer, _, scheduler, _ = EXPECTED[path.stem]
        assert summary["optimizer"] == f"torch.optim.{optimizer}"
        assert summary["lr_scheduler"] == (f"torch.optim.lr_scheduler.{scheduler}" if scheduler else None)
    else:
        optimizer, scheduler, interval = OTHERS[path.stem]
        assert (summary["optimizer"], summary["lr_scheduler"]) == (optimizer, scheduler)
        assert (f", every {interval}" in outcome.out) == bool(scheduler)


def test_configuration_reads_images_from_folders(
    optimcifar: Callable[..., Outcome], image_folders: Path, tmp_path: Path
) -> None:
    root = ("--data.root", image_folders, "--data.val_size", 20, "--trainer.max_epochs", 1)
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd.yaml", *root)
    assert (outcome.status, outcome.err) == (0, "")
    summary = json.loads((tmp_path / "lightning_logs/version_0/summary.json").read_text())
    assert summary["dataset"] == "CIFAR-10, PNG copy"
