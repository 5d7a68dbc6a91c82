"""The files of a report: tables as CSV and Markdown, pictures, and a page with all of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import altair as alt
import vl_convert

from optimcifar.report.analysis import Analysis
from optimcifar.report.cautions import cautions
from optimcifar.report.charts.gallery import draw_charts
from optimcifar.report.charts.style import VEGA_LITE
from optimcifar.report.columns import cost_columns, metric_columns, verdict_columns
from optimcifar.report.comparison_page import comparison_page
from optimcifar.report.records import configuration_records, run_records, to_csv
from optimcifar.report.sentences import answer, circumstances, methods
from optimcifar.report.tables import markdown_table
from optimcifar.runs.atomic import write_atomically
from optimcifar.statistics.estimates import LEVEL
from optimcifar.text import percent


def write_report(analysis: Analysis, out: Path) -> None:
    """Write ``results.csv``, ``summary.csv``, ``summary.md``, the pictures and ``report.html``.

    Args:
        analysis: what the runs show.
        out: the folder; it is created if it does not exist.
    """
    write_atomically(out / "results.csv", to_csv(run_records(analysis)))
    write_atomically(out / "summary.csv", to_csv(configuration_records(analysis)))
    write_atomically(out / "summary.md", _markdown(analysis))
    write_charts(draw_charts(analysis), out)
    write_atomically(out / "report.html", comparison_page(analysis))


def write_charts(charts: Mapping[str, alt.LayerChart | alt.ConcatChart], out: Path) -> None:
    """Write each chart as SVG and as PNG.

    Args:
        charts: the charts by the names of their files.
        out: the folder; it is created if it does not exist.
    """
    for name, chart in charts.items():
        svg = vl_convert.vegalite_to_svg(chart.to_dict(), vl_version=VEGA_LITE)
        write_atomically(out / f"{name}.svg", svg)
        write_atomically(out / f"{name}.png", vl_convert.svg_to_png(svg, scale=2))


def _markdown(analysis: Analysis) -> str:
    lines = [*answer(analysis), "", *configurations_as_markdown(analysis), ""]
    return "\n".join([*lines, *methods(analysis), *cautions(analysis)]).lstrip() + "\n"


def configurations_as_markdown(analysis: Analysis) -> list[str]:
    """Return the lines of a table of all figures, and of what they were measured on."""
    # The name once.
    shown = [*verdict_columns(analysis), *cost_columns(analysis)[1:], *metric_columns(analysis)[1:]]
    note = f"Means ± half of their {percent(LEVEL)} intervals over seeds. {circumstances(analysis)}."
    return [*markdown_table(shown, analysis.configurations), "", note]
