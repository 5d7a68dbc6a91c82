"""How often verdicts are wrong, on results drawn from known truths. The truths are those of the benchmark."""

from __future__ import annotations

import math
from functools import partial

import numpy as np
import pytest
from time_to_verdict import (
    BASELINE,
    EQUAL_SD,
    FOUR,
    RESULTS,
    WAYS,
    Truth,
    beforehand,
    differences,
    measured_truth,
    nulls,
    simulate,
)

from optimcifar.statistics.stages import single_stage

KINDS = list(nulls())
ALL = tuple(RESULTS)


def at_most(chance: float, repetitions: int) -> float:
    """Return the greatest plausible share: the chance and three standard deviations of a binomial share."""
    return chance + 3 * math.sqrt(chance * (1 - chance) / repetitions)


def share_of_false_families(truth: Truth, seeds: int, repetitions: int) -> float:
    """Return how often there is any wrong verdict with seeds chosen beforehand."""
    generator = np.random.default_rng(seeds)
    stages = single_stage(range(seeds))
    return np.mean(
        [any(map(truth.is_wrong, differences(truth.draw(seeds, generator), stages))) for _ in range(repetitions)]
    ).item()


@pytest.mark.parametrize("kind", KINDS)
def test_few_families_have_a_false_verdict(kind: str) -> None:
    assert share_of_false_families(nulls(FOUR)[kind], 5, 200) <= at_most(0.05, 200)
    assert share_of_false_families(nulls()[kind], 3, 60) <= at_most(0.05, 60)
    assert simulate(nulls(FOUR)[kind], WAYS["auto"], 60)["wrong"] <= at_most(0.05, 60)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", [3, 5, 10])
@pytest.mark.parametrize("names", [FOUR, ALL], ids=["k=4", "k=20"])
@pytest.mark.parametrize("kind", KINDS)
def test_at_most_5_percent_of_families_have_a_false_verdict(kind: str, names: tuple[str, ...], seeds: int) -> None:
    assert share_of_false_families(nulls(names)[kind], seeds, 2000) <= at_most(0.05, 2000)


@pytest.mark.slow
@pytest.mark.parametrize("names", [FOUR, ALL], ids=["k=4", "k=20"])
@pytest.mark.parametrize("kind", KINDS)
def test_at_most_5_percent_of_families_have_a_false_verdict_with_seeds_on_demand(
    kind: str, names: tuple[str, ...]
) -> None:
    assert simulate(nulls(names)[kind], WAYS["auto"], 1000)["wrong"] <= at_most(0.05, 1000)


def one_better_by(difference: float) -> Truth:
    """Return a truth in which one configuration is better; differences have a standard deviation of 0.012."""
    return Truth({name: 0.6 + difference * (name == "adam") for name in ALL}, dict.fromkeys(ALL, EQUAL_SD))


def power(difference: float, seeds: int, repetitions: int) -> float:
    """Return how often the better one is found."""
    truth, generator = one_better_by(difference), np.random.default_rng(0)
    found = [differences(truth.draw(seeds, generator), single_stage(range(seeds))) for _ in range(repetitions)]
    return np.mean([family[ALL.index("adam") - 1].verdict == "better" for family in found]).item()


@pytest.mark.slow
def test_power_of_a_difference_of_2_points_among_19_comparisons_is_at_least_80_percent() -> None:
    assert power(0.02, 10, 3000) >= 0.8


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_the_best_is_left_out_of_the_best_set_in_at_most_5_percent(kind: str) -> None:
    # Without any difference every configuration is the best: the first stands for it.
    for way in ("until best", "auto"):
        assert 1 - simulate(nulls()[kind], WAYS[way], 300)["holds_best"] <= at_most(0.05, 300)
    for names, seeds in ((FOUR, 3), (ALL, 10)):
        found = simulate(nulls(names)[kind], partial(beforehand, seeds=seeds), 1000)
        assert 1 - found["holds_best"] <= at_most(0.05, 1000)


@pytest.mark.slow
def test_seeds_on_demand_bring_as_many_verdicts_for_fewer_runs() -> None:
    found = {name: simulate(measured_truth(), way, 150) for name, way in WAYS.items()}
    assert found["auto"]["runs"] < 240 < found["20 seeds"]["runs"] == 400
    assert found["auto"]["verdicts"] > found["20 seeds"]["verdicts"] - 1
    assert found["auto"]["verdicts"] > found["10 seeds"]["verdicts"] + 0.5
    assert found["until best"]["runs"] < 240
    assert found["until best"]["best_set_size"] < found["10 seeds"]["best_set_size"]
    for way in found.values():
        assert way["wrong"] <= at_most(0.05, 150)
        assert 1 - way["holds_best"] <= at_most(0.05, 150)


def test_truths_have_the_spreads_that_they_are_named_for() -> None:
    generator = np.random.default_rng(0)
    truth = measured_truth()
    drawn = truth.draw(2000, generator)
    baseline = np.array([*drawn[BASELINE].values()])
    for name, expected in (("lbfgs", 0.2281), ("adam", 0.0163), ("rprop", 0.0132)):
        found = np.array([*drawn[name].values()]) - baseline
        assert (found.mean(), found.std()) == pytest.approx(
            (RESULTS[name][0] - RESULTS[BASELINE][0], expected), rel=0.06, abs=0.001
        )
    skewed = nulls()["skewed"].draw(2000, generator)
    # Pairing takes away what the seed does to both.
    assert np.std([skewed["adam"][s] - skewed["sgd"][s] for s in range(2000)]) == pytest.approx(0.012, rel=0.06)
