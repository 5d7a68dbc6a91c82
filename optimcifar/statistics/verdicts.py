"""Means, intervals and verdicts over seeds."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95
#: With fewer seeds there is no verdict: two values say next to nothing about their own spread.
FEWEST_SEEDS = 3

# Accuracies are written as float32, which rounds them by less than this. The least true change is one image's.
_ROUNDING = 1e-6

BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no difference shown"
#: A verdict that is withheld starts with this; the reason follows.
WITHHELD = "withheld: "


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its 95 % interval, by Student's t; NaN bounds for fewer than two values."""

    mean: float
    low: float
    high: float
    n: int


def estimate(values: Sequence[float]) -> Estimate:
    """Return the mean of values and its interval; a value that is not finite makes both infinite or NaN.

    Args:
        values: one per seed, at least one.
    """
    mean = float(np.mean(values))
    if len(values) < 2 or not math.isfinite(mean):
        return Estimate(mean, math.nan, math.nan, len(values))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * stats.sem(values))
    return Estimate(mean, mean - half, mean + half, len(values))


@dataclass(frozen=True)
class Difference:
    """The difference between two configurations, over the seeds that both have.

    Attributes:
        mean: mean of the differences.
        low: lower end of its interval, at the level corrected for the number of comparisons.
        high: upper end of its interval.
        n: number of seeds.
        verdict: ``better``, ``worse``, ``no difference shown``, or why it is withheld.
    """

    mean: float
    low: float
    high: float
    n: int
    verdict: str


def compare(values: Mapping[int, float], baseline: Mapping[int, float], comparisons: int) -> Difference:
    """Compare two configurations, paired by seed.

    A two-sided paired t-test: "better" or "worse" if the interval of the mean difference excludes zero. The interval is
    at level 1 - 0.05 / ``comparisons`` (Bonferroni): without any true difference, at most 5 % of whole comparisons show
    one. Differences that are all equal have no spread to judge their mean by: no difference is shown if they are zero,
    and otherwise the verdict is withheld.

    Args:
        values: the measured values by seed; greater is better.
        baseline: those of the other configuration.
        comparisons: the number of such comparisons.
    """
    seeds = sorted(set(values) & set(baseline))
    differences = np.array([values[seed] - baseline[seed] for seed in seeds])
    finite = bool(np.isfinite(differences).all())
    mean = float(differences.mean()) if seeds else math.nan
    if len(seeds) < FEWEST_SEEDS:
        return Difference(mean, math.nan, math.nan, len(seeds), f"{WITHHELD}fewer than {FEWEST_SEEDS} seeds in common")
    if not finite:
        return Difference(mean, math.nan, math.nan, len(seeds), f"{WITHHELD}a value is missing")
    if np.abs(differences).max() <= _ROUNDING:
        return Difference(0.0, 0.0, 0.0, len(seeds), NO_DIFFERENCE)
    if np.ptp(differences) <= _ROUNDING:
        return Difference(mean, math.nan, math.nan, len(seeds), f"{WITHHELD}the same difference for every seed")
    interval = stats.ttest_1samp(differences, 0).confidence_interval(1 - (1 - LEVEL) / comparisons)
    low, high = float(interval.low), float(interval.high)
    verdict = BETTER if low > 0 else WORSE if high < 0 else NO_DIFFERENCE
    return Difference(mean, low, high, len(seeds), verdict)


@dataclass(frozen=True)
class Highest:
    """The configuration with the highest mean.

    Attributes:
        name: its name.
        verdicts: the verdict on each other configuration, compared with it.
        unranked: the configurations without a mean, because a value is missing; any of them may be higher.
    """

    name: str
    verdicts: dict[str, str]
    unranked: list[str]


def highest(values: Mapping[str, Mapping[int, float]]) -> Highest | None:
    """Return the configuration with the highest mean, and how the others compare with it; None if none has a mean.

    Args:
        values: the measured values by configuration and seed; greater is better.
    """
    means = {name: float(np.mean(list(of.values()))) if of else math.nan for name, of in values.items()}
    ranked = sorted((name for name in means if math.isfinite(means[name])), key=lambda name: -means[name])
    if not ranked:
        return None
    best, others = ranked[0], [*ranked[1:], *(name for name in means if name not in ranked)]
    verdicts = {name: compare(values[name], values[best], len(others)).verdict for name in others}
    return Highest(best, verdicts, [name for name in means if name not in ranked])
