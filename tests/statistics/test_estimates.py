from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from optimcifar.statistics.estimates import Estimate, divergence_bound, estimate, is_at_chance


def test_interval_is_scipys() -> None:
    values = [0.61, 0.64, 0.60, 0.66]
    expected = stats.ttest_1samp(values, 0).confidence_interval(0.95)
    found = estimate(values)
    assert (found.mean, found.low, found.high) == pytest.approx((np.mean(values), expected.low, expected.high))
    assert (found.n, found.missing) == (4, 0)


def test_interval_of_an_accuracy_is_cut_at_0_and_1() -> None:
    # Student's t for two values: half an interval is 12.706 times half their distance.
    high, low = estimate([0.90, 0.94], least=0, most=1), estimate([0.02, 0.04], least=0, most=1)
    assert (high.mean, high.low, high.high) == pytest.approx((0.92, 0.92 - 12.7062 * 0.02, 1))
    assert (low.mean, low.low, low.high) == pytest.approx((0.03, 0, 0.03 + 12.7062 * 0.01))
    assert estimate([0.90, 0.94]).high == pytest.approx(0.92 + 12.7062 * 0.02)


@pytest.mark.parametrize(("values", "mean"), [([0.5], 0.5), ([], math.nan)])
def test_fewer_than_two_values_have_no_interval(values: list[float], mean: float) -> None:
    found = estimate(values, least=0, most=1)
    assert [found.mean, found.low, found.high] == pytest.approx([mean, math.nan, math.nan], nan_ok=True)
    assert (found.n, found.missing) == (len(values), 0)


def test_missing_values_are_counted_and_hide_the_mean() -> None:
    found = estimate([0.5, math.nan, 0.6, math.inf], least=0, most=1)
    assert np.isnan([found.mean, found.low, found.high]).all()
    assert (found.n, found.missing) == (4, 2)


def test_equal_values_have_an_interval_of_no_width() -> None:
    assert estimate([0.5, 0.5, 0.5]) == Estimate(0.5, 0.5, 0.5, 3)


@pytest.mark.parametrize(
    ("accuracy", "classes", "images", "expected"),
    [
        # 10 classes, 5,000 images: the standard error is sqrt(0.1 * 0.9 / 5000) = 0.00424, three are 0.01273.
        (0.1, 10, 5_000, True),
        (0.1126, 10, 5_000, True),
        (0.1128, 10, 5_000, False),
        (0.0874, 10, 5_000, True),
        (0.0872, 10, 5_000, False),
        # 2 classes, 100 images: 0.05, three are 0.15.
        (0.649, 2, 100, True),
        (0.651, 2, 100, False),
        (math.nan, 10, 5_000, False),
    ],
)
def test_chance_level_is_three_binomial_standard_errors_wide(
    accuracy: float, classes: int, images: int, expected: bool
) -> None:
    assert is_at_chance(accuracy, classes, images) is expected


def test_guessing_is_at_chance_level() -> None:
    generator = np.random.default_rng(0)
    guessed = generator.binomial(5_000, 0.1, 1_000) / 5_000
    assert np.mean([is_at_chance(accuracy, 10, 5_000) for accuracy in guessed]) > 0.99


@pytest.mark.parametrize("n", [1, 3, 5, 20])
def test_divergence_bound_is_clopper_and_pearsons(n: int) -> None:
    exact = stats.binomtest(0, n, alternative="less").proportion_ci(0.95, method="exact").high
    assert divergence_bound(n) == pytest.approx(exact)


def test_divergence_bound_of_three_and_ten_runs() -> None:
    assert (divergence_bound(3), divergence_bound(10)) == pytest.approx((0.632, 0.259), abs=5e-4)
