"""Seeds on demand: which configurations get the seeds of the next stage, and why the others get none."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from optimcifar.statistics.best_set import BestSet, Values
from optimcifar.statistics.stages import Stage
from optimcifar.statistics.verdicts import Difference, is_hopeless

# Fewer have no spread, and runs that failed mostly fail again.
_FEWEST_VALUES = 2


@dataclass(frozen=True)
class NextSeeds:
    """Which configurations get the seeds of the next stage.

    Attributes:
        names: those that get them; none if no more seeds are needed.
        reasons: why each of the others gets none.
    """

    names: list[str]
    reasons: dict[str, str]


def seeds_for_verdicts(differences: Sequence[Difference], planned: int, stages: Sequence[Stage]) -> NextSeeds:
    """Give the next seeds to the baseline, and to the configurations for which they may bring a verdict.

    Args:
        differences: the differences from the baseline so far.
        planned: the number of planned comparisons, of which there may be fewer so far.
        stages: all stages of the comparison.
    """
    undecided = planned - sum(found.is_decided for found in differences)
    reasons = {}
    for found in differences:
        if found.is_decided:
            reasons[found.configuration] = found.verdict
        elif found.n < _FEWEST_VALUES:
            reasons[found.configuration] = f"too few results in common with {found.baseline}"
        elif is_hopeless(found, undecided, stages):
            reasons[found.configuration] = f"{len(stages[-1].seeds)} seeds would hardly bring a verdict"
    going_on = [found for found in differences if found.configuration not in reasons]
    baseline = [found.baseline for found in going_on[:1]]
    return NextSeeds(baseline + [found.configuration for found in going_on], reasons)


def seeds_for_best(best: BestSet, values: Values) -> NextSeeds:
    """Give the next seeds to the configurations that may be the best, if there are several.

    Args:
        best: where the best configuration is so far.
        values: the measured values by configuration and seed, in which ``best`` was found.
    """
    reasons = dict.fromkeys(best.below, "below the best")
    reasons |= {
        name: "too few runs with a result" for name in best.not_comparable if len(values.get(name, {})) < _FEWEST_VALUES
    }
    going_on = [name for name in values if name not in reasons]
    return NextSeeds(going_on if len(going_on) > 1 else [], reasons)
