"""Learning-rate schedules: how long they are, beside how long the run is, and those that are made of others."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import pairwise, takewhile
from typing import Any, Literal

from lightning.pytorch import Trainer
from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_schedules
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from optimcifar.text import count

LRSchedulerCallable = Callable[[Optimizer], LRScheduler | ReduceLROnPlateau]
LRInterval = Literal["epoch", "step"]

#: The arguments by which PyTorch's schedules are told after how many moves they have done what they do.
HORIZONS = ("T_max", "total_iters", "total_steps")


class SequentialSchedule(torch_schedules.SequentialLR):
    """Schedules one after the other, such as a warm-up and then a cosine: ``SequentialLR`` for configurations.

    PyTorch's class takes schedules that are made already, which no configuration can name. A schedule whose horizon is
    left out gets the length of its part.

    Args:
        optimizer: whose rates are set.
        schedulers: each called with the optimizer, returns a schedule.
        milestones: after how many moves (epochs or steps, as ``lr_interval`` says) the next one takes over.
        total_iters: moves in all; None for the length of the run.

    Raises:
        ValueError: the number of milestones is not one less than that of the schedules, they do not rise, or a
            horizon is left out and nothing tells the length.

    Example:
        >>> import torch
        >>> from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR
        >>> optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
        >>> parts = [partial(LinearLR, start_factor=0.1), CosineAnnealingLR]
        >>> SequentialSchedule(optimizer, parts, milestones=[2], total_iters=10).get_last_lr()
        [0.1]
    """

    def __init__(
        self,
        optimizer: Optimizer,
        schedulers: list[LRSchedulerCallable],
        milestones: list[int],
        total_iters: int | None = None,
    ) -> None:
        bounds = [0, *milestones]
        if len(milestones) != len(schedulers) - 1 or any(b <= a for a, b in pairwise(bounds)):
            raise ValueError(
                "milestones must rise from above 0, one between each two schedulers, "
                f"got {milestones} for {count(len(schedulers), 'scheduler')}"
            )
        ends = [*milestones, total_iters]
        # A part that the run does not reach gets a length all the same: `remarks` says that it is not reached.
        lengths = [None if end is None else max(end - start, 1) for start, end in zip(bounds, ends, strict=True)]
        made = [with_horizon(make, length)(optimizer) for make, length in zip(schedulers, lengths, strict=True)]
        super().__init__(optimizer, made, milestones)


class ChainedSchedule(torch_schedules.ChainedScheduler):
    """Schedules at the same time, each multiplying the rate: ``ChainedScheduler`` for configurations.

    Args:
        optimizer: whose rates are set.
        schedulers: each called with the optimizer, returns a schedule.
        total_iters: what a horizon is that one of them leaves out; None for the length of the run.

    Raises:
        ValueError: there are no schedulers, or a horizon is left out and nothing tells the length.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRSchedulerCallable], total_iters: int | None = None
    ) -> None:
        made = [with_horizon(make, total_iters)(optimizer) for make in schedulers]
        super().__init__(made, optimizer)


def missing_horizon(make: LRSchedulerCallable) -> str | None:
    """Return the argument by which a schedule that is yet to be made must still be told its length, or None."""
    keywords: dict[str, Any] = make.keywords if isinstance(make, partial) else {}
    kind = _class_of(make)
    if kind is None or keywords.get("epochs") is not None:  # which OneCycleLR takes, with steps_per_epoch, instead
        return None
    parameters = inspect.signature(kind).parameters
    for name in HORIZONS:
        if name in parameters and keywords.get(name, parameters[name].default) in (None, inspect.Parameter.empty):
            return name
    return None


def _class_of(make: LRSchedulerCallable) -> type[LRScheduler] | None:
    # A partial made from a configuration calls jsonargparse, whose first argument is the class.
    candidates = (make.func, *make.args) if isinstance(make, partial) else (make,)
    kinds = (kind for kind in candidates if inspect.isclass(kind) and issubclass(kind, LRScheduler))
    return next(kinds, None)


def with_horizon(make: LRSchedulerCallable, length: int | None) -> LRSchedulerCallable:
    """Return ``make`` with the horizon that it leaves out, where it has one, set to ``length``.

    Raises:
        ValueError: it leaves out its horizon, and the length is None; or it is PyTorch's ``ChainedScheduler``, which
            takes schedules and not an optimizer.
    """
    if _class_of(make) is torch_schedules.ChainedScheduler:
        raise ValueError("ChainedScheduler takes schedules that are made already: use optimcifar.ChainedSchedule")
    name = missing_horizon(make)
    if name is None:
        return make
    if length is None and _class_of(make) not in (SequentialSchedule, ChainedSchedule):
        raise ValueError(f"{name} is left out, and the run has no length that could take its place: set max_epochs")
    return partial(make, **{name: length})


def run_length(trainer: Trainer, interval: LRInterval) -> int | None:
    """Return how many times a schedule moves in a run, in epochs or optimizer steps; None for a run without an end.

    With everything that the trainer was told: limited batches, accumulated gradients, several devices, ``max_steps``.
    """
    if interval == "epoch" and trainer.max_steps == -1:
        return None if trainer.max_epochs in (None, -1) else trainer.max_epochs
    steps = trainer.estimated_stepping_batches
    if math.isinf(steps) or interval == "step":
        return None if math.isinf(steps) else int(steps)
    steps_per_epoch = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
    return math.ceil(steps / steps_per_epoch)


def remarks(scheduler: object, length: int, unit: LRInterval) -> Iterator[str]:
    """Yield what a person would want to know of a schedule beside a run of ``length``: a cut end, a new start.

    Raises:
        ValueError: the schedule can't go on to the end of the run.
    """
    name = type(scheduler).__name__
    run = f"the run has {count(length, unit)}"
    match scheduler:
        case torch_schedules.SequentialLR():
            yield from _sequence_remarks(scheduler, length, unit)
        case torch_schedules.ChainedScheduler():
            yield from (remark for part in scheduler._schedulers for remark in remarks(part, length, unit))
        case torch_schedules.OneCycleLR(total_steps=horizon) if horizon < length:
            raise ValueError(f"{name} ends after {count(horizon, unit)}, and {run}: leave total_steps out")
        case torch_schedules.CosineAnnealingLR(T_max=horizon) if horizon < length:
            yield f"{name} is at its lowest after {count(horizon, unit)} and then rises again: {run}"
        case torch_schedules.MultiStepLR() if max(scheduler.milestones, default=0) >= length:
            late = sorted(milestone for milestone in scheduler.milestones if milestone >= length)
            yield f"{name} has milestones that are not reached, {', '.join(map(str, late))}: {run}"
        case torch_schedules.CosineAnnealingWarmRestarts():
            yield from _cycle_remarks(name, _starts(scheduler.T_0, scheduler.T_mult), length, unit)
        case torch_schedules.CyclicLR():
            yield from _cycle_remarks(name, _starts(round(scheduler.total_size), 1), length, unit)
        case _:
            horizons = [value for key, value in vars(scheduler).items() if key in HORIZONS and value > length]
            yield from (f"{name} would end after {count(horizon, unit)}: {run}" for horizon in horizons)


def _sequence_remarks(scheduler: torch_schedules.SequentialLR, length: int, unit: LRInterval) -> Iterator[str]:
    bounds: Sequence[int] = [0, *scheduler._milestones, length]
    for part, start, end in zip(scheduler._schedulers, bounds[:-1], bounds[1:], strict=True):
        if start < length:
            yield from remarks(part, min(end, length) - start, unit)
        else:
            what = f"{type(part).__name__} would begin after {count(start, unit)}"
            yield f"{what}: the run has {count(length, unit)}"


def _cycle_remarks(name: str, starts: Iterator[int], length: int, unit: LRInterval) -> Iterator[str]:
    again = list(takewhile(lambda start: start <= length, starts))
    within = [str(start) for start in again if start < length]
    if within:
        listed = ", ".join(within[:3]) + (", ..." if len(within) > 3 else "")
        end = "" if again[-1] == length else ", and the run ends within a cycle"
        yield f"{name} starts again after {listed} of {count(length, unit)}{end}"
    elif not again:
        yield f"{name} does not finish its first cycle: the run has {count(length, unit)}"


def _starts(cycle: int, factor: int) -> Iterator[int]:
    """Yield after how many moves a new cycle begins."""
    start = cycle
    while True:
        yield start
        cycle *= factor
        start += cycle
