"""What ``optimcifar compare`` and ``optimcifar report`` print: the answer, a table and what to beware of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table

from optimcifar.console import OutputConsole
from optimcifar.report.analysis import Analysis
from optimcifar.report.cautions import cautions
from optimcifar.report.sentences import answer, circumstances
from optimcifar.report.short_table import differences_note, short_table
from optimcifar.statistics.verdicts import BETTER, WORSE

#: The colours of verdicts.
VERDICT_STYLES = {BETTER: "green", WORSE: "red"}

_TEXT_COLUMNS = ("configuration", "verdict")


def print_results(analysis: Analysis, page: Path) -> None:
    """Print the results to standard output; lines and table are as wide as the terminal, or 80 columns in a pipe.

    Args:
        analysis: what the runs show.
        page: the file of the whole report, which is named in the last line.
    """
    console = OutputConsole()
    notes = [*differences_note(analysis), f"{circumstances(analysis)}.", *cautions(analysis)]
    lines = [*map(console.text, answer(analysis))]
    print_parts(console, lines, [results_table(analysis, console)], [*map(console.text, notes)])
    console.print(console.text("Costs, averages and time to target are on the page, and in summary.md beside it."))
    console.print(f"the report is {page}", soft_wrap=True)


def print_parts(console: OutputConsole, *parts: Sequence[RenderableType]) -> None:
    """Print parts, those that have anything to show, and an empty line after each."""
    for part in parts:
        if part:
            console.print(Group(*part))
            console.print()


def results_table(analysis: Analysis, console: OutputConsole) -> Table:
    """Return the table of a comparison's results."""
    columns = short_table(analysis)
    table = Table(box=None, pad_edge=False)
    for head in columns:
        table.add_column(head, justify="left" if head in _TEXT_COLUMNS else "right", overflow="fold")
    for row in zip(*columns.values(), strict=True):
        table.add_row(*(console.text(cell, VERDICT_STYLES.get(cell.partition(";")[0], "")) for cell in row))
    return table
