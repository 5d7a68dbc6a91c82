"""The length of a schedule and the length of a run."""

from __future__ import annotations

import inspect
import math
from functools import partial
from typing import Any

from lightning.pytorch import Trainer
from torch.optim.lr_scheduler import ChainedScheduler, LRScheduler

from optimcifar.optim.types import LRInterval, LRSchedulerCallable

#: Arguments that set a schedule's length.
HORIZONS = ("T_max", "total_iters", "total_steps")


def missing_horizon(make: LRSchedulerCallable) -> str | None:
    """Return the name of the length argument that ``make`` leaves out, or None."""
    keywords: dict[str, Any] = make.keywords if isinstance(make, partial) else {}
    kind = _class_of(make)
    if kind is None or keywords.get("epochs") is not None:  # OneCycleLR's alternative, with steps_per_epoch
        return None
    parameters = inspect.signature(kind).parameters
    for name in HORIZONS:
        if name in parameters and keywords.get(name, parameters[name].default) in (None, inspect.Parameter.empty):
            return name
    return None


def with_horizon(make: LRSchedulerCallable, length: int | None) -> LRSchedulerCallable:
    """Return ``make`` with its length argument set to ``length`` if it leaves one out.

    Raises:
        ValueError: the length argument is left out and ``length`` is None, or the schedule is PyTorch's
            ``ChainedScheduler``, which takes built schedules instead of an optimizer.
    """
    if _class_of(make) is ChainedScheduler:
        raise ValueError("ChainedScheduler takes schedules that are already built: use optimcifar.ChainedSchedule")
    name = missing_horizon(make)
    if name is None:
        return make
    if length is None and not _combines_schedules(make):
        raise ValueError(f"{name} is left out and the run has no length to use instead: set max_epochs")
    return partial(make, **{name: length})


def run_length(trainer: Trainer, interval: LRInterval) -> int | None:
    """Return the length of a run in epochs or optimizer steps, or None for a run without an end.

    Takes limited batches, accumulated gradients, several devices and ``max_steps`` into account.
    """
    if interval == "epoch" and trainer.max_steps == -1:
        return None if trainer.max_epochs in (None, -1) else trainer.max_epochs
    steps = trainer.estimated_stepping_batches
    if math.isinf(steps) or interval == "step":
        return None if math.isinf(steps) else int(steps)
    steps_per_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    return math.ceil(steps / steps_per_epoch)


def _class_of(make: LRSchedulerCallable) -> type[LRScheduler] | None:
    # A partial built from a configuration calls jsonargparse with the class as its first argument.
    candidates = (make.func, *make.args) if isinstance(make, partial) else (make,)
    kinds = (kind for kind in candidates if inspect.isclass(kind) and issubclass(kind, LRScheduler))
    return next(kinds, None)


def _combines_schedules(make: LRSchedulerCallable) -> bool:
    """Return whether a schedule is made of others; it needs a length only if one of them does."""
    kind = _class_of(make)
    return kind is not None and "schedulers" in inspect.signature(kind).parameters
