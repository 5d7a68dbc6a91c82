"""Types of the functions that build optimizers and schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

#: Called with parameters or parameter groups.
OptimizerCallable = Callable[[Iterable[Any]], Optimizer]

#: Called with the optimizer.
LRSchedulerCallable = Callable[[Optimizer], LRScheduler | ReduceLROnPlateau]

#: How often a schedule moves.
LRInterval = Literal["epoch", "step"]
