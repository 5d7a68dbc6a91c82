"""Whether a schedule fits the run: refusals and notes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import takewhile

from lightning.pytorch import Trainer
from torch.optim import lr_scheduler as torch_schedules

from optimcifar.optim.horizons import HORIZONS, run_length
from optimcifar.optim.schedules import SequentialSchedule, schedule_parts
from optimcifar.optim.types import LRInterval
from optimcifar.text import count


def check_reaches_end(trainer: Trainer) -> None:
    """Refuse a schedule that fails before the run ends; call this once a checkpoint's state is restored.

    Raises:
        ValueError: a schedule ends before the run.
    """
    for config in trainer.lr_scheduler_configs:
        interval: LRInterval = config.interval  # type: ignore[assignment]  # ImageClassifier sets one of the two
        length = run_length(trainer, interval)
        if length is not None:
            _check_length(config.scheduler, length, interval, "the run", trainer.ckpt_path is not None)


def schedule_notes(scheduler: object, length: int, unit: LRInterval, whole: str = "the run") -> Iterator[str]:
    """Yield a note where a run of ``length`` cuts a schedule short or makes it restart.

    Args:
        scheduler: a built schedule.
        length: length of the run, in ``unit``.
        unit: when the schedule sets the learning rate.
        whole: what has this length.
    """
    name = type(scheduler).__name__
    run = f"{whole} has {count(length, unit)}"
    match scheduler:
        case SequentialSchedule(milestones=milestones) | torch_schedules.SequentialLR(_milestones=milestones):
            for part, start, size in _sequence(scheduler, milestones, length):
                if size > 0:
                    yield from schedule_notes(part, size, unit, f"its part of {whole}")
                else:
                    yield f"{type(part).__name__} would begin after {count(start, unit)}: {run}"
        case _ if parts := schedule_parts(scheduler):
            yield from (note for part in parts for note in schedule_notes(part, length, unit, whole))
        case torch_schedules.CosineAnnealingLR(T_max=horizon) if horizon < length:
            yield f"{name} reaches its minimum after {count(horizon, unit)}, then rises: {run}"
        case torch_schedules.MultiStepLR() if max(scheduler.milestones, default=0) >= length:
            late = sorted(milestone for milestone in scheduler.milestones if milestone >= length)
            yield f"{name} does not reach its milestones {', '.join(map(str, late))}: {run}"
        case torch_schedules.CosineAnnealingWarmRestarts():
            yield from _cycle_notes(name, _restarts(scheduler.T_0, scheduler.T_mult), length, unit, whole)
        case torch_schedules.CyclicLR():
            yield from _cycle_notes(name, _restarts(round(scheduler.total_size), 1), length, unit, whole)
        case _:
            horizons = [value for key, value in vars(scheduler).items() if key in HORIZONS and value > length]
            yield from (f"{name} would end after {count(horizon, unit)}: {run}" for horizon in horizons)


def _check_length(scheduler: object, length: int, unit: LRInterval, whole: str, restored: bool) -> None:
    name = type(scheduler).__name__
    match scheduler:
        case SequentialSchedule(milestones=milestones) | torch_schedules.SequentialLR(_milestones=milestones):
            for part, _, size in _sequence(scheduler, milestones, length):
                _check_length(part, size, unit, f"its part of {whole}", restored)
        case torch_schedules.OneCycleLR(total_steps=horizon) if horizon < length:
            fix = f"set total_steps to {length} or more, or leave it out"
            if restored:
                fix = f"the checkpoint keeps its total_steps; start a new run with total_steps {length}, or without"
            raise ValueError(f"{name} ends after {count(horizon, unit)}, and {whole} has {count(length, unit)}: {fix}")
        case _:
            for part in schedule_parts(scheduler):
                _check_length(part, length, unit, whole, restored)


def _sequence(scheduler: object, milestones: Sequence[int], length: int) -> Iterator[tuple[object, int, int]]:
    """Yield the parts of a sequence, where each starts, and how long it is within a run, zero or less if not at all."""
    bounds = zip(schedule_parts(scheduler), [0, *milestones], [*milestones, length], strict=True)
    yield from ((part, start, min(end, length) - start) for part, start, end in bounds)


def _cycle_notes(name: str, restarts: Iterator[int], length: int, unit: LRInterval, whole: str) -> Iterator[str]:
    reached = list(takewhile(lambda start: start <= length, restarts))
    within = [str(start) for start in reached if start < length]
    if within:
        listed = ", ".join(within[:3]) + (", ..." if len(within) > 3 else "")
        end = "" if reached[-1] == length else f", and {whole} ends within a cycle"
        yield f"{name} restarts after {listed} of {count(length, unit)}{end}"
    elif not reached:
        yield f"{name} does not finish its first cycle: {whole} has {count(length, unit)}"


def _restarts(cycle: int, factor: int) -> Iterator[int]:
    """Yield the epochs or steps after which a new cycle begins."""
    start = cycle
    while True:
        yield start
        cycle *= factor
        start += cycle
