"""The performance profile: the share of workloads on which a configuration is within a factor of the fastest."""

from __future__ import annotations

import math

import altair as alt

from optimcifar.report.charts.gallery import run_context, with_words
from optimcifar.report.charts.shares import SIDE_BY_SIDE, drawn_share, share_curves
from optimcifar.report.charts.style import Figure, Style, Values, tooltip
from optimcifar.report.workloads.results import UNIT, WorkloadResults
from optimcifar.statistics.performance_profile import share_within
from optimcifar.text import conjunction, count

_NAME = "profile"

# The axis of factors ends here, or beyond the last step of a curve.
_LEAST_END, _BEHIND = 2.0, 1.1


def performance_profile(style: Style, results: WorkloadResults) -> Figure | None:
    """Return the profile; None without a target, or if no configuration reached one."""
    finite = [time.ratio for time in results.times if math.isfinite(time.ratio)]
    if not finite:
        return None
    end = round(max(_LEAST_END, _BEHIND * max(finite)), 3)
    axis = alt.Axis(labelExpr="format(datum.value, '~g')", tickCount=6)
    scale = alt.Scale(type="log", domain=[1, end], nice=False, padding=4)
    x = alt.X("factor:Q", title="τ, times the fastest", scale=scale, axis=axis)
    chart = share_curves(style, _NAME, x, "workloads", tooltip("configuration", "factor", "within"))
    title = "Performance profile: share of workloads within a factor τ of the fastest to the target"
    targets = ", ".join(f"{name} {own.target_acc:g}" for name, own in results.comparisons.items())
    notes = [
        f"Targets: {targets}. Time: {UNIT} until half of the seeds had reached it. {SIDE_BY_SIDE}",
        "Times are comparable only if the runs of a workload were trained on the same device.",
    ]
    if results.unreached:
        notes.append(
            f"No configuration reached the target of these, which counts against all: {conjunction(results.unreached)}."
        )
    return Figure(_NAME, title, notes, {"": chart}, {_NAME: _steps(results, end)})


def profile_context(results: WorkloadResults) -> str:
    """Say in a line what was measured."""
    return run_context(results.runs, count(len(results.comparisons), "workload"))


def draw_profile(results: WorkloadResults) -> dict[str, alt.LayerChart | alt.ConcatChart]:
    """Return the chart by the name of its file, with a title and a legend; empty if there is no profile."""
    figure = performance_profile(Style(results.names), results)
    return {figure.name: with_words(figure, profile_context(results))} if figure else {}


def _steps(results: WorkloadResults, end: float) -> Values:
    values: Values = []
    for number, name in enumerate(results.names):
        ratios = results.ratios(name)
        rises = {ratio: True for ratio in sorted(ratios) if math.isfinite(ratio)}
        for factor, event in ({1.0: False} | rises | {end: False}).items():
            share = share_within(ratios, factor)
            within = f"{round(share * len(ratios))} of {count(len(ratios), 'workload')}"
            row = {"configuration": name, "factor": round(factor, 4), "within": within, "event": event}
            values.append({**row, "share": round(share, 4), "drawn": drawn_share(share, number, len(results.names))})
    return values
