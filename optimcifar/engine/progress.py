"""The progress of runs that are trained together, on a terminal and elsewhere, and what Ctrl-C says."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from rich.console import Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from optimcifar.console import OutputConsole
from optimcifar.engine.runs import Run
from optimcifar.engine.worker import RunEnd
from optimcifar.runs.folder import ENDED, RunFolder
from optimcifar.runs.results import read_run
from optimcifar.text import count, duration


@contextmanager
def resumable(out: Path) -> Iterator[None]:
    """Have Ctrl-C say how to go on.

    Args:
        out: the folder of the runs.

    Raises:
        KeyboardInterrupt: Ctrl-C was pressed; it says how to go on, and how to see the results so far.
    """
    try:
        yield
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"; run the same command to go on; see the results so far with optimcifar report {out}"
        ) from None


class RunTable:
    """Shows a live table of the current runs and a bar on a terminal, and a line per finished run everywhere.

    The bar stays when it ends, with the number of finished runs and the time.

    Args:
        runs: the first runs; ``add`` and ``expect`` announce later ones.
    """

    def __init__(self, runs: Sequence[Run] = ()) -> None:
        self._runs: list[Run] = []
        self._expected = 0
        self._ends: dict[Run, RunEnd] = {}
        self._ended_before: set[Run] = set()
        self._started = time.monotonic()
        self._console = OutputConsole()
        # Short, so that Ctrl-C's ^C stays on its line: a line more would leave the table's head behind.
        bar, left = BarColumn(bar_width=20), TextColumn("{task.fields[left]}")
        self._bar = Progress(TextColumn("runs"), bar, MofNCompleteColumn(), TimeElapsedColumn(), left)
        self._task = self._bar.add_task("runs", left="")
        self.add(runs)
        # A pipe, and a terminal that cannot move its cursor, get lines only.
        self._live = Live(console=self._console, auto_refresh=False) if self._console.is_interactive else None

    def __enter__(self) -> Self:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live:
            if exception == (None, None, None):
                self._bar.update(self._task, total=len(self._ends), left="")
            self._live.update(self._bar)
            self._live.stop()

    def add(self, runs: Sequence[Run]) -> None:
        """Add runs that start now; those that have ended before say nothing about the time that is left."""
        self._runs += runs
        self._ended_before |= {run for run in runs if RunFolder(run.folder).status() in ENDED}
        self._expected = max(self._expected, len(self._runs))

    def expect(self, number: int) -> None:
        """Set how many runs there will be in all."""
        self._expected = max(number, len(self._runs))

    def print(self, line: str) -> None:
        """Print a line above the bar."""
        self._console.print_line(line)

    def show(self, ends: Mapping[Run, RunEnd]) -> None:
        """Show the state of all runs.

        Args:
            ends: the runs that have ended, and how.
        """
        for run in [run for run in ends if run not in self._ends]:
            self._ends[run] = ends[run]
            # Above the bar it is broken between words; elsewhere it stays one line.
            self._console.print(f"{_ending(run, ends[run])}{self._count()}", soft_wrap=self._live is None)
        if self._live:
            self._bar.update(self._task, completed=len(self._ends), total=self._expected, left=self._left())
            current = [run for run in self._runs if run not in self._ends and RunFolder(run.folder).summary.exists()]
            self._live.update(Group(self._table(current), self._bar) if current else self._bar, refresh=True)

    def _count(self) -> str:
        """Return how many runs have ended, unless a bar shows it."""
        if self._live:
            return ""
        left = self._left()
        return f" ({len(self._ends)} of {count(self._expected, 'run')}{f', {left}' if left else ''})"

    def _left(self) -> str:
        """Write how long the other runs take, if they go on at the pace so far; nothing before a first one ended."""
        new, left = len(self._ends.keys() - self._ended_before), self._expected - len(self._ends)
        if not new or not left:
            return ""
        return f"about {duration((time.monotonic() - self._started) / new * left)} left"

    def _table(self, current: list[Run]) -> Table:
        table = Table(box=None, pad_edge=False)
        for head in ("run", "epoch", "train loss", "val acc", "time left"):
            table.add_column(head, justify="left" if head == "run" else "right", overflow="fold")
        for run in current:
            table.add_row(*map(self._console.text, _current(run)))
        return table


def _ending(run: Run, end: RunEnd) -> str:
    text = f"{run.name} seed {run.seed}: {end.status}"
    if end.error:
        return f"{text}: {end.error}"
    finished = read_run(RunFolder(run.folder))
    for name, metric in (("train loss", "train_loss"), ("val acc", "val_acc")):
        if shown := _figure(finished.final(metric)):
            text += f", {name} {shown}"
    return f"{text}, {finished.summary['train_seconds']:.1f} s of training"


def _current(run: Run) -> tuple[str, ...]:
    result = read_run(RunFolder(run.folder))
    done, epochs = len(result.rows), result.summary.get("max_epochs")
    epochs = epochs if epochs and epochs > 0 else None  # -1 stands for a run without an end
    left = ""
    if done and epochs:
        left = f"{sum(row['seconds'] for row in result.rows) / done * (epochs - done):.0f} s"
    figures = (_figure(result.final(name)) for name in ("train_loss", "val_acc"))
    return (f"{run.name} seed {run.seed}", f"{done}/{epochs or '?'}", *figures, left)


def _figure(value: float) -> str:
    """Write a metric; nothing for one that was not measured."""
    return "" if math.isnan(value) else f"{value:.4f}"
