from __future__ import annotations

from pathlib import Path

import pytest
from helpers import CONFIGS, Command, read_rows
from PIL import Image

DATA = ("--data", "Shapes10DataModule", "--data.train_images", 200, "--data.val_size", 20)


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("sgd_[cos]*.yaml")), ids=lambda path: path.stem)
def test_run_uses_the_planned_rates(path: Path, optimcifar: Command, tmp_path: Path) -> None:
    if path.stem == "sgd_swa":
        pytest.skip("weight averaging sets its own rates")
    options = ("--config", path, *DATA, "--trainer.max_epochs", 5, "--trainer.limit_train_batches", 2)
    outcome = optimcifar("schedule", *options, "--csv", "rates.csv")
    assert (outcome.status, outcome.err) == (0, "")
    assert {entry.name for entry in tmp_path.iterdir()} == {"schedule.png", "rates.csv"}
    rates = read_rows(tmp_path / "rates.csv")
    assert optimcifar("fit", *options).status == 0
    # An epoch's row shows the rate of its last step.
    per_epoch = 1 if "epoch" in rates[0] else 2
    last = [float(row["lr"]) for row in rates[per_epoch - 1 :: per_epoch]]
    used = [float(row["lr"]) for row in read_rows(tmp_path / "lightning_logs" / "version_0" / "metrics.csv")]
    assert used == pytest.approx(last)


def test_schedule_is_drawn_and_described(optimcifar: Command, tmp_path: Path) -> None:
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


def test_schedule_needs_no_images(optimcifar: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimcifar.data.cifar_archive._download", lambda _, path: pytest.fail(f"download to {path}"))
    steps = ("--model.lr_scheduler", "LinearLR", "--model.lr_interval", "step", "--trainer.max_epochs", 2)
    # 45,000 images in batches of 64 are 704 steps, 50,000 in batches of 100 are 500.
    for options, number in (((), "1,408"), (("--data.val_size", 0, "--data.batch_size", 100), "1,000")):
        outcome = optimcifar("schedule", *steps, *options)
        assert (outcome.status, outcome.err) == (0, "")
        assert f"rates      {number} steps: from 0.003333," in outcome.out
    assert [path.name for path in tmp_path.iterdir()] == ["schedule.png"]


def test_every_parameter_group_has_a_column(optimcifar: Command, tmp_path: Path) -> None:
    rules = ("--model.param_groups", '[{"names": "net.fc3.*", "options": {"lr": 0.5}}]')
    half = ("--model.lr_scheduler", "ExponentialLR", "--model.lr_scheduler.gamma", 0.5, "--trainer.max_epochs", 2)
    assert optimcifar("schedule", *DATA, *rules, *half, "--csv", "rates.csv").status == 0
    assert read_rows(tmp_path / "rates.csv") == [
        {"epoch": "1", "lr": "0.01", "lr_group_2": "0.5"},
        {"epoch": "2", "lr": "0.005", "lr_group_2": "0.25"},
    ]


def test_accumulation_that_changes_by_epoch_is_planned(optimcifar: Command, tmp_path: Path) -> None:
    by_epoch = ("--trainer.callbacks+=GradientAccumulationScheduler", "--trainer.callbacks.scheduling={0: 3, 1: 2}")
    linear = ("--model.lr_scheduler", "PolynomialLR", "--model.lr_interval", "step", "--trainer.max_epochs", 3)
    options = (*DATA, *linear, *by_epoch)  # three batches an epoch: one step, then twice two
    assert optimcifar("schedule", *options, "--csv", "rates.csv").status == 0
    rates = [float(row["lr"]) for row in read_rows(tmp_path / "rates.csv")]
    assert rates == pytest.approx([0.01, 0.008, 0.006, 0.004, 0.002])
    assert optimcifar("fit", *options).status == 0
    used = [float(row["lr"]) for row in read_rows(tmp_path / "lightning_logs" / "version_0" / "metrics.csv")]
    assert used == pytest.approx([0.01, 0.006, 0.002])


# Options of a schedule, and the interval of its steps.
CONTINUED: dict[str, tuple[list[object], str]] = {
    "none": ([], "epoch"),
    "cosine": (["CosineAnnealingLR"], "epoch"),
    "cosine of its own length": (["CosineAnnealingLR", "--model.lr_scheduler.T_max", 3], "epoch"),
    "one cycle": (["OneCycleLR", "--model.lr_scheduler.max_lr", 0.1], "epoch"),
    "one cycle by step": (["OneCycleLR", "--model.lr_scheduler.max_lr", 0.1], "step"),
    "own factor": (["ExponentialLR", "--model.lr_scheduler.gamma", 0.5], "epoch"),
}


@pytest.mark.parametrize("stopped", ["after 2 epochs", "within the second"])
@pytest.mark.parametrize("name", CONTINUED)
def test_run_that_goes_on_uses_the_planned_rates(name: str, stopped: str, optimcifar: Command, tmp_path: Path) -> None:
    typed, interval = CONTINUED[name]
    schedule = (*(["--model.lr_scheduler", *typed] if typed else []), "--model.lr_interval", interval)
    options = (*DATA, "--data.batch_size", 60, *schedule)  # three steps an epoch
    within = ("--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.every_n_train_steps", 5)
    own = (*within, "--trainer.callbacks.dirpath", "own", "--trainer.callbacks.filename", "a")
    assert optimcifar("fit", *options, "--trainer.max_epochs", 2, *own).status == 0
    checkpoint = "lightning_logs/version_0/checkpoints/last.ckpt" if stopped == "after 2 epochs" else "own/a.ckpt"
    going_on = (*options, "--ckpt_path", checkpoint, "--trainer.max_epochs", 4)
    outcome = optimcifar("schedule", *going_on, "--csv", "rates.csv")
    assert (outcome.status, outcome.err) == (0, "")
    rates = read_rows(tmp_path / "rates.csv")
    done = {"epoch": 2, "step": 6} if stopped == "after 2 epochs" else {"epoch": 1, "step": 5}
    assert [int(row[interval]) for row in rates] == [*range(done[interval] + 1, 5 if interval == "epoch" else 13)]
    assert f" after the first {done[interval]}: from " in outcome.out
    assert optimcifar("fit", *going_on).status == 0
    rows = read_rows(tmp_path / "lightning_logs" / "version_1" / "metrics.csv")
    used = {int(row["epoch"]): float(row["lr"]) for row in rows}
    per_epoch = {"epoch": 1, "step": 3}[interval]  # an epoch's row shows the rate of its last step
    last = {int(row[interval]) // per_epoch: float(row["lr"]) for row in rates if int(row[interval]) % per_epoch == 0}
    assert {epoch: used[epoch] for epoch in last} == pytest.approx(last)


def test_run_that_is_over_has_no_rates_left(optimcifar: Command, tmp_path: Path) -> None:
    options = (*DATA, "--trainer.max_epochs", 1)
    assert optimcifar("fit", *options).status == 0
    outcome = optimcifar("schedule", *options, "--ckpt_path", "lightning_logs/version_0/checkpoints/last.ckpt")
    assert outcome.status == 2
    assert outcome.err == (
        "optimcifar: the run that goes on is over: there are no rates left to plan, unless max_epochs is raised\n"
    )
    assert not (tmp_path / "schedule.png").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--model.lr_scheduler", "torch.optim.lr_scheduler.ReduceLROnPlateau"],
            "ReduceLROnPlateau follows val_loss: its rates are not known before the run",
        ),
        (["--trainer.max_epochs", "-1"], "the run has no end to plan up to: set max_epochs"),
        (
            ["--model.lr_scheduler=OneCycleLR", "--model.lr_scheduler.max_lr=1", "--model.lr_scheduler.total_steps=1"],
            "OneCycleLR ends after 1 epoch, and the run has",
        ),
        (["--model.lr_scheduler", "OneCycle"], "there is no class 'OneCycle' that fits here"),
        (["--trainer.callbacks+=LearningRateFinder"], "LearningRateFinder chooses the rate: it is not known before"),
        (
            ["--trainer.callbacks+=BatchSizeFinder", "--model.lr_scheduler=PolynomialLR", "--model.lr_interval=step"],
            "BatchSizeFinder chooses the batch size: the number of steps is not known before the run",
        ),
    ],
)
def test_schedule_that_cannot_be_planned_is_refused(
    options: list[str], message: str, optimcifar: Command, tmp_path: Path
) -> None:
    outcome = optimcifar("schedule", *DATA, *options)
    assert outcome.status == 2
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []
