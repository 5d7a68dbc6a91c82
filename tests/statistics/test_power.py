"""Power of paired t-tests, against simulation, the noncentral t distribution, and figures by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from optimcifar.statistics.power import MEASURED_SD, power, seeds_needed, smallest_difference, typical_spread


@pytest.mark.parametrize(
    ("n", "comparisons", "difference"),
    [(3, 1, 0.02), (3, 19, 0.1), (5, 1, 0.01), (5, 19, 0.03), (10, 1, -0.008), (10, 19, 0.0175)],
)
def test_power_is_the_share_of_simulated_tests_that_show_the_difference(
    n: int, comparisons: int, difference: float
) -> None:
    draws = np.random.default_rng(0).normal(difference, 0.012, (40_000, n))
    shown = stats.ttest_1samp(draws, 0, axis=1).pvalue <= 0.05 / comparisons
    assert power(difference, 0.012, n, comparisons) == pytest.approx(shown.mean(), abs=0.01)


@pytest.mark.parametrize(("n", "error"), [(2, 1e-3), (3, 1e-6), (4, 1e-6), (10, 1e-6), (200, 1e-6)])
def test_power_agrees_with_the_noncentral_t_distribution(n: int, error: float) -> None:
    for comparisons in (1, 19, 100):
        critical = stats.t.isf(0.05 / comparisons / 2, n - 1)
        for shift in (0.01, 1, 5, 0.5 * critical, 1.2 * critical, 100 * critical):
            expected = stats.nct.sf(critical, n - 1, shift) + stats.nct.sf(critical, n - 1, -shift)
            assert power(shift / math.sqrt(n), 1, n, comparisons) == pytest.approx(expected, abs=error)


def test_a_difference_of_zero_is_shown_as_often_as_the_level_says() -> None:
    for n in (3, 10, 200):
        for comparisons in (1, 19, 100):
            assert power(0, 0.012, n, comparisons) == pytest.approx(0.05 / comparisons, abs=1e-6)


def test_ten_seeds_of_twenty_configurations_show_two_points() -> None:
    assert power(difference=0.02, sd=MEASURED_SD, n=10, comparisons=19) >= 0.8


@pytest.mark.parametrize(("comparisons", "seeds"), [(1, [48, 14, 6, 3]), (19, [90, 26, 10, 5])])
def test_seeds_needed_for_the_measured_spread(comparisons: int, seeds: list[int]) -> None:
    assert [seeds_needed(difference, MEASURED_SD, comparisons) for difference in (0.005, 0.01, 0.02, 0.05)] == seeds


def test_seeds_needed_are_the_fewest_with_that_power() -> None:
    for wanted in (0.5, 0.8, 0.99):
        for difference in (0.004, -0.004):
            n = seeds_needed(difference, 0.012, 5, wanted)
            assert isinstance(n, int)
            assert power(difference, 0.012, n - 1, 5) < wanted <= power(difference, 0.012, n, 5)


def test_seeds_needed_are_three_or_more_and_infinite_beyond_ten_thousand() -> None:
    assert seeds_needed(0.5, 0.012, 1) == 3  # two would show it; there is no verdict on two
    assert seeds_needed(0, 0.012, 1) == math.inf
    # For many seeds the test is the normal one, which needs ((1.960 + 0.842) sd / difference)^2 of them.
    assert seeds_needed(2.802 / math.sqrt(9900), 1, 1) == pytest.approx(9900, abs=10)
    assert seeds_needed(2.802 / math.sqrt(10_100), 1, 1) == math.inf


@pytest.mark.parametrize("n", [2, 3, 10, 200])
def test_the_smallest_difference_has_the_power_asked_for(n: int) -> None:
    for comparisons in (1, 19, 100):
        for wanted in (0.051, 0.8, 0.999):
            smallest = smallest_difference(0.012, n, comparisons, wanted)
            assert power(smallest, 0.012, n, comparisons) == pytest.approx(wanted, abs=1e-6)


def test_three_seeds_of_twenty_configurations_show_next_to_nothing() -> None:
    assert smallest_difference(sd=MEASURED_SD, n=3, comparisons=19) == pytest.approx(0.171, abs=0.0005)


def test_without_spread_every_difference_is_shown() -> None:
    assert power(0.001, 0, 3, 19) == 1
    assert power(0, 0, 3, 1) == pytest.approx(0.05)
    assert smallest_difference(0, 3, 19) == 0
    assert (seeds_needed(0.001, 0, 19), seeds_needed(0, 0, 19)) == (3, math.inf)


def test_typical_spread_is_the_median_of_spreads_corrected_for_few_seeds() -> None:
    # For 3 values, squares of spreads are exponential: their median is ln 2 times the true one.
    third = 0.012 * math.sqrt(math.log(2))
    assert typical_spread([(third, 3)]) == pytest.approx(0.012)
    assert typical_spread(iter([(third, 3), (0.001, 5), (0.5, 5)])) == pytest.approx(0.012)
    assert math.isnan(typical_spread([]))


def test_typical_spread_finds_the_true_one() -> None:
    generator = np.random.default_rng(0)
    samples = [(float(np.std(generator.normal(0, 0.012, n), ddof=1)), n) for n in (3, 5, 10) for _ in range(500)]
    assert typical_spread(samples) == pytest.approx(0.012, rel=0.04)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"difference": math.nan}, "difference must be finite, got nan"),
        ({"sd": -0.01}, "sd must be finite and at least 0, got -0.01"),
        ({"sd": math.nan}, "sd must be finite and at least 0, got nan"),
        ({"n": 1}, "n must be at least 2, got 1"),
        ({"comparisons": 0}, "comparisons must be at least 1, got 0"),
        ({"power": 0.05}, "power must be above 0.05 and below 1, got 0.05"),
        ({"power": 1}, "power must be above 0.05 and below 1, got 1"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, float], message: str) -> None:
    given = {"difference": 0.01, "sd": 0.012, "n": 5, "comparisons": 1, "power": 0.8} | arguments
    takes: dict[Callable[..., float], tuple[str, ...]] = {
        power: ("difference", "sd", "n", "comparisons"),
        smallest_difference: ("sd", "n", "comparisons", "power"),
        seeds_needed: ("difference", "sd", "comparisons", "power"),
    }
    for function, names in takes.items():
        if arguments.keys() <= set(names):
            with pytest.raises(ValueError, match=f"^{message}$"):
                function(**{name: given[name] for name in names})


def test_typical_spread_refuses_a_spread_of_one_value() -> None:
    with pytest.raises(ValueError, match=r"^n must be at least 2, got 1$"):
        typical_spread([(0.012, 5), (0.0, 1)])
