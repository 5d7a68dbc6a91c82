from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import CONFIGS, Outcome
from PIL import Image

DATA = ("--data", "Shapes10DataModule", "--data.train_images", 200, "--data.val_size", 20)


def planned(path: Path) -> list[dict[str, str]]:
    with path.open() as file:
        return list(csv.DictReader(file))


def used(run: Path) -> list[float]:
    return [float(row["lr"]) for row in planned(run / "metrics.csv")]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("sgd_[cos]*.yaml")), ids=lambda path: path.stem)
def test_planned_rates_are_those_that_the_run_then_uses(
    path: Path, optimcifar: Callable[..., Outcome], tmp_path: Path
) -> None:
    if path.stem == "sgd_swa":
        pytest.skip("weight averaging sets its own rates")
    options = ("--config", path, *DATA, "--trainer.max_epochs", 5, "--trainer.limit_train_batches", 2)
    outcome = optimcifar("schedule", *options, "--csv", "rates.csv")
    assert (outcome.status, outcome.err) == (0, "")
    assert {entry.name for entry in tmp_path.iterdir()} == {"schedule.png", "rates.csv"}
    rates = planned(tmp_path / "rates.csv")
    assert optimcifar("fit", *options).status == 0
    # An epoch's row shows the rate of its last step.
    per_epoch = 1 if "epoch" in rates[0] else 2
    last = [float(row["lr"]) for row in rates[per_epoch - 1 :: per_epoch]]
    assert used(tmp_path / "lightning_logs" / "version_0") == pytest.approx(last)


def test_picture_is_drawn_and_the_plan_is_described(optimcifar: Callable[..., Outcome], tmp_path: Path) -> None:
    steps = ("--model.lr_scheduler", "StepLR", "--model.lr_scheduler.step_size", 2)
    outcome = optimcifar("schedule", *DATA, *steps, "--trainer.max_epochs", 5, "--png", "pictures/rates.png")
    assert outcome.out.splitlines() == [
        "schedule   torch.optim.lr_scheduler.StepLR(step_size=2, gamma=0.1), every epoch",
        "rates      5 epochs: from 0.01, highest 0.01, at last 0.0001",
        "drawn in pictures/rates.png",
    ]
    with Image.open(tmp_path / "pictures" / "rates.png") as image:
        assert image.format == "PNG"
        assert image.width > 400
        assert len(image.convert("RGB").getcolors(100_000) or []) > 2


def test_groups_have_columns_of_their_own(optimcifar: Callable[..., Outcome], tmp_path: Path) -> None:
    rules = ("--model.param_groups", '[{"names": "net.fc3.*", "options": {"lr": 0.5}}]')
    half = ("--model.lr_scheduler", "ExponentialLR", "--model.lr_scheduler.gamma", 0.5, "--trainer.max_epochs", 2)
    assert optimcifar("schedule", *DATA, *rules, *half, "--csv", "rates.csv").status == 0
    assert planned(tmp_path / "rates.csv") == [
        {"epoch": "1", "lr": "0.01", "lr_group_2": "0.5"},
        {"epoch": "2", "lr": "0.005", "lr_group_2": "0.25"},
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--model.lr_scheduler", "torch.optim.lr_scheduler.ReduceLROnPlateau"],
            "ReduceLROnPlateau follows val_loss: its rates are not known before the run",
        ),
        (["--trainer.max_epochs", "-1"], "the run has no end to plan up to: set max_epochs"),
        (["--model.lr_scheduler", "OneCycle"], "there is no class 'OneCycle' that fits here"),
    ],
)
def test_what_can_not_be_planned_is_said(
    options: list[str], message: str, optimcifar: Callable[..., Outcome], tmp_path: Path
) -> None:
    outcome = optimcifar("schedule", *DATA, *options)
    assert outcome.status == 2
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []
