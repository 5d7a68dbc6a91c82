"""The configurations among which the best one is, with 95 % confidence."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field

from optimcifar.statistics.samples import TOO_FEW_SEEDS, Pairs, Sample
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
        own = {name: stage.seeds & of.keys() for name, of in values.items()}
        fresh = [name for name in values if name not in below and len(own[name]) > seen[name]]
        seen = {name: len(seeds) for name, seeds in own.items()}
        pairs = {(a, b): Pairs.of(a, b, values, collapsed).among(stage.seeds) for a in fresh for b in fresh if a != b}
        highest = _highest(fresh, {name: [values[name][seed] for seed in own[name]] for name in fresh}, pairs)
        if highest is None:
            obstacles |= {name: sample.obstacle for (name, _), sample in pairs.items() if sample.obstacle}
            continue
        others = {name: pairs[highest, name] for name in fresh if name != highest}
        obstacles |= {name: sample.obstacle for name, sample in others.items() if sample.obstacle}
        tested = {name: sample.p("greater") for name, sample in others.items() if not sample.obstacle}
        compared |= dict.fromkeys((highest, *tested))
        below += [name for name, p in tested.items() if p <= stage.level / (len(values) - 1)]
    ranked = sorted(compared, key=lambda name: _mean(values[name].values()), reverse=True)
    alone = {name: TOO_FEW_SEEDS if of else "no run has a result" for name, of in values.items()}
    not_comparable = {name: obstacles.get(name, alone[name]) for name in values if name not in compared}
    return BestSet(
        [name for name in ranked if name not in below], [name for name in ranked if name in below], not_comparable
    )


def _highest(
    names: Sequence[str], values: Mapping[str, Sequence[float]], pairs: Mapping[tuple[str, str], Sample]
) -> str | None:
    """Return the configuration with the highest mean among those that can be compared with the most others.

    One without seeds in common with the others would leave all of them without a comparison.
    """
    partners = {name: sum(pairs[name, other].obstacle is None for other in names if other != name) for name in names}
    most = max(partners.values(), default=0)
    return max(
        (name for name in names if most and partners[name] == most),
        key=lambda name: _mean(values[name]),
        default=None,
    )


def _mean(values: Iterable[float]) -> float:
    """Return the mean of the values that are finite: one that is not may be of a seed that nothing was compared in."""
    return statistics.fmean(value for value in values if math.isfinite(value))
