"""What the pictures of a sweep share: the metrics that are drawn, and their axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import altair as alt

from optimcifar.report.charts.style import power_scale
from optimcifar.report.charts.value_axis import ValueAxis
from optimcifar.report.sweep.results import Sweep

# An axis of losses shows powers if the greatest value is more than this many times the least.
_LINEAR = 50


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


def value_axis(sweep: Sweep, key: str) -> ValueAxis:
    """Return the axis of one of a sweep's hyperparameters."""
    return ValueAxis(sweep.names[key], sweep.values[key], sweep.scales[key])


def y_channel(
    field: str, title: str, metric: Metric, values: Sequence[float], intervals: Sequence[float] = ()
) -> alt.Y:
    """Return the channel of a metric's axis, on a scale of powers for losses of very different sizes.

    The ends of ``intervals`` are on the axis, but do not choose its scale: those of two seeds reach far.
    """
    shown = [*values, *intervals]
    ends = [min(shown), max(shown)]
    scale = alt.Scale(zero=True) if metric.from_zero else alt.Scale(domain=ends, zero=False, nice=False, padding=10)
    axis = alt.Axis(tickCount=6)
    if not metric.from_zero and min(values) > 0 and max(values) > _LINEAR * min(values):
        scale, axis = power_scale(shown)
    return alt.Y(f"{field}:Q", title=title, scale=scale, axis=axis)
