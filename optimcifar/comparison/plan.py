"""The plan of a comparison: its configurations, its seeds, and its runs."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from optimcifar.comparison.seeds import Seeds, with_seeds
from optimcifar.engine.cluster_options import ClusterOptions
from optimcifar.engine.runs import Entry, Run, parse_entries, plan_runs
from optimcifar.errors import UsageError
from optimcifar.paths import expand_path
from optimcifar.report.design import Design, Until, check_target
from optimcifar.text import conjunction, count, number_range


@dataclass(frozen=True)
class Plan:
    """What a comparison trains, and where.

    Attributes:
        entries: the configurations.
        design: what is asked for: seeds or stages, baseline and target.
        out: the comparison's folder.
        options: options of ``fit`` that hold for all runs.
        cluster: which workers train the runs.
    """

    entries: tuple[Entry, ...]
    design: Design
    out: Path
    options: tuple[str, ...] = ()
    cluster: ClusterOptions = field(default_factory=ClusterOptions)

    @property
    def run_numbers(self) -> tuple[int, int]:
        """The fewest and the most runs that there may be."""
        stages, entries = self.design.new_seeds, len(self.entries)
        return len(stages[0]) * entries, sum(map(len, stages)) * entries

    def runs(self, seeds: Iterable[int], names: Collection[str] | None = None) -> list[Run]:
        """Return the runs with these seeds.

        Args:
            seeds: the seeds.
            names: the configurations; None for all.
        """
        entries = [entry for entry in self.entries if names is None or entry.name in names]
        return plan_runs(entries, seeds, self.options, self.out)

    def describe(self) -> str:
        """Describe configurations, seeds, number of runs, and folder in a line."""
        sizes, (fewest, most) = self.design.stages, self.run_numbers
        seeds = count(len(self.design.seeds), "seed")
        if sizes:
            seeds = f"seeds on demand in stages of {conjunction(list(map(str, sizes)))}"
        runs = number_range(fewest, most, "run")
        return f"{count(len(self.entries), 'configuration')}, {seeds}: {runs}, in {self.out}"


def make_plan(
    configs: Iterable[str | Path],
    seeds: Seeds,
    *,
    baseline: str | None = None,
    target_acc: float | None = None,
    out: str | Path,
    options: Sequence[str] = (),
    jobs: int | None = None,
    scheduler: str | None = None,
    dashboard: bool = False,
    max_seeds: int | None = None,
    until: Until | None = None,
) -> Plan:
    """Plan a comparison; see ``optimcifar.compare`` for the arguments.

    Raises:
        UsageError: an argument is wrong.
    """
    for name, given in (("configs", configs), ("options", options)):
        if isinstance(given, str):
            raise UsageError(f"{name} must be a list, got {given!r}")
    entries = tuple(parse_entries(map(str, configs)))
    if not entries:
        raise UsageError("name the configurations to compare: optimcifar compare configs/sgd.yaml ...")
    names = tuple(entry.name for entry in entries)
    cluster = ClusterOptions(jobs, scheduler, dashboard)
    design = make_design(names, seeds, baseline, target_acc, max_seeds, until)
    plan = Plan(entries, design, expand_path(out), tuple(options), cluster)
    plan.runs(design.new_seeds[0])  # refuses the options that a comparison sets itself
    return plan


def make_design(
    names: tuple[str, ...],
    seeds: Seeds,
    baseline: str | None,
    target_acc: float | None,
    max_seeds: int | None,
    until: Until | None,
) -> Design:
    """Return how configurations are compared; see ``optimcifar.compare`` for the arguments.

    Raises:
        UsageError: an argument is wrong.
    """
    if baseline is not None and baseline not in names:
        raise UsageError(f"--baseline must be one of {', '.join(names)}; got {baseline!r}")
    check_target(target_acc)
    return with_seeds(Design(names, baseline or names[0], target_acc), seeds, max_seeds, until)
