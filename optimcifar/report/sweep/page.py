"""The page of a sweep."""

from __future__ import annotations

from optimcifar.report.cautions import cautions
from optimcifar.report.charts.gallery import chart_context
from optimcifar.report.charts.style import Style
from optimcifar.report.page import charts, heading, html_page, paragraphs, table
from optimcifar.report.sentences import circumstances
from optimcifar.report.sweep.charts.gallery import figures
from optimcifar.report.sweep.columns import sweep_columns
from optimcifar.report.sweep.results import Sweep, Tried
from optimcifar.report.sweep.sentences import answer, methods
from optimcifar.report.tables import Table
from optimcifar.statistics.estimates import LEVEL
from optimcifar.text import conjunction, count, percent


def sweep_page(sweep: Sweep) -> str:
    """Return the page as HTML."""
    style = Style(sweep.design.configurations, interactive=True)
    drawn = figures(sweep, style)
    parts = [
        paragraphs(answer(sweep), "answer"),
        paragraphs([circumstances(sweep.together)], "note"),
        charts(drawn, style.looks, chart_context(sweep.together)),
        *map(table, sweep_tables(sweep)),
        heading("Methods"),
        paragraphs([*methods(sweep), *cautions(sweep.together)]),
    ]
    over = conjunction(list(sweep.key_names.values()))
    title = f"{conjunction(sweep.design.configurations)} over {over}, {count(len(sweep.runs), 'run')}"
    return html_page(title, parts, drawn)


def sweep_tables(sweep: Sweep) -> list[Table[Tried]]:
    """Return a table for each configuration, with a row for each of its points."""
    note = f"Means ± half of their {percent(LEVEL)} intervals over seeds."
    return [
        Table(f"points-{number}", response.name, sweep_columns(sweep, response), response.points, note)
        for number, response in enumerate(sweep.responses)
    ]
