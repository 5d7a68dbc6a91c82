"""The values of a hyperparameter that cannot be told from the best one, with a spread that all values share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from scipy import stats

from optimcifar.statistics.stages import FALSE_VERDICTS

#: With fewer seeds nothing is known of the spread.
FEWEST_SEEDS_SHARED = 2


def near_best(values: Mapping[str, Sequence[float]]) -> list[str]:
    """Return the names that are not shown to be below the one with the highest mean, the highest first.

    Neighbouring values of a hyperparameter scatter alike, so their spread is estimated from all of them together: the
    residuals of means over seeds and over names, as in a two-way analysis of variance. The highest is then compared
    with each of the others by a one-sided t-test at 5 % divided by their number. If all spreads are equal, the true
    best is left out with a chance of at most 5 %; tests/statistics/test_near_best.py has what else was simulated.

    Args:
        values: by name, the value of every seed, in the same order; greater is better.

    Raises:
        ValueError: there are fewer than two names or two seeds, or not all have the same seeds.
    """
    table = np.asarray([list(own) for own in values.values()], dtype=float)
    if table.ndim != 2 or min(table.shape) < FEWEST_SEEDS_SHARED:
        raise ValueError(f"two names and two seeds or more are needed, got values of shape {table.shape}")
    names, seeds = table.shape
    means = table.mean(axis=1)
    freedom = (names - 1) * (seeds - 1)
    residuals = table - means[:, None] - table.mean(axis=0) + table.mean()
    error = np.sqrt((residuals**2).sum() / freedom * 2 / seeds)
    below = (means.max() - means) > stats.t.isf(FALSE_VERDICTS / (names - 1), freedom) * error
    order = np.argsort(-means, kind="stable")
    return [name for place in order if not below[place] for name in [list(values)[place]]]
