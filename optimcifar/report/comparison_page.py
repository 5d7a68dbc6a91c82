"""The page of a comparison."""

from __future__ import annotations

from optimcifar.report.analysis import Analysis, Configuration
from optimcifar.report.cautions import cautions
from optimcifar.report.charts.gallery import chart_context, figures
from optimcifar.report.charts.style import Style
from optimcifar.report.columns import cost_columns, metric_columns, verdict_columns
from optimcifar.report.page import charts, heading, html_page, paragraphs, table
from optimcifar.report.sentences import answer, circumstances, methods
from optimcifar.report.tables import Table
from optimcifar.statistics.estimates import LEVEL
from optimcifar.text import count, percent


def comparison_page(analysis: Analysis) -> str:
    """Return the page as HTML."""
    style = Style(analysis.names, interactive=True)
    drawn = figures(analysis, style)
    parts = [
        paragraphs(answer(analysis), "answer"),
        paragraphs([circumstances(analysis)], "note"),
        *map(table, comparison_tables(analysis)),
        heading("Methods"),
        paragraphs([*methods(analysis), *cautions(analysis)]),
        charts(drawn, style.looks, chart_context(analysis)),
    ]
    numbers = f"{count(len(analysis.names), 'configuration')}, {count(len(analysis.runs), 'run')}"
    return html_page(numbers, parts, drawn)


def comparison_tables(analysis: Analysis) -> list[Table[Configuration]]:
    """Return the tables of a comparison: verdicts, costs and settings, and other metrics if there are any."""
    rows, metrics = analysis.configurations, metric_columns(analysis)
    note = f"Means ± half of their {percent(LEVEL)} intervals over seeds."
    tables = [
        Table("verdicts", "Verdicts", verdict_columns(analysis), rows, note),
        Table("costs", "Costs and settings", cost_columns(analysis), rows),
    ]
    return [*tables, Table("metrics", "Other metrics", metrics, rows)] if len(metrics) > 1 else tables
