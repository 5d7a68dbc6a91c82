"""The learning rates: a line for each course that they take."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence

import altair as alt

from optimcifar.report.analysis import Analysis
from optimcifar.report.charts.style import (
    HEIGHT,
    Figure,
    Look,
    Style,
    Values,
    epoch_axis,
    power_scale,
    tooltip,
)

Course = tuple[float, ...]

_SMALL = 90  # pixels; enough for rates that are all constant


def learning_rates(style: Style, analysis: Analysis) -> Figure | None:
    """Return the learning rates by epoch, one line for all configurations with equal rates; None without any."""
    rates = {name: course for name in analysis.names if (course := _rates(analysis, name))}
    if not rates:
        return None
    courses = _distinct(rates)
    key = {_label(names, course): style.looks[names[0]] for names, course in courses}
    values = [
        {"configuration": name, "line": label, "epoch": epoch, "rate": rate}
        for (names, _), label in zip(courses, key, strict=True)
        for name in names
        for epoch, rate in enumerate(rates[name], 1)
    ]
    constant = all(len(set(course)) == 1 for _, course in courses)
    chart = style.finish(_layers(style, values, key), _SMALL if constant else HEIGHT)
    notes = ["One line for all configurations with equal rates."] if len(courses) < len(rates) else []
    data = {"rates": values}
    return Figure("learning_rate", "Learning rate by epoch", notes, {"": chart}, data, needs_legend=False, key=key)


def _layers(style: Style, values: Values, key: Mapping[str, Look]) -> list[alt.Chart]:
    scale, axis = power_scale(value["rate"] for value in values)
    colour, dash, shape = style.channels("line", key, orient="bottom", direction="vertical")
    base = style.base("rates").encode(
        x=alt.X("epoch:Q", axis=epoch_axis(max(value["epoch"] for value in values)), scale=alt.Scale(zero=False)),
        y=alt.Y("rate:Q", title="learning rate", scale=scale, axis=axis),
        color=colour,
        detail="configuration:N",
    )
    line = base.mark_line(strokeWidth=2.2).encode(strokeDash=dash)
    points = base.mark_point(filled=True, size=28, opacity=1).encode(shape=shape)
    return [line, points.encode(tooltip=tooltip("line", "epoch", "rate"))]


def _rates(analysis: Analysis, name: str) -> Course:
    """Return the mean rate over the runs that are over, epoch by epoch; none where nothing was logged."""
    runs = analysis.ended(name)
    last = max((len(run.rows) for run in runs), default=0)
    found = (statistics.fmean(run.rows[epoch]["lr"] for run in runs if len(run.rows) > epoch) for epoch in range(last))
    course = tuple(float(f"{rate:.6g}") for rate in found)
    return course if all(map(math.isfinite, course)) else ()


def _distinct(rates: dict[str, Course]) -> list[tuple[list[str], Course]]:
    """Return the configurations with equal rates together. Constant ones are equal however long they are."""
    together: dict[Course, list[str]] = {}
    for name, course in rates.items():
        together.setdefault(course[:1] if len(set(course)) == 1 else course, []).append(name)
    return [(names, course) for course, names in together.items()]


def _label(names: Sequence[str], course: Course) -> str:
    constant = f" (constant {course[0]:g})" if len(set(course)) == 1 else ""
    return f"{', '.join(names)}{constant}"
