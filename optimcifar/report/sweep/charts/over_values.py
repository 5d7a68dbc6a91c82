"""Metrics over the values of one hyperparameter: a dot per seed, means with intervals, own and best value."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence

import altair as alt

from optimcifar.report.charts.style import CROSS, DIVERGED, Figure, Style, Values, rounded
from optimcifar.report.sweep.charts.axes import Metric, ValueAxis, y_channel
from optimcifar.report.sweep.results import Sweep, Tried

# The rows of marks above a picture: how many pixels above its upper edge, and the shape of their marks.
_ROWS = {"best": (-10, "triangle-down"), "own": (-26, "diamond")}

# Marks of several configurations at one value stand side by side, so many pixels apart.
_APART = 9

# The words beside a mark stand on its left from this share of the axis on.
_ON_THE_LEFT = 0.6


def over_values(style: Style, sweep: Sweep, metric: Metric) -> Figure | None:
    """Return a metric over the values of a sweep's only hyperparameter; None if no run has it."""
    (key,) = sweep.design.keys
    axis = ValueAxis(sweep, key)
    runs, means, marks = _runs(sweep, key, axis, metric), _means(sweep, key, axis, metric), _marks(sweep, key, axis)
    if not runs:
        return None
    shown = [row[name] for row in (*runs, *means) for name in ("y", "mean", "low", "high") if row.get(name) is not None]
    names, y = list(style.looks), y_channel("y", metric, shown)
    lines = _lines(style, axis, metric, names) if axis.is_numeric else _bars(style, axis, metric, names)
    layers = [*_rules(style, axis, names), *lines, *_dots(style, axis, metric, names, y), *_mark_layers(style, axis, names)]
    data = {f"{metric.name}_runs": runs, f"{metric.name}_means": means, "marks": marks}
    title = f"{metric.title.capitalize()} over {axis.title}"
    return Figure(f"{metric.name}_over_{axis.title}", title, _notes(axis, metric, runs), {"": style.finish(layers)}, data)


def _notes(axis: ValueAxis, metric: Metric, runs: Values) -> list[str]:
    means = "line: mean, shaded: its 95 % interval" if axis.is_numeric else "bar: mean, shaded: its 95 % interval"
    notes = [f"A dot per seed; {means}. Above: the value with the highest mean accuracy, and the file's own."]
    return [*notes, f"{DIVERGED}: diverged or at chance; {metric.note}."] if any(r["collapsed"] for r in runs) else notes


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
    points = [
        (tried, row)
        for response in sweep.responses
        for tried, row in ((response.best, "best"), (response.own, "own"))
        if tried is not None
    ]
    words = len(sweep.responses) == 1
    return [
        {
            **(place := _place(tried, key, axis)),
            "row": row,
            "words": place["setting"] if words else "",
            "left": axis.share(tried.point.setting.get(key)) > _ON_THE_LEFT,
        }
        for tried, row in points
    ]


def _place(tried: Tried, key: str, axis: ValueAxis) -> dict[str, object]:
    value = tried.point.setting.get(key)
    return {"configuration": tried.point.configuration, "value": axis.place(value), "setting": axis.label(value)}


def _base(style: Style, axis: ValueAxis, names: Sequence[str], data: str) -> alt.Chart:
    """Return a chart of some rows; configurations are side by side on an axis of words."""
    base = style.base(data).encode(x=axis.x(), color=style.colour)
    if axis.is_numeric or len(names) == 1:
        return base
    return base.encode(xOffset=alt.XOffset("configuration:N", sort=None, scale=alt.Scale(domain=list(names))))


def _lines(style: Style, axis: ValueAxis, metric: Metric, names: Sequence[str]) -> list[alt.Chart]:
    base = _base(style, axis, names, f"{metric.name}_means")
    band = base.transform_filter("isValid(datum.low)").mark_area(opacity=0.13)
    line = base.mark_line(strokeWidth=2.2).encode(y="mean:Q", strokeDash=style.dash)
    points = base.mark_point(filled=True, size=40, opacity=1)
    points = points.encode(y="mean:Q", shape=style.shape, tooltip=_tooltip(axis, "mean", "low", "high", "seeds"))
    return [band.encode(y="low:Q", y2="high:Q"), line, points]


def _bars(style: Style, axis: ValueAxis, metric: Metric, names: Sequence[str]) -> list[alt.Chart]:
    base = _base(style, axis, names, f"{metric.name}_means")
    interval = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=14, opacity=0.18)
    mean = base.mark_tick(thickness=2.5, size=20, opacity=1, orient="horizontal")
    mean = mean.encode(y="mean:Q", tooltip=_tooltip(axis, "mean", "low", "high", "seeds"))
    return [interval.encode(y="low:Q", y2="high:Q"), mean]


def _dots(style: Style, axis: ValueAxis, metric: Metric, names: Sequence[str], y: alt.Y) -> list[alt.Chart]:
    base = _base(style, axis, names, f"{metric.name}_runs").encode(y=y, tooltip=_tooltip(axis, "seed", "y"))
    finished = base.transform_filter("!datum.collapsed").mark_point(filled=True, size=16, opacity=0.7)
    collapsed = base.transform_filter("datum.collapsed").mark_point(shape=CROSS, size=45, strokeWidth=1.8, opacity=1)
    return [finished.encode(shape=style.shape), collapsed]


def _rules(style: Style, axis: ValueAxis, names: Sequence[str]) -> list[alt.Chart]:
    """Return a line below each mark."""
    base = _base(style, axis, names, "marks")
    best = base.transform_filter("datum.row === 'best'").mark_rule(opacity=0.5)
    return [best, base.transform_filter("datum.row === 'own'").mark_rule(opacity=0.5, strokeDash=[3, 3])]


def _mark_layers(style: Style, axis: ValueAxis, names: Sequence[str]) -> list[alt.Chart]:
    """Return the rows above the picture: a mark for each configuration, and the row's name on the left."""
    layers = []
    for row, (above, shape) in _ROWS.items():
        y = alt.value(above)
        word = alt.Chart(alt.InlineData([{}])).mark_text(text=row, align="right", color="#444")
        layers.append(word.encode(x=alt.value(-8), y=y))
        base = _base(style, axis, names, "marks").encode(y=y)
        for number, name in enumerate(names):
            own = base.transform_filter(f"datum.row === '{row}' && datum.configuration === {json.dumps(name)}")
            apart = _APART * (number - (len(names) - 1) / 2) if axis.is_numeric else 0
            mark = own.mark_point(shape=shape, filled=True, size=60, opacity=1, xOffset=apart)
            layers.append(mark.encode(tooltip=_tooltip(axis)))
        for align, test in (("left", "!datum.left"), ("right", "datum.left")):
            beside = base.transform_filter(f"datum.row === '{row}' && {test}")
            text = beside.mark_text(align=align, dx=9 if align == "left" else -9, baseline="middle")
            layers.append(text.encode(text="words:N", color=alt.value("#222")))
    return layers


def _tooltip(axis: ValueAxis, *fields: str) -> list[alt.Tooltip]:
    formats = {"seed": "d", "seeds": "d"}
    own = [alt.Tooltip("configuration:N"), alt.Tooltip("setting:N", title=axis.title)]
    return [*own, *(alt.Tooltip(f"{name}:Q", format=formats.get(name, ".4~g")) for name in fields)]
