"""Schedules of torch.optim.lr_scheduler on the command line, against a hand-written table of rates."""

from __future__ import annotations

import csv
import inspect
import math
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers import Outcome, quiet_trainer
from torch.optim import lr_scheduler
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from optimcifar import ChainedSchedule, ImageClassifier, SequentialSchedule, Shapes10DataModule
from optimcifar.optim.schedule_notes import schedule_notes

# init_args in the configuration, and the rates of four epochs; the optimizer's rate is 1.
SCHEDULES: dict[str, tuple[dict[str, Any], list[float]]] = {
    "LambdaLR": ({"lr_lambda": "falling.halved"}, [1, 0.5, 0.25, 0.125]),
    "MultiplicativeLR": ({"lr_lambda": "falling.less"}, [1, 0.9, 0.81, 0.729]),
    "StepLR": ({"step_size": 2, "gamma": 0.1}, [1, 1, 0.1, 0.1]),
    "MultiStepLR": ({"milestones": [1, 3], "gamma": 0.1}, [1, 0.1, 0.1, 0.01]),
    "ConstantLR": ({"factor": 0.5, "total_iters": 3}, [0.5, 0.5, 0.5, 1]),
    "LinearLR": ({"start_factor": 0.25}, [0.25, 0.4375, 0.625, 0.8125]),  # total_iters: the run's 4
    "ExponentialLR": ({"gamma": 0.5}, [1, 0.5, 0.25, 0.125]),
    # Rises to the peak in 4 * 0.5 - 1 epochs and falls along half a cosine in the other 2.
    "OneCycleLR": ({"max_lr": 1.0, "pct_start": 0.5, "final_div_factor": 1e9, "div_factor": 4.0}, [0.25, 1, 0.5, 0]),
    "CosineAnnealingLR": ({}, [1, 0.5 + math.sqrt(0.125), 0.5, 0.5 - math.sqrt(0.125)]),
    "CosineAnnealingWarmRestarts": ({"T_0": 2}, [1, 0.5, 1, 0.5]),
    "CyclicLR": (
        {"base_lr": 0.2, "max_lr": 1.0, "step_size_up": 2, "cycle_momentum": False},
        [0.2, 0.6, 1.0, 0.6],
    ),
    "PolynomialLR": ({"power": 2.0}, [1, 9 / 16, 4 / 16, 1 / 16]),
    # Only a loss below a tenth of the best counts as better: every epoch but the first is a bad one.
    "ReduceLROnPlateau": ({"threshold": 0.9, "patience": 0, "factor": 0.5, "min_lr": 0.2}, [1, 1, 0.5, 0.25]),
    "SequentialLR": (
        {
            "schedulers": [
                {"class_path": "torch.optim.lr_scheduler.LinearLR", "init_args": {"start_factor": 0.5}},
                {"class_path": "torch.optim.lr_scheduler.CosineAnnealingLR"},
            ],
            "milestones": [2],
        },
        [0.5, 0.75, 1, 0.5],  # each as long as its part: 2 epochs
    ),
    "ChainedScheduler": (
        {
            "schedulers": [
                {"class_path": "torch.optim.lr_scheduler.ExponentialLR", "init_args": {"gamma": 0.5}},
                {
                    "class_path": "torch.optim.lr_scheduler.ConstantLR",
                    "init_args": {"factor": 0.1, "total_iters": 2},
                },
            ]
        },
        [0.1, 0.05, 0.25, 0.125],
    ),
}
COSINE: Any = partial(CosineAnnealingLR)  # T_max is left out
# PyTorch's own classes take built schedules, which a configuration cannot express.
NAMED = {"SequentialLR": "optimcifar.SequentialSchedule", "ChainedScheduler": "optimcifar.ChainedSchedule"}


def public_schedules() -> set[str]:
    found = inspect.getmembers(lr_scheduler, inspect.isclass)
    return {
        name for name, kind in found if issubclass(kind, LRScheduler) and name[0] != "_" and kind is not LRScheduler
    }


def test_every_schedule_of_pytorch_is_in_the_table() -> None:
    assert public_schedules() == SCHEDULES.keys()


def rates_of(folder: Path) -> list[float]:
    with (folder / "metrics.csv").open() as file:
        return [float(row["lr"]) for row in csv.DictReader(file)]


@pytest.fixture
def tiny() -> list[str]:
    """Four epochs of two steps each."""
    return [
        *("--data", "Shapes10DataModule", "--data.train_images", "128", "--data.val_size", "20"),
        *("--data.batch_size", "64", "--trainer.max_epochs", "4"),
    ]


@pytest.mark.parametrize("name", SCHEDULES)
def test_schedule(name: str, optimcifar: Callable[..., Outcome], tiny: list[str], tmp_path: Path) -> None:
    arguments, rates = SCHEDULES[name]
    path = NAMED.get(name, f"torch.optim.lr_scheduler.{name}")
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 1.0}}
    model = {"optimizer": optimizer, "lr_scheduler": {"class_path": path, "init_args": arguments}}
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"model": model}))
    (tmp_path / "falling.py").write_text(
        "def halved(epoch: int) -> float:\n    return 0.5**epoch\n\n\ndef less(epoch: int) -> float:\n    return 0.9\n"
    )
    outcome = optimcifar("fit", "--config", "config.yaml", *tiny)
    assert (outcome.status, outcome.err) == (0, "")
    run = tmp_path / "lightning_logs" / "version_0"
    assert rates_of(run) == pytest.approx(rates, abs=1e-6)
    # The saved configuration leaves out the same arguments and gives the same rates.
    assert optimcifar("fit", "--config", run / "config.yaml").status == 0
    assert rates_of(run.with_name("version_1")) == pytest.approx(rates, abs=1e-6)


def test_plateau_follows_the_metric_that_the_configuration_names(
    optimcifar: Callable[..., Outcome], tiny: list[str], tmp_path: Path
) -> None:
    plateau = "--model.lr_scheduler"
    monitored = (plateau, "lightning.pytorch.cli.ReduceLROnPlateau", f"{plateau}.monitor", "val_acc")
    # No accuracy is ten times the best one: the rate halves after every epoch but the first, whatever the loss does.
    halving = (
        f"{plateau}.mode",
        "max",
        f"{plateau}.threshold",
        9,
        f"{plateau}.patience",
        0,
        f"{plateau}.factor",
        0.5,
    )
    outcome = optimcifar("fit", *tiny, "--model.optimizer.lr", 0.01, *monitored, *halving)
    assert (outcome.status, outcome.err) == (0, "")
    assert rates_of(tmp_path / "lightning_logs/version_0") == pytest.approx([0.01, 0.01, 0.005, 0.0025])


def test_plateau_on_steps_is_refused(optimcifar: Callable[..., Outcome], tiny: list[str]) -> None:
    plateau = ("--model.lr_scheduler", "lightning.pytorch.cli.ReduceLROnPlateau", "--model.lr_scheduler.monitor", "a")
    outcome = optimcifar("fit", *tiny, *plateau, "--model.lr_interval", "step")
    assert outcome.status == 2
    assert "ReduceLROnPlateau steps after validation: leave lr_interval at epoch" in outcome.err


def test_resumed_run_continues_a_schedule_that_moves_every_step(
    optimcifar: Callable[..., Outcome], tiny: list[str], tmp_path: Path
) -> None:
    cosine = ("--model.lr_scheduler", "CosineAnnealingLR", "--model.lr_interval", "step")
    assert optimcifar("fit", *tiny, *cosine).status == 0
    whole, cut = tmp_path / "lightning_logs" / "version_0", tmp_path / "lightning_logs" / "version_1"
    (tmp_path / "stop.py").write_text(
        "from lightning.pytorch import Callback\n"
        "class Stop(Callback):\n"
        "    def on_train_epoch_start(self, trainer, pl_module):\n"
        "        if trainer.current_epoch == 2:\n"
        "            raise OSError('cut off')\n"
    )
    assert optimcifar("fit", *tiny, *cosine, "--trainer.callbacks+=stop.Stop").status == 1
    (tmp_path / "stop.py").write_text("from lightning.pytorch import Callback\nclass Stop(Callback):\n    pass\n")
    del sys.modules["stop"]
    assert optimcifar("resume", cut).status == 0
    assert rates_of(cut) == rates_of(whole)
    expected = [0.005 * (1 + math.cos(math.pi * step / 8)) for step in (1, 3, 5, 7)]
    assert rates_of(whole) == pytest.approx(expected, abs=1e-6)


def notes_on(make: Callable[[torch.optim.Optimizer], Any], length: int = 10) -> list[str]:
    return list(schedule_notes(make(torch.optim.SGD([torch.zeros(1)], lr=1.0, momentum=0.9)), length, "epoch"))


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (partial(CosineAnnealingLR, T_max=10), None),
        (
            partial(CosineAnnealingLR, T_max=4),
            "reaches its minimum after 4 epochs, then rises: the run has 10",
        ),
        (partial(CosineAnnealingLR, T_max=11), "would end after 11 epochs: the run has 10 epochs"),
        (partial(LinearLR, total_iters=10), None),
        (partial(LinearLR, total_iters=12), "would end after 12 epochs"),
        (partial(OneCycleLR, max_lr=1.0, total_steps=12), "would end after 12 epochs"),
        (partial(lr_scheduler.StepLR, step_size=3), None),
        (partial(lr_scheduler.MultiStepLR, milestones=[3, 9]), None),
        (
            partial(lr_scheduler.MultiStepLR, milestones=[3, 10, 12]),
            "does not reach its milestones 10, 12: the run",
        ),
        (partial(lr_scheduler.CosineAnnealingWarmRestarts, T_0=10), None),
        (
            partial(lr_scheduler.CosineAnnealingWarmRestarts, T_0=2, T_mult=2),
            "restarts after 2, 6 of 10 epochs, and the run ends within a cycle",
        ),
        (partial(lr_scheduler.CosineAnnealingWarmRestarts, T_0=5), "restarts after 5 of 10 epochs"),
        (
            partial(lr_scheduler.CyclicLR, base_lr=0.1, max_lr=1.0, step_size_up=20),
            "does not finish its first cycle: the run has 10 epochs",
        ),
        (
            partial(
                SequentialSchedule,
                schedulers=[partial(LinearLR, total_iters=10), COSINE],
                milestones=[10],
                total_iters=10,
            ),
            "CosineAnnealingLR would begin after 10 epochs: the run has 10 epochs",
        ),
        (
            partial(
                SequentialSchedule,
                schedulers=[partial(LinearLR, total_iters=5), COSINE],
                milestones=[3],
                total_iters=10,
            ),
            "LinearLR would end after 5 epochs: its part of the run has 3 epochs",
        ),
        (
            lambda optimizer: lr_scheduler.SequentialLR(
                optimizer, [LinearLR(optimizer, total_iters=5), CosineAnnealingLR(optimizer, 7)], milestones=[3]
            ),
            "LinearLR would end after 5 epochs: its part of the run has 3 epochs",
        ),
        (
            lambda optimizer: lr_scheduler.ChainedScheduler([LinearLR(optimizer, total_iters=12)], optimizer),
            "LinearLR would end after 12 epochs",
        ),
        (
            partial(lr_scheduler.ConstantLR, factor=0.5, total_iters=10),
            None,
        ),
        (partial(ReduceLROnPlateau), None),
    ],
)
def test_notes_on_schedules_that_do_not_fit_the_run(
    make: Callable[[torch.optim.Optimizer], Any], expected: str | None
) -> None:
    found = notes_on(make)
    if expected is None:
        assert found == []
    else:
        assert len(found) == 1
        assert expected in found[0]


def test_notes_are_printed_before_training(optimcifar: Callable[..., Outcome], tiny: list[str]) -> None:
    cosine = ("--model.lr_scheduler", "CosineAnnealingLR", "--model.lr_scheduler.T_max", 2)
    lines = optimcifar("fit", *tiny, *cosine).out.splitlines()
    note = "           note: CosineAnnealingLR reaches its minimum after 2 epochs, then rises: the run has 4 epochs"
    assert lines[lines.index(note) + 1].startswith("epoch 1/4")


def test_schedule_that_cannot_reach_the_end_is_refused(optimcifar: Callable[..., Outcome], tiny: list[str]) -> None:
    cycle = ("--model.lr_scheduler", "OneCycleLR", "--model.lr_scheduler.max_lr", 0.1)
    outcome = optimcifar("fit", *tiny, *cycle, "--model.lr_scheduler.total_steps", 3)
    assert outcome.status == 2
    message = "OneCycleLR ends after 3 epochs, and the run has 4 epochs: set total_steps to 4 or more, or leave it out"
    assert outcome.err == f"optimcifar: {message}\n"


@pytest.mark.parametrize(
    "make",
    [
        partial(OneCycleLR, max_lr=0.1, total_steps=3),
        partial(OneCycleLR, max_lr=0.1, epochs=1, steps_per_epoch=3),
        lambda optimizer: OneCycleLR(optimizer, 0.1, 3),
        partial(ChainedSchedule, schedulers=[LinearLR, partial(OneCycleLR, max_lr=0.1, total_steps=3)]),
    ],
)
def test_schedule_that_cannot_reach_the_end_is_refused_in_python(make: Any) -> None:
    trainer = quiet_trainer(max_epochs=4, limit_train_batches=1)
    classifier = ImageClassifier(lr_scheduler=make, lr_interval="step")
    with pytest.raises(
        ValueError, match="OneCycleLR ends after 3 steps, and the run has 4 steps: set total_steps to 4"
    ):
        trainer.fit(classifier, Shapes10DataModule(train_images=40, val_size=10))
    assert trainer.global_step == 0


def test_part_of_a_sequence_that_cannot_reach_its_end_is_refused() -> None:
    parts: list[Any] = [LinearLR, partial(OneCycleLR, max_lr=0.1, total_steps=3)]
    make = partial(SequentialSchedule, schedulers=parts, milestones=[2])
    trainer = quiet_trainer(max_epochs=6, limit_train_batches=1)
    with pytest.raises(ValueError, match="ends after 3 epochs, and its part of the run has 4 epochs: set total_steps"):
        trainer.fit(ImageClassifier(lr_scheduler=make), Shapes10DataModule(train_images=40, val_size=10))


def test_schedule_without_a_length_needs_a_run_with_one(optimcifar: Callable[..., Outcome], tiny: list[str]) -> None:
    outcome = optimcifar("fit", *tiny, "--model.lr_scheduler", "CosineAnnealingLR", "--trainer.max_epochs", -1)
    assert outcome.status == 2
    assert "T_max is left out and the run has no length to use instead: set max_epochs" in outcome.err


def test_a_length_that_makes_a_schedule_divide_by_zero_is_refused(
    optimcifar: Callable[..., Outcome], tiny: list[str]
) -> None:
    cycle = ("--model.lr_scheduler", "OneCycleLR", "--model.lr_scheduler.max_lr", 0.1)
    outcome = optimcifar("fit", *tiny, *cycle, "--model.lr_scheduler.pct_start", 0.25)  # rises for 4 * 0.25 - 1 epochs
    assert outcome.status == 2
    assert "OneCycleLR divides by zero with these arguments and a length of 4: change one of them" in outcome.err


def test_wrong_milestones_are_refused() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    with pytest.raises(ValueError, match=r"got \[3, 2\] for 3 schedulers"):
        SequentialSchedule(optimizer, [LinearLR] * 3, [3, 2], 10)
    with pytest.raises(ValueError, match=r"got \[\] for 2 schedulers"):
        SequentialSchedule(optimizer, [LinearLR] * 2, [], 10)
