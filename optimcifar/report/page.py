"""The page of a comparison: one HTML file, which needs no network."""

from __future__ import annotations

import json
import math
import re
from html import escape
from importlib import resources
from typing import Any

import vl_convert

from optimcifar.report.analysis import Analysis, Configuration
from optimcifar.report.cautions import cautions
from optimcifar.report.charts.forest import verdict_colour
from optimcifar.report.charts.gallery import chart_context, figures
from optimcifar.report.charts.style import CONFIG, VEGA_LITE, Figure, Look, Style
from optimcifar.report.columns import VERDICT, Column, cost_columns, metric_columns, verdict_columns
from optimcifar.report.sentences import answer, circumstances, methods
from optimcifar.statistics.estimates import LEVEL
from optimcifar.text import count, percent

# The points of the legend, 28 by 12 pixels, by Vega's names.
_SHAPES = {"circle": "M10 6a4 4 0 1 0 8 0a4 4 0 1 0-8 0", "triangle-up": "M14 2l4.5 8h-9z", "square": "M10 2h8v8h-8z"}


def comparison_page(analysis: Analysis) -> str:
    """Return the page as HTML."""
    style = Style(analysis.names, interactive=True)
    drawn = figures(analysis, style)
    numbers = f"{count(len(analysis.names), 'configuration')}, {count(len(analysis.runs), 'run')}"
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>optimcifar: {numbers}</title>
<style>
{_asset("page.css")}</style>
</head>
<body>
<h1>{numbers}</h1>
{_paragraphs(answer(analysis), "answer")}
{_paragraphs([circumstances(analysis)], "note")}
<h2>Verdicts</h2>
{_table("verdicts", verdict_columns(analysis), analysis)}
<p class="note">Means ± half of their {percent(LEVEL)} intervals over seeds. A click on a column's head sorts by it.</p>
<h2>Costs and settings</h2>
{_table("costs", cost_columns(analysis), analysis)}
{_metrics(analysis)}<h2>Methods</h2>
{_paragraphs([*methods(analysis), *cautions(analysis)], "")}
<h2>Charts</h2>
{_legend(style)}
<div id="figures">
{"".join(_figure(figure, chart_context(analysis)) for figure in drawn)}</div>
<script type="application/json" id="data">{_data(drawn)}</script>
<script>{vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)}</script>
<script>
{_asset("page.js")}</script>
</body>
</html>
"""


def _asset(name: str) -> str:
    return resources.files("optimcifar.report").joinpath(name).read_text(encoding="utf-8")


def _paragraphs(lines: list[str], style: str) -> str:
    opening = f'<p class="{style}">' if style else "<p>"
    return "\n".join(f"{opening}{escape(line)}</p>" for line in lines)


def _table(name: str, columns: list[Column], analysis: Analysis) -> str:
    heads = "".join(
        f'<th scope="col"{_class(column)}><button type="button">{_breakable(column.title)}</button></th>'
        for column in columns
    )
    rows = "\n".join(
        f"<tr>{''.join(_cell(column, row, column is columns[0]) for column in columns)}</tr>"
        for row in analysis.configurations
    )
    return f"""<div class="table" tabindex="0" role="region" aria-label="{name}"><table id="{name}">
<thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>"""


def _metrics(analysis: Analysis) -> str:
    shown = metric_columns(analysis)
    return f"<h2>Other metrics</h2>\n{_table('metrics', shown, analysis)}\n" if len(shown) > 1 else ""


def _class(column: Column) -> str:
    return ' class="verdict"' if column.title == VERDICT else ""


def _cell(column: Column, row: Configuration, is_name: bool) -> str:
    value, text = f' data-value="{_sortable(column.value(row))}"', column.text(row)
    if is_name:
        return f'<th scope="row"{value}>{_breakable(text)}</th>'
    # An interval stays in one line, and a number with its unit.
    shown = escape(re.sub(r" (?=±|\S+\]|s$)|(?<=±) ", "\N{NO-BREAK SPACE}", text))
    if column.title == VERDICT and row.difference:
        shown = f'<span style="color: {verdict_colour(row.difference.verdict)}">{shown}</span>'
    return f"<td{_class(column)}{value}>{shown}</td>"


def _breakable(name: str) -> str:
    """Return a name that a narrow column may break after a dot, a dash and the like."""
    return "<wbr>".join(map(escape, re.split(r"(?<=[-_=/])(?=\w\w)|(?<=\.)(?=[^\W\d]{2})", name)))


def _sortable(value: Any) -> str:
    return "" if isinstance(value, float) and math.isnan(value) else escape(str(value))


def _legend(style: Style) -> str:
    """Return the buttons that show and hide configurations in all charts; none where there is only one."""
    if len(style.looks) == 1:
        return ""
    buttons = "\n".join(
        f'<button type="button" aria-pressed="true" data-configuration="{escape(name)}" title="{escape(name)}">'
        f"{_swatch(look)}<span>{escape(name)}</span></button>"
        for name, look in style.looks.items()
    )
    return f"""<div id="legend" role="group" aria-label="Configurations in all charts">
<button type="button" data-all="true">all</button><button type="button" data-all="false">none</button>
{buttons}
</div>"""


def _swatch(look: Look) -> str:
    dash = " ".join(map(str, look.dash))
    return (
        f'<svg class="look" viewBox="0 0 28 12" aria-hidden="true" fill="{look.colour}" stroke="{look.colour}">'
        f'<path d="M0 6H28" stroke-width="2" stroke-dasharray="{dash}"/><path d="{_SHAPES[look.shape]}"/></svg>'
    )


def _figure(figure: Figure, context: str) -> str:
    title, *notes = map(escape, [figure.title, context, *figure.notes])
    key = "".join(f"<li>{_swatch(look)} {escape(name)}</li>" for name, look in figure.key.items())
    panels = "".join(_panel(figure, number, name) for number, name in enumerate(figure.panels))
    return f"""<figure{' class="wide"' if len(figure.panels) > 1 else ""}>
<figcaption><h3>{title}</h3>{"".join(f"<p>{note}</p>" for note in notes)}</figcaption>
<div class="panels">{panels}</div>{f"<ul>{key}</ul>" if key else ""}
</figure>
"""


def _panel(figure: Figure, number: int, name: str) -> str:
    head = f"<h4>{escape(name)}</h4>" if name else ""
    label = escape(f"{figure.title}: {name}" if name else figure.title)
    return f'<div>{head}<div class="chart" id="{_place(figure, number)}" role="img" aria-label="{label}"></div></div>'


def _place(figure: Figure, number: int) -> str:
    return f"{figure.name}-{number}"


def _data(drawn: list[Figure]) -> str:
    """Return the charts, and their data once, as JSON."""
    charts = [
        {"place": _place(figure, number), "spec": panel.to_dict(), "rows": list(figure.rows.items())}
        for figure in drawn
        for number, panel in enumerate(figure.panels.values())
    ]
    datasets = {name: rows for figure in drawn for name, rows in figure.data.items()}
    page = {"config": CONFIG, "charts": charts, "datasets": datasets}
    return json.dumps(page, separators=(",", ":")).replace("<", "\\u003c")
