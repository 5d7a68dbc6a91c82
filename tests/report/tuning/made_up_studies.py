"""Made-up studies: runs whose final accuracies are given."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers import make_run

from optimcifar.report.design import Design
from optimcifar.report.tuning.design import TuningDesign, TuningSpace, trial_entry
from optimcifar.report.tuning.study import Study, read_study
from optimcifar.runs.folder import comparison_run
from optimcifar.spaces.dimensions import parse_dimension

LR = "model.optimizer.lr"

#: The final accuracies of a trial by seed; NaN for a run that diverged, None for one that failed.
Accuracies = Mapping[int, float | None]

#: The rates of the trials. The first one is the configuration's own.
RATES = (0.01, 0.03, 0.1, 0.003, 0.3, 0.001)

FINAL = (0, 1, 2)


def rate_space(text: str = "0.001..1:log", source: str = "the command", trials: int = len(RATES)) -> TuningSpace:
    """Return a space of the learning rate, and trials of it."""
    return TuningSpace({LR: parse_dimension(LR, text)}, source, tuple({LR: rate} for rate in RATES[:trials]), {})


def make_study(
    folder: Path,
    accuracies: Mapping[str, Sequence[Accuracies]],
    spaces: Mapping[str, TuningSpace] | None = None,
    tuning_seeds: int = 1,
    **design: Any,
) -> Study:
    """Write a study's design and its runs.

    Args:
        folder: where.
        accuracies: of the trials of each configuration, in their order; later ones have no run.
        spaces: what is tried; None for the learning rate of each.
        tuning_seeds: on how many seeds every trial runs.
        design: how the tuned settings are compared; seeds 0, 1 and 2 by default, and the first as the baseline.
    """
    names = tuple(accuracies)
    spaces = spaces or dict.fromkeys(names, rate_space(trials=max(map(len, accuracies.values()))))
    compared = Design(names, **{"baseline": names[0], "seeds": FINAL} | design)
    TuningDesign(dict(spaces), tuning_seeds, compared).write(folder)
    for name, trials in accuracies.items():
        for number, of_seeds in enumerate(trials):
            for seed, accuracy in of_seeds.items():
                _make_run(comparison_run(folder, trial_entry(name, number), seed).path, seed, accuracy)
    return read_study(folder)


def _make_run(path: Path, seed: int, accuracy: float | None) -> None:
    if accuracy is None:
        make_run(path, seed, [], status="failed")
    elif math.isnan(accuracy):
        make_run(path, seed, [0.9], status="diverged")  # its last whole epoch was a good one
    else:
        make_run(path, seed, [0.1, accuracy], train_seconds=60.0)


def final(accuracies: Sequence[float]) -> dict[int, float]:
    """Return accuracies by seed, from seed 0 on."""
    return dict(enumerate(accuracies))
