"""The files of a report: tables as CSV and Markdown, pictures, and a page with all of it."""

from __future__ import annotations

from pathlib import Path

from optimcifar.report.analysis import Analysis
from optimcifar.report.cautions import cautions
from optimcifar.report.charts import Charts
from optimcifar.report.columns import columns
from optimcifar.report.page import comparison_page
from optimcifar.report.records import configuration_records, run_records, to_csv
from optimcifar.report.sentences import answer, circumstances, methods
from optimcifar.runs.atomic import write_atomically
from optimcifar.statistics.estimates import LEVEL


def write_report(analysis: Analysis, out: Path) -> None:
    """Write ``results.csv``, ``summary.csv``, ``summary.md``, the pictures and ``report.html``.

    Args:
        analysis: what the runs show.
        out: the folder; it is created if it does not exist.
    """
    write_atomically(out / "results.csv", to_csv(run_records(analysis)))
    write_atomically(out / "summary.csv", to_csv(configuration_records(analysis)))
    write_atomically(out / "summary.md", _markdown(analysis))
    for name, chart in Charts(analysis).all().items():
        for ending in ("svg", "png"):
            chart.save(str(out / f"{name}.{ending}"), scale_factor=2 if ending == "png" else 1)
    write_atomically(out / "report.html", comparison_page(analysis))


def _markdown(analysis: Analysis) -> str:
    shown = columns(analysis)
    rows = [[column.text(row).replace("|", "\\|") for column in shown] for row in analysis.configurations]
    table = [[column.title for column in shown], ["---"] * len(shown), *rows]
    lines = [*answer(analysis), "", *("| " + " | ".join(row) + " |" for row in table), ""]
    lines += [f"Means ± half of their {LEVEL:.0%} intervals over seeds. {circumstances(analysis)}.", ""]
    return "\n".join([*lines, *methods(analysis), *cautions(analysis)]).lstrip() + "\n"
