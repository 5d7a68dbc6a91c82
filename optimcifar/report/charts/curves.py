"""Curves by epoch and by seconds: learning curves, and the norms of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import altair as alt

from optimcifar.report.charts.courses import Courses
from optimcifar.report.charts.style import (
    CROSS,
    DIVERGED,
    HEIGHT,
    WIDTH,
    Figure,
    Style,
    Values,
    epoch_axis,
    power_scale,
    tooltip,
)

# The learning curves of all metrics share their rows, so that a page has them once.
_METRICS = {"val_acc": "validation accuracy", "train_loss": "train loss"}
_OVER = {"epoch": "epoch", "seconds": "seconds of training"}

#: With more configurations the lines of their seeds are fainter.
FEW = 7

# A loss that grows by more than this squeezes all others on a linear axis.
_LINEAR = 50

_LAYERS = {
    "gradients": ("grad_norm", "Norm of the gradient by layer", "Mean over an epoch's steps"),
    "updates": ("update_ratio", "Norm of the update divided by that of the weights, by layer", "At an epoch's end"),
}


def learning_curves(style: Style, courses: Courses) -> list[Figure]:
    """Return what was measured over epochs and over seconds: every seed thin, their mean thick."""
    present = [name for name in _METRICS if any(row[name] is not None for row in courses.seeds([name]))]
    # All of them share their data, so that a page has it once.
    data = {"seeds": courses.seeds(present), "means": courses.means(present), "divergences": courses.ends(present)}
    return [_learning_curve(style, courses, data, metric, over) for over in _OVER for metric in present]


def _learning_curve(style: Style, courses: Courses, data: dict[str, Values], metric: str, over: str) -> Figure:
    layers = _lines(style, "means", metric, _curve_x(courses, over), _curve_y(metric, data["seeds"]))
    thin = _of(style, "seeds", metric).mark_line(strokeWidth=0.8, opacity=0.4 if len(courses.by_name) <= FEW else 0.2)
    layers.insert(0, thin.encode(x=f"{over}:Q", y=f"{metric}:Q", detail="run:N", color=style.colour))
    notes = ["Thick: mean over seeds; thin: every seed."]
    if data["divergences"]:
        crosses = _of(style, "divergences", metric).mark_point(shape=CROSS, size=50, strokeWidth=2, opacity=1)
        shown = tooltip("configuration", "seed", "epoch", metric)
        layers.append(crosses.encode(x=f"{over}:Q", y=f"{metric}:Q", color=style.colour, tooltip=shown))
        notes.append(f"{DIVERGED}: a run diverged, and keeps its last value.")
    if _epochs(data["means"], metric) < _epochs(data["seeds"], metric):
        notes.append("No mean where a seed has no value.")
    title = f"{_METRICS[metric].capitalize()} by {over}"
    return Figure(f"{metric}_by_{over}", title, notes, {"": style.finish(layers)}, data)


def layer_curves(style: Style, courses: Courses, name: Literal["gradients", "updates"]) -> Figure | None:
    """Return the mean over seeds of a norm that was logged for each layer, one chart per layer; None without any."""
    prefix, title, note = _LAYERS[name]
    metrics = [metric for metric in courses.metrics if metric.startswith(f"{prefix}_")]
    means = courses.means(metrics)
    drawn = [metric for metric in metrics if any(row[metric] is not None for row in means)]
    if not drawn:
        return None
    scale, axis = power_scale(row[metric] for metric in drawn for row in means if row[metric] is not None)
    x, panels = _curve_x(courses, "epoch"), {}
    for metric in drawn:
        layers = _lines(style, name, metric, x, alt.Y(f"{metric}:Q", title=None, scale=scale, axis=axis))
        panels[metric.removeprefix(f"{prefix}_")] = style.finish(layers, HEIGHT // 2, WIDTH // 2)
    return Figure(name, title, [f"{note}, mean over seeds."], panels, {name: means})


def _lines(style: Style, data: str, metric: str, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """Return a line and points for each configuration."""
    base = _of(style, data, metric).encode(x=x, y=y, color=style.colour)
    line = base.mark_line(strokeWidth=2.2).encode(strokeDash=style.dash)
    # A single epoch has no line.
    points = base.mark_point(filled=True, size=28, opacity=1).encode(shape=style.shape)
    return [line, points.encode(tooltip=tooltip("configuration", "epoch", metric, "seeds"))]


def _of(style: Style, data: str, metric: str) -> alt.Chart:
    """Return a chart of the rows that have a value: a missing one would break a line."""
    return style.base(data).transform_filter(f"isValid(datum['{metric}'])")


def _epochs(rows: Values, metric: str) -> set[tuple[str, int]]:
    """Return the configurations and epochs that have a value."""
    return {(row["configuration"], row["epoch"]) for row in rows if row[metric] is not None}


def _curve_x(courses: Courses, over: str) -> alt.X:
    axis = epoch_axis(courses.last_epoch) if over == "epoch" else alt.Axis()
    return alt.X(f"{over}:Q", title=_OVER[over], axis=axis, scale=alt.Scale(zero=False))


def _curve_y(metric: str, seeds: Values) -> alt.Y:
    scale, axis = alt.Scale(zero=False, padding=6), alt.Axis()
    if metric == "train_loss":
        scale, axis = loss_scale([row[metric] for row in seeds if row[metric] is not None])
    return alt.Y(f"{metric}:Q", title=_METRICS[metric], scale=scale, axis=axis)


def loss_scale(values: Sequence[float]) -> tuple[alt.Scale, alt.Axis]:
    """Return a linear scale and its axis, or a scale of powers if the losses span orders of magnitude."""
    if max(values) > _LINEAR * min(values):
        return power_scale(values)
    return alt.Scale(zero=False, padding=6), alt.Axis()
