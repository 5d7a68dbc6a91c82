"""Which configurations get the seeds of the next stage."""

from __future__ import annotations

import math

import pytest

from optimcifar.statistics.best_set import BestSet
from optimcifar.statistics.on_demand import seeds_for_best, seeds_for_verdicts
from optimcifar.statistics.samples import Pairs
from optimcifar.statistics.stages import stages_of_sizes
from optimcifar.statistics.verdicts import judge

STAGES = stages_of_sizes([5, 8])
STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def pairs(name: str, mean: float, spread: float = 0.01, seeds: int = 5) -> Pairs:
    return Pairs(name, "sgd", {seed: mean + spread * STEPS[seed] for seed in range(seeds)})


def test_only_open_and_hopeful_comparisons_and_the_baseline_get_more_seeds() -> None:
    compared = [pairs("muon", 0.3), pairs("adam", 0.012), pairs("rprop", -0.4), pairs("rmsprop", 0.0005)]
    compared += [pairs("twin", 0, spread=0), pairs("broken", 0.1, seeds=1)]
    following = seeds_for_verdicts(judge(compared, STAGES), planned=6, stages=STAGES)
    assert following.names == ["sgd", "adam"]
    hopeless = "8 seeds would hardly bring a verdict"
    assert following.reasons == {
        "muon": "better",
        "rprop": "worse",
        "rmsprop": hopeless,
        "twin": hopeless,
        "broken": "too few results in common with sgd",
    }


def test_nobody_gets_more_seeds_once_all_is_decided_or_hopeless() -> None:
    found = judge([pairs("muon", 0.3), pairs("rmsprop", 0.0005)], STAGES)
    assert seeds_for_verdicts(found, planned=2, stages=STAGES).names == []


@pytest.mark.parametrize(("planned", "names"), [(1, ["sgd", "adam"]), (19, [])])
def test_comparisons_without_any_result_count_as_undecided(planned: int, names: list[str]) -> None:
    # The mean of 20 seeds may be 0.006. By scipy.stats.t, a verdict needs 0.0042 with 1 undecided, and 0.0065 with 19.
    sd = 0.01 * math.sqrt(2.5 / 4)
    mean = 0.006 - 1.645 * math.sqrt(1 / 5 - 1 / 20) * sd
    stages = stages_of_sizes([5, 10, 20])
    assert seeds_for_verdicts(judge([pairs("adam", mean)], stages), planned, stages).names == names


def test_all_that_may_be_the_best_get_more_seeds() -> None:
    best = BestSet(["muon", "adam"], below=["sgd"], not_comparable={"new": "", "broken": ""})
    values = {"sgd": {0: 0.1}, "adam": {0: 0.5}, "new": {7: 0.5, 8: 0.6}, "broken": {7: 0.5}, "muon": {0: 0.6}}
    following = seeds_for_best(best, values)
    assert following.names == ["adam", "new", "muon"]
    assert following.reasons == {"sgd": "below the best", "broken": "too few runs with a result"}


def test_the_only_one_that_may_be_the_best_gets_no_more_seeds() -> None:
    assert seeds_for_best(BestSet(["muon"], below=["sgd"]), {"sgd": {0: 0.1}, "muon": {0: 0.6}}).names == []
