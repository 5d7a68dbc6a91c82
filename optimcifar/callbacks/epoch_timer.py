"""Time the first epoch of a run, and stop the run after it."""

from __future__ import annotations

from lightning.pytorch import Callback, LightningModule, Trainer

from optimcifar.callbacks.base import synchronized_time


class EpochTimer(Callback):
    """Times the first epoch with its validation, and stops the run after it.

    Attributes:
        seconds: those of the epoch; 0 before it has ended.
        steps: its steps.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.steps = 0
        self._start = 0.0

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._start = synchronized_time(trainer.strategy.root_device)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock and the run."""
        self.seconds = synchronized_time(trainer.strategy.root_device) - self._start
        self.steps = trainer.global_step
        trainer.fit_loop.max_epochs = trainer.current_epoch + 1  # should_stop would wait for min_epochs
