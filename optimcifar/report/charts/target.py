"""The share of seeds that reached the target accuracy."""

from __future__ import annotations

import math
from bisect import bisect_right
from typing import Literal

import altair as alt

from optimcifar.report.analysis import Analysis
from optimcifar.report.charts.courses import Course, Courses
from optimcifar.report.charts.shares import SIDE_BY_SIDE, drawn_share, share_curves
from optimcifar.report.charts.style import Figure, Style, Values, epoch_axis, tooltip
from optimcifar.runs.results import TimeToTarget

Over = Literal["epoch", "step", "seconds"]

_TITLES: dict[Over, str] = {"epoch": "epoch", "step": "optimizer step", "seconds": "seconds of training"}


def shares_reached(style: Style, analysis: Analysis, courses: Courses) -> list[Figure]:
    """Return the share of all seeds that reached the target, by epoch and by seconds; none if no run did.

    By step instead of by epoch, if a run has validations within epochs. Runs that diverged or never reached the target
    stay among all.
    """
    reached = any(row.target.reached for row in analysis.configurations if row.target)
    if analysis.target_acc is None or not reached:
        return []
    over: tuple[Over, ...] = ("step" if analysis.validates_within_epochs else "epoch", "seconds")
    return [_share_reached(style, analysis.target_acc, courses, each) for each in over]


def _share_reached(style: Style, target: float, courses: Courses, over: Over) -> Figure:
    name, values = f"target_by_{over}", _shares(courses, target, over)
    x_axis = epoch_axis(int(max(value[over] for value in values)), first=0) if over == "epoch" else alt.Axis()
    x = alt.X(f"{over}:Q", title=_TITLES[over], axis=x_axis)
    chart = share_curves(style, name, x, "seeds", tooltip("configuration", over, "reached"))
    title = f"Seeds that reached a validation accuracy of {target:g}, by {over}"
    notes = [f"Of all seeds; those that diverged or never reached it stay below. {SIDE_BY_SIDE}"]
    return Figure(name, title, notes, {"": chart}, {name: values})


def _shares(courses: Courses, target: float, over: Over) -> Values:
    values: Values = []
    for number, (name, own) in enumerate(courses.by_name.items()):
        ended = [(course, _time(course.run.to_target(target), over)) for course in own]
        known = [(_length(course, over), time) for course, time in ended if not math.isnan(time)]
        if not known:
            continue
        times = sorted(time for _, time in known if math.isfinite(time))
        # After the last of equal times.
        steps = [(0.0, 0, False), *((time, bisect_right(times, time), True) for time in dict.fromkeys(times))]
        steps.append((max(length for length, _ in known), len(times), False))
        for at, n, event in steps:
            share = n / len(known)
            row = {"configuration": name, over: round(at, 2), "reached": f"{n} of {len(known)}", "event": event}
            values.append({**row, "share": round(share, 4), "drawn": drawn_share(share, number, len(courses.by_name))})
    return values


def _time(found: TimeToTarget, over: Over) -> float:
    return {"epoch": found.epochs, "step": found.steps, "seconds": found.seconds}[over]


def _length(course: Course, over: Over) -> float:
    """Return how long a run was; one that diverged goes on with the others."""
    if over == "epoch":
        return float(len(course.seconds))
    return (course.steps if over == "step" else course.seconds)[-1]
