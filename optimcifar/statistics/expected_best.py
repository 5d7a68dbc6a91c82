"""The expected result of the best of a number of trials."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Sequence


def expected_best(ranking: Sequence[float], values: Sequence[float]) -> list[float]:
    """Return the expected value of the best of B trials, for every B from 1 to their number.

    B of the N trials are drawn at random, and the one that ranks highest among them is taken. With the trials in
    ascending order, trial i is taken in ``C(i - 1, B - 1)`` of the ``C(N, B)`` draws. One seed ranks and another gives
    the value, because the best of several on the same seed is partly lucky. Trials that rank alike share their chances.

    Args:
        ranking: what ranks the trials; greater is better.
        values: what they are worth, in the same order.

    Raises:
        ValueError: a value is not finite.

    Source: J. Dodge et al., "Show Your Work: Improved Reporting of Experimental Results", 2019, whose draws are with
    replacement and whose values are those that rank; R. Tang et al., "Showing Your Work Doesn't Always Work", 2020, for
    draws without.
    """
    if not all(map(math.isfinite, (*ranking, *values))):
        raise ValueError("the expected best needs a value of every trial")
    alike = defaultdict(list)
    for rank, value in zip(ranking, values, strict=True):
        alike[rank].append(value)
    ascending = [statistics.fmean(alike[rank]) for rank in sorted(ranking)]
    number = len(ascending)
    return [
        sum(math.comb(i, drawn - 1) * value for i, value in enumerate(ascending)) / math.comb(number, drawn)
        for drawn in range(1, number + 1)
    ]
