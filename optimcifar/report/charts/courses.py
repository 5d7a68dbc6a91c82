"""The values behind curves: metrics by epoch, of every seed and on average."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

from optimcifar.report.analysis import Analysis
from optimcifar.report.charts.style import Values, rounded
from optimcifar.runs.results import RunResult


@dataclass(frozen=True)
class Course:
    """A run that finished or diverged, up to the last epoch of its configuration, or of all if a run of it diverged.

    Attributes:
        run: the run.
        number: tells it from other runs of its configuration.
        seconds: seconds of training after each epoch. An epoch that it did not reach takes the others' mean, or that of
            the epochs before.
        steps: optimizer steps after each epoch, likewise.
    """

    run: RunResult
    number: int
    seconds: list[float]
    steps: list[float]


class Courses:
    """The courses of all runs that are over.

    A run that diverged keeps its last value up to the last epoch of all runs, so that a mean is never of the survivors
    alone.

    Args:
        analysis: what the runs show.
    """

    def __init__(self, analysis: Analysis) -> None:
        self._analysis = analysis

    @cached_property
    def by_name(self) -> dict[str, list[Course]]:
        """The courses of every configuration."""
        ended = {name: self._analysis.ended(name) for name in self._analysis.names}
        longest = max((len(run.rows) for runs in ended.values() for run in runs), default=0)
        return {name: _courses(runs, longest) for name, runs in ended.items()}

    @property
    def last_epoch(self) -> int:
        """The last epoch of all runs."""
        return max((len(course.seconds) for courses in self.by_name.values() for course in courses), default=0)

    @property
    def metrics(self) -> list[str]:
        """The columns of all runs."""
        runs = (course.run for courses in self.by_name.values() for course in courses)
        return list(dict.fromkeys(name for run in runs for row in run.rows for name in row))

    def seeds(self, metrics: Sequence[str]) -> Values:
        """Return a row for each epoch of each run."""
        rows: Values = []
        for name, courses in self.by_name.items():
            for course in courses:
                columns = {metric: self.values(course, metric) for metric in metrics}
                for epoch, seconds in enumerate(course.seconds, 1):
                    found = {metric: rounded(values[epoch - 1]) for metric, values in columns.items()}
                    own = {"configuration": name, "run": course.number, "epoch": epoch}
                    rows.append({**own, "seconds": rounded(seconds), **found})
        return rows

    def means(self, metrics: Sequence[str]) -> Values:
        """Return a row for each epoch of each configuration: means over seeds, where each seed has a value."""
        rows: Values = []
        for name, courses in self.by_name.items():
            columns = {
                metric: list(zip(*(self.values(course, metric) for course in courses), strict=True))
                for metric in metrics
            }
            seconds = list(zip(*(course.seconds for course in courses), strict=True))
            for epoch, times in enumerate(seconds, 1):
                # The mean is NaN where a value is missing.
                found = {metric: rounded(statistics.fmean(values[epoch - 1])) for metric, values in columns.items()}
                own = {"configuration": name, "epoch": epoch, "seconds": rounded(statistics.fmean(times))}
                rows.append({**own, **found, "seeds": len(courses)})
        return rows

    def ends(self, metrics: Sequence[str]) -> Values:
        """Return a row for each run that diverged: its last whole epoch, and its values then."""
        rows: Values = []
        for name, courses in self.by_name.items():
            for course in courses:
                if course.run.status == "diverged":
                    epoch = max(len(course.run.rows), 1)
                    own = {"configuration": name, "seed": course.run.seed, "epoch": epoch}
                    found = {metric: rounded(self.values(course, metric)[epoch - 1]) for metric in metrics}
                    rows.append({**own, "seconds": rounded(course.seconds[epoch - 1]), **found})
        return rows

    def values(self, course: Course, metric: str) -> list[float]:
        """Return a metric after each epoch; NaN where it was not measured, and after the end of a run that finished."""
        run = course.run
        measured = [row.get(metric, math.nan) for row in run.rows]
        last = math.nan
        if run.status == "diverged":
            last = self._analysis.measured(run) if metric == "val_acc" else run.final(metric)
        return measured + [last] * (len(course.seconds) - len(measured))


def _courses(runs: list[RunResult], longest: int) -> list[Course]:
    # A run that diverged goes on as long as any run. One without a row is at chance level after its first epoch.
    diverged = any(run.status == "diverged" for run in runs)
    length = max((len(run.rows) for run in runs), default=0) if not diverged else max(longest, 1)
    seconds = _carried_on([[row["seconds"] for row in run.rows] for run in runs], length)
    steps = _carried_on([_own_steps(run) for run in runs], length)
    return [Course(run, number, seconds[number], steps[number]) for number, run in enumerate(runs)]


def _own_steps(run: RunResult) -> list[float]:
    """Return the number of steps of each epoch."""
    ends = [row["step"] for row in run.rows]
    return [end - start for start, end in zip([0, *ends], ends, strict=False)]


def _carried_on(amounts: list[list[float]], length: int) -> list[list[float]]:
    """Return sums up to each epoch, up to a number of epochs, of the amounts that each run took for its epochs."""
    by_epoch = [[own[epoch] for own in amounts if len(own) > epoch] for epoch in range(length)]
    known = [statistics.fmean(own) for own in by_epoch if own]
    usual = known + [statistics.fmean(known) if known else 0.0] * (length - len(known))
    return [list(accumulate(own + usual[len(own) :])) for own in amounts]
