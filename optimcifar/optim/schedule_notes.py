"""Notes on schedules that do not fit the run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

from torch.optim import lr_scheduler as torch_schedules

from optimcifar.optim.horizons import HORIZONS
from optimcifar.optim.schedules import schedule_parts
from optimcifar.optim.types import LRInterval
from optimcifar.text import count


def schedule_notes(scheduler: object, length: int, unit: LRInterval) -> Iterator[str]:
    """Yield a note where a run of ``length`` cuts a schedule short or makes it restart.

    Args:
        scheduler: a built schedule.
        length: length of the run, in ``unit``.
        unit: when the schedule sets the learning rate.

    Raises:
        ValueError: the schedule cannot continue to the end of the run.
    """
    name = type(scheduler).__name__
    run = f"the run has {count(length, unit)}"
    match scheduler:
        case torch_schedules.SequentialLR():
            yield from _sequence_notes(scheduler, length, unit)
        case torch_schedules.ChainedScheduler():
            yield from (note for part in schedule_parts(scheduler) for note in schedule_notes(part, length, unit))
        case torch_schedules.OneCycleLR(total_steps=horizon) if horizon < length:
            raise ValueError(f"{name} ends after {count(horizon, unit)}, and {run}: leave total_steps out")
        case torch_schedules.CosineAnnealingLR(T_max=horizon) if horizon < length:
            yield f"{name} reaches its minimum after {count(horizon, unit)}, then rises: {run}"
        case torch_schedules.MultiStepLR() if max(scheduler.milestones, default=0) >= length:
            late = sorted(milestone for milestone in scheduler.milestones if milestone >= length)
            yield f"{name} does not reach its milestones {', '.join(map(str, late))}: {run}"
        case torch_schedules.CosineAnnealingWarmRestarts():
            yield from _cycle_notes(name, _restarts(scheduler.T_0, scheduler.T_mult), length, unit)
        case torch_schedules.CyclicLR():
            yield from _cycle_notes(name, _restarts(round(scheduler.total_size), 1), length, unit)
        case _:
            horizons = [value for key, value in vars(scheduler).items() if key in HORIZONS and value > length]
            yield from (f"{name} would end after {count(horizon, unit)}: {run}" for horizon in horizons)


def _sequence_notes(scheduler: torch_schedules.SequentialLR, length: int, unit: LRInterval) -> Iterator[str]:
    bounds: Sequence[int] = [0, *scheduler._milestones, length]
    for part, start, end in zip(schedule_parts(scheduler), bounds[:-1], bounds[1:], strict=True):
        if start < length:
            yield from schedule_notes(part, min(end, length) - start, unit)
        else:
            late = f"{type(part).__name__} would begin after {count(start, unit)}"
            yield f"{late}: the run has {count(length, unit)}"


def _cycle_notes(name: str, restarts: Iterator[int], length: int, unit: LRInterval) -> Iterator[str]:
    reached = list(takewhile(lambda start: start <= length, restarts))
    within = [str(start) for start in reached if start < length]
    if within:
        listed = ", ".join(within[:3]) + (", ..." if len(within) > 3 else "")
        end = "" if reached[-1] == length else ", and the run ends within a cycle"
        yield f"{name} restarts after {listed} of {count(length, unit)}{end}"
    elif not reached:
        yield f"{name} does not finish its first cycle: the run has {count(length, unit)}"


def _restarts(cycle: int, factor: int) -> Iterator[int]:
    """Yield the epochs or steps after which a new cycle begins."""
    start = cycle
    while True:
        yield start
        cycle *= factor
        start += cycle
