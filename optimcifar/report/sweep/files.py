"""The files of a sweep's report: its runs as CSV, tables as Markdown, pictures, and a page with all of it."""

from __future__ import annotations

from pathlib import Path

from optimcifar.report.cautions import cautions
from optimcifar.report.files import write_charts
from optimcifar.report.records import to_csv
from optimcifar.report.sentences import circumstances
from optimcifar.report.sweep.charts.gallery import draw_charts
from optimcifar.report.sweep.page import sweep_page, sweep_tables
from optimcifar.report.sweep.records import sweep_records
from optimcifar.report.sweep.results import Sweep
from optimcifar.report.sweep.sentences import answer, methods
from optimcifar.report.tables import markdown_table
from optimcifar.runs.atomic import write_atomically


def write_sweep_report(sweep: Sweep, out: Path) -> None:
    """Write ``sweep.csv``, ``summary.md``, the pictures and ``report.html``.

    Args:
        sweep: the results.
        out: the folder; it is created if it does not exist.
    """
    write_atomically(out / "sweep.csv", to_csv(sweep_records(sweep)))
    write_atomically(out / "summary.md", _markdown(sweep))
    write_charts(draw_charts(sweep), out)
    write_atomically(out / "report.html", sweep_page(sweep))


def _markdown(sweep: Sweep) -> str:
    blocks = [[line] for line in answer(sweep)]
    for table in sweep_tables(sweep):
        blocks += [[f"## {table.title}"], markdown_table(table.columns, table.rows), [table.note]]
    blocks += [["## Methods"], [f"{circumstances(sweep.together)}."]]
    blocks += [[line] for line in (*methods(sweep), *cautions(sweep.together))]
    return "\n\n".join("\n".join(block) for block in blocks) + "\n"
