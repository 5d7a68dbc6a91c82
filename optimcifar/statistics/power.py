"""Power of paired t-tests: what a comparison can show, and how many seeds it needs.

Differences and standard deviations share a unit; for accuracies that is a fraction, 0 to 1. All tests are two-sided, at
level 0.05 / comparisons: the first and strictest step of Holm's correction.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.integrate import fixed_quad
from scipy.optimize import brentq
from scipy.stats import chi2, norm, t

from optimcifar.statistics.samples import FEWEST_SEEDS
from optimcifar.statistics.stages import FALSE_VERDICTS

#: Standard deviation of paired differences in validation accuracy, for when no comparison can tell it. Measured with
#: the default network after 10 epochs: a seed moves all configurations alike, by 0.010 to 0.014, and each run has 0.009
#: of its own. Pairing by seed removes the common part; without it the figure is 0.018.
MEASURED_SD = 0.012

#: More seeds than anybody trains: a difference that needs more counts as impossible to show.
MOST_SEEDS = 10_000

# With 512 nodes the error of a power is below 1e-6 (128 nodes: 2e-4), for 3 to 10,000 seeds and 1 to 100 comparisons.
# For two seeds, whose integrand is nearly a step, it is below 1e-3 (4e-3). A call takes half a millisecond.
_NODES = 512

_RULES: dict[str, tuple[str, Callable[[float], bool]]] = {
    "difference": ("finite", math.isfinite),
    "sd": ("finite and at least 0", lambda sd: 0 <= sd < math.inf),
    "n": ("at least 2", lambda n: n >= 2),
    "comparisons": ("at least 1", lambda comparisons: comparisons >= 1),
    # A difference of zero is shown with the chance of the level itself, so no less power can be asked for.
    "power": (f"above {FALSE_VERDICTS:g} and below 1", lambda power: FALSE_VERDICTS < power < 1),
}


def power(difference: float, sd: float, n: int, comparisons: float) -> float:
    """Return the chance that the test shows a true mean difference: a probability, 0 to 1.

    With a standard deviation of zero every difference other than zero is shown.

    Args:
        difference: the true mean of the paired differences, of either sign.
        sd: their true standard deviation, at least 0.
        n: the number of seeds, at least 2.
        comparisons: the number of tests that share the 5 %, at least 1. If they have another level than 0.05 /
            comparisons, 0.05 / level stands for them, whole or not.

    Raises:
        ValueError: an argument is out of its range.

    Source: the noncentral t distribution as an integral over the sample spread, D. B. Owen, "A survey of properties and
    applications of the noncentral t-distribution", Technometrics 10 (1968).

    >>> round(power(difference=0.02, sd=0.012, n=10, comparisons=19), 3)
    0.822
    """
    _check(difference=difference, sd=sd, n=n, comparisons=comparisons)
    return _power(_in_standard_errors(difference, sd, n), n, comparisons)


def smallest_difference(sd: float, n: int, comparisons: float, power: float = 0.8) -> float:
    """Return the smallest true difference that the test shows with this power, in the unit of ``sd``.

    Args:
        sd: the true standard deviation of the paired differences, at least 0.
        n: the number of seeds, at least 2.
        comparisons: the number of tests that share the 5 %, at least 1. If they have another level than 0.05 /
            comparisons, 0.05 / level stands for them, whole or not.
        power: the chance that the test shows the difference, above 0.05 and below 1.

    Raises:
        ValueError: an argument is out of its range.

    >>> round(smallest_difference(sd=0.012, n=10, comparisons=19), 4)
    0.0196
    """
    _check(sd=sd, n=n, comparisons=comparisons, power=power)
    # An upper bound: the spread stays below its quantile at `each` with that chance, and a mean shifted so far exceeds
    # what that quantile demands with the same chance. The two are independent, so both happen with chance `power`.
    each = math.sqrt(power)
    largest = float(_critical_mean(each, n, comparisons) + norm.ppf(each))
    shift = brentq(lambda shift: _power(shift, n, comparisons) - power, 0, largest)
    return float(shift * sd / math.sqrt(n))


def seeds_needed(difference: float, sd: float, comparisons: float, power: float = 0.8) -> int | float:
    """Return the fewest seeds with which the test shows a true difference with this power.

    A whole number, at least ``FEWEST_SEEDS``, because there is no verdict with fewer; ``math.inf`` for a difference of
    zero, or one that needs more than ``MOST_SEEDS``.

    Args:
        difference: the true mean of the paired differences, of either sign.
        sd: their true standard deviation, at least 0.
        comparisons: the number of tests that share the 5 %, at least 1. If they have another level than 0.05 /
            comparisons, 0.05 / level stands for them, whole or not.
        power: the chance that the test shows the difference, above 0.05 and below 1.

    Raises:
        ValueError: an argument is out of its range.

    >>> [seeds_needed(difference, sd=0.012, comparisons=19) for difference in (0.005, 0.01, 0.02, 0.05)]
    [90, 26, 10, 5]
    """
    _check(difference=difference, sd=sd, comparisons=comparisons, power=power)
    numbers = range(FEWEST_SEEDS, MOST_SEEDS + 1)
    position = bisect_left(numbers, power, key=lambda n: _power(_in_standard_errors(difference, sd, n), n, comparisons))
    return numbers[position] if position < len(numbers) else math.inf


def typical_spread(samples: Iterable[tuple[float, int]]) -> float:
    """Return the typical standard deviation of paired differences over several comparisons; NaN for none.

    The median over comparisons, so that a configuration whose runs scatter does not stand for all. Few seeds mostly
    show less spread than there is: each value is divided by the median of sample over true spread, 0.83 for 3 seeds.

    Args:
        samples: of each comparison, the sample standard deviation of its differences and its number of seeds.

    Raises:
        ValueError: a standard deviation is negative or not finite, or there are fewer than 2 seeds.

    >>> round(typical_spread([(0.010, 3), (0.011, 5), (0.030, 5)]), 4)
    0.012
    """
    corrected = []
    for sd, n in samples:
        _check(sd=sd, n=n)
        corrected.append(sd / _relative_spread(0.5, n))
    return float(np.median(corrected)) if corrected else math.nan


def _power(shift: float, n: int, comparisons: float) -> float:
    """Return the power for a true mean difference in standard errors."""

    def shown(quantiles: NDArray[np.float64]) -> NDArray[np.float64]:
        critical = _critical_mean(quantiles, n, comparisons)
        return np.asarray(norm.cdf(shift - critical) + norm.cdf(-shift - critical))

    # Not by scipy.stats.nct: its cdf is NaN for many large shifts (scipy 1.17).
    return float(fixed_quad(shown, 0, 1, n=_NODES)[0])


def _critical_mean(quantile: ArrayLike, n: int, comparisons: float) -> NDArray[np.float64]:
    """Return how far a mean must be from zero to be shown, in true standard errors, at a quantile of the spread."""
    return np.asarray(t.isf(FALSE_VERDICTS / comparisons / 2, n - 1) * _relative_spread(quantile, n))


def _relative_spread(quantile: ArrayLike, n: int) -> NDArray[np.float64]:
    """Return a quantile of the sample standard deviation of n values, as a multiple of the true one."""
    return np.asarray(np.sqrt(chi2.ppf(quantile, n - 1) / (n - 1)))


def _in_standard_errors(difference: float, sd: float, n: int) -> float:
    """Return a difference as a multiple of the standard error of a mean of n values."""
    if sd == 0:
        return math.inf if difference else 0.0
    return difference * math.sqrt(n) / sd


def _check(**arguments: float) -> None:
    """Raise ValueError for the first argument that breaks its rule."""
    for name, value in arguments.items():
        rule, holds = _RULES[name]
        if not holds(value):
            raise ValueError(f"{name} must be {rule}, got {value}")
