"""Stages: after how many seeds a comparison is looked at, and how much of the 5 % each look may spend."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

#: The chance of any false verdict in a whole comparison is at most this.
FALSE_VERDICTS = 0.05

_FIRST = 5  # seeds of the first stage


@dataclass(frozen=True)
class Stage:
    """A look at a comparison.

    Attributes:
        seeds: all seeds up to this stage.
        level: the share of ``FALSE_VERDICTS`` that it spends.
    """

    seeds: frozenset[int]
    level: float


def single_stage(seeds: Iterable[int]) -> list[Stage]:
    """Return the one stage of a comparison whose seeds were chosen beforehand."""
    return [Stage(frozenset(seeds), FALSE_VERDICTS)]


def doubling_sizes(most: int) -> tuple[int, ...]:
    """Return the number of seeds of each stage of a comparison with seeds on demand: 5, 10, 20, ... up to ``most``.

    Args:
        most: number of seeds of the last stage, at least 1.
    """
    doubled = (_FIRST * 2**power for power in itertools.count())
    return (*itertools.takewhile(lambda size: size < most, doubled), most)


def stages_of_sizes(sizes: Sequence[int]) -> list[Stage]:
    """Return the stages of a comparison with seeds on demand; a stage of n seeds has those from 0 to n - 1.

    It spends ``0.05 * n / sum(sizes)``, so that all together spend 5 %.

    Args:
        sizes: the number of seeds of each stage, increasing.
    """
    return [Stage(frozenset(range(size)), FALSE_VERDICTS * size / sum(sizes)) for size in sizes]
