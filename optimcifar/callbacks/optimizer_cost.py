"""What an optimizer costs beside forward and backward: time of a step, and memory of its state."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

# The first steps make the optimizer's state, and find nothing in the caches.
_WARM_UP = 10
# On a GPU a measured step waits for the device, which costs time: one in so many is measured.
_EVERY_ON_GPU = 20


class OptimizerCost(Callback):
    """Measures the optimizer's part of the training steps.

    A step's time is that from the end of its last backward pass to its end. For an optimizer that evaluates the
    network several times in a step, such as LBFGS, it is the sum of the times between these evaluations.
    """

    def __init__(self) -> None:
        self._steps = 0
        self._step_ms: list[float] = []
        self._spent = 0.0
        self._since: float | None = None  # when the last backward pass ended, while the optimizer is at work
        self._handles: list[Any] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Watch the first optimizer's steps and the network's evaluations."""
        self._device = trainer.strategy.root_device
        net = getattr(pl_module, "net", pl_module)
        self._handles = [
            trainer.optimizers[0].register_step_post_hook(self._stepped),
            net.register_forward_pre_hook(self._evaluates),
        ]

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Start the clock: forward and backward are done."""
        if self._steps >= _WARM_UP and (self._device.type == "cpu" or self._steps % _EVERY_ON_GPU == 0):
            self._since = self._now()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop watching."""
        self._remove_hooks()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop watching."""
        self._remove_hooks()

    def values(self, optimizer: Optimizer) -> dict[str, float | int | None]:
        """Return ``optimizer_step_ms``, the median, or None for too short a run; and ``optimizer_state_bytes``."""
        return {
            "optimizer_step_ms": round(statistics.median(self._step_ms), 4) if self._step_ms else None,
            "optimizer_state_bytes": state_bytes(optimizer),
        }

    def _evaluates(self, *args: Any) -> None:
        if self._since is not None:
            self._spent += self._now() - self._since
            self._since = None

    def _stepped(self, *args: Any) -> None:
        self._steps += 1
        if self._since is not None:
            self._step_ms.append(1000 * (self._spent + self._now() - self._since))
        self._spent, self._since = 0.0, None

    def _now(self) -> float:
        if self._device.type != "cpu":
            torch.accelerator.synchronize()
        return time.perf_counter()

    def _remove_hooks(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []


def state_bytes(optimizer: Optimizer) -> int:
    """Return the bytes of all tensors that an optimizer keeps, its parameters and their gradients not counted."""
    return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(list(optimizer.state.values())))


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, (list, tuple)) else []
