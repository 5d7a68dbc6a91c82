"""Write a row for every validation."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

from optimcifar.callbacks.run_summary import RunSummary
from optimcifar.runs.logger import run_folder
from optimcifar.runs.step_table import StepTable

# The key in a checkpoint for the number of rows so far.
_ROWS = "validation_rows"


class ValidationRows(Callback):
    """Writes a row of ``validations.csv`` for every validation: at the ends of epochs and within them.

    Columns: ``epoch`` (from 1), ``step`` (the number of optimizer steps so far), ``seconds`` (the time of training so
    far, without validation), ``val_loss``, ``val_acc``, and every other metric whose name starts with ``val_``.

    A resumed run keeps the rows up to its checkpoint, and writes the later ones anew.

    Args:
        summary: a callback of the same trainer; it measures the time of training.
    """

    def __init__(self, summary: RunSummary) -> None:
        self._summary = summary
        self._table = StepTable()
        self._rows_of_checkpoint: int | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget the checkpoint of an earlier run."""
        self._rows_of_checkpoint = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the file of a run that is resumed."""
        self._table = StepTable("seconds", "val_loss", "val_acc")
        if folder := run_folder(trainer):
            self._table.go_on(folder.validations, trainer.global_step, self._rows_of_checkpoint)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the number of rows: the steps do not tell whether a validation came before the checkpoint or after."""
        checkpoint[_ROWS] = len(self._table)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Note the number of rows; a checkpoint of an earlier version does not have it."""
        self._rows_of_checkpoint = checkpoint.get(_ROWS)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Add a row, and write the file."""
        folder = run_folder(trainer)
        if folder is None or trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        metrics = trainer.callback_metrics
        values = {name: metrics[name].item() for name in metrics if name.startswith("val_")}
        seconds = {"seconds": round(self._summary.train_seconds, 3)}
        self._table.add(trainer.current_epoch + 1, trainer.global_step, seconds | values)
        self._table.write(folder.validations)
