"""The parts of a report's page: one HTML file, which needs no network."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from html import escape
from importlib import resources
from typing import Any
from urllib.parse import quote

import vl_convert

from optimcifar.report.charts.style import CONFIG, VEGA_LITE, Figure, Look
from optimcifar.report.tables import Column, Table

# The points of the legend, 28 by 12 pixels, by Vega's names.
_SHAPES = {"circle": "M10 6a4 4 0 1 0 8 0a4 4 0 1 0-8 0", "triangle-up": "M14 2l4.5 8h-9z", "square": "M10 2h8v8h-8z"}


def html_page(title: str, parts: Sequence[str], drawn: Sequence[Figure]) -> str:
    """Return a page as HTML.

    Args:
        title: its title and first heading.
        parts: what follows, as HTML: see ``paragraphs``, ``table`` and ``charts``.
        drawn: the figures of its charts.
    """
    lines = "\n".join(filter(None, parts))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>optimcifar: {escape(title)}</title>
<style>
{_asset("page.css")}</style>
</head>
<body>
<h1>{escape(title)}</h1>
{lines}
<script type="application/json" id="data">{_data(drawn)}</script>
<script>{vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;", vl_version=VEGA_LITE)}</script>
<script>
{_asset("page.js")}</script>
</body>
</html>
"""


def heading(title: str) -> str:
    """Return the heading of a section."""
    return f"<h2>{escape(title)}</h2>"


def paragraphs(lines: Sequence[str], style: str = "") -> str:
    """Return a paragraph for each line.

    Args:
        lines: the lines.
        style: their class in ``page.css``.
    """
    opening = f'<p class="{style}">' if style else "<p>"
    return "\n".join(f"{opening}{escape(line)}</p>" for line in lines)


def link(text: str, target: str) -> str:
    """Return a paragraph with a link to a file beside the page."""
    return f'<p><a href="{quote(target)}">{escape(text)}</a></p>'


def table(shown: Table[Any]) -> str:
    """Return a table with its heading, if it has a title, and its note; a click on a column's head sorts it."""
    heads = "".join(
        f'<th scope="col"{_class(column)}><button type="button">{_breakable(column.title)}</button></th>'
        for column in shown.columns
    )
    rows = "\n".join(
        f"<tr>{''.join(_cell(column, row, column is shown.columns[0]) for column in shown.columns)}</tr>"
        for row in shown.rows
    )
    sorting = '<span class="sorting">A click on a column\'s head sorts by it.</span>'
    note = f'\n<p class="note">{escape(shown.note)}\n{sorting}</p>' if shown.note else ""
    return f"""{heading(shown.title) if shown.title else ""}
<div class="table" tabindex="0" role="region" aria-label="{shown.name}"><table id="{shown.name}">
<thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>{note}"""


def charts(drawn: Sequence[Figure], looks: Mapping[str, Look], context: str) -> str:
    """Return the charts, with buttons that show and hide configurations in all of them.

    Args:
        drawn: the figures.
        looks: the looks of the configurations.
        context: what was measured, for every figure.
    """
    return f"""{heading("Charts")}
{_legend(looks)}
<div id="figures">
{"".join(_figure(figure, context) for figure in drawn)}</div>"""


def _asset(name: str) -> str:
    return resources.files("optimcifar.report").joinpath(name).read_text(encoding="utf-8")


def _class(column: Column[Any]) -> str:
    return ' class="verdict"' if column.colour else ""


def _cell(column: Column[Any], row: Any, is_name: bool) -> str:
    value, text = f' data-value="{_sortable(column.value(row))}"', column.text(row)
    if is_name:
        return f'<th scope="row"{value}>{_breakable(text)}</th>'
    # An interval stays in one line, as do a change and a number with its unit.
    shown = escape(re.sub(r" (?=[±→]|\S+\]|s$)|(?<=[±→]) ", "\N{NO-BREAK SPACE}", text))
    if column.colour and (colour := column.colour(row)):
        shown = f'<span style="color: {colour}">{shown}</span>'
    return f'<td{_class(column)}{value} data-label="{escape(column.title)}">{shown}</td>'


def _breakable(name: str) -> str:
    """Return a name that a narrow column may break after a dot, a dash and the like."""
    return "<wbr>".join(map(escape, re.split(r"(?<=[-_=/])(?=\w\w)|(?<=\.)(?=[^\W\d]{2})", name)))


def _sortable(value: Any) -> str:
    return "" if isinstance(value, float) and math.isnan(value) else escape(str(value))


def _legend(looks: Mapping[str, Look]) -> str:
    """Return the buttons that show and hide configurations in all charts; none where there is only one."""
    if len(looks) == 1:
        return ""
    buttons = "\n".join(
        f'<button type="button" aria-pressed="true" data-configuration="{escape(name)}" title="{escape(name)}">'
        f"{_swatch(look)}<span>{escape(name)}</span></button>"
        for name, look in looks.items()
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
    title, *notes = map(escape, [figure.title, figure.context or context, *figure.notes])
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


def _data(drawn: Sequence[Figure]) -> str:
    """Return the charts, and their data once, as JSON."""
    charts = [
        {"place": _place(figure, number), "spec": panel.to_dict(), "rows": list(figure.rows.items())}
        for figure in drawn
        for number, panel in enumerate(figure.panels.values())
    ]
    datasets = {name: rows for figure in drawn for name, rows in figure.data.items()}
    page = {"config": CONFIG, "charts": charts, "datasets": datasets}
    return json.dumps(page, separators=(",", ":")).replace("<", "\\u003c")
