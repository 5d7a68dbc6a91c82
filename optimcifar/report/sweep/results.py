"""The results of a sweep: what the runs of every configuration show over the values that were tried."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from optimcifar.report.analysis import COSTS, Analysis, Configuration, cost_of, metric_of
from optimcifar.report.design import Design
from optimcifar.report.labels import setting_text, short_keys
from optimcifar.report.sweep.design import SweepDesign, SweepPoint
from optimcifar.runs.folder import ENDED, comparison_runs
from optimcifar.runs.results import RunResult, read_run
from optimcifar.spaces.dimensions import Range, Scale
from optimcifar.spaces.values import are_equal, distinct, is_number
from optimcifar.statistics.best_set import BestSet
from optimcifar.statistics.estimates import Estimate, estimate
from optimcifar.statistics.near_best import FEWEST_SEEDS_SHARED, near_best


class PointAnalysis(Analysis):
    """The analysis of one configuration's points: ``Analysis`` takes each for a configuration, named by its entry."""

    @cached_property
    def best(self) -> BestSet:
        """The points among which the best one is; see ``near_best``, which needs values of the same seeds.

        Points with a collapsed run are not compared, because their spread differs.
        """
        values = {name: _finite(self.values(name)) for name in self.names}
        reasons = {name: "a run collapsed" for name in values if self.collapsed[name]}
        few = f"fewer than {FEWEST_SEEDS_SHARED} seeds"
        reasons |= {name: few for name, own in values.items() if len(own) < FEWEST_SEEDS_SHARED and name not in reasons}
        compared = {name: own for name, own in values.items() if name not in reasons}
        common = set.intersection(*map(set, compared.values())) if compared else set()
        if len(compared) < 2 or len(common) < FEWEST_SEEDS_SHARED:
            return BestSet([], [], reasons | dict.fromkeys(compared, f"{few} in common with another value"))
        members = near_best({name: [own[seed] for seed in sorted(common)] for name, own in compared.items()})
        return BestSet(members, [name for name in compared if name not in members], reasons)

    @cached_property
    def highest(self) -> str | None:
        """The point with the highest mean accuracy, of those that can be compared if any can.

        None if no run has a result that is better than guessing.
        """
        if all(self.is_collapsed(run) for name in self.names for run in self.ended(name)):
            return None
        means = {row.name: row.metrics["val_acc"].mean for row in self.configurations}
        candidates = [name for name in self.best.members or means if math.isfinite(means[name])]
        return max(candidates, key=lambda name: means[name], default=None)

    def measured(self, run: RunResult, weights: str = "last") -> float:
        """Return the final validation accuracy of a run; chance level for one that diverged.

        In a comparison, a run that diverged keeps its last accuracy. In a sweep that would make values beyond the
        edge of divergence look good.
        """
        if run.status == "diverged" and math.isfinite(run.chance_level):
            return run.chance_level
        return super().measured(run, weights)


def _finite(values: Mapping[int, float]) -> dict[int, float]:
    return {seed: value for seed, value in values.items() if math.isfinite(value)}


@dataclass(frozen=True, eq=False)
class Tried:
    """A point of a sweep, and what its runs show.

    Attributes:
        point: the configuration and the values of the hyperparameters.
        name: the values in words: ``lr 0.01, momentum 0.9``.
        seeds: the seeds that were planned.
        runs: its runs by seed, whatever became of them.
        analysis: the analysis of all points of the configuration.
    """

    point: SweepPoint
    name: str
    seeds: tuple[int, ...]
    runs: dict[int, RunResult] = field(repr=False)
    analysis: PointAnalysis = field(repr=False)

    @cached_property
    def figures(self) -> Configuration | None:
        """The figures of its runs; None if it has no run."""
        return next((row for row in self.analysis.configurations if row.name == self.point.entry), None)

    @cached_property
    def ended(self) -> dict[int, RunResult]:
        """The runs that finished or diverged, by seed."""
        return {seed: run for seed, run in self.runs.items() if run.status in ENDED}

    @property
    def diverged(self) -> int:
        """The number of runs that diverged."""
        return self.figures.diverged if self.figures else 0

    @property
    def at_chance(self) -> int:
        """The number of runs that finished at chance level."""
        return self.figures.at_chance if self.figures else 0

    @property
    def collapsed(self) -> int:
        """The number of runs that diverged or finished at chance level."""
        return self.diverged + self.at_chance

    @property
    def is_best(self) -> bool:
        """Whether it has the highest mean accuracy, see ``PointAnalysis.highest``."""
        return self.analysis.highest == self.point.entry

    @property
    def is_among_best(self) -> bool:
        """Whether it is compared with the best, and not shown to be below it."""
        return self.point.entry in self.analysis.best.members

    @cached_property
    def without_result(self) -> dict[str, int]:
        """The number of planned runs that have no result, by their status, or ``not started``."""
        states = [self.runs[seed].status if seed in self.runs else "not started" for seed in self.seeds]
        return {state: states.count(state) for state in dict.fromkeys(states) if state not in ENDED}

    def value(self, run: RunResult, metric: str) -> float:
        """Return a metric of one of its runs: one of ``METRICS`` or ``COSTS``; NaN if it is not known."""
        if metric == "val_acc":
            return self.analysis.measured(run)
        found = cost_of(run, metric) if metric in COSTS else metric_of(run, metric)
        return math.nan if found is None else found

    def estimate(self, metric: str) -> Estimate:
        """Return the mean of a metric over seeds and its interval.

        Costs are those of the runs that finished, and of which they are known: a run that diverged ended early.
        """
        if metric in COSTS:
            values = [self.value(run, metric) for run in self.ended.values() if run.status == "finished"]
            return estimate([value for value in values if math.isfinite(value)], least=0)
        return self.figures.metrics[metric] if self.figures else estimate([])


@dataclass(frozen=True)
class Response:
    """How one configuration responds to the values.

    Attributes:
        name: the configuration's name.
        points: its points, in the order of their values.
        analysis: the analysis of their runs.
    """

    name: str
    points: list[Tried]
    analysis: PointAnalysis = field(repr=False)

    @cached_property
    def best(self) -> Tried | None:
        """The point with the highest mean accuracy; None without any, or if every run collapsed."""
        return next((tried for tried in self.points if tried.is_best), None)

    @cached_property
    def own(self) -> Tried | None:
        """The point with the configuration's own values."""
        return next((tried for tried in self.points if tried.point.is_own), None)

    @cached_property
    def members(self) -> list[Tried]:
        """The points among which the best one is, in the order of their values."""
        return [tried for tried in self.points if tried.is_among_best]


@dataclass(frozen=True)
class Sweep:
    """The results of a sweep, see ``read_sweep``.

    Attributes:
        design: what was asked for.
        runs: the runs of its points with its seeds; they are named after their points' entries.
    """

    design: SweepDesign
    runs: list[RunResult] = field(repr=False)

    @cached_property
    def names(self) -> dict[str, str]:
        """How each hyperparameter is written, those included that follow another one."""
        return short_keys([*self.design.keys, *self.design.follows])

    @cached_property
    def key_names(self) -> dict[str, str]:
        """How each hyperparameter that was tried is written."""
        return {key: self.names[key] for key in self.design.keys}

    @cached_property
    def values(self) -> dict[str, list[Any]]:
        """The values of all points by hyperparameter: numbers in ascending order, others as they were given."""
        return {key: self._values(key) for key in self.design.keys}

    @cached_property
    def scales(self) -> dict[str, Scale | None]:
        """How the axis of each hyperparameter is scaled; None if its values are not all numbers."""
        over = self.design.over
        return {key: over[key].scale if all(map(is_number, self.values[key])) else None for key in over}

    @cached_property
    def responses(self) -> list[Response]:
        """Each configuration over its values."""
        return [self._response(name) for name in self.design.configurations]

    @cached_property
    def together(self) -> Analysis:
        """The runs of all configurations, for what was measured on what."""
        return Analysis(self.runs, self.runs[0].name)

    def position(self, key: str, value: Any) -> int:
        """Return the place of a value among those of its hyperparameter, from 0."""
        return next(place for place, other in enumerate(self.values[key]) if are_equal(value, other))

    def _values(self, key: str) -> list[Any]:
        tried: list[Any] = [point.setting.get(key) for point in self.design.points]
        dimension = self.design.over[key]
        if isinstance(dimension, Range) or all(map(is_number, tried)):
            numbers = sorted(value for value in tried if is_number(value))
            return distinct([*numbers, *(value for value in tried if not is_number(value))])
        return distinct([*dimension.values, *tried])

    def _response(self, name: str) -> Response:
        points = [point for point in self.design.points if point.configuration == name]
        points.sort(key=lambda point: [self.position(key, point.setting.get(key)) for key in self.design.keys])
        entries = tuple(point.entry for point in points)
        runs = [run for entry in entries for run in self.runs if run.name == entry]
        design = Design(configurations=entries, seeds=self.design.seeds)
        analysis = PointAnalysis(runs, runs[0].name if runs else entries[0], None, design)
        return Response(name, [self._tried(point, analysis) for point in points], analysis)

    def _tried(self, point: SweepPoint, analysis: PointAnalysis) -> Tried:
        runs = {run.seed: run for run in analysis.runs if run.name == point.entry and run.seed is not None}
        name = setting_text(point.setting, self.key_names)
        return Tried(point, name, self.design.seeds, runs, analysis)


def read_sweep(folder: Path) -> Sweep:
    """Read the results of a sweep.

    Args:
        folder: the folder that holds its ``sweep.json``.

    Raises:
        RuntimeError: it holds no sweep or none of its runs, or a damaged file.
    """
    design = SweepDesign.read(folder)
    if design is None:
        raise RuntimeError(f"{folder} holds no sweep: there is no sweep.json in it")
    entries = [point.entry for point in design.points]
    found = [run for run in comparison_runs(folder) if run.path.parent.name in entries]
    runs = [read_run(run, entry=run.path.parent.name) for run in found]
    planned = [run for run in runs if run.seed in design.seeds]
    if not planned:
        raise RuntimeError(
            f"{folder} holds no run of its sweep yet: there is no summary.json in runs/<point>/seed-<k>/"
        )
    return Sweep(design, sorted(planned, key=lambda run: (entries.index(run.name), run.seed or 0)))
