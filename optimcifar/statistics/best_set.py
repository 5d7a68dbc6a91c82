"""The configurations among which the best one is, with 95 % confidence."""

from __future__ import annotations

import itertools
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from optimcifar.statistics.samples import TOO_FEW_SEEDS, Pairs
from optimcifar.statistics.stages import Stage

Values = Mapping[str, Mapping[int, float]]


@dataclass(frozen=True)
class BestSet:
    """Where the best configuration is, with 95 % confidence.

    Attributes:
        members: the configurations that are not shown to be below the highest, in order of their means.
        below: those that are.
        not_comparable: those that could not be compared with the highest, and why. Any of them may be the best.
    """

    members: list[str]
    below: list[str] = field(default_factory=list)
    not_comparable: dict[str, str] = field(default_factory=dict)


def best_set(values: Values, collapsed: Mapping[str, Set[int]], stages: Sequence[Stage]) -> BestSet:
    """Return the configurations among which the best one is; none if no two can be compared.

    In each stage, the configuration with the highest mean is compared with the others that have new seeds: paired
    one-sided t-tests, each at the stage's level divided by the number of others. The true best is excluded with a
    chance of at most 5 %, whichever configuration has the highest mean.

    Args:
        values: the measured values by configuration and seed; greater is better.
        collapsed: by configuration, the seeds in which it diverged or ended at chance level.
        stages: the looks at the comparison.
    """
    compared: dict[str, None] = {}  # a set that keeps its order
    below: list[str] = []
    obstacles: dict[str, str] = {}
    seen = dict.fromkeys(values, 0)
    for stage in stages:
        present = {name: len(stage.seeds & of.keys()) for name, of in values.items()}
        fresh = [name for name in values if name not in below and present[name] > seen[name]]
        seen = present
        p_values, not_tested = _compare_with_highest(fresh, values, collapsed, stage.seeds)
        compared |= dict.fromkeys(p_values)
        obstacles |= not_tested
        below += [name for name, p in p_values.items() if p <= stage.level / (len(values) - 1)]
    ranked = sorted(compared, key=lambda name: _mean(values[name].values()), reverse=True)
    alone = {name: TOO_FEW_SEEDS if of else "no run has a result" for name, of in values.items()}
    return BestSet(
        members=[name for name in ranked if name not in below],
        below=[name for name in ranked if name in below],
        not_comparable={name: obstacles.get(name, alone[name]) for name in values if name not in compared},
    )


def _compare_with_highest(
    names: Sequence[str], values: Values, collapsed: Mapping[str, Set[int]], seeds: Set[int]
) -> tuple[dict[str, float], dict[str, str]]:
    """Return p-values for being below the highest, which has 1 itself, and why others cannot be compared with it.

    The highest is that with the highest mean among those that have enough values in common with the most others: one
    without seeds in common, or with a collapse in few seeds, would leave all others without a comparison.
    """
    obstacles: dict[str, str] = {}
    partners: Counter[str] = Counter()
    for pair in itertools.combinations(names, 2):
        sample = Pairs.of(*pair, values, collapsed).among(seeds)
        partners.update(() if sample.lack else pair)
        obstacles |= dict.fromkeys(pair, sample.obstacle) if sample.obstacle else {}
    if not partners:
        return {}, obstacles
    candidates = [name for name, number in partners.items() if number == max(partners.values())]
    highest = max(candidates, key=lambda name: _mean(values[name][seed] for seed in seeds & values[name].keys()))
    others = {name: Pairs.of(highest, name, values, collapsed).among(seeds) for name in names if name != highest}
    obstacles |= {name: sample.obstacle for name, sample in others.items() if sample.obstacle}
    tested = {name: sample.p("greater") for name, sample in others.items() if not sample.obstacle}
    return ({highest: 1.0} | tested if tested else {}), obstacles


def _mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are finite: one that is not may be of a seed that nothing was compared in."""
    return statistics.fmean(value for value in values if math.isfinite(value))
