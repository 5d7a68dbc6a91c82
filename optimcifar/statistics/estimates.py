"""Means over seeds with their intervals, and the few figures about accuracies that need no comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

LEVEL = 0.95

# An accuracy is at chance level within so many binomial standard errors.
_STANDARD_ERRORS = 3


@dataclass(frozen=True)
class Estimate:
    """A mean over seeds and its 95 % interval, by Student's t.

    Attributes:
        mean: the mean; NaN if a value is missing.
        low: lower end of the interval; NaN for fewer than two values.
        high: upper end of the interval.
        n: number of values, missing ones included.
        missing: number of values that are not finite.
    """

    mean: float
    low: float
    high: float
    n: int
    missing: int = 0


def estimate(values: Sequence[float], least: float = -math.inf, most: float = math.inf) -> Estimate:
    """Return the mean of values and its interval; both are NaN if any value is not finite.

    Args:
        values: one per seed.
        least: the least possible value, at which the interval is cut: 0 for an accuracy.
        most: the greatest possible value: 1 for an accuracy.
    """
    if missing := sum(not math.isfinite(value) for value in values):
        return Estimate(math.nan, math.nan, math.nan, len(values), missing)
    mean = float(np.mean(values)) if values else math.nan
    if len(values) < 2:
        return Estimate(mean, math.nan, math.nan, len(values))
    half = float(stats.t.ppf((1 + LEVEL) / 2, len(values) - 1) * stats.sem(values))
    return Estimate(mean, max(mean - half, least), min(mean + half, most), len(values))


def is_at_chance(accuracy: float, classes: int, images: int) -> bool:
    """Return whether an accuracy is what guessing gives: within 3 binomial standard errors of ``1 / classes``.

    Args:
        accuracy: 0 to 1; NaN is not at chance.
        classes: the number of classes, equally many images of each.
        images: the number of images on which it was measured.
    """
    chance = 1 / classes
    return abs(accuracy - chance) <= _STANDARD_ERRORS * math.sqrt(chance * (1 - chance) / images)


def divergence_bound(n: int) -> float:
    """Return the upper end of the 95 % interval for the chance to diverge if none of n runs did: ``1 - 0.05^(1/n)``.

    Args:
        n: number of runs, at least 1.

    Source: C. J. Clopper and E. S. Pearson, "The Use of Confidence or Fiducial Limits Illustrated in the Case of the
    Binomial", 1934, one-sided.
    """
    return 1 - math.pow(1 - LEVEL, 1 / n)
