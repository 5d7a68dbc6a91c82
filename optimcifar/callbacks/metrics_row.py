"""Keep a resumed run's table of metrics whole."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer

from optimcifar.callbacks.base import EpochMetrics
from optimcifar.runs.logger import RunLogger

#: Where a checkpoint has the row of its epoch: ``metrics``, ``epoch`` (from 1) and ``step``.
METRICS_ROW = "metrics_row"


class KeepMetricsRow(EpochMetrics):
    """Saves an epoch's metrics in its checkpoint, and restores them as a row of ``metrics.csv``.

    Lightning writes an epoch's checkpoint before it logs the epoch's metrics: a run that is killed in between would
    lack that row when it is resumed. If it was the last epoch, Lightning has nothing left to train, and starts nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        self._epoch_ended = False
        self._row: dict[str, Any] | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the row if the table lacks it."""
        self._restore(trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the row if nothing was left to train."""
        self._restore(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the epoch has no whole row yet."""
        super().on_train_epoch_start(trainer, pl_module)
        self._epoch_ended = False

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that a checkpoint from now on has the whole row."""
        self._epoch_ended = True

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the epoch's metrics if the epoch is over."""
        if self._epoch_ended:
            row = {"metrics": self.epoch_metrics(trainer), "epoch": trainer.current_epoch + 1}
            checkpoint[METRICS_ROW] = row | {"step": trainer.global_step}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the row of a checkpoint until training starts."""
        self._row = checkpoint.get(METRICS_ROW)

    def _restore(self, trainer: Trainer) -> None:
        if self._row and isinstance(trainer.logger, RunLogger):
            trainer.logger.restore_row(**self._row)
