"""Paired differences of one comparison, and why they may not be enough for a verdict."""

from __future__ import annotations

import math
from collections.abc import Mapping, Set
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import numpy as np
from scipy import special

#: With fewer seeds there is no verdict: two values say next to nothing about their own spread.
FEWEST_SEEDS = 3

#: With fewer seeds there is no verdict if a run collapsed: a t-test is wrong in 18 % of such cases.
FEWEST_WITH_COLLAPSE = 5

#: Why there is no verdict with fewer seeds than that.
TOO_FEW_SEEDS = f"fewer than {FEWEST_SEEDS} seeds in common"

# Accuracies are written as float32, which rounds them by less than this. The least true change is one image's.
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Pairs:
    """What is compared: two configurations, or two sets of weights of one.

    Attributes:
        configuration: the name of the first.
        baseline: the name of the second.
        differences: first minus second by common seed; NaN where a value is missing.
        collapsed: the seeds in which either diverged or ended at chance level.
    """

    configuration: str
    baseline: str
    differences: dict[int, float]
    collapsed: frozenset[int] = frozenset()

    @classmethod
    def of(
        cls,
        configuration: str,
        baseline: str,
        values: Mapping[str, Mapping[int, float]],
        collapsed: Mapping[str, Set[int]],
    ) -> Self:
        """Pair two configurations by seed.

        Args:
            configuration: the name of the first.
            baseline: the name of the second.
            values: the measured values by configuration and seed; greater is better.
            collapsed: by configuration, the seeds in which it collapsed.
        """
        first, second = values[configuration], values[baseline]
        differences = {seed: first[seed] - second[seed] for seed in first if seed in second}
        either = frozenset(collapsed.get(configuration, ())) | frozenset(collapsed.get(baseline, ()))
        return cls(configuration, baseline, differences, either)

    def among(self, seeds: Set[int]) -> Sample:
        """Return the differences of some of the seeds."""
        common = sorted(self.differences.keys() & seeds)
        return Sample(tuple(self.differences[seed] for seed in common), not self.collapsed.isdisjoint(common))


@dataclass(frozen=True)
class Sample:
    """Paired differences.

    Attributes:
        differences: one per seed.
        collapsed: whether a run of any seed collapsed.
    """

    differences: tuple[float, ...]
    collapsed: bool

    @property
    def n(self) -> int:
        """The number of pairs."""
        return len(self.differences)

    @cached_property
    def mean(self) -> float:
        """The mean difference; NaN without pairs, or if a value is missing."""
        return float(np.mean(self.differences)) if self.differences else math.nan

    @cached_property
    def sd(self) -> float:
        """The sample standard deviation; NaN for fewer than two pairs, or if a value is missing."""
        return float(np.std(self.differences, ddof=1)) if self.n > 1 else math.nan

    @property
    def equal(self) -> bool:
        """Whether there is no difference at all, for any seed."""
        return self.n > 0 and all(abs(difference) <= _ROUNDING for difference in self.differences)

    @cached_property
    def lack(self) -> str | None:
        """Why there are not enough values for a test; None if there are."""
        if self.n < FEWEST_SEEDS:
            return TOO_FEW_SEEDS
        if not all(map(math.isfinite, self.differences)):
            return "a value is missing"
        if self.collapsed and self.n < FEWEST_WITH_COLLAPSE:
            return f"a run collapsed, and there are fewer than {FEWEST_WITH_COLLAPSE} seeds"
        return None

    @cached_property
    def obstacle(self) -> str | None:
        """Why no test can be made; None if one can."""
        if self.lack is None and not self.equal and max(self.differences) - min(self.differences) <= _ROUNDING:
            return "the same difference for every seed"
        return self.lack

    def p(self, alternative: Literal["two-sided", "greater"] = "two-sided") -> float:
        """Return the p-value of a paired t-test; 1 without any difference, or if no test can be made.

        The same as of ``scipy.stats.ttest_1samp``, in a hundredth of its time: simulations make millions of tests.

        Args:
            alternative: that the mean is not zero, or that it is greater.
        """
        if self.equal or self.obstacle:
            return 1.0
        t = self.mean / (self.sd / math.sqrt(self.n))
        return float(
            special.stdtr(self.n - 1, -t) if alternative == "greater" else 2 * special.stdtr(self.n - 1, -abs(t))
        )

    def interval(self, level: float) -> tuple[float, float]:
        """Return the interval of the mean that misses it with a chance of ``level``; NaN if no test can be made."""
        if self.obstacle:
            return math.nan, math.nan
        if self.equal:
            return min(self.mean, 0.0), max(self.mean, 0.0)  # rounding alone never excludes zero
        half = -float(special.stdtrit(self.n - 1, level / 2)) * self.sd / math.sqrt(self.n)
        return self.mean - half, self.mean + half
