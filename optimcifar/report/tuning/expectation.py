"""The expected best of B trials of each configuration."""

from __future__ import annotations

import math
import statistics
from dataclasses import dataclass

from optimcifar.report.tuning.study import Study, Trial
from optimcifar.statistics.expected_best import expected_best


@dataclass(frozen=True)
class Expectation:
    """What a budget of trials brings a configuration.

    Attributes:
        accuracies: the expected final validation accuracy of the best of 1, 2, 3, ... trials.
        minutes: the mean minutes of training of a trial; NaN if they are not known.
    """

    accuracies: list[float]
    minutes: float


def is_expectable(study: Study) -> bool:
    """Return whether every trial has results with two seeds: one ranks the trials, the other one measures them."""
    seeds = study.design.trial_seeds
    every = [trial for trials in study.trials.values() for trial in trials]
    return len(seeds) > 1 and all(len(trial.values(seeds)) == len(seeds) for trial in every)


def expectations(study: Study) -> dict[str, Expectation]:
    """Return the expected best of each configuration's trials; nothing if a trial lacks a seed.

    Each seed ranks the trials once, and the mean over the other seeds measures them. The results are averaged.
    """
    if not is_expectable(study):
        return {}
    seeds = study.design.trial_seeds
    return {name: _expectation(trials, seeds) for name, trials in study.trials.items()}


def _expectation(trials: list[Trial], seeds: range) -> Expectation:
    directions = [
        expected_best(
            [trial.value(seed) for trial in trials],
            [trial.mean([other for other in seeds if other != seed]) for trial in trials],
        )
        for seed in seeds
    ]
    seconds = [trial.runs[seed].summary.get("train_seconds") for trial in trials for seed in seeds]
    known = [value for value in seconds if value is not None]
    minutes = statistics.fmean(known) / 60 if known else math.nan
    return Expectation([statistics.fmean(own) for own in zip(*directions, strict=True)], minutes)
