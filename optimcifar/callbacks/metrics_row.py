"""Keep a resumed run's table of metrics whole."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer

from optimcifar.callbacks.base import EpochMetrics
from optimcifar.runs.logger import run_logger

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
            logged = trainer.logged_metrics  # not those of the progress bar alone
            metrics = {name: value for name, value in self.epoch_metrics(trainer).items() if name in logged}
            epoch, step = trainer.current_epoch + 1, trainer.global_step
            checkpoint[METRICS_ROW] = {"metrics": metrics, "epoch": epoch, "step": step}

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Restore the row of a run that goes on."""
        row, logger = checkpoint.get(METRICS_ROW), run_logger(trainer)
        if row and logger and trainer.state.fn == "fit":
            logger.restore_row(**row)
