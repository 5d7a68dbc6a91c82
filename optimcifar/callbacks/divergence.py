"""Stop a run whose loss is no longer finite."""

from __future__ import annotations

import math
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor

from optimcifar.callbacks.base import EpochMetrics, goes_on
from optimcifar.runs.metrics import shortest_float32

# Reading a loss from a GPU, or agreeing with other processes, is a synchronization: do it once in so many steps.
_STEPS_PER_CHECK = 50


class StopAtDivergence(EpochMetrics):
    """Stops training at the first step whose loss is infinite or NaN; on a GPU up to 50 steps later.

    Adds to ``summary.json``: ``diverged_step``, and for a diverged run ``last_finite``, the last finite value of the
    batch's ``loss`` and of each metric.

    Attributes:
        step: the step that diverged, from 1; None while all losses are finite.
        last_finite_loss: the batch's loss in the step before it; None while all losses are finite, or if it was the
            first step.
    """

    def __init__(self) -> None:
        super().__init__()
        self.step: int | None = None
        self.last_finite_loss: float | None = None
        self._losses: list[Tensor] = []  # not checked yet
        self._previous: Tensor | None = None  # the last loss that was checked
        self._finite_metrics: dict[str, float] = {}  # the last finite value of each metric, before this epoch

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget an earlier run; a second fit of a trainer goes on with its finite metrics."""
        self.step = self.last_finite_loss = self._previous = None
        self._losses.clear()
        if not goes_on(trainer):
            self._finite_metrics = {}

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remember the finite metrics of the epoch before."""
        self._finite_metrics |= finite(self.epoch_metrics(trainer))
        super().on_train_epoch_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Check the losses since the last check."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if loss is None:
            return
        self._losses.append(loss.detach())
        steps_per_check = 1 if loss.device.type == "cpu" and trainer.world_size == 1 else _STEPS_PER_CHECK
        if len(self._losses) < steps_per_check and not trainer.is_last_batch:
            return
        losses = torch.stack(self._losses)
        self._losses.clear()
        is_finite = losses.isfinite()
        diverged = not bool(is_finite.all())
        if diverged:
            position = int(is_finite.logical_not().nonzero()[0])
            self.step = trainer.global_step - len(losses) + 1 + position
            previous = losses[position - 1] if position else self._previous
            self.last_finite_loss = None if previous is None else previous.item()
        self._previous = losses[-1]
        if trainer.strategy.reduce_boolean_decision(diverged, all=False):
            trainer.should_stop = True

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the finite metrics, those of the current epoch included, and the last loss."""
        checkpoint["finite_metrics"] = self._finite_metrics | finite(self.epoch_metrics(trainer))
        checkpoint["previous_loss"] = self._previous

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Go on with the finite metrics and the last loss of a checkpoint."""
        self._finite_metrics = checkpoint.get("finite_metrics", {})
        self._previous = checkpoint.get("previous_loss")

    def summary_values(self, trainer: Trainer) -> dict[str, Any]:
        """Return the step that diverged, and the last finite values if one did."""
        if self.step is None:
            return {"diverged_step": None, "last_finite": None}
        metrics = self._finite_metrics | finite(self.epoch_metrics(trainer))
        loss = {} if self.last_finite_loss is None else {"loss": shortest_float32(self.last_finite_loss)}
        return {"diverged_step": self.step, "last_finite": loss | metrics}


def finite(metrics: dict[str, float]) -> dict[str, float]:
    """Return the finite metrics, without the rate and the time, which no divergence affects."""
    measured = {name: value for name, value in metrics.items() if name not in ("lr", "seconds")}
    return {name: shortest_float32(value) for name, value in measured.items() if math.isfinite(value)}
