"""Verdicts on differences: Holm's step-down correction of paired t-tests, in one stage or several."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from optimcifar.statistics.samples import Pairs, Sample
from optimcifar.statistics.stages import FALSE_VERDICTS, Stage

BETTER, WORSE, NO_DIFFERENCE = "better", "worse", "no difference shown"
#: A verdict that is withheld starts with this; the reason follows.
WITHHELD = "withheld: "

# A comparison gets no more seeds if its mean would have to move further than it does in 95 % of cases.
_QUANTILE = 1.645


@dataclass(frozen=True)
class Difference:
    """The difference between two configurations, over the seeds that both have.

    Attributes:
        configuration: the name of the first.
        baseline: the name of the second.
        mean: mean of first minus second.
        low: lower end of its interval, which excludes zero exactly where the verdict is "better" or "worse".
        high: upper end of its interval.
        n: number of pairs.
        sd: standard deviation of the pairs' differences.
        p: p-value of the paired t-test alone; NaN if none was made.
        adjusted_p: after Holm's correction; at most 0.05 exactly where the verdict is "better" or "worse".
        level: the chance that its interval misses the true mean.
        verdict: ``better``, ``worse``, ``no difference shown``, or why it is withheld.
    """

    configuration: str
    baseline: str
    mean: float
    low: float
    high: float
    n: int
    sd: float
    p: float
    adjusted_p: float
    level: float
    verdict: str

    @property
    def is_decided(self) -> bool:
        """Whether the verdict is "better" or "worse"."""
        return self.verdict in (BETTER, WORSE)


def holm(p_values: Sequence[float], level: float = FALSE_VERDICTS) -> tuple[list[float], list[float]]:
    """Correct p-values for their number, by Holm's step-down method.

    Returns:
        The adjusted p-values, and the level of each one's interval: that of its step if it is rejected, and that of
        the first step that is not for all others.

    Source: S. Holm, "A Simple Sequentially Rejective Multiple Test Procedure", 1979.
    """
    number = len(p_values)
    order = np.argsort(p_values, kind="stable")
    steps = np.arange(number, 0, -1)
    ordered = np.minimum(1, np.maximum.accumulate(steps * np.asarray(p_values, dtype=float)[order]))
    rejected = int((ordered <= level).sum())
    adjusted, levels = np.empty(number), np.empty(number)
    adjusted[order] = ordered
    levels[order] = [level / (number - min(rank, rejected)) for rank in range(number)]
    return adjusted.tolist(), levels.tolist()


def judge(comparisons: Sequence[Pairs], stages: Sequence[Stage], planned: int | None = None) -> list[Difference]:
    """Judge a family of comparisons: any false verdict has a chance of at most 5 %.

    In each stage, Holm's method at that stage's level is applied to the comparisons without a verdict so far. One
    whose seeds are no more than in the stage before is counted with a p-value of 1, as is one that cannot be tested.
    A verdict is final.

    Args:
        comparisons: the family.
        stages: the looks at it, see ``single_stage`` and ``stages_of_sizes``.
        planned: the number of comparisons if more were planned than there are.

    Returns:
        A difference for each comparison, in their order, each after the last stage in which it was tested.
    """
    found: list[Difference | None] = [None] * len(comparisons)
    absent = max((planned or 0) - len(comparisons), 0)
    for stage in stages:
        samples = [pairs.among(stage.seeds) for pairs in comparisons]
        undecided = [i for i, difference in enumerate(found) if difference is None or not difference.is_decided]
        fresh = {i for i in undecided if (before := found[i]) is None or samples[i].n > before.n}
        p_values = [samples[i].p() if i in fresh else 1.0 for i in undecided]
        adjusted, levels = holm(p_values + [1.0] * absent, stage.level)
        for i, p, level in zip(undecided, adjusted, levels, strict=False):
            if i in fresh:
                # Of all stages together, so that 0.05 is the threshold in each.
                share = min(1.0, p * (FALSE_VERDICTS / stage.level))
                found[i] = _difference(comparisons[i], samples[i], share, level)
    return [difference for difference in found if difference is not None]


def _difference(pairs: Pairs, sample: Sample, adjusted_p: float, level: float) -> Difference:
    low, high = sample.interval(level)
    tested = sample.obstacle is None
    if not tested:
        verdict = f"{WITHHELD}{sample.obstacle}"
    elif adjusted_p <= FALSE_VERDICTS:
        verdict = BETTER if sample.mean > 0 else WORSE
    else:
        verdict = NO_DIFFERENCE
    return Difference(
        *(pairs.configuration, pairs.baseline, sample.mean, low, high, sample.n, sample.sd),
        p=sample.p() if tested else math.nan,
        adjusted_p=adjusted_p if tested else math.nan,
        level=level,
        verdict=verdict,
    )


def is_hopeless(difference: Difference, undecided: int, stages: Sequence[Stage]) -> bool:
    """Return whether more seeds would hardly bring a verdict.

    The mean would have to move further than it does in 95 % of cases, or no test can be made for lack of values.

    Args:
        difference: a difference without a verdict.
        undecided: the number of differences without a verdict.
        stages: all stages of the comparison.
    """
    if math.isnan(difference.sd):
        return True
    most, level = len(stages[-1].seeds), stages[-1].level
    reach = _QUANTILE * difference.sd * math.sqrt(max(1 / difference.n - 1 / most, 0))
    needed = float(stats.t.isf(level / undecided / 2, most - 1)) * difference.sd / math.sqrt(most)
    return abs(difference.mean) + reach <= needed  # both are zero for equal results
