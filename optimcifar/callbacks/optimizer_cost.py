"""Measure what an optimizer costs besides forward and backward passes: the time of a step, the memory of its state."""

from __future__ import annotations

import statistics
from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.optim import Optimizer

from optimcifar.callbacks.base import HookCallback, synchronized_time

# The first steps create the optimizer's state and run with cold caches.
_WARM_UP = 10
# On a GPU a measured step synchronizes with the device, which costs time: measure one step in so many.
_STEPS_PER_MEASUREMENT_ON_GPU = 20


class OptimizerCost(HookCallback):
    """Measures the optimizer's share of the training steps.

    Adds to ``summary.json``: ``optimizer_step_ms``, the median time of a step in milliseconds, or None for too short a
    run; and ``optimizer_state_bytes``.

    Both are those since training was last started or resumed. A step's time runs from the end of its last backward
    pass to its end. For an optimizer that evaluates the network several times per step, such as LBFGS, it is the sum
    of the times between these evaluations.
    """

    def __init__(self) -> None:
        super().__init__()
        self._steps = 0
        self._step_ms: list[float] = []
        self._seconds = 0.0  # of the current step, without the network's evaluations
        self._since: float | None = None  # when the last backward pass ended, while the optimizer is at work
        self._device = torch.device("cpu")

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Register hooks on the first optimizer's steps and on the network's evaluations, and measure anew."""
        self._steps, self._step_ms, self._seconds, self._since = 0, [], 0.0, None
        self._device = trainer.strategy.root_device
        net = getattr(pl_module, "net", pl_module)
        self.handles = [
            trainer.optimizers[0].register_step_post_hook(self._stop_clock),
            net.register_forward_pre_hook(self._pause_clock),
        ]

    def on_before_optimizer_step(self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer) -> None:
        """Start the clock: forward and backward passes are done."""
        on_cpu = self._device.type == "cpu"
        if self._steps >= _WARM_UP and (on_cpu or self._steps % _STEPS_PER_MEASUREMENT_ON_GPU == 0):
            self._since = synchronized_time(self._device)

    def summary_values(self, trainer: Trainer) -> dict[str, Any]:
        """Return the median time of a step, and the size of the optimizer's state."""
        return {
            "optimizer_step_ms": round(statistics.median(self._step_ms), 4) if self._step_ms else None,
            "optimizer_state_bytes": state_bytes(trainer.optimizers[0]) if trainer.optimizers else None,
        }

    def _pause_clock(self, *args: Any) -> None:
        if self._since is not None:
            self._seconds += synchronized_time(self._device) - self._since
            self._since = None

    def _stop_clock(self, *args: Any) -> None:
        self._steps += 1
        if self._since is not None:
            self._step_ms.append(1000 * (self._seconds + synchronized_time(self._device) - self._since))
        self._seconds, self._since = 0.0, None


def state_bytes(optimizer: Optimizer) -> int:
    """Return the size in bytes of the tensors in an optimizer's state, without parameters and gradients."""
    return sum(tensor.numel() * tensor.element_size() for tensor in _tensors(list(optimizer.state.values())))


def _tensors(value: Any) -> list[Tensor]:
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [tensor for item in value for tensor in _tensors(item)] if isinstance(value, (list, tuple)) else []
