"""Quasi-random settings of a space."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimcifar.errors import UsageError
from optimcifar.spaces.dimensions import Dimension
from optimcifar.spaces.values import are_equal

#: What is tried: the values that each hyperparameter may take, by option of ``fit`` without its dashes.
Space = Mapping[str, Dimension]

#: A value of each hyperparameter.
Setting = dict[str, Any]

# Scrambles the sequence: the same for all spaces, so that those with equally many dimensions get the same points.
_SEED = 0

# Points drawn for each setting wanted: enough to find all settings of a small space.
_POINTS_PER_SETTING = 100


def settings(space: Space, own: Setting, number: int) -> list[Setting]:
    """Return different settings to try, the first of which is ``own``.

    The others lie at the points of a scrambled Halton sequence (``scipy.stats.qmc.Halton``), so a larger number only
    adds some. Choices and whole numbers can make a point repeat an earlier setting; such a point is skipped.

    Args:
        space: what may be tried.
        own: the configuration's own values, in the space or not.
        number: how many settings, at least 1.

    Raises:
        UsageError: the space has fewer.
    """
    from scipy.stats import qmc  # takes a second, and --help does not need it

    found = [own]
    for point in qmc.Halton(len(space), scramble=True, rng=_SEED).random(_POINTS_PER_SETTING * number):
        if len(found) == number:
            return found
        setting = {key: space[key].at(float(share)) for key, share in zip(space, point, strict=True)}
        if not any(all(are_equal(setting[key], other[key]) for key in space) for other in found):
            found.append(setting)
    raise UsageError(
        f"the space has only {len(found)} settings, fewer than --trials {number}: widen it, or lower --trials"
    )
