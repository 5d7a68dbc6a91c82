"""All pictures of a sweep: for files and for the page."""

from __future__ import annotations

import altair as alt

from optimcifar.report.charts.gallery import chart_context, with_words
from optimcifar.report.charts.style import Figure, Style
from optimcifar.report.sweep.charts.axes import METRICS
from optimcifar.report.sweep.charts.heat_map import heat_map
from optimcifar.report.sweep.charts.over_values import over_values
from optimcifar.report.sweep.charts.value_curves import value_curves
from optimcifar.report.sweep.results import Sweep


def figures(sweep: Sweep, style: Style) -> list[Figure]:
    """Return the pictures that have anything to draw, final accuracy first."""
    draw = over_values if len(sweep.design.keys) == 1 else heat_map
    drawn = [draw(style, sweep, metric) for metric in METRICS]
    return [*(figure for figure in drawn if figure is not None), *value_curves(style, sweep)]


def draw_charts(sweep: Sweep) -> dict[str, alt.LayerChart | alt.ConcatChart]:
    """Return the charts by name, each with its title, what it was measured on, and a legend."""
    style, context = Style(sweep.design.configurations), chart_context(sweep.together)
    return {figure.name: with_words(figure, context) for figure in figures(sweep, style)}
