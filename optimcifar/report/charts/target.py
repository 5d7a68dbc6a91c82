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

_OVER = {"epoch": "epoch", "seconds": "seconds of training"}


def share_reached(
    style: Style, analysis: Analysis, courses: Courses, over: Literal["epoch", "seconds"]
) -> Figure | None:
    """Return the share of all seeds that reached the target by an epoch or a time; None if none did, or no target.

    Runs that diverged, or never reached it, stay among all.
    """
    target = analysis.target_acc
    reached = {row.name: row.target.reached for row in analysis.configurations if row.target}
    if target is None or not any(reached.values()):
        return None
    name, values = f"target_by_{over}", _shares(courses, target, over)
    x_axis = epoch_axis(int(max(value[over] for value in values)), first=0) if over == "epoch" else alt.Axis()
    x = alt.X(f"{over}:Q", title=_OVER[over], axis=x_axis)
    chart = share_curves(style, name, x, "seeds", tooltip("configuration", over, "reached"))
    title = f"Seeds that reached a validation accuracy of {target:g}, by {over}"
    notes = [f"Of all seeds; those that diverged or never reached it stay below. {SIDE_BY_SIDE}"]
    return Figure(name, title, notes, {"": chart}, {name: values})


def _shares(courses: Courses, target: float, over: str) -> Values:
    values: Values = []
    for number, (name, own) in enumerate(courses.by_name.items()):
        ended = [(course, course.run.to_target(target)) for course in own]
        known = [
            (_length(course, over), found[over == "seconds"]) for course, found in ended if not math.isnan(found[0])
        ]
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


def _length(course: Course, over: str) -> float:
    """Return how long a run was, in epochs or seconds of training; one that diverged goes on with the others."""
    return course.seconds[-1] if over == "seconds" else float(len(course.seconds))
