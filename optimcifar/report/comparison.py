"""A comparison in Python: its results as lists, tables and charts."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal

import altair as alt

from optimcifar.errors import UsageError
from optimcifar.paths import expand_path
from optimcifar.report.analysis import Analysis
from optimcifar.report.cautions import cautions
from optimcifar.report.charts.gallery import draw_charts
from optimcifar.report.configurations import name_configurations
from optimcifar.report.design import Design, check_target
from optimcifar.report.records import Record, configuration_records, difference_records, run_records
from optimcifar.report.sentences import answer, circumstances
from optimcifar.report.short_table import differences_note, short_table
from optimcifar.report.tuning.design import TuningDesign
from optimcifar.report.workloads.design import OVER_WORKLOADS, WorkloadsDesign
from optimcifar.runs.results import RunResult, read_runs
from optimcifar.text import count

Rows = Literal["runs", "configurations", "differences"]

_RECORDS: dict[Rows, Callable[[Analysis], list[Record]]] = {
    "runs": run_records,
    "configurations": configuration_records,
    "differences": difference_records,
}


class Comparison(Analysis):
    """The results of a comparison, see ``read_comparison``.

    ``runs``, ``configurations`` and ``differences`` are lists of dataclasses, ``configurations`` with the highest
    accuracy first. A notebook shows the answer and a table.
    """

    @cached_property
    def charts(self) -> ChartsByName:
        """The charts by name, those that have anything to show; a notebook shows each."""
        return ChartsByName(draw_charts(self))

    def to_records(self, rows: Rows = "runs") -> list[Record]:
        """Return flat rows, for ``pandas.DataFrame``.

        Args:
            rows: what each row is about: ``runs`` as in ``results.csv``, ``configurations`` as in ``summary.csv``, or
                ``differences`` from the baseline.

        Raises:
            UsageError: ``rows`` is none of these.
        """
        if rows not in _RECORDS:
            raise UsageError(f"rows must be one of {', '.join(_RECORDS)}; got {rows!r}")
        return _RECORDS[rows](self)

    def __repr__(self) -> str:
        configurations, runs = count(len(self.names), "configuration"), count(len(self.runs), "run")
        return f"<Comparison: {configurations}, {runs}, baseline {self.baseline}>"

    def _repr_html_(self) -> str:
        """Return the answer and the table for a notebook, without colours, which depend on its theme."""
        table = short_table(self)
        notes = [*differences_note(self), f"{circumstances(self)}.", *cautions(self)]
        return "\n".join(
            [
                *(f"<p>{html.escape(line)}</p>" for line in answer(self)),
                "<table>",
                f"<thead>{_row('th', list(table))}</thead>",
                *(_row("td", cells) for cells in zip(*table.values(), strict=True)),
                "</table>",
                *(f"<p>{html.escape(line)}</p>" for line in notes),
            ]
        )


class ChartsByName(dict[str, alt.LayerChart | alt.ConcatChart]):
    """Charts by name; a name without a chart gets a list of those that have one."""

    def __missing__(self, name: str) -> alt.LayerChart | alt.ConcatChart:
        raise KeyError(f"there is no chart {name!r}, or nothing to draw in it; there are {', '.join(self)}")


def read_comparison(
    folder: str | Path, *others: str | Path, baseline: str | None = None, target_acc: float | None = None
) -> Comparison:
    """Read the runs of a comparison, or single runs, and analyse them.

    Args:
        folder: the folder of a comparison, of a run, or one that holds runs, such as ``lightning_logs``.
        others: more of them.
        baseline: the configuration to compare with; None for that of the comparison in the first folder, or else the
            first configuration.
        target_acc: a validation accuracy, 0 to 1, to which steps and seconds are counted; None for that of the
            comparison in the first folder.

    Raises:
        UsageError: there is no such baseline, the target is out of range, or two runs are the same.
        RuntimeError: a folder holds no run, or a damaged one.
    """
    check_target(target_acc)
    paths = [expand_path(path) for path in (folder, *others)]
    designs = [Design.read(path) or Design() for path in paths]
    if studies := [path for path in paths if TuningDesign.read(path)]:
        raise UsageError(f"{studies[0]} holds a study, not a comparison: optimcifar report {studies[0]} shows it")
    for path in paths:
        if over := WorkloadsDesign.read(path):
            one = path / over.workloads[0]
            raise UsageError(f"{path} holds a {OVER_WORKLOADS}: read that of one workload, such as {one}")
    read = [run for path, of in zip(paths, designs, strict=True) for run in _in_entry_order(read_runs(path), of)]
    runs = name_configurations(read)
    # Several folders were not planned together.
    design = designs[0] if len(designs) == 1 else Design()
    target = target_acc if target_acc is not None else designs[0].target_acc
    return Comparison(runs, _baseline(runs, baseline or designs[0].baseline), target, design)


def _row(tag: Literal["th", "td"], cells: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(cell)}</{tag}>' for cell in cells)}</tr>"


def _in_entry_order(runs: list[RunResult], design: Design) -> list[RunResult]:
    """Return runs in the order in which their configurations were named, followed by the others."""
    order = design.configurations
    return sorted(runs, key=lambda run: order.index(run.entry) if run.entry in order else len(order))


def _baseline(runs: list[RunResult], name: str | None) -> str:
    names = list(dict.fromkeys(run.name for run in runs))
    # A comparison's own baseline may have a longer name among the runs of others.
    longer = {run.entry: run.name for run in reversed(runs) if run.entry}
    found = name if name is None or name in names else longer.get(name, name)
    if found is not None and found not in names:
        raise UsageError(f"the baseline must be one of {', '.join(names)}; got {name!r}")
    return found or names[0]
