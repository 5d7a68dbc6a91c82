"""Train a sweep: configurations with every value of one or two hyperparameters."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from distributed import Client

from optimcifar.engine.cluster import check_runs, connect, make_runs
from optimcifar.engine.cluster_options import ClusterOptions
from optimcifar.engine.progress import RunTable, resumable
from optimcifar.engine.runs import Entry, Run, plan_runs, with_values
from optimcifar.engine.settings import refuse_changes, refuse_equal_configurations, refuse_other_purpose
from optimcifar.engine.worker import RunEnd
from optimcifar.errors import UsageError
from optimcifar.report.sweep.design import SweepDesign, SweepPoint
from optimcifar.runs.folder import RunFolder
from optimcifar.spaces.dimensions import Dimension, Range, for_option
from optimcifar.spaces.points import Setting
from optimcifar.spaces.values import are_equal, distinct, is_number, option_text
from optimcifar.text import conjunction, count
from optimcifar.tuning.resolved import ResolvedConfiguration, refuse_without_validation, with_followers


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep trains, and where.

    Attributes:
        entries: the configurations.
        over: what is tried, by option without dashes; one or two.
        points: the number of values in a range.
        seeds: the seeds.
        out: the sweep's folder.
        options: options of ``fit`` that hold for all runs.
        cluster: which workers train the runs.
    """

    entries: tuple[Entry, ...]
    over: dict[str, Dimension]
    points: int
    seeds: tuple[int, ...]
    out: Path
    options: tuple[str, ...] = ()
    cluster: ClusterOptions = field(default_factory=ClusterOptions)

    def runs(self, entries: Sequence[Entry], seeds: Iterable[int]) -> list[Run]:
        """Return the runs of some entries, which are not tested: a sweep explores, and decides nothing."""
        return plan_runs(entries, seeds, self.options, self.out, are_tested=False)


def train(plan: SweepPlan) -> dict[Run, RunEnd]:
    """Train the runs of a sweep; print what it does, and return how each run ended.

    Raises:
        UsageError: an option or a value is wrong, or the folder has other runs.
        RuntimeError: the cluster cannot be reached.
    """
    refuse_other_purpose(plan.out, "sweep")
    with connect(plan.cluster, plan.out, plan.entries) as client:
        design, entries = _points(client, plan)
        runs = plan.runs(entries, plan.seeds)
        _check(client, runs, len(entries))
        print(_describe(plan, design), flush=True)
        design.write(plan.out)
        with resumable(plan.out), RunTable(runs) as table:
            return make_runs(client, runs, table.show)


def _points(client: Client, plan: SweepPlan) -> tuple[SweepDesign, list[Entry]]:
    """Return the sweep's design, and the entries of its points."""
    runs = plan.runs(plan.entries, plan.seeds[:1])
    resolved = [ResolvedConfiguration(text) for text in check_runs(client, runs)]
    points: list[SweepPoint] = []
    entries: list[Entry] = []
    follows: dict[str, str] = {}
    over = _for_options(plan.over, resolved)
    for entry, configuration in zip(plan.entries, resolved, strict=True):
        refuse_without_validation(entry.name, configuration)
        followers = configuration.followers(plan.over)
        follows |= {key: follower.source for key, follower in followers.items()}
        own = configuration.own(plan.over)
        for setting in _settings(over, own, plan.points):
            varied = {key: value for key, value in setting.items() if not are_equal(value, own[key])}
            values = with_followers(varied, {key: of for key, of in followers.items() if of.source in varied})
            entries.append(with_values(entry, {key: option_text(value) for key, value in values.items()}))
            points.append(SweepPoint(entries[-1].name, entry.name, setting, is_own=not varied))
    return SweepDesign(over, tuple(points), plan.seeds, follows), entries


def _for_options(over: Mapping[str, Dimension], resolved: Sequence[ResolvedConfiguration]) -> dict[str, Dimension]:
    """Return what is tried; a range is not of whole numbers only if any configuration's option is a float."""
    found = dict(over)
    for configuration in resolved:
        found = {key: for_option(dimension, configuration.own([key])[key]) for key, dimension in found.items()}
    return found


def _settings(over: Mapping[str, Dimension], own: Setting, points: int) -> list[Setting]:
    """Return every combination of values, a configuration's own ones included."""
    values = [_values(dimension, own[key], points) for key, dimension in over.items()]
    return [dict(zip(over, combination, strict=True)) for combination in itertools.product(*values)]


def _values(dimension: Dimension, own: Any, points: int) -> list[Any]:
    """Return the values of a hyperparameter, numbers in increasing order; others after the configuration's own."""
    tried = dimension.grid(points) if isinstance(dimension, Range) else list(dimension.values)
    values = distinct([own, *tried])
    return sorted(values) if all(map(is_number, values)) else values


def _check(client: Client, runs: list[Run], first: int) -> None:
    """Refuse values that cannot be used, points that are equal, and a folder that has runs with other settings.

    Two points that differ in signs that no folder's name may have would share a folder.

    Args:
        client: the cluster's client.
        runs: all runs.
        first: how many of them have the first seed.
    """
    wanted = [*runs[:first], *(run for run in runs[first:] if RunFolder(run.folder).config.exists())]
    configurations = check_runs(client, wanted)
    refuse_equal_configurations(wanted[:first], configurations[:first])
    for name, number in Counter(run.name for run in wanted[:first]).items():
        if number > 1:
            raise UsageError(f"two points would have the same folder, {name}: leave one of them out")
    refuse_changes(wanted, configurations)


def _describe(plan: SweepPlan, design: SweepDesign) -> str:
    """Describe configurations, points, seeds and folder in a line."""
    over = conjunction([f"{key} {dimension.describe()}" for key, dimension in design.over.items()])
    points, seeds = len(design.points), len(plan.seeds)
    return (
        f"{count(len(plan.entries), 'configuration')} over {over}: {count(points, 'point')} x {count(seeds, 'seed')} = "
        f"{count(points * seeds, 'run')}, in {plan.out}"
    )
