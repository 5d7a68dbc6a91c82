"""Curves over epochs, coloured by value."""

from __future__ import annotations

import altair as alt

from optimcifar.report.charts.courses import Courses
from optimcifar.report.charts.style import HEIGHT, Figure, Style, Values, epoch_axis
from optimcifar.report.charts.value_axis import ValueAxis
from optimcifar.report.sweep.charts.axes import METRICS, value_axis, y_channel
from optimcifar.report.sweep.results import Response, Sweep, Tried

_TITLES = {"val_acc": "validation accuracy", "train_loss": "train loss"}


def value_curves(style: Style, sweep: Sweep) -> list[Figure]:
    """Return accuracy and loss over epochs, means over seeds; a panel for each configuration.

    With two hyperparameters, that with more values has the colours, and each value of the other one has panels.
    """
    coloured, *others = sorted(sweep.design.keys, key=lambda key: -len(sweep.values[key]))
    axis = value_axis(sweep, coloured)
    rows = [row for response in sweep.responses for row in _rows(sweep, response, axis, coloured, others)]
    # All of them share their data, so that a page has it once.
    return [_figure(style, axis, rows, name) for name in _TITLES if any(row[name] is not None for row in rows)]


def _rows(sweep: Sweep, response: Response, axis: ValueAxis, coloured: str, others: list[str]) -> Values:
    """Return a row for each epoch of each point: means over seeds."""
    points = {tried.point.entry: tried for tried in response.points}
    rows: Values = []
    for row in Courses(response.analysis).means(list(_TITLES)):
        tried = points[row.pop("configuration")]
        value = tried.point.setting.get(coloured)
        rows.append(
            {
                "configuration": response.name,
                "panel": _panel_name(sweep, tried, others),
                "value": axis.place(value),
                "setting": axis.label(value),
                "best": tried.is_best,
                "own": tried.point.is_own,
                **row,
            }
        )
    return rows


def _panel_name(sweep: Sweep, tried: Tried, others: list[str]) -> str:
    name = [tried.point.configuration] if len(sweep.responses) > 1 else []
    values = (f"{sweep.names[key]} {value_axis(sweep, key).label(tried.point.setting.get(key))}" for key in others)
    return ", ".join([*name, *values])


def _figure(style: Style, axis: ValueAxis, rows: Values, name: str) -> Figure:
    drawn = [row for row in rows if row[name] is not None]
    names = dict.fromkeys(row["panel"] for row in drawn)
    panels = {panel: _panel(style, axis, drawn, name, panel) for panel in names}
    notes = [f"Mean over seeds. Thick: the best {axis.title}; dashed: the file's own."]
    return Figure(f"{name}_by_epoch", f"{_TITLES[name].capitalize()} by epoch", notes, panels, {"curves": rows})


def _panel(style: Style, axis: ValueAxis, rows: Values, name: str, panel: str) -> alt.LayerChart:
    metric = next(metric for metric in METRICS if metric.name == name)
    here = style.base("curves").transform_filter(alt.datum.panel == panel).transform_filter(f"isValid(datum.{name})")
    base = here.encode(
        x=alt.X("epoch:Q", axis=epoch_axis(max(row["epoch"] for row in rows)), scale=alt.Scale(zero=False)),
        y=y_channel(name, _TITLES[name], metric, [row[name] for row in rows]),
        color=axis.colour(),
        detail="setting:N",
    )
    line = base.mark_line().encode(
        strokeWidth=alt.condition("datum.best", alt.value(4), alt.value(1.8)),
        strokeDash=alt.condition("datum.own", alt.value([5, 3]), alt.value([1, 0])),
    )
    shown = [alt.Tooltip("setting:N", title=axis.title), alt.Tooltip("epoch:Q"), alt.Tooltip(f"{name}:Q"), "seeds:Q"]
    # A single epoch has no line.
    points = base.mark_point(filled=True, size=16, opacity=1).encode(tooltip=shown)
    return style.finish([line, points], HEIGHT)
