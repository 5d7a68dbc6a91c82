"""Metrics over the values of one hyperparameter: a dot per seed, means with intervals, own and best value."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from optimcifar.report.charts.style import CROSS, DIVERGED, Figure, Style, Values, rounded
from optimcifar.report.charts.value_axis import ValueAxis
from optimcifar.report.sweep.charts.axes import Metric, value_axis, y_channel
from optimcifar.report.sweep.results import Sweep, Tried

# The rows of marks above a picture: how many pixels above its upper edge, and the shape of their marks.
_ROWS = {"best": (-10, "triangle-down"), "own": (-26, "diamond")}

# Marks of several configurations that are closer than this share of the axis are moved this many pixels apart.
_CLOSE, _APART = 0.025, 10

# Beyond this share of the axis, the words beside a mark stand on its left.
_ON_THE_LEFT = 0.6


def over_values(style: Style, sweep: Sweep, metric: Metric) -> Figure | None:
    """Return a metric over the values of a sweep's only hyperparameter; None if no run has it."""
    (key,) = sweep.design.keys
    axis = value_axis(sweep, key)
    runs, means, marks = _runs(sweep, key, axis, metric), _means(sweep, key, axis, metric), _marks(sweep, key, axis)
    if not runs:
        return None
    intervals = [row[end] for row in means for end in ("low", "high") if row[end] is not None]
    y = y_channel("y", metric.title, metric, [row["y"] for row in runs], intervals)
    means_layers = _lines(style, axis, metric) if axis.is_numeric else _bars(style, axis, metric)
    layers = [*_rules(style, axis), *means_layers, *_dots(style, axis, metric, y), *_mark_layers(style, axis, marks)]
    data = {f"{metric.name}_runs": runs, f"{metric.name}_means": means, "marks": marks}
    title = f"{metric.title.capitalize()} over {axis.title}"
    return Figure(
        f"{metric.name}_over_{axis.title}", title, _notes(axis, metric, runs), {"": style.finish(layers)}, data
    )


def _notes(axis: ValueAxis, metric: Metric, runs: Values) -> list[str]:
    drawn = "line" if axis.is_numeric else "bar"
    notes = [
        f"A dot per seed; {drawn}: mean, shaded: its 95 % interval.",
        "Above: the file's own value, and the best by mean accuracy.",
    ]
    return (
        [*notes, f"{DIVERGED}: diverged or at chance; {metric.note}."] if any(r["collapsed"] for r in runs) else notes
    )


def _runs(sweep: Sweep, key: str, axis: ValueAxis, metric: Metric) -> Values:
    return [
        {
            **_place(tried, key, axis),
            "seed": seed,
            "y": rounded(value),
            "collapsed": tried.analysis.is_collapsed(run),
        }
        for response in sweep.responses
        for tried in response.points
        for seed, run in tried.ended.items()
        if math.isfinite(value := tried.value(run, metric.name))
    ]


def _means(sweep: Sweep, key: str, axis: ValueAxis, metric: Metric) -> Values:
    found = [(tried, tried.estimate(metric.name)) for response in sweep.responses for tried in response.points]
    return [
        {
            **_place(tried, key, axis),
            "seeds": own.n,
            "mean": rounded(own.mean),
            "low": rounded(own.low),
            "high": rounded(own.high),
        }
        for tried, own in found
        if math.isfinite(own.mean)
    ]


def _marks(sweep: Sweep, key: str, axis: ValueAxis) -> Values:
    """Return a row for the best and for the own value of each configuration, with words if there is only one."""
    rows: Values = []
    for row in _ROWS:
        found = [response.best if row == "best" else response.own for response in sweep.responses]
        points = [tried for tried in found if tried is not None]
        shares = [axis.share(tried.point.setting.get(key)) for tried in points]
        for tried, share, shift in zip(points, shares, _shifts(shares), strict=True):
            place = _place(tried, key, axis)
            words = place["setting"] if len(sweep.responses) == 1 else ""
            rows.append({**place, "row": row, "words": words, "left": share > _ON_THE_LEFT, "shift": shift})
    return rows


def _shifts(shares: Sequence[float]) -> list[float]:
    """Return by how many pixels to move marks so that none covers another."""
    near = [[number for number, other in enumerate(shares) if abs(other - share) < _CLOSE] for share in shares]
    return [_APART * (group.index(number) - (len(group) - 1) / 2) for number, group in enumerate(near)]


def _place(tried: Tried, key: str, axis: ValueAxis) -> dict[str, Any]:
    value = tried.point.setting.get(key)
    return {"configuration": tried.point.configuration, "value": axis.place(value), "setting": axis.label(value)}


def _base(style: Style, axis: ValueAxis, data: str) -> alt.Chart:
    """Return a chart of some rows; configurations are side by side on an axis of words."""
    base = style.base(data).encode(x=axis.x(), color=style.colour)
    if axis.is_numeric or len(style.looks) == 1:
        return base
    return base.encode(xOffset=alt.XOffset("configuration:N", sort=None, scale=alt.Scale(domain=list(style.looks))))


def _lines(style: Style, axis: ValueAxis, metric: Metric) -> list[alt.Chart]:
    base = _base(style, axis, f"{metric.name}_means")
    band = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.13)
    line = base.mark_line(strokeWidth=2.2).encode(y="mean:Q", strokeDash=style.dash)
    pointed_at = base.mark_point(opacity=0, size=150)
    pointed_at = pointed_at.encode(y="mean:Q", tooltip=_tooltip(axis, "mean", "low", "high", "seeds"))
    return [band.encode(y="low:Q", y2="high:Q"), line, pointed_at]


def _bars(style: Style, axis: ValueAxis, metric: Metric) -> list[alt.Chart]:
    base = _base(style, axis, f"{metric.name}_means")
    interval = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=14, opacity=0.18)
    mean = base.mark_tick(thickness=2.5, size=20, opacity=1, orient="horizontal")
    mean = mean.encode(y="mean:Q", tooltip=_tooltip(axis, "mean", "low", "high", "seeds"))
    return [interval.encode(y="low:Q", y2="high:Q"), mean]


def _dots(style: Style, axis: ValueAxis, metric: Metric, y: alt.Y) -> list[alt.Chart]:
    base = _base(style, axis, f"{metric.name}_runs").encode(y=y, tooltip=_tooltip(axis, "seed", "y"))
    finished = base.transform_filter("!datum.collapsed").mark_point(filled=True, size=26, opacity=0.6)
    collapsed = base.transform_filter("datum.collapsed").mark_point(shape=CROSS, size=45, strokeWidth=1.8, opacity=1)
    return [finished.encode(shape=style.shape), collapsed]


def _rules(style: Style, axis: ValueAxis) -> list[alt.Chart]:
    """Return a line below each mark."""
    base = _base(style, axis, "marks")
    best = base.transform_filter("datum.row === 'best'").mark_rule(opacity=0.5)
    return [best, base.transform_filter("datum.row === 'own'").mark_rule(opacity=0.5, strokeDash=[3, 3])]


def _mark_layers(style: Style, axis: ValueAxis, marks: Values) -> list[alt.Chart]:
    """Return the rows above the picture: a mark for each configuration, and the row's name on the left."""
    layers = []
    for row, (above, shape) in _ROWS.items():
        y = alt.value(above)
        word = alt.Chart(alt.InlineData([{}])).mark_text(text=row, align="right", color="#444")
        base = _base(style, axis, "marks").transform_filter(alt.datum.row == row).encode(y=y)
        layers.append(word.encode(x=alt.value(-8), y=y))
        for shift in dict.fromkeys(mark["shift"] for mark in marks if mark["row"] == row):
            mark = base.transform_filter(alt.datum["shift"] == shift)
            mark = mark.mark_point(
                shape=shape, filled=True, size=60, opacity=1, xOffset=shift if axis.is_numeric else 0
            )
            layers.append(mark.encode(tooltip=_tooltip(axis)))
        words = base.encode(text="words:N", color=alt.value("#222"))
        layers.append(words.transform_filter("!datum.left").mark_text(align="left", dx=9))
        layers.append(words.transform_filter("datum.left").mark_text(align="right", dx=-9))
    return layers


def _tooltip(axis: ValueAxis, *fields: str) -> list[alt.Tooltip]:
    formats = {"seed": "d", "seeds": "d"}
    own = [alt.Tooltip("configuration:N"), alt.Tooltip("setting:N", title=axis.title)]
    return [*own, *(alt.Tooltip(f"{name}:Q", format=formats.get(name, ".4~g")) for name in fields)]
