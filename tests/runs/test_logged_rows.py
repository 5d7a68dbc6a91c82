"""Every logged value is in the row of the epoch in which it was logged, whoever logged it. Epochs have four steps."""

from __future__ import annotations

import inspect
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import INTERRUPT, Command, metrics_without_times, quiet_trainer, read_rows
from lightning.pytorch import Callback, LightningModule, Trainer, callbacks
from lightning.pytorch.callbacks import DeviceStatsMonitor, LearningRateMonitor, ThroughputMonitor
from torch import Tensor
from torch.optim.lr_scheduler import ExponentialLR

from optimcifar import ImageClassifier, RunLogger, Shapes10DataModule
from optimcifar.callbacks.metrics_row import KeepMetricsRow
from optimcifar.data.images import Batch
from optimcifar.runs.folder import RunFolder


def data() -> Shapes10DataModule:
    return Shapes10DataModule(train_images=288, val_size=32, test_images=32)  # 256 for training, in batches of 64


def decaying() -> ImageClassifier:
    """Return a module whose rate is 0.01, 0.001 and 0.0001 in its first three epochs."""
    return ImageClassifier(lr_scheduler=lambda optimizer: ExponentialLR(optimizer, gamma=0.1))


def fit_rows(module: ImageClassifier, *callbacks: Callback, **options: Any) -> list[dict[str, str]]:
    """Train with a plain trainer, and return the rows of its table."""
    logger = RunLogger()
    settings = {"max_epochs": 3, "log_every_n_steps": 2} | options
    quiet_trainer(logger=logger, callbacks=list(callbacks), **settings).fit(module, data())
    return read_rows(Path(logger.log_dir) / "metrics.csv")


def column(rows: list[dict[str, str]], name: str) -> list[str]:
    return [row[name] for row in rows]


# The callbacks of Lightning that log, one of their columns, and its values. None: they depend on the machine.
LOGGING: dict[str, tuple[Callable[[], Callback], str, list[str] | None]] = {
    "LearningRateMonitor": (LearningRateMonitor, "lr-SGD", ["0.01", "0.001", "0.0001"]),
    "DeviceStatsMonitor": (
        lambda: DeviceStatsMonitor(cpu_stats=True),
        "DeviceStatsMonitor.on_train_batch_end/cpu_percent",
        None,
    ),
    # The last multiple of log_every_n_steps in each epoch.
    "ThroughputMonitor": (
        lambda: ThroughputMonitor(lambda batch: len(batch[0]), window_size=2),
        "train/batches",
        ["4", "8", "12"],
    ),
}


def test_the_callbacks_that_log_are_known() -> None:
    classes = [getattr(callbacks, name) for name in callbacks.__all__]
    found = {cls.__name__ for cls in classes if "log_metrics(" in inspect.getsource(cls)}
    assert found == LOGGING.keys() | {"LearningRateMonitor"}


@pytest.mark.filterwarnings("ignore:When using the `ThroughputMonitor`")  # this module counts no FLOPs
@pytest.mark.parametrize("name", LOGGING)
def test_values_of_lightnings_callbacks_are_in_the_rows_of_their_epochs(name: str) -> None:
    if name == "DeviceStatsMonitor":
        pytest.importorskip("psutil")
    make, value, expected = LOGGING[name]
    rows = fit_rows(decaying(), make())
    assert (column(rows, "epoch"), column(rows, "step")) == (["1", "2", "3"], ["4", "8", "12"])
    assert column(rows, "lr") == ["0.01", "0.001", "0.0001"]
    assert column(rows, value) == expected if expected else all(column(rows, value))


VALIDATION: dict[str, tuple[dict[str, Any], list[bool]]] = {
    "every epoch": ({}, [True, True, True]),
    "twice an epoch": ({"val_check_interval": 0.5}, [True, True, True]),
    "every second epoch": ({"check_val_every_n_epoch": 2}, [False, True, False]),
    # In steps 6 and 12.
    "across epochs": ({"check_val_every_n_epoch": None, "val_check_interval": 6}, [False, True, True]),
    "before the first epoch too": ({"num_sanity_val_steps": 1}, [True, True, True]),
}


@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.parametrize("validation", VALIDATION)
def test_rates_are_in_the_rows_of_their_epochs_whenever_validation_runs(validation: str, interval: Any) -> None:
    options, validated = VALIDATION[validation]
    rows = fit_rows(decaying(), LearningRateMonitor(logging_interval=interval), **options)
    assert (column(rows, "epoch"), column(rows, "step")) == (["1", "2", "3"], ["4", "8", "12"])
    assert column(rows, "lr-SGD") == column(rows, "lr") == ["0.01", "0.001", "0.0001"]
    assert [bool(cell) for cell in column(rows, "val_loss")] == validated


@pytest.mark.parametrize("interval", ["epoch", "step"])
def test_resumed_run_has_the_same_rows(interval: str, optimcifar: Command, small: list[str], tmp_path: Path) -> None:
    monitor = ("--trainer.callbacks+=LearningRateMonitor", f"--trainer.callbacks.logging_interval={interval}")
    options = (*small, "--model.lr_scheduler", "ExponentialLR", "--model.lr_scheduler.gamma", 0.1, *monitor)
    options = (*options, "--trainer.log_every_n_steps", 2)
    whole, cut = (tmp_path / "lightning_logs" / f"version_{n}" for n in (0, 1))
    assert optimcifar("fit", *options).status == 0
    assert optimcifar("fit", *options, INTERRUPT).status == 130
    assert optimcifar("resume", cut).status == 0
    rows = metrics_without_times(cut)
    assert rows == metrics_without_times(whole)
    assert column(rows, "lr-SGD") == ["0.01", "0.001"]


class Everywhere(Callback):
    """Logs the number of optimizer steps in every hook, with a step of its own counting."""

    def __getattribute__(self, name: str) -> Any:
        if name not in HOOKS:
            return super().__getattribute__(name)

        def log(trainer: Trainer, pl_module: LightningModule, *args: Any, **kwargs: Any) -> None:
            for logger in trainer.loggers:
                logger.log_metrics({name: trainer.global_step}, step=1_000_000)

        return log


# The last number of steps that each hook sees in each epoch.
HOOKS = {
    "setup": ["0", ""],
    "on_fit_start": ["0", ""],
    "on_sanity_check_start": ["0", ""],
    "on_sanity_check_end": ["0", ""],
    "on_train_start": ["0", ""],
    "on_train_epoch_start": ["0", "4"],
    "on_train_batch_start": ["3", "7"],
    "on_train_batch_end": ["4", "8"],
    "on_validation_start": ["4", "8"],
    "on_validation_batch_end": ["4", "8"],
    "on_validation_end": ["4", "8"],
    "on_train_epoch_end": ["4", "8"],
    "on_train_end": ["", "8"],
    "on_fit_end": ["", "8"],
    "teardown": ["", "8"],
}


def test_values_of_every_hook_are_in_the_row_of_their_epoch() -> None:
    rows = fit_rows(ImageClassifier(), Everywhere(), max_epochs=2, num_sanity_val_steps=1)
    assert column(rows, "step") == ["4", "8"]
    assert {name: column(rows, name) for name in HOOKS} == HOOKS


class Hidden(Callback):
    """Logs a value for the progress bar alone."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        pl_module.log("hidden", 1.0, prog_bar=True, logger=False)


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks")
def test_values_of_every_hook_of_a_resumed_run_are_in_the_row_of_their_epoch(tmp_path: Path) -> None:
    checkpoint = tmp_path / "first.ckpt"
    first = quiet_trainer(logger=RunLogger(), enable_checkpointing=True, callbacks=[KeepMetricsRow(), Hidden()])
    first.fit(ImageClassifier(), data())
    shutil.copy(first.checkpoint_callback.best_model_path, checkpoint)  # type: ignore[union-attr]
    folder = RunFolder(tmp_path / "lightning_logs" / "version_0")
    (row,) = read_rows(folder.metrics)
    again = quiet_trainer(
        max_epochs=2,
        num_sanity_val_steps=1,
        logger=RunLogger.reopen(folder, keep_rows=True),
        callbacks=[KeepMetricsRow(), Everywhere()],
    )
    again.fit(ImageClassifier(), data(), ckpt_path=checkpoint, weights_only=True)
    # Measuring the earlier checkpoint afterwards is no reason to drop the rows after it.
    again.test(ImageClassifier(), data(), ckpt_path=checkpoint, weights_only=True, verbose=False)
    rows = read_rows(folder.metrics)
    assert rows[0] == row | dict.fromkeys(rows[0].keys() - row.keys(), "")
    assert "hidden" not in rows[1]
    assert (column(rows, "epoch"), column(rows, "step")) == (["1", "2"], ["4", "8"])
    # In `setup` and `on_fit_start` the steps of the checkpoint are not known yet.
    early = {"setup": "0", "on_fit_start": "0"}
    expected = {name: cells[1] or early.get(name, "4") for name, cells in HOOKS.items()}
    assert {name: rows[1][name] for name in HOOKS} == expected


class LogsByStep(ImageClassifier):
    """Logs in every step, and adds a ``step`` of its own to the values, as modules do for TensorBoard."""

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        self.log_dict({"batch": float(batch_idx), "step": 1000.0}, on_step=True)
        return super().training_step(batch, batch_idx)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        super().validation_step(batch, batch_idx)
        self.log("position", float(batch_idx), on_step=True, on_epoch=False)


def test_last_value_of_an_epoch_counts() -> None:
    rows = fit_rows(LogsByStep(), max_epochs=2)
    assert column(rows, "step") == ["4", "8"]
    assert column(rows, "batch") == ["3.0", "3.0"]
    assert column(rows, "position") == ["0.0", "0.0"]


class FailInEpoch(Callback):
    """Fails in the middle of the second epoch."""

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.global_step == 6:
            raise RuntimeError("out of luck")


def test_unfinished_epoch_keeps_what_was_logged_and_is_no_result(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="out of luck"):
        fit_rows(decaying(), LearningRateMonitor(), FailInEpoch())
    run = tmp_path / "lightning_logs" / "version_0"
    rows = read_rows(run / "metrics.csv")
    assert [(row["epoch"], row["step"], row["lr-SGD"], row["train_loss"] != "") for row in rows] == [
        ("1", "4", "0.01", True),
        ("2", "4", "0.001", False),
    ]


def test_evaluation_after_training_adds_to_the_last_row_and_changes_nothing(tmp_path: Path) -> None:
    module, logger = ImageClassifier(), RunLogger()
    trainer = quiet_trainer(max_epochs=2, logger=logger)
    trainer.fit(module, data())
    before = read_rows(tmp_path / "lightning_logs" / "version_0" / "metrics.csv")
    with torch.no_grad():
        for parameter in module.parameters():
            parameter.zero_()
    trainer.validate(module, data(), verbose=False)
    trainer.test(module, data(), verbose=False)
    first, last = read_rows(tmp_path / "lightning_logs" / "version_0" / "metrics.csv")
    assert first == before[0] | {"test_loss": "", "test_acc": ""}
    assert last == before[1] | {"test_loss": last["test_loss"], "test_acc": last["test_acc"]}
    # All logits are 0: the loss is the logarithm of ten classes.
    assert float(last["test_loss"]) == pytest.approx(2.302585)


@pytest.mark.parametrize("value", [17_179_869_185, 0.1, 3])
def test_numbers_are_written_in_full(value: float) -> None:
    logger = RunLogger()
    logger.log_metrics({"epoch": 0, "memory": value}, step=3)
    (row,) = read_rows(Path(logger.log_dir) / "metrics.csv")
    assert float(row["memory"]) == value


def test_second_fit_of_a_trainer_goes_on_with_the_rows(tmp_path: Path) -> None:
    module, monitor = decaying(), LearningRateMonitor()
    trainer = quiet_trainer(max_epochs=1, logger=RunLogger(), callbacks=[monitor], log_every_n_steps=2)
    trainer.fit(module, data())
    trainer.fit_loop.max_epochs = 2
    trainer.fit(module, data())
    rows = read_rows(tmp_path / "lightning_logs" / "version_0" / "metrics.csv")
    assert (column(rows, "epoch"), column(rows, "step")) == (["1", "2"], ["4", "8"])
    assert all(column(rows, "lr-SGD"))
