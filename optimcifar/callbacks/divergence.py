"""What ends a run whose loss is no longer a finite number."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

# To look at a loss on a GPU, or at those of other processes, costs a wait: one look for so many steps.
_EVERY = 50


class StopAtDivergence(Callback):
    """Ends training at the first step whose loss is infinite or not a number; on a GPU at most 50 steps later.

    Attributes:
        step: that step, counted from 1; None while all losses are finite.
        last_finite_loss: the batch's loss in the step before; None while all are finite, or where there was none.
    """

    def __init__(self) -> None:
        self.step: int | None = None
        self.last_finite_loss: float | None = None
        self._losses: list[Tensor] = []
        self._previous: Tensor | None = None  # the last loss that was looked at

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Look at the loss."""
        loss = outputs["loss"] if isinstance(outputs, dict) else outputs
        if loss is None:
            return
        self._losses.append(loss.detach())
        every = 1 if loss.device.type == "cpu" and trainer.world_size == 1 else _EVERY
        if len(self._losses) < every and not trainer.is_last_batch:
            return
        losses = torch.stack(self._losses)
        self._losses.clear()
        finite = losses.isfinite()
        here = not bool(finite.all())
        if here:
            position = int(finite.logical_not().nonzero()[0])
            self.step = trainer.global_step - len(losses) + 1 + position
            previous = losses[position - 1] if position else self._previous
            self.last_finite_loss = None if previous is None else previous.item()
        self._previous = losses[-1]
        if trainer.strategy.reduce_boolean_decision(here, all=False):
            trainer.should_stop = True
