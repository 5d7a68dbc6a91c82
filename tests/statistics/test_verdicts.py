from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from optimcifar.statistics.verdicts import compare, estimate, highest


def by_seed(values: list[float]) -> dict[int, float]:
    return dict(enumerate(values))


def test_interval_is_scipys() -> None:
    values = [0.61, 0.64, 0.60, 0.66]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = estimate(values)
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), expected.low, expected.high))
    assert found.n == 4


def test_one_value_has_no_interval() -> None:
    assert math.isnan(estimate([0.5]).low)


@pytest.mark.parametrize("comparisons", [1, 7])
def test_difference_is_scipys_paired_test_at_the_corrected_level(comparisons: int) -> None:
    generator = np.random.default_rng(0)
    for shift in (0.0, 0.01, 0.03, -0.03):
        a, b = generator.normal(0.6 + shift, 0.01, 5), generator.normal(0.6, 0.01, 5)
        test = stats.ttest_rel(a, b)
        interval = test.confidence_interval(1 - 0.05 / comparisons)
        found = compare(by_seed(list(a)), by_seed(list(b)), comparisons)
        assert (found.low, found.high) == pytest.approx((interval.low, interval.high))
        significant = test.pvalue < 0.05 / comparisons
        expected = ("better" if test.statistic > 0 else "worse") if significant else "no difference shown"
        assert found.verdict == expected


def test_seeds_are_paired() -> None:
    # Seeds differ far more than configurations do: unpaired, nothing would be seen.
    seeds = np.array([0.1, 0.4, 0.7, 0.9])
    found = compare(by_seed(list(seeds + np.array([0.010, 0.011, 0.009, 0.010]))), by_seed(list(seeds)), 1)
    assert (found.verdict, found.n) == ("better", 4)
    assert found.mean == pytest.approx(0.01)


def test_only_seeds_of_both_count() -> None:
    assert compare({0: 0.5, 1: 0.5, 2: 0.5, 9: 0.9}, {0: 0.5, 1: 0.5, 2: 0.5, 3: 0.1}, 1).n == 3


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ([0.9, 0.9], "withheld: fewer than 3 seeds in common"),
        ([0.9, 0.9, math.nan], "withheld: a value is missing"),
        ([0.5, 0.5, 0.5], "no difference shown"),
        ([0.5 + 1e-7, 0.5, 0.5 - 1e-7], "no difference shown"),  # float32 rounds like this
        ([0.52, 0.52, 0.52], "withheld: the same difference for every seed"),
        ([0.52 + 1e-7, 0.52, 0.52 - 1e-7], "withheld: the same difference for every seed"),
    ],
)
def test_verdict_without_enough_to_go_by(values: list[float], verdict: str) -> None:
    assert compare(by_seed(values), by_seed([0.5] * len(values)), 1).verdict == verdict


@pytest.mark.parametrize("configurations", [2, 8])
def test_without_a_true_difference_few_comparisons_show_one(configurations: int) -> None:
    generator = np.random.default_rng(1)
    shown = 0
    for _ in range(1000):
        values = [by_seed(list(generator.normal(0.6, 0.01, 3))) for _ in range(configurations)]
        verdicts = {compare(other, values[0], configurations - 1).verdict for other in values[1:]}
        shown += bool(verdicts & {"better", "worse"})
    # 5 % of 1,000, and three standard deviations of such a count
    assert shown <= 50 + 3 * math.sqrt(1000 * 0.05 * 0.95)


def test_others_are_compared_with_the_highest() -> None:
    found = highest(
        {
            "low": by_seed([0.30, 0.31, 0.30, 0.31]),
            "first": by_seed([0.61, 0.62, 0.60, 0.61]),
            "second": by_seed([0.60, 0.625, 0.60, 0.605]),
            "diverged": by_seed([0.90, 0.90, math.nan, 0.90]),
            "missing": {},
        }
    )
    assert found
    assert (found.name, found.unranked) == ("first", ["diverged", "missing"])
    assert found.verdicts == {
        "second": "no difference shown",
        "low": "worse",
        "diverged": "withheld: a value is missing",
        "missing": "withheld: fewer than 3 seeds in common",
    }


def test_nothing_is_highest_without_a_mean() -> None:
    assert highest({"diverged": by_seed([0.9, math.nan]), "missing": {}}) is None


def test_differences_without_any_spread_have_a_mean_and_no_interval() -> None:
    # The baseline's own spread does not matter; scipy would divide by zero.
    found = compare(by_seed([0.13, 0.25, 0.37]), by_seed([0.10, 0.22, 0.34]), 1)
    assert found.mean == pytest.approx(0.03)
    assert math.isnan(found.low)
    assert math.isnan(found.high)
