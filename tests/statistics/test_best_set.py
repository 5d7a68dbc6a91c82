from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import pytest
from scipy import stats

from optimcifar.statistics.best_set import BestSet, best_set
from optimcifar.statistics.stages import Stage, single_stage, stages_of_sizes

ONE_LOOK = single_stage(range(100))
ZIGZAG = [0.0, 0.01, -0.01, 0.02, -0.02]


def by_seed(values: Sequence[float], first: int = 0) -> dict[int, float]:
    return dict(enumerate(values, start=first))


def around(mean: float, residuals: Iterable[float], first: int = 0) -> dict[int, float]:
    return by_seed([mean + residual for residual in residuals], first)


def test_those_below_the_highest_are_told_from_it_and_the_others_are_not() -> None:
    found = best_set(
        {
            "low": by_seed([0.30, 0.31, 0.30, 0.31]),
            "second": by_seed([0.60, 0.625, 0.60, 0.605]),
            "first": by_seed([0.61, 0.62, 0.60, 0.61]),
        },
        {},
        ONE_LOOK,
    )
    assert found == BestSet(members=["first", "second"], below=["low"])


@pytest.mark.parametrize("others", [1, 2, 19])
def test_tests_are_one_sided_at_5_percent_divided_by_the_number_of_others(others: int) -> None:
    # The critical t is on one side or the other of that of the difference: mean / (sd / sqrt(n)).
    critical = stats.t.isf(0.05 / others, 4)
    sd = np.std(ZIGZAG, ddof=1) / math.sqrt(5)
    equal = {f"equal {i}": around(0.6, ZIGZAG) for i in range(others - 1)}
    for factor, expected in ((0.99, True), (1.01, False)):
        values = {"lower": by_seed([0.6 - critical * sd * factor] * 5), "highest": around(0.6, ZIGZAG), **equal}
        found = best_set(values, {}, ONE_LOOK)
        assert ("lower" in found.members, "lower" in found.below) == (expected, not expected)
        assert {"highest", *equal} <= {*found.members}


def test_seeds_are_paired() -> None:
    # Seeds differ far more than configurations do.
    seeds = np.array([0.1, 0.4, 0.7, 0.9])
    values = {"a": by_seed(list(seeds)), "b": by_seed(list(seeds + np.array([0.010, 0.011, 0.009, 0.010])))}
    assert best_set(values, {}, ONE_LOOK) == BestSet(["b"], ["a"])


def test_equal_results_may_both_be_the_best() -> None:
    values = {name: around(0.6, ZIGZAG) for name in ("a", "b")} | {"c": around(0.2, [0.01, 0.02, 0.03, 0.0, 0.01])}
    assert best_set(values, {}, ONE_LOOK) == BestSet(["a", "b"], ["c"])


def test_what_cannot_be_compared_is_neither_in_nor_out_and_says_why() -> None:
    found = best_set(
        {
            "failed": {},
            "missing": by_seed([0.9, math.nan, 0.9, 0.9]),
            "two seeds": by_seed([0.95, 0.99]),
            "other seeds": by_seed([0.91, 0.92, 0.93], first=10),
            "collapsed": by_seed([0.7, 0.71, 0.1, 0.69]),
            "good": by_seed([0.61, 0.63, 0.62, 0.60]),
            "fair": by_seed([0.60, 0.59, 0.60, 0.61]),
        },
        {"collapsed": frozenset({2})},
        ONE_LOOK,
    )
    assert (found.members, found.below) == (["good", "fair"], [])
    assert found.not_comparable == {
        "failed": "no run has a result",
        "missing": "a value is missing",
        "two seeds": "fewer than 3 seeds in common",
        "other seeds": "fewer than 3 seeds in common",
        "collapsed": "a run collapsed, and there are fewer than 5 seeds",
    }


def test_the_same_difference_for_every_seed_is_no_comparison() -> None:
    found = best_set({"a": by_seed([0.61, 0.63, 0.62]), "b": by_seed([0.51, 0.53, 0.52])}, {}, ONE_LOOK)
    assert found == BestSet([], [], dict.fromkeys("ab", "the same difference for every seed"))


def test_a_collapse_is_no_obstacle_with_five_seeds() -> None:
    values = {"a": by_seed([0.7, 0.71, 0.1, 0.69, 0.7]), "b": around(0.6, ZIGZAG)}
    assert best_set(values, {"a": frozenset({2})}, ONE_LOOK) == BestSet(["b", "a"])


@pytest.mark.parametrize(
    "values",
    [
        {"a": {}, "b": {}},
        {"a": by_seed([0.5, 0.6]), "b": by_seed([0.4, 0.7])},
        {"a": by_seed([0.5, 0.6, 0.7]), "b": by_seed([0.4, 0.3, 0.5], first=5)},
        {"a": by_seed([0.5, math.nan, 0.7]), "b": by_seed([math.nan] * 3)},
        {"a": by_seed([0.5, 0.6, 0.7]), "b": {}},
        {"a": by_seed([0.5, 0.6, 0.7])},
        {},
    ],
)
def test_nothing_is_the_best_where_no_two_can_be_compared(values: dict[str, dict[int, float]]) -> None:
    found = best_set(values, {}, ONE_LOOK)
    assert not found.members
    assert not found.below
    assert [*found.not_comparable] == [*values]


def test_a_configuration_with_runs_is_not_said_to_have_none() -> None:
    found = best_set({"a": by_seed([0.5, 0.6, 0.7]), "b": {}}, {}, ONE_LOOK)
    assert found.not_comparable == {"a": "fewer than 3 seeds in common", "b": "no run has a result"}


def test_of_two_clusters_of_seeds_the_larger_is_compared_even_if_its_means_are_lower() -> None:
    values = {"a": around(0.9, ZIGZAG, first=50), "b": around(0.8, ZIGZAG[::-1], first=50)}
    values |= {
        name: around(mean, np.roll(ZIGZAG, i)) for i, (name, mean) in enumerate([("c", 0.6), ("d", 0.5), ("e", 0.7)])
    }
    found = best_set(values, {}, ONE_LOOK)
    assert (found.members, found.below) == (["e"], ["c", "d"])
    assert found.not_comparable == dict.fromkeys("ab", "fewer than 3 seeds in common")


@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_value_that_is_missing_for_a_seed_that_nothing_shares_changes_nothing(position: int) -> None:
    plain = [
        ("a", around(0.60, ZIGZAG)),
        ("b", around(0.62, np.roll(ZIGZAG, 1))),
        ("c", around(0.2, np.roll(ZIGZAG, 2))),
    ]
    expected = best_set(dict(plain), {}, ONE_LOOK)
    assert expected == BestSet(["b", "a"], ["c"])
    plain[position][1][77] = math.nan
    assert best_set(dict(plain), {}, ONE_LOOK) == expected


def test_a_configuration_that_is_below_stays_so_and_is_compared_no_more() -> None:
    stages = stages_of_sizes((5, 10))
    early = {"a": around(0.6, ZIGZAG), "b": around(0.61, np.roll(ZIGZAG, 1)), "c": around(0.3, np.roll(ZIGZAG, 2))}
    assert best_set(early, {}, stages[:1]).below == ["c"]
    late = {name: of | around(9 if name == "c" else 0.6, np.roll(ZIGZAG, 3), first=5) for name, of in early.items()}
    assert best_set(late, {}, stages[:1]).below == ["c"]  # seeds of later stages do not count
    found = best_set(late, {}, stages)
    assert (set(found.members), found.below) == ({"a", "b"}, ["c"])


def test_each_stage_has_its_share_of_the_5_percent() -> None:
    first, second = stages_of_sizes((5, 10))
    residuals = np.array(ZIGZAG * 2)
    sd = np.std(residuals, ddof=1) / math.sqrt(10)
    for stages, level in (([first, second], second.level), ([Stage(second.seeds, 0.05)], 0.05)):
        for factor, expected in ((0.99, ["a", "b"]), (1.01, ["a"])):
            lower = 0.6 - stats.t.isf(level, 9) * sd * factor
            # No difference in the first stage: all of it comes later.
            values = {"a": around(0.6, residuals), "b": by_seed([lower] * 10)}
            early = [Stage(frozenset({0, 1}), stages[0].level)] if len(stages) > 1 else []
            assert best_set(values, {}, [*early, stages[-1]]).members == expected


def test_one_without_new_seeds_is_not_tested_again() -> None:
    # Tested at 5 seeds in the first stage only, at a third of the level; in the second stage it would be below.
    stages = stages_of_sizes((5, 10))
    sd = np.std(ZIGZAG, ddof=1) / math.sqrt(5)
    between = (stats.t.isf(stages[0].level / 2, 4) + stats.t.isf(stages[1].level / 2, 4)) / 2
    values = {
        "a": around(0.6, ZIGZAG * 2),
        "b": around(0.6, ZIGZAG * 2),
        "stopped": by_seed([0.6 - between * sd] * 5),
    }
    assert best_set(values, {}, stages).members == ["a", "b", "stopped"]
    assert best_set(values, {}, [Stage(frozenset(range(5)), stages[1].level)]).below == ["stopped"]
