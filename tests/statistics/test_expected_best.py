"""The expected best of B trials, against all subsets of the trials."""

from __future__ import annotations

import itertools
import math
import statistics
from collections.abc import Sequence

import numpy as np
import pytest

from optimcifar.statistics.expected_best import expected_best


def by_enumeration(ranking: Sequence[float], values: Sequence[float], drawn: int) -> float:
    """Return the mean over all subsets of the value of the highest trial, of all orders of equal ones."""
    found = []
    for subset in itertools.combinations(range(len(values)), drawn):
        highest = max(ranking[i] for i in subset)
        found.append(statistics.fmean(values[i] for i in subset if ranking[i] == highest))
    return statistics.fmean(found)


@pytest.mark.parametrize("equal", [False, True])
def test_expected_best_is_the_mean_over_all_subsets(equal: bool) -> None:
    generator = np.random.default_rng(0)
    # Rounded to 0.1, several trials rank alike.
    ranking = generator.random(7).round(1 if equal else 8).tolist()
    values = generator.random(7).tolist()
    assert (len(set(ranking)) < 7) is equal
    expected = [by_enumeration(ranking, values, drawn) for drawn in range(1, 8)]
    assert expected_best(ranking, values) == pytest.approx(expected)


def test_one_trial_is_an_average_one_and_all_trials_have_the_best() -> None:
    first, *_, last = expected_best([0.3, 0.5, 0.4], [0.1, 0.2, 0.6])
    assert first == pytest.approx(0.3)
    assert last == 0.2  # of the trial that ranks highest, though another one is worth more


def test_a_missing_value_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a value of every trial"):
        expected_best([0.3, 0.5], [0.1, math.nan])
