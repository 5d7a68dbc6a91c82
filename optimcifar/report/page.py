"""The page of a comparison."""

from __future__ import annotations

import html
import json
import math
import warnings
from typing import Any

import altair as alt
import vl_convert

from optimcifar.report.analysis import Analysis
from optimcifar.report.cautions import cautions
from optimcifar.report.charts import Charts
from optimcifar.report.columns import columns
from optimcifar.report.sentences import answer, circumstances, methods
from optimcifar.statistics.estimates import LEVEL
from optimcifar.text import count

_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #222; max-width: 1280px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
.table, #charts { overflow-x: auto; }
table { border-collapse: collapse; white-space: nowrap; font-variant-numeric: tabular-nums; }
th, td { padding: .3em .8em .3em 0; border-bottom: 1px solid #ddd; text-align: right; }
th { cursor: pointer; vertical-align: bottom; } th:first-child, td:first-child { text-align: left; }
th[aria-sort=ascending]::after { content: " ▲"; } th[aria-sort=descending]::after { content: " ▼"; }
.note { color: #555; }
"""

_SORT = """
document.querySelectorAll("th").forEach((head, column) => head.addEventListener("click", () => {
  const down = head.getAttribute("aria-sort") === "ascending";
  document.querySelectorAll("th").forEach(other => other.removeAttribute("aria-sort"));
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const body = document.querySelector("tbody");
  const value = row => row.cells[column].dataset.value;
  const compare = (a, b) => isNaN(value(a)) || isNaN(value(b)) ? value(a).localeCompare(value(b)) : value(a) - value(b);
  [...body.rows].sort((a, b) => down ? compare(b, a) : compare(a, b)).forEach(row => body.append(row));
}));
"""


def comparison_page(analysis: Analysis) -> str:
    """Return the page as HTML: one file, which needs no network."""
    with warnings.catch_warnings():
        # One selection for all charts is intended.
        warnings.filterwarnings("ignore", "Automatically deduplicated selection parameter")
        charts = list(Charts(analysis, selection=True).all().values())
        pairs = [alt.hconcat(*charts[i : i + 2], spacing=40) for i in range(0, len(charts), 2)]
        page = alt.vconcat(*pairs, spacing=30).resolve_scale(color="shared", shape="shared", strokeDash="shared")
        spec = page.to_dict()
    data = json.dumps(spec).replace("<", "\\u003c")
    library = vl_convert.javascript_bundle(
        "window.vegaEmbed = vegaEmbed;", vl_version=".".join(alt.SCHEMA_VERSION[1:].split(".")[:2])
    )
    notes = "".join(f"<p>{html.escape(line)}</p>" for line in [*methods(analysis), *cautions(analysis)])
    answers = "".join(f"<p>{html.escape(line)}</p>" for line in answer(analysis))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>optimcifar: {html.escape(", ".join(analysis.names))}</title>
<style>{_STYLE}</style></head><body>
<h1>{count(len(analysis.names), "configuration")}, {count(len(analysis.runs), "run")}</h1>
{answers}
<p class="note">{html.escape(circumstances(analysis))}</p>
<div class="table">{_table(analysis)}</div>
<p class="note">Means ± half of their {LEVEL:.0%} intervals over seeds. Click a column's head to sort by it.</p>
{notes}
<h2>Pictures</h2>
<p class="note">Click a name in the legend to see that configuration alone; click others to switch them on and off;
click beside the names to see all. Hover for values. Bands and bars are {LEVEL:.0%} intervals over seeds, those of
differences corrected as described above.</p>
<div id="charts"></div>
<script>{library}</script>
<script>vegaEmbed("#charts", {data}, {{"actions": false, "renderer": "svg"}});{_SORT}</script>
</body></html>
"""


def _table(analysis: Analysis) -> str:
    shown = columns(analysis)
    head = "".join(f"<th>{html.escape(column.title)}</th>" for column in shown)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-value="{_sortable(column.value(row))}">{html.escape(column.text(row))}</td>' for column in shown
        )
        + "</tr>"
        for row in analysis.configurations
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _sortable(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "1e99"  # missing values sort last
    return html.escape(str(value))
