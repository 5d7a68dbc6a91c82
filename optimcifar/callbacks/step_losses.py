"""Write the training loss of every optimizer step."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from optimcifar.runs.logger import run_folder
from optimcifar.runs.step_table import StepTable

# The key in a checkpoint for the losses of batches whose step is still to come, by process.
_PENDING = "pending_step_losses"


class StepLosses(Callback):
    """Writes the training loss of every optimizer step to ``steps.csv`` in the run's folder.

    Columns: ``epoch`` (from 1), ``step`` (from 1, as in ``metrics.csv``) and ``train_loss``, the mean over the batches
    of the step: those whose gradients were accumulated, in all processes. An optimizer that evaluates a batch several
    times per step, such as LBFGS, counts with the first evaluation. A step without a loss has no row.

    Losses stay on the device. They are read and written at the end of each epoch and with each checkpoint. A run in
    one process also writes them when it is stopped. With several processes the others may be gone by then, so the rows
    since the last epoch or checkpoint are lost. A resumed run goes on with the file.

    Works with every module and Trainer. Without a folder for the run, nothing is written.

    Args:
        every_n_steps: write the steps that are multiples of this number, at least 1.

    Raises:
        ValueError: ``every_n_steps`` is below 1.
    """

    def __init__(self, every_n_steps: int = 1) -> None:
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps must be at least 1, got {every_n_steps}")
        self.every_n_steps = every_n_steps
        self._table = StepTable("train_loss")
        self._evaluations: list[Tensor] = []  # of the current batch
        self._pending: list[Tensor] = []  # of the batches since the last step
        self._step = 0  # the last one
        self._losses: list[Tensor] = []  # on the device, not written yet
        self._places: list[tuple[int, int]] = []  # their epochs and steps

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Forget the losses of an earlier run."""
        for values in (self._evaluations, self._pending, self._losses, self._places):
            values.clear()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the file of a run that is resumed."""
        self._step = trainer.global_step
        self._table = StepTable("train_loss")
        if folder := run_folder(trainer):
            self._table.go_on(folder.steps, self._step)

    def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: Tensor) -> None:
        """Note an evaluation of the current batch."""
        self._evaluations.append(loss.detach())

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Keep the loss of the batch. If the batch ends a step, keep the loss of the step too."""
        loss = outputs.get("loss") if isinstance(outputs, dict) else outputs
        # The outputs have the loss of the last evaluation, and the first one counts. In 16-mixed precision the noted
        # losses are scaled, but Lightning refuses L-BFGS there: a batch has one evaluation.
        if len(self._evaluations) > 1 and pl_module.automatic_optimization:
            loss = self._evaluations[0]
        self._evaluations.clear()
        if loss is not None:
            self._pending.append(loss.detach())
        if trainer.global_step != self._step:
            self._step = trainer.global_step
            self._end_step(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the epoch's losses."""
        self._write(trainer)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Write the losses, so that a run which is killed after its checkpoint has them, and save the pending ones."""
        self._write(trainer)
        if self._pending:
            losses = trainer.strategy.all_gather(torch.stack(self._pending))
            checkpoint[_PENDING] = losses.reshape(trainer.world_size, -1)

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Go on with the pending losses of a checkpoint."""
        losses = checkpoint.get(_PENDING, ())
        if trainer.global_rank < len(losses):  # within an epoch the data module refuses another number of processes
            self._pending = [*losses[trainer.global_rank].to(trainer.strategy.root_device)]

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write the losses up to the step in which training stopped."""
        if trainer.world_size == 1:
            with suppress(OSError):  # a full disk may be what stopped it: that error is the one to report
                self._write(trainer)

    def _end_step(self, trainer: Trainer) -> None:
        if self._pending and self._step % self.every_n_steps == 0:
            loss = self._pending[0] if len(self._pending) == 1 else torch.stack(self._pending).mean()
            # Lightning has divided each loss by the number of batches that a step accumulates.
            batches = trainer.accumulate_grad_batches
            self._losses.append(loss if batches == 1 else loss * batches)
            self._places.append((trainer.current_epoch + 1, self._step))
        self._pending = []

    def _write(self, trainer: Trainer) -> None:
        if not self._losses:
            return
        losses = trainer.strategy.reduce(torch.stack(self._losses).float().flatten(), reduce_op="mean").tolist()
        if folder := run_folder(trainer):
            for (epoch, step), loss in zip(self._places, losses, strict=True):
                self._table.add(epoch, step, {"train_loss": loss})
            self._table.write(folder.steps)
        self._losses.clear()
        self._places.clear()
