"""Tell the loggers beside a run's own what is run."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import Logger

from optimcifar.callbacks.run_summary import RunSummary
from optimcifar.runs.logger import RunLogger


class OtherLoggers(Callback):
    """Gives the settings of a run to the loggers beside the ``RunLogger``, and notes their runs in ``summary.json``.

    A resumed run goes on with the runs that are noted.

    Args:
        summary: a callback of the same trainer that comes before this one; it knows the settings.
    """

    def __init__(self, summary: RunSummary) -> None:
        self._summary = summary

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the hyperparameters and the seed."""
        values = self._summary.values
        for logger in _other_loggers(trainer):
            logger.log_hyperparams({"seed": values["seed"]} | values["hyperparameters"])

    def summary_values(self, trainer: Trainer) -> dict[str, Any]:
        """Return each logger's class, and its run: a number or name of a folder, or the id that a service gave it."""
        return {
            "loggers": [
                {"logger": type(logger).__name__, "version": logger.version} for logger in _other_loggers(trainer)
            ]
        }


def _other_loggers(trainer: Trainer) -> list[Logger]:
    return [logger for logger in trainer.loggers if not isinstance(logger, RunLogger)]
