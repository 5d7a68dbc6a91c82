"""Schedules made of other schedules, and their parts."""

from __future__ import annotations

import math
from abc import abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Sequence
from copy import deepcopy
from itertools import pairwise
from typing import Any

from torch.optim import Optimizer
from torch.optim import lr_scheduler as torch_schedules
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from optimcifar.optim.building import build_schedule
from optimcifar.optim.types import LRSchedulerCallable
from optimcifar.text import count


class CombinedSchedule(LRScheduler):
    """Base of the schedules that are made of others.

    PyTorch's parts all write to the optimizer, and undo each other's rates. Here each part writes to its own copy of
    the parameter groups, so that it sets the rates that it would set alone, and the combination sets the optimizer's.
    A part's optimizer has all parameters and options, but no state.
    """

    def __init__(self, optimizer: Optimizer, schedulers: Sequence[LRSchedulerCallable], lengths: list[int | None]):
        if not schedulers:
            raise ValueError(f"{type(self).__name__} needs at least one schedule")
        self._copies = [_GroupsCopy(optimizer) for _ in schedulers]
        built = [build_schedule(*part) for part in zip(schedulers, self._copies, lengths, strict=True)]
        self.parts: list[LRScheduler] = built
        if any(isinstance(part, ReduceLROnPlateau) for part in built):
            raise ValueError(f"{type(self).__name__} takes no ReduceLROnPlateau, which follows a metric: use it alone")
        for copy in self._copies:
            copy.step()  # a schedule warns if it steps before its optimizer
        self._own = [deepcopy(_options(group)) for group in optimizer.param_groups]
        self._scheduled: list[str] = []  # the options besides the rate that a part has changed so far
        super().__init__(optimizer)

    @abstractmethod
    def get_lr(self) -> list[Any]:
        """Step the parts whose turn it is, and return the rates of the parameter groups."""

    def set_options(self, active: list[int]) -> None:
        """Set the options besides the rate, such as the momentum, as the active parts have them."""
        for number, (group, own) in enumerate(zip(self.optimizer.param_groups, self._own, strict=True)):
            copies = [self._copies[part].param_groups[number] for part in active]
            names = own.keys() - {"lr"}
            changed = {name: copy[name] for copy in copies for name in names if copy[name] != own[name]}
            self._scheduled += sorted(changed.keys() - set(self._scheduled))
            group.update({name: changed.get(name, own[name]) for name in self._scheduled if name in names})

    def part_rates(self, part: int) -> list[float]:
        """Return the rates that a part has set in its groups."""
        return [float(group["lr"]) for group in self._copies[part].param_groups]

    def state_dict(self) -> dict[str, Any]:
        """Return the state, with that of the parts and of their groups."""
        state = {name: value for name, value in super().state_dict().items() if name not in ("_copies", "_own")}
        pairs = zip(self.parts, self._copies, strict=True)
        state["parts"] = [{"schedule": part.state_dict(), "groups": copy.options()} for part, copy in pairs]
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state that ``state_dict`` returned."""
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "parts"})
        for part, copy, state in zip(self.parts, self._copies, state_dict["parts"], strict=True):
            part.load_state_dict(state["schedule"])
            for group, saved in zip(copy.param_groups, state["groups"], strict=True):
                group.update(saved)


class SequentialSchedule(CombinedSchedule):
    """Schedules in sequence, such as a warm-up and then a cosine: ``SequentialLR`` for configurations.

    PyTorch's class takes schedules that are already built, which a configuration cannot express. Each schedule starts
    from the optimizer's own rates and momenta, whatever came before. A schedule whose length argument is left out gets
    the length of its part of the run.

    Args:
        optimizer: the optimizer to schedule.
        schedulers: called with the optimizer, each returns a schedule.
        milestones: epochs or steps, as ``lr_interval`` says, after which the next schedule takes over.
        total_iters: total number of epochs or steps; None for the length of the run.

    Raises:
        ValueError: the milestones do not rise or are not one fewer than the schedules, a length argument is left out
            and the run has no length, or a schedule follows a metric.

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
        self.milestones = milestones
        ends = [*milestones, total_iters]
        # A part beyond the end of the run needs a valid length too; `schedule_notes` reports it.
        lengths = [None if end is None else max(end - start, 1) for start, end in zip(bounds, ends, strict=True)]
        super().__init__(optimizer, schedulers, lengths)

    def get_lr(self) -> list[Any]:
        """Step the current schedule, and return its rates."""
        current = bisect_right(self.milestones, self.last_epoch)
        if self.last_epoch not in (0, *self.milestones):  # where a schedule starts, it is as it was built
            self.parts[current].step()
        self.set_options([current])
        return self.part_rates(current)


class ChainedSchedule(CombinedSchedule):
    """Schedules applied together, each multiplying the rate: ``ChainedScheduler`` for configurations.

    The rate is the optimizer's times the factor of each schedule, which is what the schedule alone would set, divided
    by the optimizer's rate. If two change the momentum, the later one wins.

    Args:
        optimizer: the optimizer to schedule.
        schedulers: called with the optimizer, each returns a schedule.
        total_iters: length of the schedules whose length argument is left out; None for the length of the run.

    Raises:
        ValueError: there are no schedules, a length argument is left out and the run has no length, or a schedule
            follows a metric.
    """

    def __init__(
        self, optimizer: Optimizer, schedulers: list[LRSchedulerCallable], total_iters: int | None = None
    ) -> None:
        super().__init__(optimizer, schedulers, [total_iters] * len(schedulers))

    def get_lr(self) -> list[Any]:
        """Step all schedules, and return the product of their rates."""
        if self.last_epoch > 0:
            for part in self.parts:
                part.step()
        everything = range(len(self.parts))
        self.set_options([*everything])
        by_group = zip(*map(self.part_rates, everything), strict=True)
        own = [float(group["lr"]) for group in self._own]
        return [
            first * math.prod(rate / base if base else 1 for rate in others)
            for base, (first, *others) in zip(own, by_group, strict=True)
        ]


def schedule_parts(schedule: object) -> list[LRScheduler]:
    """Return the schedules that a sequence or a chain is made of; an empty list for other schedules."""
    if isinstance(schedule, CombinedSchedule):
        return schedule.parts
    if isinstance(schedule, (torch_schedules.SequentialLR, torch_schedules.ChainedScheduler)):
        return list(schedule._schedulers)
    return []


class _GroupsCopy(Optimizer):
    """A copy of an optimizer's parameter groups, for a schedule to write to. It trains nothing."""

    def __init__(self, optimizer: Optimizer) -> None:
        groups = [deepcopy(_options(group)) | {"params": group["params"]} for group in optimizer.param_groups]
        super().__init__(groups, dict(optimizer.defaults))

    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Do nothing."""

    def options(self) -> list[dict[str, Any]]:
        """Return the options of each group."""
        return [_options(group) for group in self.param_groups]


def _options(group: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in group.items() if name not in ("params", "param_names")}
