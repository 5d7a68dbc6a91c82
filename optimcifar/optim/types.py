"""Types of the optimizer and schedule arguments."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

#: Builds an optimizer from parameters or parameter groups.
OptimizerCallable = Callable[[Iterable[Any]], Optimizer]

#: Builds a schedule for an optimizer.
LRSchedulerCallable = Callable[[Optimizer], LRScheduler | ReduceLROnPlateau]

#: When a schedule sets the learning rate: after every epoch or after every optimizer step.
LRInterval = Literal["epoch", "step"]
