"""What a study chooses, and what it compares."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from made_up_studies import Accuracies, final, make_study
from scipy import stats

from optimcifar.report.tuning.study import Study

NAN = math.nan


def numbers(study: Study) -> dict[str, list[int]]:
    return {name: [trial.number for trial in trials] for name, trials in study.candidates.items()}


def chosen(study: Study) -> dict[str, int]:
    return {name: trial.number for name, trial in study.chosen.items()}


def test_the_highest_mean_over_the_candidate_seeds_is_chosen(tmp_path: Path) -> None:
    study = make_study(tmp_path, {
        "sgd": [
            {1000: 0.50, 1001: 0.9, 1002: 0.9},  # no candidate, whatever it reaches later
            {1000: 0.60, 1001: 0.50, 1002: 0.50},  # the best with the first seed: 0.533
            {1000: 0.58, 1001: 0.57, 1002: 0.56},  # the best mean: 0.570
            {1000: 0.59, 1001: 0.55, 1002: 0.54},  # 0.560
        ]
    })  # fmt: skip
    assert numbers(study) == {"sgd": [1, 3, 2]}
    assert chosen(study) == {"sgd": 2}
    assert study.chosen["sgd"].mean(study.design.candidate_seeds) == pytest.approx(0.57)


def test_with_two_tuning_seeds_their_mean_ranks_the_trials(tmp_path: Path) -> None:
    trials: list[Accuracies] = [
        {1000: 0.7, 1001: 0.1},
        {1000: 0.5, 1001: 0.5, 1002: 0.5},
        {1000: 0.6, 1001: 0.6, 1002: 0.2},
        {1000: 0.5, 1001: 0.4, 1002: 0.8},
    ]
    study = make_study(tmp_path, {"sgd": trials}, tuning_seeds=2)
    assert numbers(study) == {"sgd": [2, 1, 3]}
    assert chosen(study) == {"sgd": 3}


def test_of_equal_trials_the_earlier_is_chosen(tmp_path: Path) -> None:
    equal = {1000: 0.5, 1001: 0.5, 1002: 0.5}
    # The last one is ahead with the first seed, and equal to its mean over all.
    last = {1000: 0.75, 1001: 0.5, 1002: 0.25}
    study = make_study(tmp_path, {"sgd": [equal, equal, equal, last], "adam": [equal] * 4})
    assert numbers(study) == {"sgd": [3, 0, 1], "adam": [0, 1, 2]}
    assert chosen(study) == {"sgd": 0, "adam": 0}
    assert study.gains == {}


def test_a_run_that_diverged_is_at_chance_and_one_that_failed_comes_last(tmp_path: Path) -> None:
    study = make_study(tmp_path, {
        "sgd": [
            {1000: NAN, 1001: NAN, 1002: NAN},
            {1000: None},
            {1000: 0.2, 1001: 0.2, 1002: 0.2},
            {1000: 0.6, 1001: NAN, 1002: 0.6},  # 0.433 with one at chance
            {1000: 0.5, 1001: 0.5, 1002: 0.5},
            {1000: 0.05},
        ],
        # Higher where it has a result: means over different seeds cannot be compared.
        "adam": [{1000: 0.6, 1001: None, 1002: 0.9}, {1000: 0.5, 1001: 0.5, 1002: 0.5}],
    })  # fmt: skip
    assert study.trials["sgd"][0].value(1000) == 0.1
    assert numbers(study) == {"sgd": [3, 4, 2], "adam": [0, 1]}
    assert chosen(study) == {"sgd": 4, "adam": 1}
    nothing = make_study(tmp_path / "nothing", {"sgd": [{1000: None}, {1000: None}], "adam": [{1000: 0.5}, {}]})
    assert chosen(nothing) == {"adam": 0}


def noisy(generator: np.random.Generator, mean: float, seeds: int) -> list[float]:
    accuracies: list[float] = (mean + 0.02 * generator.standard_normal(seeds)).tolist()
    return accuracies


def tuned_and_own(own: Sequence[float], tuned: Sequence[float], tuning: float) -> list[Accuracies]:
    """Return two trials, the second of which is chosen, and the runs of both with final seeds."""
    seeds = (1000, 1001, 1002)
    return [dict.fromkeys(seeds, tuning - 0.1) | final(own), dict.fromkeys(seeds, tuning) | final(tuned)]


def test_gains_are_paired_t_tests_over_final_seeds_by_holm(tmp_path: Path) -> None:
    generator = np.random.default_rng(1)
    means = {"sgd": (0.50, 0.53), "adam": (0.50, 0.515), "rprop": (0.5, 0.5)}
    runs = {
        name: (noisy(generator, own, 6), noisy(generator, tuned, 6)) for name, (own, tuned) in means.items()
    }  # own, tuned
    study = make_study(
        tmp_path, {name: tuned_and_own(*of, tuning=0.7) for name, of in runs.items()}, seeds=tuple(range(6))
    )
    p_values = {name: stats.ttest_rel(tuned, own).pvalue for name, (own, tuned) in runs.items()}
    first, second, third = sorted(p_values, key=lambda name: p_values[name])
    assert 3 * p_values[first] < 0.05 < 2 * p_values[second]
    assert study.gains[first].adjusted_p == pytest.approx(3 * p_values[first])
    assert study.gains[second].adjusted_p == pytest.approx(2 * p_values[second])
    assert study.gains[third].adjusted_p == pytest.approx(max(2 * p_values[second], p_values[third]))
    assert [study.gains[name].verdict for name in (first, second)] == ["better", "no difference shown"]
    own, tuned = map(np.array, runs[first])
    interval = stats.ttest_rel(tuned, own).confidence_interval(1 - 0.05 / 3)
    assert (study.gains[first].low, study.gains[first].high) == pytest.approx(tuple(interval))
    assert study.gains[first].mean == pytest.approx((tuned - own).mean())


def verdicts(study: Study) -> list[object]:
    return [study.comparison.differences, study.comparison.best, study.gains, study.comparison.charts.keys()]


def test_no_tuning_seed_is_in_a_verdict(tmp_path: Path) -> None:
    generator = np.random.default_rng(2)
    runs = {name: (noisy(generator, 0.5, 3), noisy(generator, 0.6, 3)) for name in ("sgd", "adam")}
    few, many = (
        make_study(tmp_path / str(tuning), {name: tuned_and_own(*of, tuning=tuning) for name, of in runs.items()})
        for tuning in (0.4, 0.99)
    )
    assert chosen(few) == chosen(many) == {"sgd": 1, "adam": 1}
    assert {run.seed for run in (*few.comparison.runs, *few.own_comparison.runs)} == {0, 1, 2}
    assert verdicts(few) == verdicts(many)
    # The tuned settings are compared under the names of their configurations, with the baseline's tuned one.
    (found,) = many.comparison.differences
    tuned = {name: of for name, (_, of) in runs.items()}
    assert (found.configuration, found.baseline, found.n) == ("adam", "sgd", 3)
    assert found.mean == pytest.approx(np.mean(tuned["adam"]) - np.mean(tuned["sgd"]))


def test_gains_with_seeds_on_demand_spend_the_share_of_each_stage(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    own, tuned = noisy(generator, 0.5, 5), noisy(generator, 0.52, 5)
    trials = {"sgd": tuned_and_own(own, tuned, 0.7), "adam": tuned_and_own(own, own, 0.7)}
    study = make_study(tmp_path, trials, seeds=(), stages=(5, 10))
    # The first stage of 5 seeds spends 5 / 15 of the 5 %, for two verdicts.
    expected = 2 * 3 * stats.ttest_rel(tuned, own).pvalue
    assert study.gains["sgd"].adjusted_p == pytest.approx(min(expected, 1.0))
    assert study.gains["sgd"].n == 5
    assert study.missing_final_runs == 0


def missing(study: Study) -> tuple[int, int]:
    return study.missing_tuning_runs, study.missing_final_runs


def test_what_is_not_over_is_counted_and_the_rest_compared(tmp_path: Path) -> None:
    trials: Mapping[str, Sequence[Accuracies]] = {"sgd": [{1000: 0.5}, {}, {}, {}], "adam": [{}, {}, {}, {}]}
    start = make_study(tmp_path / "start", trials)
    assert missing(start) == (2 * (4 + 2 * 3) - 1, 3)
    assert (chosen(start), start.comparison.runs, start.gains) == ({"sgd": 0}, [], {})
    of_seeds = {1000: 0.5, 1001: 0.5, 1002: 0.5}
    # The baseline's final runs are not there yet, and one of adam failed.
    later = make_study(
        tmp_path / "later",
        {"sgd": [of_seeds, {1000: 0.1}], "adam": [of_seeds | {0: 0.5, 1: 0.6, 2: None}, {1000: 0.1, 1001: 0.1}]},
    )
    assert missing(later) == (2 + 1, 3)
    (found,) = later.comparison.differences
    assert (found.n, found.verdict) == (0, "withheld: fewer than 3 seeds in common")


def test_a_verdict_before_all_gains_can_be_tested_counts_all_of_them(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    own, tuned = noisy(generator, 0.5, 5), noisy(generator, 0.52, 5)
    trials = {name: tuned_and_own(own, tuned, 0.7) for name in ("sgd", "adam")}
    trials["adam"] = [{seed: value for seed, value in of.items() if seed >= 1000} for of in trials["adam"]]
    study = make_study(tmp_path, trials, seeds=tuple(range(5)))
    assert list(study.gains) == ["sgd"]
    assert study.gains["sgd"].adjusted_p == pytest.approx(2 * stats.ttest_rel(tuned, own).pvalue)
    assert study.missing_final_runs == 2 * 5
