"""The axis of a hyperparameter."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from optimcifar.report.labels import value_text
from optimcifar.spaces.dimensions import Scale
from optimcifar.spaces.values import are_equal

# The labels of an axis are vertical if together they have more characters than this.
_UPRIGHT = 60

# As the ``format`` of a linear axis, Vega would cut ~g to the digits by which ticks differ: 2e+1, 3e+1.
_NUMBER = "format(datum.value, '~g')"


class ValueAxis:
    """The axis of a hyperparameter: of numbers, on the scale of what was tried, or of values in their order.

    Args:
        title: what the hyperparameter is called.
        values: all values that are drawn, in their order, which is ascending for numbers.
        scale: the scale of an axis of numbers; None for values that are not all numbers.
    """

    def __init__(self, title: str, values: Sequence[Any], scale: Scale | None) -> None:
        self.title, self._values, self._scale = title, values, scale
        self.labels = _labels(values)

    @property
    def is_numeric(self) -> bool:
        """Whether it is an axis of numbers."""
        return self._scale is not None

    def place(self, value: Any) -> Any:
        """Return what stands for a value in the rows of a chart."""
        return value if self.is_numeric else self.label(value)

    def label(self, value: Any) -> str:
        """Return a value in words."""
        return self.labels[self._position(value)]

    def share(self, value: Any) -> float:
        """Return where a value lies on the axis, from 0 on the left to 1."""
        if self._scale == "log" and self._values[0] > 0:
            return math.log(value / self._values[0]) / math.log(self._values[-1] / self._values[0])
        if self._scale == "linear":
            return float(value - self._values[0]) / float(self._values[-1] - self._values[0])
        return self._position(value) / max(len(self._values) - 1, 1)

    def x(self, field: str = "value") -> alt.X:
        """Return the channel of the horizontal axis."""
        if not self.is_numeric:
            upright = sum(map(len, self.labels)) > _UPRIGHT
            axis = alt.Axis(labelAngle=-90 if upright else 0, labelLimit=160)
            return alt.X(f"{field}:N", title=self.title, sort=None, scale=alt.Scale(domain=self.labels), axis=axis)
        kind, axis = {}, alt.Axis(labelExpr=_NUMBER, tickCount=8)
        if self._scale == "log":
            kind, axis = self._log_scale(), alt.Axis(labelExpr=_NUMBER, values=self._ticks())
        scale = alt.Scale(domain=[self._values[0], self._values[-1]], nice=False, padding=14, **kind)
        return alt.X(f"{field}:Q", title=self.title, scale=scale, axis=axis)

    def colour(self, field: str = "value") -> alt.Color:
        """Return the channel of sequential colours, without the lightest, which hardly shows on white."""
        scheme = alt.SchemeParams(name="viridis", extent=[0, 0.9])
        if not self.is_numeric:
            scale = alt.Scale(domain=self.labels, scheme=scheme)
            return alt.Color(
                f"{field}:O",
                title=self.title,
                sort=None,
                scale=scale,
                legend=alt.Legend(orient="bottom", columns=5, labelLimit=160),
            )
        kind = {} if self._scale == "linear" else self._log_scale()
        scale = alt.Scale(domain=[self._values[0], self._values[-1]], scheme=scheme, **kind)
        ticks = self._ticks() if self._scale == "log" else alt.Undefined
        legend = alt.Legend(orient="bottom", labelExpr=_NUMBER, values=ticks)
        return alt.Color(f"{field}:Q", title=self.title, scale=scale, legend=legend)

    def _position(self, value: Any) -> int:
        return next(place for place, other in enumerate(self._values) if are_equal(value, other))

    def _log_scale(self) -> dict[str, Any]:
        """Return the settings of a log scale, which is linear around zero if a value is not positive."""
        if self._values[0] > 0:
            return {"type": "log"}
        return {"type": "symlog", "constant": min(abs(value) for value in self._values if value)}

    def _ticks(self) -> list[float]:
        """Return powers of ten between the least and the greatest value, and 2 and 5 times these if they are few."""
        sizes = [abs(value) for value in self._values if value]
        low, high = min(sizes), max(sizes)
        powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
        steps = (1,) if high / low > 200 else (1, 2, 5)
        found = [float(f"{step}e{power}") for power in powers for step in steps]
        inside = [tick for tick in found if low * 0.999 <= tick <= high * 1.001]
        negative = [-tick for tick in reversed(inside)] if self._values[0] < 0 else []
        return [*negative, *([0.0] if self._values[0] <= 0 else []), *inside]


def _labels(values: Sequence[Any]) -> list[str]:
    """Return values in words, which are all different: the full text of those that would be alike."""
    texts = [value_text(value) for value in values]
    return [str(value) if texts.count(text) > 1 else text for value, text in zip(values, texts, strict=True)]
