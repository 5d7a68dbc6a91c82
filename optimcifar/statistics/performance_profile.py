"""Performance profiles: on what share of workloads is a configuration within a factor of the fastest?

E. Dolan and J. Moré, "Benchmarking optimization software with performance profiles" (2002); G. Dahl et al.,
"Benchmarking Neural Network Training Algorithms" (2023), draws them over workloads.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence


def time_of_half(times: Sequence[float]) -> float:
    """Return the time by which half of the seeds had reached the target; infinity if fewer than half did.

    It is the median over all seeds, the lower of the two in the middle: with the mean of these, the time would be
    infinite where exactly half reached the target.

    Args:
        times: of each seed; infinity for one that never reached it. Without any, the time is infinite.

    Example:
        >>> time_of_half([3.0, math.inf, 2.0, math.inf]), time_of_half([3.0, math.inf, math.inf])
        (3.0, inf)
    """
    return statistics.median_low(times) if times else math.inf


def performance_ratios(times: Mapping[str, float]) -> dict[str, float]:
    """Return the time of each configuration on a workload, divided by that of the fastest.

    Args:
        times: by configuration; infinity for one that did not reach the target. If none did, all ratios are infinite.

    Example:
        >>> performance_ratios({"sgd": 6.0, "adam": 4.0, "rprop": math.inf})
        {'sgd': 1.5, 'adam': 1.0, 'rprop': inf}
    """
    fastest = min(times.values())
    return {name: time / fastest if math.isfinite(time) else math.inf for name, time in times.items()}


def share_within(ratios: Sequence[float], factor: float) -> float:
    """Return the share of workloads, 0 to 1, on which a configuration is within a factor of the fastest.

    Args:
        ratios: the configuration's on each workload, see ``performance_ratios``.
        factor: 1 or greater, and finite.

    Example:
        >>> [share_within([1.0, 1.5, math.inf, 2.0], factor) for factor in (1, 1.9, 2)]
        [0.25, 0.5, 0.75]
    """
    return sum(ratio <= factor for ratio in ratios) / len(ratios)
