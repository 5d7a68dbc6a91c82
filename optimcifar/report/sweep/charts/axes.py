"""What the pictures of a sweep share: the axis of a hyperparameter, and the metrics that are drawn over it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from optimcifar.report.charts.style import power_scale
from optimcifar.report.labels import value_text
from optimcifar.report.sweep.results import Sweep

# The greatest value divided by the least, from which on an axis of losses is one of powers.
_LINEAR = 50

# Values beside an axis stand upright if all of them together have more characters.
_UPRIGHT = 60


@dataclass(frozen=True)
class Metric:
    """What is drawn over the values of a hyperparameter.

    Attributes:
        name: one of ``METRICS`` or ``COSTS``.
        title: in words.
        from_zero: whether its axis begins at zero.
        form: the format of a number in a cell.
        note: a sentence about runs that diverged.
    """

    name: str
    title: str
    from_zero: bool
    form: str
    note: str


_LEFT_OUT = "a run that diverged ended early, and the mean leaves it out"

METRICS = (
    Metric("val_acc", "final validation accuracy", False, ".3f", "a run that diverged counts as at chance level"),
    Metric(
        "train_loss", "train loss", False, ".3f", "a run that diverged has the loss of its last whole epoch, if any"
    ),
    Metric("train_seconds", "seconds of training", True, ".1f", _LEFT_OUT),
    Metric("optimizer_step_ms", "optimizer milliseconds per step", True, ".3f", _LEFT_OUT),
)


class ValueAxis:
    """The axis of a hyperparameter: of numbers, on the scale of what was tried, or of values in their order.

    Args:
        sweep: what was tried.
        key: the hyperparameter.
    """

    def __init__(self, sweep: Sweep, key: str) -> None:
        self.title, self._values, self._scale = sweep.names[key], sweep.values[key], sweep.scales[key]
        self.labels = _labels(self._values)
        self._sweep, self._key = sweep, key

    @property
    def is_numeric(self) -> bool:
        """Whether it is an axis of numbers."""
        return self._scale is not None

    def place(self, value: Any) -> Any:
        """Return what stands for a value in the rows of a chart."""
        return value if self.is_numeric else self.label(value)

    def label(self, value: Any) -> str:
        """Return a value in words."""
        return self.labels[self._sweep.position(self._key, value)]

    def share(self, value: Any) -> float:
        """Return where a value lies on the axis, from 0 on the left to 1."""
        if self._scale == "log" and self._values[0] > 0:
            return math.log(value / self._values[0]) / math.log(self._values[-1] / self._values[0])
        if self._scale == "linear":
            return float(value - self._values[0]) / float(self._values[-1] - self._values[0])
        return self._sweep.position(self._key, value) / max(len(self._values) - 1, 1)

    def x(self, field: str = "value") -> alt.X:
        """Return the channel of the horizontal axis."""
        if not self.is_numeric:
            upright = sum(map(len, self.labels)) > _UPRIGHT
            axis = alt.Axis(labelAngle=-90 if upright else 0, labelLimit=160)
            return alt.X(f"{field}:N", title=self.title, sort=None, scale=alt.Scale(domain=self.labels), axis=axis)
        kind, axis = {}, alt.Axis(format="~g", tickCount=8)
        if self._scale == "log":
            kind, axis = self._log_scale(), alt.Axis(format="~g", values=self._ticks())
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
        legend = alt.Legend(orient="bottom", format="~g", values=ticks)
        return alt.Color(f"{field}:Q", title=self.title, scale=scale, legend=legend)

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


def y_channel(field: str, title: str, metric: Metric, values: Sequence[float]) -> alt.Y:
    """Return the channel of a metric's axis, on a scale of powers for losses of very different sizes."""
    scale = alt.Scale(zero=True) if metric.from_zero else alt.Scale(zero=False, nice=False, padding=10)
    axis = alt.Axis(tickCount=6)
    if not metric.from_zero and min(values) > 0 and max(values) > _LINEAR * min(values):
        scale, axis = power_scale(values)
    return alt.Y(f"{field}:Q", title=title, scale=scale, axis=axis)


def _labels(values: Sequence[Any]) -> list[str]:
    """Return values in words, which are all different: the full text of those that would be alike."""
    texts = [value_text(value) for value in values]
    return [str(value) if texts.count(text) > 1 else text for value, text in zip(values, texts, strict=True)]
