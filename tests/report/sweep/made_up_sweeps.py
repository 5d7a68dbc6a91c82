"""Made-up sweeps: runs whose accuracy is a known function of the hyperparameters."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from helpers import make_run

from optimcifar.report.sweep.design import SweepDesign, SweepPoint
from optimcifar.spaces.dimensions import Dimension, parse_dimension

#: Returns what `make_run` takes of a run, or a final accuracy, or None for a run that was not started.
Outcome = Callable[[str, tuple[Any, ...], int], Any]


def make_sweep(
    folder: Path,
    over: dict[str, str],
    points: Sequence[tuple[Any, ...]],
    outcome: Outcome,
    own: dict[str, tuple[Any, ...]],
    seeds: int = 3,
    follows: dict[str, str] | None = None,
) -> SweepDesign:
    """Write a sweep's design and its runs.

    Args:
        folder: where.
        over: what was tried, by hyperparameter, as on the command line.
        points: the values of each point.
        outcome: returns the final accuracy of a run by configuration, values and seed; a dictionary of more arguments
            of ``make_run``; or None for a run that was not started.
        own: the own values of each configuration; they are added if they are none of the points.
        seeds: the number of seeds.
        follows: hyperparameters that follow another one.
    """
    dimensions: dict[str, Dimension] = {key: parse_dimension(key, text) for key, text in over.items()}
    tried = []
    for name, values in own.items():
        every = [*points, *([] if values in points else [values])]
        settings = [dict(zip(over, point, strict=True)) for point in every]
        tried += [
            SweepPoint(f"{name}-{number}", name, setting, tuple(setting.values()) == values)
            for number, setting in enumerate(settings)
        ]
    design = SweepDesign(dimensions, tuple(tried), tuple(range(seeds)), follows or {})
    design.write(folder)
    for point in tried:
        for seed in range(seeds):
            found = outcome(point.configuration, tuple(point.setting.values()), seed)
            if found is not None:
                options = found if isinstance(found, dict) else {"accuracies": course(found)}
                make_run(folder / "runs" / point.entry / f"seed-{seed}", seed, **options)
    return design


def course(final: float, epochs: int = 4) -> list[float]:
    """Return accuracies that rise evenly from chance level to the last one."""
    return [0.1 + (final - 0.1) * epoch / epochs for epoch in range(1, epochs + 1)]
