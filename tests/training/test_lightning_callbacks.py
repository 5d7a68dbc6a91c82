"""Every callback of Lightning beside the run's own: it works, or is refused before the first step."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import Command, read_rows
from lightning.pytorch import callbacks as lightning_callbacks

# Bases that do nothing by themselves, and those that name no class of the command line.
ABSTRACT = {"BaseFinetuning", "BasePredictionWriter", "Callback", "Checkpoint", "LambdaCallback", "ProgressBar"}


@dataclass(frozen=True)
class Case:
    """Arguments of a callback, for two epochs of four batches.

    Attributes:
        arguments: as typed.
        steps: the number of optimizer steps at the end of each epoch.
        columns: columns of metrics.csv that are filled in every row.
        files: files of the run beside the usual ones.
        refusal: a part of the message if the callback is refused.
    """

    arguments: tuple[str, ...] = ()
    steps: tuple[int, ...] = (4, 8)
    columns: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    refusal: str | None = None


def refused(message: str, *arguments: str) -> Case:
    return Case(arguments, refusal=message)


LOGGED = "lr, seconds, train_acc, train_loss, val_acc, val_loss"

CASES: dict[str, list[Case]] = {
    "BackboneFinetuning": [
        refused("BackboneFinetuning needs a module with the attribute 'backbone', and ImageClassifier has none")
    ],
    "BatchSizeFinder": [Case(("max_trials=1", "init_val=128"), steps=(2, 4))],
    "DeviceStatsMonitor": [Case(("cpu_stats=true",))],
    "EarlyStopping": [
        Case(("monitor=val_loss",)),
        Case(("monitor=train_acc", "mode=max")),
        Case(("monitor=val_acc", "mode=max", "stopping_threshold=0.0"), steps=(4,)),
        Case(("monitor=nothing", "strict=false")),
        refused(f"EarlyStopping follows 'nothing', which this run does not log: it logs {LOGGED}", "monitor=nothing"),
        refused("EarlyStopping follows 'val_acc_ema', which this run does not log", "monitor=val_acc_ema"),
    ],
    "EMAWeightAveraging": [
        Case(),
        refused("EMAWeightAveraging does not average within the run's 2 epochs, 8 steps", "update_starting_at_step=8"),
        Case(("update_starting_at_step=7", "update_every_n_steps=1")),
    ],
    "GradientAccumulationScheduler": [Case(("scheduling={0: 2, 1: 4}",), steps=(2, 3))],
    "LearningRateFinder": [
        Case(("num_training_steps=5", "update_attr=false")),
        refused("LearningRateFinder found no rate before training: leave it out, and choose", "num_training_steps=8"),
        refused("LearningRateFinder tries 100 rates (num_training_steps), one per step, and the run has 8 steps"),
    ],
    "LearningRateMonitor": [
        *(Case(), Case(("logging_interval=epoch",), columns=("lr-SGD",))),
        Case(("logging_interval=step", "log_momentum=true"), columns=("lr-SGD", "lr-SGD-momentum")),
    ],
    "ModelCheckpoint": [
        Case(files=("checkpoints/epoch=1-step=8.ckpt",)),
        Case(("every_n_train_steps=3",), files=("checkpoints/epoch=1-step=6.ckpt",)),
        Case(("monitor=val_acc", "filename=best", "mode=max"), files=("checkpoints/best.ckpt",)),
        Case(("monitor=step", "filename=newest", "mode=max"), files=("checkpoints/newest.ckpt",)),
        refused(f"ModelCheckpoint follows 'acc', which this run does not log: it logs {LOGGED}", "monitor=acc"),
        refused("would replace the run's own last.ckpt", "filename=last"),
    ],
    "ModelPruning": [Case(("pruning_fn=l1_unstructured",))],
    "ModelSummary": [Case(("max_depth=2",))],
    "OnExceptionCheckpoint": [Case(("dirpath=elsewhere",))],
    "RichModelSummary": [Case()],
    "RichProgressBar": [Case()],
    "SpikeDetection": [Case()],
    "StochasticWeightAveraging": [
        Case(("swa_lrs=0.05", "swa_epoch_start=1")),
        refused("weight averaging starts in epoch 3, but the run has 2 epochs", "swa_lrs=0.05", "swa_epoch_start=3"),
    ],
    "ThroughputMonitor": [
        refused("ThroughputMonitor needs a module with the attribute 'flops_per_batch'", "batch_size_fn=sizes.of")
    ],
    "Timer": [
        Case(("duration=00:01:00:00",)),
        refused("max_time is over before the first step", "duration=00:00:00:00"),
    ],
    "TQDMProgressBar": [Case(("refresh_rate=2",))],
    "WeightAveraging": [Case(), Case(("use_buffers=false",))],
}


def test_every_callback_of_lightning_is_in_the_table() -> None:
    found = {name for name, _ in inspect.getmembers(lightning_callbacks, inspect.isclass)}
    assert found == CASES.keys() | ABSTRACT


def fit(optimcifar: Command, name: str, case: Case, *more: object) -> tuple[int, str]:
    data = ("--data", "Shapes10DataModule", "--data.train_images", 300, "--data.val_size", 44)
    every_step = ("--trainer.log_every_n_steps", 1)
    arguments = (f"--trainer.callbacks.{argument}" for argument in case.arguments)
    outcome = optimcifar(
        "fit", *data, "--trainer.max_epochs", 2, *every_step, f"--trainer.callbacks+={name}", *arguments, *more
    )
    return outcome.status, outcome.err


@pytest.mark.filterwarnings("ignore:.*ckpt_path")
@pytest.mark.parametrize(
    ("name", "case"),
    [pytest.param(name, case, id=" ".join((name, *case.arguments))) for name in CASES for case in CASES[name]],
)
def test_callback(name: str, case: Case, optimcifar: Command, tmp_path: Path) -> None:
    (tmp_path / "sizes.py").write_text("def of(batch) -> int:\n    return len(batch[0])\n")
    status, message = fit(optimcifar, name, case)
    (tmp_path / "sizes.py").unlink()
    run = tmp_path / "lightning_logs" / "version_0"
    found = {
        str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file() and path.suffix != ".pyc"
    }
    if case.refusal is not None:
        assert (status, found) == (2, set()), message
        assert case.refusal in message
        assert message.count("\n") <= 2
        return
    assert status == 0, message
    usual = ("checkpoints/last.ckpt", "config.yaml", "metrics.csv", "summary.json", "validations.csv")
    assert found == {f"lightning_logs/version_0/{file}" for file in (*usual, *case.files)}
    rows = read_rows(run / "metrics.csv")
    assert [int(row["step"]) for row in rows] == list(case.steps)
    assert all(row[column] for row in rows for column in ("train_loss", "val_acc", *case.columns))


@pytest.mark.parametrize(
    ("name", "arguments", "limit", "message"),
    [
        ("StochasticWeightAveraging", ("swa_lrs=0.05", "swa_epoch_start=2"), 4, "starts in epoch 2, but the run has 1"),
        (
            "StochasticWeightAveraging",
            ("swa_lrs=0.05", "swa_epoch_start=1"),
            4,
            "use optimcifar.EpochEndWeightAveragin",
        ),
        (
            "EpochEndWeightAveraging",
            ("swa_lrs=0.05", "swa_epoch_start=2"),
            7,
            "starts at the end of epoch 2, but the run",
        ),
        (
            "WeightAverages",
            ("swa_epoch_start=2",),
            7,
            "starts at the end of epoch 2, but the run ends before, after 7 st",
        ),
        (
            "WeightAverages",
            ("swa_epoch_start=0.5",),
            3,
            "starts at the end of epoch 1, but the run ends before, after 3",
        ),
        (
            "EMAWeightAveraging",
            ("update_starting_at_step=6",),
            6,
            "does not average within the run's 2 epochs, 6 steps",
        ),
    ],
)
def test_averages_that_a_number_of_steps_ends_before_they_start_are_refused(
    name: str, arguments: tuple[str, ...], limit: int, message: str, optimcifar: Command, tmp_path: Path
) -> None:
    status, found = fit(optimcifar, name, Case(arguments), "--trainer.max_steps", limit)
    assert status == 2
    assert message in found
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--trainer.limit_val_batches=0",), "ReduceLROnPlateau follows 'val_loss', which this run does not log"),
        (("--data.val_size=0",), "ReduceLROnPlateau follows 'val_loss', which this run does not log"),
        (
            ("--trainer.check_val_every_n_epoch=null", "--trainer.val_check_interval=20"),
            "follows val_loss at the ends of epochs, and some have no validation",
        ),
    ],
)
def test_schedule_that_waits_for_a_validation_that_never_comes_is_refused(
    options: tuple[str, ...], message: str, optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    plateau = ("--model.lr_scheduler", "torch.optim.lr_scheduler.ReduceLROnPlateau")
    outcome = optimcifar("fit", *small, *plateau, *options)
    assert outcome.status == 2
    assert message in outcome.err
    assert list(tmp_path.iterdir()) == []


def test_metric_of_a_later_validation_can_be_followed(optimcifar: Command, small: list[str]) -> None:
    watch = ("--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=val_loss")
    assert optimcifar("fit", *small, "--trainer.check_val_every_n_epoch", 2, *watch).status == 0


def test_metrics_of_a_callback_of_ones_own_can_be_followed(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(
        "from lightning.pytorch import Callback\n"
        "class Mine(Callback):\n"
        "    def on_train_epoch_end(self, trainer, pl_module):\n"
        "        pl_module.log('mine', 1.0)\n"
    )
    mine = ("--trainer.callbacks+=mine.Mine", "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor=mine")
    assert optimcifar("fit", *small, *mine).status == 0
