"""Write ``summary.json``: what was run, how it ended, and what it cost."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from optimcifar.callbacks.base import EpochMetrics, SummarySource, batch_size, device_name, goes_on, was_started
from optimcifar.callbacks.divergence import finite
from optimcifar.callbacks.hyperparameters import hyperparameters
from optimcifar.callbacks.metrics_row import METRICS_ROW
from optimcifar.callbacks.start_hashes import start_hashes
from optimcifar.callbacks.training_clock import TrainingClock
from optimcifar.data.datamodule import image_data
from optimcifar.optim.horizons import callbacks_of
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.logger import run_folder
from optimcifar.runs.provenance import import_path, versions


class RunSummary(EpochMetrics):
    """Writes ``summary.json`` into the run's folder, when training starts and when it ends.

    ``status`` is ``running`` until then ``finished``, ``diverged`` (the training loss is no longer finite),
    ``interrupted`` or ``failed``. Every callback with a method ``summary_values(trainer)`` adds its values. Logs
    ``seconds``, the epoch's time of training without validation.

    Args:
        trainer_settings: the trainer's resolved settings by name, such as ``{"max_epochs": 10}``; None reads the usual
            ones from the trainer.

    Attributes:
        values: the contents of the file; empty until training starts.
    """

    def __init__(self, trainer_settings: Mapping[str, Any] | None = None) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self._trainer_settings = trainer_settings
        self._hyperparameters: dict[str, Any] = {}
        self._hashes: dict[str, str] = {}
        self._clock = TrainingClock()
        self._checkpoint_metrics: dict[str, float] = {}

    @property
    def train_seconds(self) -> float:
        """The time of training without validation, in seconds, up to the last validation or the last epoch's end."""
        return self._clock.seconds

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Hash the initial weights, before a checkpoint may replace them; a second fit of a trainer goes on."""
        if stage == "fit":
            self.values = {}
            if not goes_on(trainer):
                self._hyperparameters, self._clock, self._checkpoint_metrics = {}, TrainingClock(), {}
                self._hashes = start_hashes(trainer, pl_module)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is known so far."""
        # Not later: weight averaging may replace the schedule. A resumed run may know its schedule from the checkpoint.
        if not self._hyperparameters:
            self._hyperparameters = hyperparameters(trainer, pl_module, self._trainer_settings)
        self._write(trainer, pl_module, "running")
        if trainer.fit_loop.restarted_mid_epoch:
            self._clock.start(trainer.strategy.root_device)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        super().on_train_epoch_start(trainer, pl_module)
        self._clock.new_epoch()
        self._clock.start(trainer.strategy.root_device)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Pause the clock."""
        self._clock.pause()

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock again."""
        super().on_validation_end(trainer, pl_module)
        if trainer.state.fn == "fit" and not trainer.sanity_checking:
            self._clock.start(trainer.strategy.root_device)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count the batch's images."""
        self._clock.images += batch_size(batch)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's seconds."""
        self._clock.pause()
        pl_module.log("seconds", self._clock.epoch_seconds)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the final values."""
        self._write(trainer, pl_module, "finished")

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the final values of a run that was killed between its last checkpoint and its end.

        Lightning has nothing left to train then, and starts nothing.
        """
        if not self.values and was_started(trainer):
            self._write(trainer, pl_module, "finished")

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the metrics of the checkpoint's epoch, in case that nothing is left to train."""
        self._checkpoint_metrics = checkpoint.get(METRICS_ROW, {}).get("metrics", {})

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write the values so far, if training had started."""
        self._clock.pause()
        if self.values and trainer.state.fn == "fit":
            interrupted = isinstance(exception, (KeyboardInterrupt, SIGTERMException))
            self._write(trainer, pl_module, "interrupted" if interrupted else "failed")

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run cannot measure again."""
        own = {"hashes": self._hashes, "hyperparameters": self._hyperparameters, "clock": self._clock.state_dict()}
        return super().state_dict() | own

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the values of a checkpoint."""
        super().load_state_dict(state_dict)
        self._hashes = state_dict["hashes"]
        self._hyperparameters = state_dict["hyperparameters"]
        self._clock.load_state_dict(state_dict["clock"])

    def _write(self, trainer: Trainer, pl_module: LightningModule, status: str) -> None:
        metrics = self.epoch_metrics(trainer) or self._checkpoint_metrics
        values: dict[str, Any] = {
            "status": status,
            "optimizer": import_path(type(trainer.optimizers[0])) if trainer.optimizers else None,
            "lr_scheduler": self._hyperparameters["lr_scheduler"],
            **_network_seed_and_data(trainer, pl_module),
            "max_epochs": trainer.max_epochs,
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            **dict.fromkeys(("train_loss", "train_acc", "val_loss", "val_acc")),
            **_final(metrics),
            "train_seconds": round(self._clock.seconds, 3),
            "images_per_second": self._clock.images_per_second(trainer.world_size),
            "diverged_step": None,
            "last_finite": None,
            **_values_of_other_callbacks(trainer),
            "device": device_name(trainer),
            "threads": torch.get_num_threads(),
            **self._hashes,
            "hyperparameters": self._hyperparameters,
            "versions": versions(),
        }
        diverged = values["diverged_step"] is not None or not math.isfinite(metrics.get("train_loss", 0.0))
        if status == "finished" and diverged:
            values["status"] = "diverged"
        self.values = values
        if folder := run_folder(trainer):
            write_atomically(folder.summary, json.dumps(values, indent=2) + "\n")


def _values_of_other_callbacks(trainer: Trainer) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for callback in callbacks_of(trainer):
        if isinstance(callback, SummarySource):
            values |= callback.summary_values(trainer)
    return values


def _network_seed_and_data(trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
    seed = os.environ.get("PL_GLOBAL_SEED")
    values: dict[str, Any] = {
        "net": import_path(type(getattr(pl_module, "net", pl_module))),
        "seed": None if seed is None else int(seed),
        "dataset": _dataset_name(trainer),
    }
    if data := image_data(trainer):
        values["dataset"] = data.dataset_name
        values["augmentation"] = data.augmentation
        values["classes"] = len(data.class_names)
        values["train_images"] = len(data.train_positions)
        values["val_images"] = len(data.val_positions)
    return values


def _dataset_name(trainer: Trainer) -> str | None:
    """Return the class of the data module, or of the data set in a plain loader; None for several loaders."""
    data = getattr(trainer, "datamodule", None) or getattr(trainer.train_dataloader, "dataset", None)
    return None if data is None else type(data).__name__


def _final(metrics: dict[str, float]) -> dict[str, float | None]:
    """Return a run's last metrics; one that is not finite is None, because JSON has no word for it."""
    names = (name for name in metrics if name not in ("lr", "seconds"))
    return dict.fromkeys(names) | finite(metrics)
