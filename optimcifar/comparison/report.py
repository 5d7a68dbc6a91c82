"""The files of a comparison: tables as CSV and Markdown, pictures, and the page that shows all of it."""

from __future__ import annotations

import html
import json
import math
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from optimcifar.comparison.charts import Charts
from optimcifar.comparison.significance import FEWEST_SEEDS, LEVEL
from optimcifar.comparison.tables import Comparison, Row, configuration_rows, run_rows, to_csv, unequal_starts
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.folder import AVERAGES
from optimcifar.text import count

_NAMES = {"val_acc": "validation accuracy", "test_acc": "test accuracy"}


def write_report(comparison: Comparison, out: Path) -> None:
    """Write ``results.csv``, ``summary.csv``, ``summary.md``, the pictures and ``report.html``.

    Args:
        comparison: what is reported.
        out: the folder, made if it is not there.
    """
    rows = configuration_rows(comparison)
    write_atomically(out / "results.csv", to_csv(run_rows(comparison)))
    write_atomically(out / "summary.csv", to_csv(rows))
    write_atomically(out / "summary.md", _markdown(comparison, rows))
    for name, chart in Charts(comparison).all().items():
        for ending in ("svg", "png"):
            chart.save(str(out / f"{name}.{ending}"), scale_factor=2 if ending == "png" else 1)
    write_atomically(out / "report.html", _page(comparison, rows))


def circumstances(comparison: Comparison) -> str:
    """Say what the result holds for."""
    parts = []
    for text, key in (
        ("network", "net"),
        ("data", "dataset"),
        ("training images", "train_images"),
        ("device", "device"),
    ):
        found = list(dict.fromkeys(str(run.summary[key]) for run in comparison.runs if key in run.summary))
        parts.append(f"{text} {' and '.join(found)}")
    ended = [run for name in comparison.names for run in comparison.ended(name)]
    epochs = sorted({len(run.rows) for run in ended or comparison.runs})
    parts.append(f"{' or '.join(map(str, epochs))} epochs")
    found_versions = [run.summary["versions"] for run in comparison.runs if "versions" in run.summary]
    versions = found_versions[0] if found_versions else {}
    parts += [f"{name} {versions[name]}" for name in ("optimcifar", "torch", "lightning") if name in versions]
    if any(other != versions for other in found_versions):
        parts.append("and other versions in some runs")
    seeds = sorted({run.seed for run in comparison.runs})
    return f"{'; '.join(parts)}; seeds {', '.join(map(str, seeds))}"


def verdict_lines(comparison: Comparison) -> list[str]:
    """Say which configurations are better, how that was found, and what stands against it."""
    others = len(comparison.names) - 1
    measure = f"{_NAMES[comparison.measure]} of the final weights"
    lines = []
    if others:
        fewest = min(len(comparison.ended(name)) for name in comparison.names)
        if fewest < FEWEST_SEEDS:
            lines.append(f"Verdicts are withheld where there are fewer than {FEWEST_SEEDS} seeds.")
        else:
            group = comparison.best_group()
            if len(group) > 1:
                lines.append(f"Highest: {group[0]}; not to be told from it: {', '.join(group[1:])}.")
            elif group:
                lines.append(f"Highest, and told from all others: {group[0]}.")
        lines.append(
            f"Compared is the {measure} with that of {comparison.baseline}, paired by seed: two-sided paired t-test "
            f"(scipy.stats.ttest_1samp of the differences), intervals of the differences at {_level(others)}, "
            f"corrected for {count(others, 'comparison')} (Bonferroni). Other intervals: {LEVEL:.0%}, "
            "Student's t over seeds."
        )
    if averages := len(comparison.averaged):
        lines.append(
            f"Averaged weights (swa: equal weights, ema: exponential) are compared with the final weights of the same "
            f"runs, in the same way, intervals at {_level(averages)}, corrected for {count(averages, 'comparison')}."
        )
    lines += unequal_starts(comparison.runs)
    return lines


def _level(comparisons: int) -> str:
    return f"{100 * (1 - (1 - LEVEL) / comparisons):.4g} %"


def _plus_minus(name: str, digits: int) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        mean, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
        if not math.isfinite(mean):
            return "" if math.isnan(mean) else "infinite"
        return f"{mean:.{digits}f} ± {(high - low) / 2:.{digits}f}" if math.isfinite(low) else f"{mean:.{digits}f}"

    return text


def _number(name: str, form: str) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        value = row[name]
        if isinstance(value, float) and math.isnan(value):
            return ""
        return "never" if isinstance(value, float) and math.isinf(value) else format(value, form)

    return text


def _signed_interval(name: str, verdict: str | None = None) -> Callable[[Row], str]:
    def text(row: Row) -> str:
        if math.isnan(row[name]) or (row["verdict"] == "baseline" and name == "difference"):
            return ""
        words = f"{row[name]:+.3f}"
        if math.isfinite(row[f"{name}_low"]):
            words += f" [{row[f'{name}_low']:+.3f}, {row[f'{name}_high']:+.3f}]"
        return f"{words} {row[verdict]}" if verdict else words

    return text


def columns(comparison: Comparison, rows: list[Row]) -> list[tuple[str, str, Callable[[Row], str]]]:
    """Return the columns that have anything to show: title, the value to sort by, and how it is written."""
    all_columns: list[tuple[str, str, Callable[[Row], str]]] = [
        ("configuration", "configuration", lambda row: str(row["configuration"])),
        ("seeds", "seeds", _number("seeds", "d")),
        ("diverged", "diverged", _number("diverged", "d")),
        ("not finished", "not_finished", _number("not_finished", "d")),
        ("val acc", "val_acc", _plus_minus("val_acc", 3)),
        (
            f"{comparison.measure.replace('_', ' ')} less {comparison.baseline}'s",
            "difference",
            _signed_interval("difference"),
        ),
        ("verdict", "verdict", lambda row: str(row["verdict"])),
        *(column for name in AVERAGES for column in _of_average(name)),
        ("best epoch's val acc", "best_val_acc", _number("best_val_acc", ".3f")),
        ("test acc", "test_acc", _plus_minus("test_acc", 3)),
        *((f"test acc, {name}", f"test_acc_{name}", _plus_minus(f"test_acc_{name}", 3)) for name in AVERAGES),
        ("train loss", "train_loss", _plus_minus("train_loss", 3)),
        ("training s", "train_seconds", _number("train_seconds", ".1f")),
        ("images/s", "images_per_second", _number("images_per_second", ",.0f")),
        ("optimizer ms/step", "optimizer_step_ms", _number("optimizer_step_ms", ".3f")),
        ("optimizer state, bytes", "optimizer_state_bytes", _number("optimizer_state_bytes", ",.0f")),
    ]
    if comparison.target_acc is not None:
        target = f"{comparison.target_acc:g}"
        all_columns.append((f"epochs to {target}", "epochs_to_target", _number("epochs_to_target", "g")))
        all_columns.append((f"seconds to {target}", "seconds_to_target", _number("seconds_to_target", ".1f")))
    dull = {"diverged": "0", "not_finished": "0"}
    return [c for c in all_columns if any(c[2](row) not in ("", dull.get(c[1])) for row in rows)]


def _of_average(name: str) -> list[tuple[str, str, Callable[[Row], str]]]:
    return [
        (f"val acc, {name}", f"val_acc_{name}", _plus_minus(f"val_acc_{name}", 3)),
        (f"{name} less the weights'", f"{name}_gain", _signed_interval(f"{name}_gain", f"{name}_verdict")),
    ]


def _markdown(comparison: Comparison, rows: list[Row]) -> str:
    shown = columns(comparison, rows)
    lines = ["| " + " | ".join(title for title, _, _ in shown) + " |", "|" + "---|" * len(shown)]
    lines += ["| " + " | ".join(text(row).replace("|", "\\|") for _, _, text in shown) + " |" for row in rows]
    lines += ["", f"Means ± half of their {LEVEL:.0%} intervals over seeds. {circumstances(comparison)}."]
    return "\n".join([*lines, "", *verdict_lines(comparison)]) + "\n"


_STYLE = """
body { font: 14px/1.45 system-ui, sans-serif; color: #222; max-width: 1280px; margin: 2em auto; padding: 0 1em; }
h1 { font-size: 1.5em; } h2 { font-size: 1.15em; margin-top: 2em; }
.table { overflow-x: auto; }
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


def _page(comparison: Comparison, rows: list[Row]) -> str:
    with warnings.catch_warnings():
        # All of them have the one selection, which is meant.
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
<html lang="en"><head><meta charset="utf-8"><title>optimcifar: {html.escape(", ".join(comparison.names))}</title>
<style>{_STYLE}</style></head><body>
<h1>{count(len(comparison.names), "configuration")}, {count(len(comparison.runs), "run")}</h1>
<p class="note">{html.escape(circumstances(comparison))}</p>
<div class="table">{_table(comparison, rows)}</div>
<p class="note">Means ± half of their {LEVEL:.0%} intervals over seeds. A click on a column's head sorts by it.</p>
{notes}
<h2>Pictures</h2>
<p class="note">A click on a name in the legend shows that configuration alone, a click on others switches these on and
off as well; a click beside the names shows all. Pointing shows values.
Bands and bars: {LEVEL:.0%} intervals over seeds, those of differences corrected as said above.</p>
<div id="charts"></div>
<script>{library}</script>
<script>vegaEmbed("#charts", {data}, {{"actions": false, "renderer": "svg"}});{_SORT}</script>
</body></html>
"""


def _table(comparison: Comparison, rows: list[Row]) -> str:
    shown = columns(comparison, rows)
    head = "".join(f"<th>{html.escape(title)}</th>" for title, _, _ in shown)
    body = "".join(
        "<tr>"
        + "".join(f'<td data-value="{_sortable(row[key])}">{html.escape(text(row))}</td>' for _, key, text in shown)
        + "</tr>"
        for row in rows
    )
    return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _sortable(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return "1e99"  # what is missing or never came sorts last
    return html.escape(str(value))
