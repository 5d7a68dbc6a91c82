"""Quasi-random settings of a space."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from optimcifar.errors import UsageError
from optimcifar.spaces.dimensions import Dimension
from optimcifar.spaces.values import are_equal

#: What is tried: the values that each hyperparameter may take, by option of ``fit`` without its dashes.
Space = Mapping[str, Dimension]

Setting = dict[str, Any]

# Scrambles the sequence. The same for all spaces, so that those with equally many dimensions get the same points.
_SEED = 0


def settings(space: Space, own: Setting, number: int) -> list[Setting]:
    """Return different settings to try, the first of which is ``own``.

    The others are at the points of a scrambled Halton sequence (``scipy.stats.qmc.Halton``), so that a larger number
    only adds some. A point whose setting was there before is skipped, which happens with choices and whole numbers.

    Args:
        space: what may be tried.
        own: the configuration's own values, whether they are in the space or not.
        number: how many settings.

    Raises:
        UsageError: the space has fewer.
    """
    inside = math.prod(dimension.size for dimension in space.values())
    if inside < number:
        raise UsageError(f"it has {inside:.0f} settings, and {number} are to be tried: widen it, or try fewer")
    found = [own]
    for setting in islice(_sequence(space), 1000 * number):
        if len(found) == number:
            break
        if not any(all(are_equal(setting[key], other[key]) for key in space) for other in found):
            found.append(setting)
    if len(found) < number:
        raise UsageError(f"it has hardly more than {len(found)} settings, and {number} are to be tried: widen it")
    return found


def _sequence(space: Space) -> Iterator[Setting]:
    from scipy.stats import qmc  # it takes a second, and --help has no need of it

    sequence = qmc.Halton(len(space), scramble=True, rng=_SEED)
    while True:
        (point,) = sequence.random(1)
        yield {key: dimension.at(float(share)) for (key, dimension), share in zip(space.items(), point, strict=True)}
