"""The files of a comparison: tables as CSV and Markdown, pictures, and a page with all of it."""

from __future__ import annotations

import html
import json
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from optimcifar.report.analysis import Comparison, ConfigurationRow, to_csv, unequal_starts, without_courses
from optimcifar.report.charts import Charts
from optimcifar.report.configurations import short_value
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.folder import AVERAGES
from optimcifar.statistics.verdicts import (
    BETTER,
    FEWEST_SEEDS,
    LEVEL,
    NO_DIFFERENCE,
    WITHHELD,
    Difference,
    Estimate,
    Highest,
)
from optimcifar.text import count

_NAMES = {"val_acc": "validation accuracy", "test_acc": "test accuracy"}

# Tables for readers have at most so many hyperparameters; the CSV files have all.
_MOST_HYPERPARAMETERS = 4


def write_report(comparison: Comparison, out: Path) -> None:
    """Write ``results.csv``, ``summary.csv``, ``summary.md``, the pictures and ``report.html``.

    Args:
        comparison: the comparison.
        out: the folder; it is created if it does not exist.
    """
    runs = [row.cells(comparison.differing) for row in comparison.run_rows]
    write_atomically(out / "results.csv", to_csv(runs))
    write_atomically(out / "summary.csv", to_csv([row.cells(comparison.differing) for row in comparison.rows]))
    write_atomically(out / "summary.md", _markdown(comparison))
    for name, chart in Charts(comparison).all().items():
        for ending in ("svg", "png"):
            chart.save(str(out / f"{name}.{ending}"), scale_factor=2 if ending == "png" else 1)
    write_atomically(out / "report.html", _page(comparison))


def circumstances(comparison: Comparison) -> str:
    """Describe what the results were measured on, with, and over which seeds."""
    parts = []
    for text, key in (
        ("network", "net"),
        ("data", "dataset"),
        ("training images", "train_images"),
        ("device", "device"),
    ):
        found = list(dict.fromkeys(str(run.summary[key]) for run in comparison.runs if key in run.summary))
        parts += [f"{text} {' and '.join(found)}"] * bool(found)
    ended = [run for name in comparison.names for run in comparison.ended(name)]
    epochs = sorted({run.epochs for run in ended or comparison.runs})
    parts.append(f"{' or '.join(map(str, epochs))} epoch{'' if epochs == [1] else 's'}")
    found_versions = [run.summary["versions"] for run in comparison.runs if "versions" in run.summary]
    versions = found_versions[0] if found_versions else {}
    parts += [f"{name} {versions[name]}" for name in ("optimcifar", "torch", "lightning") if name in versions]
    if any(other != versions for other in found_versions):
        parts.append("and other versions in some runs")
    seeds = sorted({run.seed for run in comparison.runs if run.seed is not None})
    parts.append(f"seeds {', '.join(map(str, seeds)) or 'none'}")
    if unseeded := sum(run.seed is None for run in comparison.runs):
        parts.append(f"{count(unseeded, 'run')} without a seed, not paired")
    return "; ".join(parts)


def verdict_lines(comparison: Comparison) -> list[str]:
    """Say which configurations are better, how they were compared, and what to beware of."""
    lines = _comparison_lines(comparison) if len(comparison.names) > 1 else []
    if averages := len(comparison.averaged):
        lines.append(
            f"Averaged weights (swa: equal weights, ema: exponential) are compared with the final weights of the same "
            f"runs, in the same way, intervals at {_level(averages)}, corrected for {count(averages, 'comparison')}."
        )
    return lines + unequal_starts(comparison.runs) + without_courses(comparison.runs)


def _comparison_lines(comparison: Comparison) -> list[str]:
    others, name = len(comparison.names) - 1, _NAMES[comparison.measure]
    if not any(math.isfinite(value) for of in comparison.names for value in comparison.values(of).values()):
        return [f"Nothing is compared: no {name} was measured in a run that ended and has a seed."]
    fewest = min(len(comparison.values(of)) for of in comparison.names)
    lines = [f"Verdicts are withheld where there are fewer than {FEWEST_SEEDS} seeds."]
    if fewest >= FEWEST_SEEDS:
        lines = [_highest_line(comparison.highest)] if comparison.highest else []
    lines.append(
        f"The {name} of the final weights is compared with that of {comparison.baseline}, paired by seed: two-sided "
        f"paired t-test (scipy.stats.ttest_1samp of the differences), intervals of the differences at "
        f"{_level(others)}, corrected for {count(others, 'comparison')} (Bonferroni). Other intervals: {LEVEL:.0%}, "
        "Student's t over seeds."
    )
    return lines


def _highest_line(found: Highest) -> str:
    """Say which configuration has the highest mean, and which others it is not shown to exceed."""
    verdicts = found.verdicts.items()
    withheld = [f"{name} ({v.removeprefix(WITHHELD)})" for name, v in verdicts if v.startswith(WITHHELD)]
    clauses = {
        "not distinguishable from it": [name for name, verdict in verdicts if verdict == NO_DIFFERENCE],
        "better than it over the seeds that both have": [name for name, verdict in verdicts if verdict == BETTER],
        "not compared with it": withheld,
    }
    said = [f"{text}: {', '.join(names)}" for text, names in clauses.items() if names]
    if not said:
        return f"Highest, and different from all others: {found.name}."
    head = "Highest of those measured for every seed" if found.unranked else "Highest"
    return f"{head}: {'; '.join([found.name, *said])}."


@dataclass(frozen=True)
class Column:
    """A column of the tables for readers.

    Attributes:
        title: its head.
        value: returns the value to sort by.
        text: returns the text of a cell.
    """

    title: str
    value: Callable[[ConfigurationRow], Any]
    text: Callable[[ConfigurationRow], str]


def columns(comparison: Comparison) -> list[Column]:
    """Return the columns that have anything to show."""
    baseline, measure = comparison.baseline, comparison.measure.replace("_", " ")
    candidates = [
        Column("configuration", lambda row: row.name, lambda row: row.name),
        *(_hyperparameter(name) for name in _shown_hyperparameters(comparison)),
        Column("seeds", lambda row: row.seeds, lambda row: str(row.seeds)),
        Column("diverged", lambda row: row.diverged, lambda row: str(row.diverged or "")),
        Column("not finished", lambda row: row.not_finished, lambda row: str(row.not_finished or "")),
        _metric("val acc", "val_acc"),
        Column(f"Δ {measure} vs {baseline}", lambda row: row.difference.mean, _difference_text),
        Column("verdict", lambda row: row.verdict, lambda row: row.verdict),
        *(column for average in AVERAGES for column in _average_columns(average)),
        _cost("best epoch's val acc", "best_val_acc", ".3f"),
        _metric("test acc", "test_acc"),
        *(_metric(f"test acc, {average}", f"test_acc_{average}") for average in AVERAGES),
        _metric("train loss", "train_loss"),
        _cost("training s", "train_seconds", ".1f"),
        _cost("images/s", "images_per_second", ",.0f"),
        _cost("optimizer ms/step", "optimizer_step_ms", ".3f"),
        _cost("optimizer state, bytes", "optimizer_state_bytes", ",.0f"),
    ]
    if comparison.target_acc is not None:
        target = f"{comparison.target_acc:g}"
        candidates += [_target(f"epochs to {target}", 0, "g"), _target(f"seconds to {target}", 1, ".1f")]
    return [column for column in candidates if any(column.text(row) for row in comparison.rows)]


def _shown_hyperparameters(comparison: Comparison) -> list[str]:
    """Return the differing hyperparameters that every configuration has.

    Those that some lack follow from another one, such as the optimizer's class, and would fill the table with gaps.
    """
    known = [row.hyperparameters for row in comparison.rows if row.hyperparameters]
    shared = [name for name in comparison.differing if all(name in own for own in known)]
    return shared[:_MOST_HYPERPARAMETERS]


def _hyperparameter(name: str) -> Column:
    def value(row: ConfigurationRow) -> Any:
        found = row.hyperparameters.get(name)
        return "" if found is None else found

    return Column(name, value, lambda row: short_value(value(row)))


def _metric(title: str, name: str) -> Column:
    return Column(title, lambda row: row.metrics[name].mean, lambda row: _plus_minus(row.metrics[name]))


def _cost(title: str, name: str, form: str) -> Column:
    return Column(title, lambda row: row.costs[name], lambda row: _number(row.costs[name], form))


def _target(title: str, position: int, form: str) -> Column:
    def value(row: ConfigurationRow) -> float:
        return row.to_target[position] if row.to_target else math.nan

    return Column(title, value, lambda row: _number(value(row), form))


def _average_columns(average: str) -> list[Column]:
    def gain(row: ConfigurationRow) -> float:
        return row.gains[average].mean if average in row.gains else math.nan

    def text(row: ConfigurationRow) -> str:
        found = row.gains.get(average)
        return f"{interval} {found.verdict}" if found and (interval := _signed_interval(found)) else ""

    return [
        _metric(f"val acc, {average}", f"val_acc_{average}"),
        Column(f"Δ {average} vs final weights", gain, text),
    ]


def _difference_text(row: ConfigurationRow) -> str:
    return "" if row.verdict == "baseline" else _signed_interval(row.difference)


def _plus_minus(value: Estimate) -> str:
    if not math.isfinite(value.mean):
        return "" if math.isnan(value.mean) else "infinite"
    half = f" ± {(value.high - value.low) / 2:.3f}" if math.isfinite(value.low) else ""
    return f"{value.mean:.3f}{half}"


def _number(value: float, form: str) -> str:
    if math.isnan(value):
        return ""
    return "never" if math.isinf(value) else format(value, form)


def _signed_interval(value: Difference) -> str:
    if math.isnan(value.mean):
        return ""
    interval = f" [{value.low:+.3f}, {value.high:+.3f}]" if math.isfinite(value.low) else ""
    return f"{value.mean:+.3f}{interval}"


def _level(comparisons: int) -> str:
    return f"{100 * (1 - (1 - LEVEL) / comparisons):.4g} %"


def _markdown(comparison: Comparison) -> str:
    shown = columns(comparison)
    lines = ["| " + " | ".join(column.title for column in shown) + " |", "|" + "---|" * len(shown)]
    lines += [
        "| " + " | ".join(column.text(row).replace("|", "\\|") for column in shown) + " |" for row in comparison.rows
    ]
    lines += ["", f"Means ± half of their {LEVEL:.0%} intervals over seeds. {circumstances(comparison)}."]
    return "\n".join([*lines, "", *verdict_lines(comparison)]) + "\n"


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


def _page(comparison: Comparison) -> str:
    with warnings.catch_warnings():
        # One selection for all charts is intended.
        warnings.filterwarnings("ignore", "Automatically deduplicated selection parameter")
        charts = list(Charts(comparison, selection=True).all().values())
        pairs = [alt.hconcat(*charts[i : i + 2], spacing=40) for i in range(0, len(charts), 2)]
        page = alt.vconcat(*pairs, spacing=30).resolve_scale(color="shared", shape="shared", strokeDash="shared")
        spec = page.to_dict()
    data = json.dumps(spec).replace("<", "\\u003c")
    library = vl_convert.javascript_bundle(
        "window.vegaEmbed = vegaEmbed;", vl_version=".".join(alt.SCHEMA_VERSION[1:].split(".")[:2])
    )
    notes = "".join(f"<p>{html.escape(line)}</p>" for line in verdict_lines(comparison))
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>optimcifar: {html.escape(", ".join(comparison.names))}</title>
<style>{_STYLE}</style></head><body>
<h1>{count(len(comparison.names), "configuration")}, {count(len(comparison.runs), "run")}</h1>
<p class="note">{html.escape(circumstances(comparison))}</p>
<div class="table">{_table(comparison)}</div>
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


def _table(comparison: Comparison) -> str:
    shown = columns(comparison)
    head = "".join(f"<th>{html.escape(column.title)}</th>" for column in shown)
    body = "".join(
        "<tr>"
        + "".join(
            f'<td data-value="{_sortable(column.value(row))}">{html.escape(column.text(row))}</td>' for column in shown
        )
        + "</tr>"
        for row in comparison.rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _sortable(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "1e99"  # missing values sort last
    return html.escape(str(value))
