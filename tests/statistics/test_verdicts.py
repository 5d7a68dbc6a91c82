from __future__ import annotations

import gc
import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.multitest import multipletests

from optimcifar.statistics.samples import Pairs
from optimcifar.statistics.stages import Stage, single_stage, stages_of_sizes
from optimcifar.statistics.verdicts import Difference, holm, is_hopeless, judge

STAGES = stages_of_sizes((5, 10, 20))


@pytest.fixture(autouse=True)
def no_garbage_collection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep statsmodels from collecting garbage in every call, which takes 0.2 s in a process with torch."""
    monkeypatch.setattr(gc, "collect", lambda: 0)


def pairs(differences: Iterable[float], name: str = "other", collapsed: Sequence[int] = ()) -> Pairs:
    """Return a comparison with these differences for the seeds 0, 1, ..."""
    return Pairs(name, "baseline", dict(enumerate(map(float, differences))), frozenset(collapsed))


def with_p(p: float, n: int) -> list[float]:
    """Return n positive differences whose paired t-test has this p-value."""
    z = np.tile([1.0, -1.0], n)[:n]
    z = (z - z.mean()) / z.std(ddof=1)
    return list(0.01 * (z + stats.t.isf(p / 2, n - 1) / math.sqrt(n)))


def some_p_values(generator: np.random.Generator) -> list[float]:
    """Return p-values of any size, some of them equal, zero or one."""
    p_values = generator.random(generator.integers(1, 25)) ** generator.integers(1, 6)
    if generator.random() < 0.5:
        p_values = p_values.round(2)
    p_values[generator.random(len(p_values)) < 0.1] = 0
    p_values[generator.random(len(p_values)) < 0.1] = 1
    return [float(p) for p in p_values]


def test_holm_is_that_of_statsmodels() -> None:
    generator = np.random.default_rng(0)
    for _ in range(1000):
        p_values, level = some_p_values(generator), float(generator.choice([0.05, 0.01, 0.05 / 7]))
        rejected, expected, *_ = multipletests(p_values, alpha=level, method="holm")
        adjusted, _ = holm(p_values, level)
        assert adjusted == list(expected)
        assert [p <= level for p in adjusted] == list(rejected)


def test_level_of_a_rejected_one_is_that_of_its_step_and_of_the_others_that_of_the_first_step_that_fails() -> None:
    # 0.004 <= 0.05 / 5 and 0.01 <= 0.05 / 4, but 0.02 > 0.05 / 3; 0.021 has the level of 0.02, not of its own step.
    adjusted, levels = holm([0.02, 0.004, 0.6, 0.01, 0.021])
    assert adjusted == pytest.approx([0.06, 0.02, 0.6, 0.04, 0.06])
    assert levels == pytest.approx([0.05 / 3, 0.05 / 5, 0.05 / 3, 0.05 / 4, 0.05 / 3])
    assert holm([0.001, 0.002])[1] == pytest.approx([0.05 / 2, 0.05])
    assert holm([0.9, 0.8])[1] == pytest.approx([0.05 / 2] * 2)
    assert holm([]) == ([], [])


def test_each_difference_is_scipys_paired_test_at_its_level() -> None:
    generator = np.random.default_rng(0)
    for comparisons, n in [(1, 3), (3, 5), (7, 10), (19, 4)]:
        shared = generator.normal(0.6, 0.2, n)  # far more than configurations differ: unpaired, nothing would be seen
        values = {"baseline": shared + generator.normal(0, 0.01, n)}
        for i in range(comparisons):
            values[str(i)] = shared + generator.normal(0.02 * (i % 4 - 1), 0.01, n)
        by_seed = {name: dict(enumerate(of.tolist())) for name, of in values.items()}
        found = judge([Pairs.of(str(i), "baseline", by_seed, {}) for i in range(comparisons)], single_stage(range(n)))
        tests = [stats.ttest_rel(values[str(i)], values["baseline"]) for i in range(comparisons)]
        rejected, adjusted, *_ = multipletests([test.pvalue for test in tests], method="holm")
        for i, (difference, test) in enumerate(zip(found, tests, strict=True)):
            assert (difference.configuration, difference.baseline, difference.n) == (str(i), "baseline", n)
            assert difference.mean == pytest.approx(np.mean(values[str(i)] - values["baseline"]))
            assert difference.sd == pytest.approx(np.std(values[str(i)] - values["baseline"], ddof=1))
            assert (difference.p, difference.adjusted_p) == pytest.approx((test.pvalue, adjusted[i]), rel=1e-6)
            interval = test.confidence_interval(1 - difference.level)
            assert (difference.low, difference.high) == pytest.approx(tuple(interval), rel=1e-6)
            direction = "better" if test.statistic > 0 else "worse"
            assert difference.verdict == (direction if rejected[i] else "no difference shown")
    assert sum(difference.is_decided for difference in found) not in {0, 19}  # the data decide some of them


def assert_consistent(found: Difference, levels: Mapping[int, float]) -> None:
    excludes_zero = found.low > 0 or found.high < 0
    assert found.is_decided == excludes_zero == (found.adjusted_p <= 0.05)
    if found.is_decided:
        assert found.verdict == ("better" if found.low > 0 else "worse")
        assert found.p <= found.level
    assert found.adjusted_p >= found.p
    assert found.level <= levels[found.n]


@pytest.mark.parametrize("stages", [single_stage(range(20)), STAGES], ids=["one stage", "three stages"])
def test_intervals_exclude_zero_exactly_where_there_is_a_verdict(stages: Sequence[Stage]) -> None:
    generator = np.random.default_rng(1)
    levels = {len(stage.seeds): stage.level for stage in stages}
    decided = 0
    for _ in range(60):
        family = []
        for i in range(generator.integers(1, 10)):
            n = int(generator.choice(list(levels)))  # some get no more seeds
            family.append(pairs(generator.normal(generator.choice([0, 0.01, -0.03]), 0.02, n), str(i)))
        found = judge(family, stages, planned=int(generator.integers(1, 12)))
        assert [difference.configuration for difference in found] == [str(i) for i in range(len(family))]
        for difference in found:
            assert_consistent(difference, levels)
            decided += difference.is_decided
    assert decided > 50


@pytest.mark.parametrize(
    ("differences", "collapsed", "verdict"),
    [
        ([0.1, 0.2], (), "withheld: fewer than 3 seeds in common"),
        ([0.1, 0.2, math.nan], (), "withheld: a value is missing"),
        ([0.02, 0.02, 0.02], (), "withheld: the same difference for every seed"),
        ([0.5, 0.51, 0.49, 0.5], (3,), "withheld: a run collapsed, and there are fewer than 5 seeds"),
        ([0.5, 0.51, 0.49, 0.5, 0.51], (3,), "better"),
        ([0.5, 0.51, 0.49, 0.5], (4,), "better"),
        ([0.0, 0.0, 0.0], (), "no difference shown"),
        ([1e-7, 1e-7, 1e-7], (), "no difference shown"),
    ],
)
def test_verdict_without_enough_to_go_by(differences: Sequence[float], collapsed: Sequence[int], verdict: str) -> None:
    (found,) = judge([pairs(differences, collapsed=collapsed)], single_stage(range(5)))
    assert (found.verdict, found.n) == (verdict, len(differences))
    withheld = verdict.startswith("withheld")
    assert np.isnan([found.low, found.high, found.p, found.adjusted_p]).tolist() == [withheld] * 4
    assert withheld or (found.low <= 0 <= found.high) == (verdict == "no difference shown")


def test_a_difference_without_an_interval_still_has_its_mean() -> None:
    (found,) = judge([pairs([0.03, 0.03, 0.03])], single_stage(range(3)))
    assert found.mean == pytest.approx(0.03)


@pytest.mark.parametrize("obstacle", [[0.1, 0.2], [math.nan] * 5, [0.02] * 5, []])
def test_one_that_cannot_be_tested_counts_among_the_comparisons(obstacle: Sequence[float]) -> None:
    found, _ = judge([pairs(with_p(0.03, 5)), pairs(obstacle)], single_stage(range(5)))
    assert (found.p, found.adjusted_p) == pytest.approx((0.03, 0.06))
    assert found.verdict == "no difference shown"


def test_planned_comparisons_that_are_not_there_yet_count() -> None:
    family = [pairs(with_p(p, 5)) for p in (0.004, 0.012, 0.5)]
    stages = single_stage(range(5))
    assert [d.adjusted_p for d in judge(family, stages)] == pytest.approx([0.012, 0.024, 0.5])
    assert [d.adjusted_p for d in judge(family, stages, planned=2)] == pytest.approx([0.012, 0.024, 0.5])
    found = judge(family, stages, planned=10)
    assert [d.adjusted_p for d in found] == pytest.approx([0.04, 0.108, 1])
    assert [d.level for d in found] == pytest.approx([0.005, 0.05 / 9, 0.05 / 9])
    assert judge([], stages, planned=10) == []


def test_a_verdict_of_an_earlier_stage_is_final() -> None:
    first = with_p(1e-5, 5)
    alone = judge([pairs(first)], STAGES[:1])
    for later in ([-0.5, -0.4] * 3, [math.nan] * 5, []):
        assert judge([pairs([*first, *later])], STAGES) == alone
    assert alone[0].verdict == "better"


def test_adjusted_p_of_a_stage_takes_its_share_of_the_5_percent_into_account() -> None:
    # Stages of 5, 10 and 20 seeds have 1, 2 and 4 sevenths of the 5 %.
    for stage, share in zip(STAGES, (7, 3.5, 1.75), strict=True):
        family = [pairs(with_p(p, len(stage.seeds))) for p in (0.009, 0.3)]
        undecided_before = [Stage(frozenset({0, 1}), earlier.level) for earlier in STAGES[: STAGES.index(stage)]]
        found = judge(family, [*undecided_before, stage])
        assert [d.p for d in found] == pytest.approx([0.009, 0.3])
        assert [d.adjusted_p for d in found] == pytest.approx([0.018 * share, min(0.3 * share, 1)])
        assert found[0].is_decided == (stage is STAGES[-1])


def test_one_without_new_seeds_keeps_its_figures_and_counts_as_undecided() -> None:
    stopped, going_on = with_p(0.6, 5), with_p(0.004, 10)
    family = [*[pairs(stopped)] * 3, pairs(going_on)]
    *kept, found = judge(family, STAGES[:2])
    assert kept == judge(family, STAGES[:1])[:3]
    # Four without a verdict share two sevenths of the 5 %. With the three left out there would be a verdict.
    assert (found.n, found.adjusted_p) == pytest.approx((10, 4 * 0.004 * 3.5))
    assert found.level == pytest.approx(0.05 * 2 / 7 / 4)
    assert (found.verdict, 0.004 < 0.05 * 2 / 7) == ("no difference shown", True)


def test_one_with_a_verdict_no_longer_counts_in_later_stages() -> None:
    decided, undecided = with_p(1e-6, 5), with_p(0.01, 10)
    assert not judge([pairs(undecided)], STAGES[:1])[0].is_decided
    _, found = judge([pairs(decided), pairs(undecided)], STAGES[:2])
    assert found.adjusted_p == pytest.approx(0.01 * 3.5)
    assert found.verdict == "better"


def difference_of(mean: float, sd: float, n: int) -> Difference:
    return Difference("other", "baseline", mean, -1, 1, n, sd, 0.5, 1, 0.01, "no difference shown")


def test_hopeless_is_a_mean_that_would_have_to_move_further_than_it_does_in_95_percent_of_cases() -> None:
    # 20 seeds at most, 4 sevenths of 5 % for the last stage, 19 undecided: t must be above 3.705, and so the mean above
    # 3.705 * 0.01 / sqrt(20) = 0.00828. From 5 to 20 seeds it moves by up to 1.645 * 0.01 * sqrt(1/5 - 1/20) = 0.00637.
    for sign in (1, -1):
        assert is_hopeless(difference_of(sign * 0.0019, 0.01, 5), 19, STAGES)
        assert not is_hopeless(difference_of(sign * 0.0020, 0.01, 5), 19, STAGES)
    # With fewer undecided less is needed, and with more seeds the mean moves less.
    assert not is_hopeless(difference_of(0.0016, 0.01, 5), 10, STAGES)
    assert is_hopeless(difference_of(0.0046, 0.01, 10), 19, STAGES)
    assert not is_hopeless(difference_of(0.0047, 0.01, 10), 19, STAGES)


def test_equal_results_and_missing_values_are_hopeless_and_equal_differences_are_not() -> None:
    assert is_hopeless(difference_of(0, 0, 5), 1, STAGES)
    assert is_hopeless(difference_of(math.nan, math.nan, 5), 1, STAGES)
    assert is_hopeless(difference_of(0.3, math.nan, 1), 1, STAGES)
    assert not is_hopeless(difference_of(0.02, 0, 5), 1, STAGES)


def test_hopeless_ones_rarely_get_a_verdict() -> None:
    generator = np.random.default_rng(2)
    hopeless = turned = 0
    for differences in generator.normal(0.004, 0.01, (600, 20)):
        (early,) = judge([pairs(differences[:5])], STAGES[:1], planned=19)
        if not early.is_decided and is_hopeless(early, 19, STAGES):
            hopeless += 1
            turned += judge([pairs(differences)], STAGES, planned=19)[0].is_decided
    assert hopeless > 50
    assert turned / hopeless < 0.05
