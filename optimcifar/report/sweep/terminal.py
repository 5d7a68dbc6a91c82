"""What ``optimcifar sweep`` prints: the answer, a table for each configuration, and what to beware of."""

from __future__ import annotations

import math
from pathlib import Path

from rich.console import Group
from rich.table import Table

from optimcifar.console import OutputConsole
from optimcifar.report.cautions import cautions
from optimcifar.report.columns import number_text
from optimcifar.report.labels import value_text
from optimcifar.report.sentences import circumstances
from optimcifar.report.sweep.columns import mark, seeds_text
from optimcifar.report.sweep.results import Response, Sweep, Tried
from optimcifar.report.sweep.sentences import answer
from optimcifar.statistics.estimates import Estimate

_TEXT_COLUMNS = ("note", "collapsed")


def print_sweep(sweep: Sweep, page: Path) -> None:
    """Print the results to standard output; lines and tables are as wide as the terminal, or 80 columns in a pipe.

    Args:
        sweep: the results.
        page: the file of the whole report, which is named in the last line.
    """
    console = OutputConsole()
    may = ["May be best: not shown to be below the best."] * any(len(own.members) > 1 for own in sweep.responses)
    notes = [*may, f"{circumstances(sweep.together)}.", *cautions(sweep.together)]
    for line, response in zip(answer(sweep), sweep.responses, strict=True):
        console.print(Group(console.text(line), _table(sweep, response, console)))
        console.print()
    console.print(Group(*map(console.text, notes)))
    console.print()
    console.print(console.text("Pictures are on the page, and the figures of all runs in sweep.csv beside it."))
    console.print(f"the report is {page}", soft_wrap=True)


def _table(sweep: Sweep, response: Response, console: OutputConsole) -> Table:
    rows = [_cells(sweep, tried) for tried in response.points]
    table = Table(box=None, pad_edge=False)
    heads = [head for head in rows[0] if any(row[head] for row in rows)]
    if len(sweep.design.keys) > 1 and not any(tried.without_result for tried in response.points):
        heads.remove("seeds")  # for want of room; the notes name them
    for head in heads:
        is_text = head in _TEXT_COLUMNS
        table.add_column(head, justify="left" if is_text else "right", overflow="fold", no_wrap=not is_text)
    for tried, row in zip(response.points, rows, strict=True):
        table.add_row(*(console.text(row[head], "green" if tried.is_best else "") for head in heads))
    return table


def _cells(sweep: Sweep, tried: Tried) -> dict[str, str]:
    collapsed = {"diverged": tried.diverged, "at chance": tried.at_chance}
    return {
        **{name: value_text(tried.point.setting.get(key)) for key, name in sweep.key_names.items()},
        "seeds": seeds_text(tried),
        "val acc": _plus_minus(tried.estimate("val_acc")),
        "train loss": number_text(tried.estimate("train_loss").mean, ".3f"),
        "s/run": number_text(tried.estimate("train_seconds").mean, ".1f"),
        "note": mark(tried),
        "collapsed": ", ".join(f"{number} {what}" for what, number in collapsed.items() if number),
    }


def _plus_minus(value: Estimate) -> str:
    """Write ``0.613 ± 0.020``, the longer half of an interval that was cut."""
    if math.isnan(value.low):
        return number_text(value.mean, ".3f")
    return f"{value.mean:.3f} ± {max(value.high - value.mean, value.mean - value.low):.3f}"
