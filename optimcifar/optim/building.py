"""Building schedules, and refusing those whose rates would be wrong."""

from __future__ import annotations

from functools import partial
from typing import Any

from torch.optim import Optimizer
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingWarmRestarts,
    CyclicLR,
    LambdaLR,
    LRScheduler,
    MultiplicativeLR,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from optimcifar.optim.horizons import HORIZONS, schedule_class, with_horizon
from optimcifar.optim.types import LRSchedulerCallable

# Schedules that SequentialLR does not start from the optimizer's rate: they rewrite it, or have no formula for it.
_NOT_IN_SEQUENCE = (OneCycleLR, CyclicLR, MultiplicativeLR, SequentialLR, ChainedScheduler)
# Schedules that replace the rate, and with it what the others in a ChainedScheduler have done.
_NOT_IN_CHAIN = (LambdaLR, CosineAnnealingWarmRestarts, OneCycleLR, CyclicLR, SequentialLR)

# Arguments that are numbers of epochs or steps. PyTorch fails at 0 when the schedule steps, and takes negative ones.
_LENGTHS = (*HORIZONS, "step_size", "step_size_up", "step_size_down", "epochs", "steps_per_epoch")


class ScheduleError(ValueError):
    """A schedule that cannot be built, or that would silently set other rates than those asked for."""


def build_schedule(
    make: LRSchedulerCallable, optimizer: Optimizer, length: int | None
) -> LRScheduler | ReduceLROnPlateau:
    """Build a schedule.

    Args:
        make: called with the optimizer, returns the schedule.
        optimizer: the optimizer to schedule.
        length: the length in epochs or steps, if ``make`` leaves it out; None if it is not known.

    Raises:
        ScheduleError: the schedule cannot be built, or would silently set other rates than those asked for.
    """
    kind = schedule_class(make)
    name = kind.__name__ if kind else "the schedule"
    try:
        return _checked_schedule(make, optimizer, length)
    except ZeroDivisionError as error:
        raise ScheduleError(
            f"{name} divides by zero with these arguments and a length of {length}: change one of them"
        ) from error
    except ValueError as error:
        # PyTorch's own errors do not say which class they are about.
        named = isinstance(error, ScheduleError) or name in str(error)
        raise ScheduleError(str(error) if named else f"{name}: {error}") from error


def _checked_schedule(
    make: LRSchedulerCallable, optimizer: Optimizer, length: int | None
) -> LRScheduler | ReduceLROnPlateau:
    given = make.keywords if isinstance(make, partial) else {}
    for name in _LENGTHS:
        if given.get(name) is not None and given[name] < 1:
            raise ValueError(f"{name} must be at least 1, got {given[name]}")
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    momenta = _momenta(optimizer)
    scheduler = with_horizon(make, length)(optimizer)
    if isinstance(scheduler, (OneCycleLR, CyclicLR)):
        _check_group_rates(scheduler, rates, given)
        if scheduler.cycle_momentum and len(set(momenta)) > len(set(_momenta(optimizer))):
            raise ValueError(
                f"{type(scheduler).__name__} would replace the momenta of the parameter groups "
                f"({_listed(momenta)}) by one: set cycle_momentum to false"
            )
    _check_combination(scheduler)
    return scheduler


def _check_group_rates(scheduler: OneCycleLR | CyclicLR, rates: list[float], given: dict[str, Any]) -> None:
    """Refuse to replace different rates by one, unless a list was given, with a rate for each group."""
    if isinstance(scheduler, OneCycleLR):
        used = {"max_lr": [group["max_lr"] for group in scheduler.optimizer.param_groups]}
    else:
        used = {"base_lr": scheduler.base_lrs, "max_lr": scheduler.max_lrs}
    one = [name for name, values in used.items() if len(set(map(float, values))) == 1]
    replaced = [name for name in one if not isinstance(given.get(name), (list, tuple))]
    if len(set(rates)) > 1 and replaced:
        raise ValueError(
            f"{type(scheduler).__name__} would replace the rates of the parameter groups ({_listed(rates)}) by one: "
            f"give {' and '.join(replaced)} a list with a rate for each of the {len(rates)} groups"
        )


def _check_combination(scheduler: object) -> None:
    """Refuse what PyTorch's own combinations get wrong."""
    if not isinstance(scheduler, (SequentialLR, ChainedScheduler)):
        return
    in_sequence = isinstance(scheduler, SequentialLR)
    parts = list(scheduler._schedulers)
    for part in parts if len(parts) > 1 else ():
        if isinstance(part, _NOT_IN_SEQUENCE if in_sequence else _NOT_IN_CHAIN):
            raise ValueError(
                f"{type(scheduler).__name__} sets wrong rates with {type(part).__name__} among its schedules: "
                f"use optimcifar.{'SequentialSchedule' if in_sequence else 'ChainedSchedule'}"
            )
        _check_combination(part)


def _momenta(optimizer: Optimizer) -> list[float]:
    """Return the momentum of each group that has one; Adam's is the first of its betas."""
    groups = [group for group in optimizer.param_groups if "betas" in group or "momentum" in group]
    return [group["betas"][0] if "betas" in group else group["momentum"] for group in groups]


def _listed(values: list[float]) -> str:
    return ", ".join(f"{value:g}" for value in dict.fromkeys(values))
