"""Schedules made of other schedules, and their parts."""

from __future__ import annotations

from itertools import pairwise

from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_schedules
from torch.optim.lr_scheduler import LRScheduler

from optimcifar.optim.horizons import with_horizon
from optimcifar.optim.types import LRSchedulerCallable
from optimcifar.text import count


class SequentialSchedule(torch_schedules.SequentialLR):
    """Schedules in sequence, such as a warm-up and then a cosine: ``SequentialLR`` for configurations.

    PyTorch's class takes schedules that are already built, which a configuration cannot express. A schedule whose
    length argument is left out gets the length of its part of the run.

    Args:
        optimizer: the optimizer to schedule.
        schedulers: called with the optimizer, each returns a schedule.
        milestones: epochs or steps, as ``lr_interval`` says, after which the next schedule takes over.
        total_iters: total number of epochs or steps; None for the length of the run.

    Raises:
        ValueError: the milestones do not rise or are not one fewer than the schedules, or a length argument is left
            out and the run has no length.

    Example:
        >>> import torch
        >>> from functools import partial
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
                "milestones must be above 0, rising, and one fewer than the schedulers, "
                f"got {milestones} for {count(len(schedulers), 'scheduler')}"
            )
        ends = [*milestones, total_iters]
        # A part beyond the end of the run needs a valid length too; `schedule_notes` reports it.
        lengths = [None if end is None else max(end - start, 1) for start, end in zip(bounds, ends, strict=True)]
        made = [with_horizon(make, length)(optimizer) for make, length in zip(schedulers, lengths, strict=True)]
        super().__init__(optimizer, made, milestones)


class ChainedSchedule(torch_schedules.ChainedScheduler):
    """Schedules applied together, each multiplying the rate: ``ChainedScheduler`` for configurations.

    Args:
        optimizer: the optimizer to schedule.
        schedulers: called with the optimizer, each returns a schedule.
        total_iters: length of the schedules whose length argument is left out; None for the length of the run.

    Raises:
        ValueError: there are no schedules, or a length argument is left out and the run has no length.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRSchedulerCallable], total_iters: int | None = None
    ) -> None:
        made = [with_horizon(make, total_iters)(optimizer) for make in schedulers]
        super().__init__(made, optimizer)


def schedule_parts(schedule: object) -> list[LRScheduler]:
    """Return the schedules that a sequence or a chain is made of; an empty list for other schedules."""
    if isinstance(schedule, (torch_schedules.SequentialLR, torch_schedules.ChainedScheduler)):
        return list(schedule._schedulers)
    return []
