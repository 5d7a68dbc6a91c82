"""The final accuracy of every run."""

from __future__ import annotations

import math

import altair as alt

from optimcifar.report.analysis import Analysis
from optimcifar.report.charts.style import CROSS, DIVERGED, Figure, Style, Values, rounded, tooltip
from optimcifar.report.sentences import MEASURES


def final_accuracy(style: Style, analysis: Analysis) -> Figure | None:
    """Return the final accuracy: a dot per run, means with intervals, a line through each seed; None without any."""
    runs, means = _runs(analysis), _means(analysis)
    if not runs:
        return None
    rows = [row.name for row in analysis.configurations]
    measure = MEASURES[analysis.measure]
    x = alt.X("value:Q", title=measure, scale=alt.Scale(zero=False), axis=alt.Axis(tickCount=8))
    base = style.base("final_runs").encode(x=x, y=style.rows(rows))
    # From row to row, though not in the order of the values.
    seeds = base.transform_filter("isValid(datum.seed)").mark_line(color="#bbb", strokeWidth=0.8)
    seeds = seeds.encode(detail="seed:N", order="position:Q")
    dots = base.encode(color=style.row_colour, tooltip=tooltip("configuration", "seed", "value"))
    finished = dots.transform_filter("!datum.diverged").mark_point(filled=True, size=45, opacity=0.9)
    layers = [seeds, *_mean_layers(style, rows), finished.encode(shape=style.row_shape)]
    notes = ["A dot per run; a thin line joins the runs of a seed; bar: mean, shaded: its 95 % interval."]
    if any(run["diverged"] for run in runs):
        diverged = dots.transform_filter("datum.diverged")
        layers.append(diverged.mark_point(shape=CROSS, size=50, strokeWidth=2, opacity=1))
        notes.append(f"{DIVERGED}: diverged; its last accuracy, or chance level.")
    chart = style.finish(layers, rows=rows)
    own = dict(zip(rows, rows, strict=True))
    data = {"final_runs": runs, "final_means": means}
    return Figure("final_accuracy", f"Final {measure}", notes, {"": chart}, data, needs_legend=False, rows=own)


def _runs(analysis: Analysis) -> Values:
    return [
        {
            "configuration": row.name,
            "row": row.name,
            "position": position,
            "seed": run.seed,
            "value": rounded(value),
            "diverged": run.status == "diverged",
        }
        for position, row in enumerate(analysis.configurations)
        for run in analysis.ended(row.name)
        if math.isfinite(value := analysis.measured(run))
    ]


def _means(analysis: Analysis) -> Values:
    found = [(row.name, row.metrics[analysis.measure]) for row in analysis.configurations]
    return [
        {
            "configuration": name,
            "row": name,
            "seeds": own.n,
            "mean": rounded(own.mean),
            "low": rounded(own.low),
            "high": rounded(own.high),
        }
        for name, own in found
        if math.isfinite(own.mean)
    ]


def _mean_layers(style: Style, rows: list[str]) -> list[alt.Chart]:
    base = style.base("final_means").encode(y=style.rows(rows), color=style.row_colour)
    interval = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=12, opacity=0.2)
    mean = base.mark_tick(thickness=2.5, size=16, opacity=1)
    mean = mean.encode(x="mean:Q", tooltip=tooltip("configuration", "mean", "low", "high", "seeds"))
    return [interval.encode(x="low:Q", x2="high:Q"), mean]
