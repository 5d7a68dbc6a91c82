"""Forest plots: paired differences with their intervals, a row for each."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import altair as alt

from optimcifar.report.analysis import Analysis
from optimcifar.report.charts.style import Figure, Style, Values, rounded, tooltip
from optimcifar.report.sentences import MEASURES
from optimcifar.runs.folder import AVERAGES
from optimcifar.statistics.verdicts import BETTER, WORSE, Difference

#: The colours of verdicts, none of which is a configuration's.
VERDICT_COLOURS = {BETTER: "#1a7f37", WORSE: "#b3261e"}
UNDECIDED_COLOUR = "#6b6b6b"

_SIGNED = alt.Axis(format="+~g", labelExpr="datum.value === 0 ? '0' : datum.label", tickCount=8)

# Pixels from the middle of a row to its interval, above, and to the dots of its seeds, below.
_UP, _DOWN = -4, 6

# At the end of an interval that is cut.
_ARROW: dict[str, Any] = {"filled": True, "size": 70, "opacity": 1, "yOffset": _UP}


@dataclass(frozen=True)
class Row:
    """A row of a forest plot.

    Attributes:
        name: its name, unique in the plot.
        configuration: the configuration whose look its dots have.
        difference: the difference from what it is compared with.
        seeds: the differences of the seeds, by seed.
    """

    name: str
    configuration: str
    difference: Difference
    seeds: dict[int, float]


def differences(style: Style, analysis: Analysis) -> Figure | None:
    """Return the differences from the baseline; None where nothing was compared."""
    baseline, rows = analysis.values(analysis.baseline), []
    for found in analysis.differences:
        name = found.configuration
        rows.append(Row(name, name, found, paired(analysis.values(name), baseline, found)))
    title = f"{MEASURES[analysis.measure].capitalize()}: difference from {analysis.baseline}"
    notes = ["Mean and interval of the paired differences, at the level of its step; a dot per seed."]
    if math.isfinite(band := analysis.smallest_difference):
        notes += [f"Grey: true differences below {band:.3f} could not have been shown reliably (power under 80 %)."]
    return forest("differences", title, notes, style, rows, band)


def averages(style: Style, analysis: Analysis) -> Figure | None:
    """Return the differences of averaged weights from the final weights of the same runs; None without averages."""
    rows = []
    for average in AVERAGES:
        for name in (name for name, own in analysis.averaged if own == average):
            found = analysis.gains[name, average]
            seeds = paired(analysis.values(name, average), analysis.values(name), found)
            rows.append(Row(f"{average} of {name}", name, found, seeds))
    title = f"{MEASURES[analysis.measure].capitalize()} of averages: difference from the final weights"
    notes = ["swa: equal weights, ema: exponential. Mean and interval of the paired differences; a dot per seed."]
    return forest("averages", title, notes, style, rows)


def paired(first: Mapping[int, float], second: Mapping[int, float], found: Difference) -> dict[int, float]:
    """Return the differences of the seeds that a verdict is over."""
    # A verdict of an early stage is over its own seeds, which are the first ones.
    seeds = sorted(first.keys() & second.keys())[: found.n]
    return {seed: first[seed] - second[seed] for seed in seeds}


def forest(
    name: str, title: str, notes: list[str], style: Style, rows: list[Row], band: float = math.nan
) -> Figure | None:
    """Return a forest plot; None where no difference has a mean.

    Args:
        name: the name of its files.
        title: what is drawn.
        notes: sentences that say how to read it.
        style: the looks of the configurations.
        rows: its rows, which are sorted by their means.
        band: shades differences that are smaller; NaN for none.
    """
    rows = sorted((row for row in rows if math.isfinite(row.difference.mean)), key=lambda row: -row.difference.mean)
    if not rows:
        return None
    names = [row.name for row in rows]
    layers = [
        *_background(band),
        *_intervals(style, name, names),
        _dots(style, name, names),
        # The words are the labels of an axis on the right, for which every layout leaves room.
        style.base(name).mark_point(opacity=0).encode(x=_x("mean"), y=style.rows(names, _verdict_axis(rows))),
    ]
    chart = style.finish(layers, rows=names).resolve_axis(y="independent")
    data = {name: _means(rows, *_ends(rows, band)), f"{name}_seeds": _seeds(rows)}
    own = {row.name: row.configuration for row in rows}
    return Figure(name, title, notes, {"": chart}, data, rows=own)


def _x(field: str) -> alt.X:
    return alt.X(f"{field}:Q", title="difference", scale=alt.Scale(nice=False, padding=10), axis=_SIGNED)


def _background(band: float) -> list[alt.Chart]:
    """Return the rule at zero, and behind it the band of differences that could not have been shown."""
    zero = alt.Chart(alt.InlineData([{"zero": 0}])).mark_rule(color="#888", strokeDash=[3, 3]).encode(x=_x("zero"))
    if not math.isfinite(band):
        return [zero]
    shaded = alt.Chart(alt.InlineData([{"low": -band, "high": band}])).mark_rect(color="#888", opacity=0.16)
    return [shaded.encode(x=_x("low"), x2="high:Q"), zero]


def _intervals(style: Style, name: str, names: list[str]) -> list[alt.Chart]:
    """Return means and intervals in the colours of their verdicts, with an arrow where an interval goes on."""
    base = style.base(name).encode(y=style.rows(names, axis=None), color=alt.Color("colour:N", scale=None))
    interval = base.transform_filter("isValid(datum.low)").mark_rule(strokeWidth=2.5, opacity=1, yOffset=_UP)
    to_left = base.transform_filter("datum.low < datum.from").mark_point(shape="triangle-left", **_ARROW)
    to_right = base.transform_filter("datum.high > datum.to").mark_point(shape="triangle-right", **_ARROW)
    mean = base.mark_point(shape="diamond", filled=True, size=100, opacity=1, yOffset=_UP)
    shown = tooltip("row", "verdict", "mean", "low", "high", "seeds")
    return [
        interval.encode(x=_x("from"), x2="to:Q"),
        to_left.encode(x=_x("from")),
        to_right.encode(x=_x("to")),
        mean.encode(x=_x("mean"), y=style.rows(names), tooltip=shown),
    ]


def _dots(style: Style, name: str, names: list[str]) -> alt.Chart:
    """Return a dot for each seed."""
    dots: alt.Chart = style.base(f"{name}_seeds").mark_point(filled=True, size=24, opacity=0.8, yOffset=_DOWN)
    return dots.encode(
        x=_x("difference"),
        y=style.rows(names, axis=None),
        color=style.row_colour,
        shape=style.row_shape,
        tooltip=tooltip("row", "seed", "difference"),
    )


def _ends(rows: list[Row], band: float) -> tuple[float, float]:
    """Return where intervals are cut, which would else squeeze all that is measured."""
    points = [0.0, *(row.difference.mean for row in rows), *(value for row in rows for value in row.seeds.values())]
    points += [-band, band] if math.isfinite(band) else []
    room = max(points) - min(points)
    return min(points) - room, max(points) + room


def _verdict_axis(rows: list[Row]) -> alt.Axis:
    """Return an axis whose labels are the verdicts in their colours."""
    verdicts = [(row.name, row.difference.verdict) for row in rows]
    words = json.dumps({name: verdict.partition(":")[0] for name, verdict in verdicts})
    colours = json.dumps({name: verdict_colour(verdict) for name, verdict in verdicts})
    conditions = [
        {"test": f"{colours}[datum.label] === '{colour}'", "value": colour} for colour in VERDICT_COLOURS.values()
    ]
    colour = {"condition": conditions, "value": UNDECIDED_COLOUR}
    return alt.Axis(orient="right", ticks=False, domain=False, labelExpr=f"{words}[datum.label]", labelColor=colour)


def verdict_colour(verdict: str) -> str:
    """Return the colour of a verdict."""
    return VERDICT_COLOURS.get(verdict, UNDECIDED_COLOUR)


def _means(rows: list[Row], lowest: float, highest: float) -> Values:
    """Return a row for each difference; its interval is drawn from ``from`` to ``to``."""
    return [
        {
            "configuration": row.configuration,
            "row": row.name,
            "verdict": row.difference.verdict,
            "colour": verdict_colour(row.difference.verdict),
            "seeds": row.difference.n,
            "mean": rounded(row.difference.mean),
            "low": rounded(row.difference.low),
            "high": rounded(row.difference.high),
            # Not a number where there is no interval.
            "from": rounded(max(row.difference.low, lowest)),
            "to": rounded(min(row.difference.high, highest)),
        }
        for row in rows
    ]


def _seeds(rows: list[Row]) -> Values:
    return [
        {"configuration": row.configuration, "row": row.name, "seed": seed, "difference": rounded(difference)}
        for row in rows
        for seed, difference in row.seeds.items()
    ]
