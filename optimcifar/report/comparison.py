"""A comparison in Python: its results as lists, tables and charts."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import altair as alt

from optimcifar.errors import UsageError
from optimcifar.paths import expand_home
from optimcifar.report.analysis import Analysis
from optimcifar.report.charts.gallery import draw_charts
from optimcifar.report.configurations import name_configurations
from optimcifar.report.design import Design
from optimcifar.report.records import Record, configuration_records, difference_records, run_records
from optimcifar.runs.results import RunResult, read_runs


class Comparison(Analysis):
    """The results of a comparison.

    ``runs``, ``configurations`` and ``differences`` are lists of dataclasses. A notebook shows the answer and the
    table of configurations.
    """

    def charts(self) -> dict[str, alt.LayerChart | alt.ConcatChart]:
        """Return the charts by name; a notebook shows each."""
        return draw_charts(self)

    def to_records(self, of: Literal["runs", "configurations", "differences"] = "runs") -> list[Record]:
        """Return flat rows, for ``pandas.DataFrame``.

        Args:
            of: what each row is about.
        """
        rows = {"runs": run_records, "configurations": configuration_records, "differences": difference_records}
        return rows[of](self)


def read_comparison(*folders: str | Path, baseline: str | None = None, target_acc: float | None = None) -> Comparison:
    """Read the runs of a comparison, or single runs, and analyse them.

    Args:
        folders: the folder of a comparison, of a run, or one that holds runs, such as ``lightning_logs``; or several.
        baseline: the configuration to compare with; None for that of the comparison in the first folder, or else the
            first configuration.
        target_acc: a validation accuracy, 0 to 1, to which epochs and seconds are counted; None for that of the
            comparison in the first folder.

    Raises:
        UsageError: there is no such baseline, or two runs are the same.
        RuntimeError: a folder holds no run, or a damaged one.
    """
    paths = [expand_home(folder) for folder in folders]
    designs = [Design.read(path) or Design() for path in paths]
    read = [run for path, of in zip(paths, designs, strict=True) for run in _in_entry_order(read_runs(path), of)]
    runs = name_configurations(read)
    # Several folders were not planned together.
    design = designs[0] if len(designs) == 1 else Design()
    target = target_acc if target_acc is not None else designs[0].target_acc
    return Comparison(runs, _baseline(runs, baseline or designs[0].baseline), target, design)


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
        raise UsageError(f"--baseline must be one of {', '.join(names)}; got {name!r}")
    return found or names[0]
