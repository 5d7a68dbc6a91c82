from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from optimcifar.statistics.samples import Pairs, Sample

ALL = frozenset(range(100))


def test_configurations_are_paired_by_seed_and_not_by_position() -> None:
    pairs = Pairs.of("a", "b", {"a": {2: 0.5, 0: 0.1, 7: 0.9}, "b": {0: 0.2, 1: 0.8, 2: 0.3}}, {})
    assert pairs.differences == pytest.approx({2: 0.2, 0: -0.1})
    assert pairs.among(ALL).differences == pytest.approx((-0.1, 0.2))
    assert pairs.among({2, 7}).differences == pytest.approx((0.2,))
    assert pairs.among(frozenset()).n == 0


def test_a_collapse_counts_where_it_is_in_a_pair() -> None:
    values = {"a": dict.fromkeys(range(6), 0.5), "b": dict.fromkeys(range(1, 7), 0.4)}
    for collapsed in ({"a": {2}}, {"b": {2}}, {"a": {2}, "b": {3}}):
        pairs = Pairs.of("a", "b", values, collapsed)
        assert pairs.among(ALL).collapsed
        assert not pairs.among({4, 5}).collapsed
    # Seed 0 has no partner, and c is not compared.
    assert not Pairs.of("a", "b", values, {"a": {0}, "c": {2}}).among(ALL).collapsed


@pytest.mark.parametrize("n", [3, 5, 10, 20])
def test_p_values_and_intervals_are_scipys(n: int) -> None:
    generator = np.random.default_rng(n)
    for shift in (0.0, 0.004, -0.02, 0.3):
        differences = generator.normal(shift, 0.01, n)
        sample = Sample(tuple(differences.tolist()), collapsed=False)
        two_sided, greater = stats.ttest_1samp(differences, 0), stats.ttest_1samp(differences, 0, alternative="greater")
        assert sample.p() == pytest.approx(two_sided.pvalue, rel=1e-9)
        assert sample.p("greater") == pytest.approx(greater.pvalue, rel=1e-9)
        assert (sample.mean, sample.sd) == pytest.approx((np.mean(differences), np.std(differences, ddof=1)))
        for level in (0.05, 0.05 / 19, 1e-6):
            assert sample.interval(level) == pytest.approx(two_sided.confidence_interval(1 - level), rel=1e-6)


@pytest.mark.parametrize(
    ("differences", "collapsed", "obstacle"),
    [
        ((), False, "fewer than 3 seeds in common"),
        ((0.1, 0.2), False, "fewer than 3 seeds in common"),
        ((0.1, math.nan, 0.2), False, "a value is missing"),
        ((0.0, math.nan, 0.0), False, "a value is missing"),
        ((0.1, math.inf, 0.2), False, "a value is missing"),
        ((0.1, 0.2, 0.3, 0.5), True, "a run collapsed, and there are fewer than 5 seeds"),
        ((0.02, 0.02, 0.02), False, "the same difference for every seed"),
        ((-0.02, -0.02 + 1e-7, -0.02 - 1e-7), False, "the same difference for every seed"),  # float32 rounds like this
        ((0.1, 0.2, 0.3, 0.5, 0.4), True, None),
        ((0.1, 0.1, 0.1002), False, None),  # one image of 5,000
        ((0.0, 0.0, 0.0), False, None),
        ((1e-7, 0.0, -1e-7), False, None),
    ],
)
def test_obstacles(differences: tuple[float, ...], collapsed: bool, obstacle: str | None) -> None:
    sample = Sample(differences, collapsed)
    assert sample.obstacle == obstacle
    low, high = sample.interval(0.05)
    assert math.isnan(low) == math.isnan(high) == (obstacle is not None)
    if obstacle:
        assert sample.p() == sample.p("greater") == 1


@pytest.mark.parametrize("differences", [(0.0,) * 3, (1e-7, 1e-7, 1e-7), (-1e-7, 0.0, -1e-7), (-5e-8,) * 9])
def test_equal_results_are_no_difference_whatever_rounding_makes_of_them(differences: tuple[float, ...]) -> None:
    sample = Sample(differences, collapsed=False)
    low, high = sample.interval(0.05)
    assert low <= min(0, sample.mean) <= max(0, sample.mean) <= high
    assert (low, high) == pytest.approx((0, 0), abs=1e-6)
    assert sample.p() == sample.p("greater") == 1


def test_a_value_that_is_missing_is_no_equal_result() -> None:
    assert not Sample((0.0, math.nan, 0.0), collapsed=False).equal
    assert not Sample((), collapsed=False).equal
