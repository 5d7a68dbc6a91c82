"""A comparison over workloads: the comparison on each, and when configurations reached the targets."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from optimcifar.errors import UsageError
from optimcifar.paths import expand_path
from optimcifar.report.comparison import Comparison, read_comparison
from optimcifar.report.workloads.design import WorkloadsDesign, target_of_each
from optimcifar.runs.folder import comparison_runs
from optimcifar.runs.results import RunResult
from optimcifar.statistics.performance_profile import performance_ratios, time_of_half

#: What times to the target are counted in, its abbreviation, and the column of CSV files.
UNIT, UNIT_SHORT, UNIT_COLUMN = "seconds of training", "s", "seconds_to_target"


@dataclass(frozen=True)
class WorkloadTime:
    """When a configuration reached the target of a workload.

    Attributes:
        configuration: its name.
        workload: the workload's.
        target: the validation accuracy.
        seeds: number of its runs that are over, and whose epochs are known.
        reached: number of them that reached the target.
        time: when half of them had reached it, in ``UNIT``; infinity if fewer than half did.
        ratio: the time divided by that of the fastest configuration on the workload.
    """

    configuration: str
    workload: str
    target: float
    seeds: int
    reached: int
    time: float
    ratio: float


@dataclass(frozen=True)
class WorkloadResults:
    """The results of a comparison over workloads; nothing is pooled over them but times to the target.

    Attributes:
        comparisons: the comparison on each workload that has a run, by the workload's name.
        waiting: the workloads that have none yet.
    """

    comparisons: dict[str, Comparison]
    waiting: list[str]

    @cached_property
    def names(self) -> list[str]:
        """The configurations, in the order in which they were named."""
        return list(dict.fromkeys(name for comparison in self.comparisons.values() for name in comparison.names))

    @cached_property
    def runs(self) -> list[RunResult]:
        """The runs on all workloads."""
        return [run for comparison in self.comparisons.values() for run in comparison.runs]

    @cached_property
    def times(self) -> list[WorkloadTime]:
        """The time of every configuration on every workload, by configuration; none without a target of each."""
        targets = {name: comparison.target_acc for name, comparison in self.comparisons.items()}
        found = {name: self._times(name, target) for name, target in targets.items() if target is not None}
        if len(found) < len(targets):
            return []
        return [of_workload[name] for name in self.names for of_workload in found.values()]

    def times_of(self, configuration: str) -> list[WorkloadTime]:
        """Return the times of a configuration on every workload."""
        return [time for time in self.times if time.configuration == configuration]

    def ratios(self, configuration: str) -> list[float]:
        """Return the ratios of a configuration on every workload."""
        return [time.ratio for time in self.times_of(configuration)]

    @cached_property
    def unreached(self) -> list[str]:
        """The workloads whose target no configuration reached."""
        reached = {time.workload for time in self.times if math.isfinite(time.ratio)}
        return [name for name in self.comparisons if name not in reached] if self.times else []

    def _times(self, workload: str, target: float) -> dict[str, WorkloadTime]:
        comparison = self.comparisons[workload]
        of_seeds = {
            name: [time for run in comparison.ended(name) if not math.isnan(time := run.to_target(target).seconds)]
            for name in self.names
        }
        times = {name: time_of_half(own) for name, own in of_seeds.items()}
        ratios = performance_ratios(times)
        return {
            name: WorkloadTime(
                name, workload, target, len(own), sum(map(math.isfinite, own)), times[name], ratios[name]
            )
            for name, own in of_seeds.items()
        }


def read_workloads(folder: str | Path, baseline: str | None = None, targets: Sequence[float] = ()) -> WorkloadResults:
    """Read the runs of a comparison over workloads, and analyse them.

    Args:
        folder: its folder.
        baseline: the configuration to compare with on every workload; None for that of the comparison.
        targets: validation accuracies, 0 to 1: one for all workloads, or one for each; none for those of the
            comparison.

    Raises:
        UsageError: it is not the folder of one, there is no such baseline, or the targets are wrong.
        RuntimeError: no workload has a run yet, or a file is damaged.
    """
    path = expand_path(folder)
    design = WorkloadsDesign.read(path)
    if design is None:
        raise UsageError(f"{path} holds no comparison over workloads")
    target_of = target_of_each(design.workloads, targets)
    trained = [name for name in design.workloads if comparison_runs(path / name)]
    if not trained:
        raise RuntimeError(f"{path} holds no run: there is no summary.json in runs/<name>/seed-<k>/ of a workload")
    comparisons = {
        name: read_comparison(path / name, baseline=baseline, target_acc=target_of[name]) for name in trained
    }
    return WorkloadResults(comparisons, [name for name in design.workloads if name not in trained])
