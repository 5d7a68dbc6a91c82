"""Workloads, and the plan of a comparison over several of them: a comparison on each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from optimcifar.comparison.plan import Plan
from optimcifar.engine.runs import Entry, expand_entry, parse_entries
from optimcifar.errors import UsageError
from optimcifar.report.workloads.design import WorkloadsDesign, target_of_each
from optimcifar.text import count, number_range
from optimcifar.training.config_file import read_config

# What a workload may set.
_GROUPS = ("model.net", "data", "trainer")

# A workload's list would replace that of the configuration, and with it callbacks such as weight averaging.
_NOT_IN_WORKLOADS = ("trainer.callbacks", "trainer.logger", "trainer.default_root_dir")


@dataclass(frozen=True)
class WorkloadsPlan:
    """What a comparison over several workloads trains, and where.

    Attributes:
        plans: the comparison on each workload, by the workload's name.
        out: the folder that holds their folders.
    """

    plans: Mapping[str, Plan]
    out: Path

    @property
    def design(self) -> WorkloadsDesign:
        """Which workloads there are."""
        return WorkloadsDesign(tuple(self.plans))

    @property
    def entries(self) -> tuple[Entry, ...]:
        """The configurations on every workload."""
        return tuple(entry for plan in self.plans.values() for entry in plan.entries)

    @property
    def first(self) -> Plan:
        """The comparison on the first workload; all have the same configurations, seeds, baseline and workers."""
        return next(iter(self.plans.values()))

    def describe(self) -> str:
        """Describe workloads, number of runs, and folder in a line."""
        fewest, most = map(sum, zip(*(plan.run_numbers for plan in self.plans.values()), strict=True))
        return f"{count(len(self.plans), 'workload')}: {number_range(fewest, most, 'run')} in all, in {self.out}"


def parse_workloads(texts: Iterable[str]) -> list[Entry]:
    """Read ``CONFIG`` or ``CONFIG:KEY=VALUE:KEY=VALUE``, as configurations are read.

    Raises:
        UsageError: there is no such file, two are the same, or one sets more than network, data and trainer.
    """
    try:
        workloads = parse_entries(entry for text in texts for entry in expand_entry(text))
    except ValueError as error:
        raise UsageError(f"--workload: {error}") from error
    for workload in workloads:
        _refuse_other_settings(workload)
    return workloads


def plan_workloads(plan: Plan, workloads: Sequence[Entry], targets: Sequence[float] = ()) -> WorkloadsPlan:
    """Return the plan of a comparison over workloads.

    Args:
        plan: the comparison without workloads.
        workloads: at least one.
        targets: validation accuracies, see ``target_of_each``.

    Raises:
        UsageError: the number of targets is wrong.
    """
    names = [workload.name for workload in workloads]
    plans = {}
    for workload, target in zip(workloads, target_of_each(names, targets).values(), strict=True):
        entries = tuple(replace(entry, workload=workload) for entry in plan.entries)
        design = replace(plan.design, target_acc=target)
        plans[workload.name] = replace(plan, entries=entries, design=design, out=plan.out / workload.name)
    return WorkloadsPlan(plans, plan.out)


def _refuse_other_settings(workload: Entry) -> None:
    _, tree = read_config(*workload.files)
    overridden = (option.removeprefix("--").partition("=")[0] for option in workload.overrides)
    for name in (*_names(tree), *overridden):
        if not _is_below(name, _GROUPS) or _is_below(name, _NOT_IN_WORKLOADS):
            raise UsageError(
                f"--workload {workload.name} sets {name}: a workload may set {', '.join(_GROUPS)}, but no callbacks "
                "and no loggers; the rest belongs to the configurations"
            )


def _names(tree: Mapping[Any, Any]) -> Iterator[str]:
    """Yield what a configuration sets: ``model.net``, ``data``, ``trainer.max_epochs``."""
    for group, values in tree.items():
        is_group = group in ("model", "trainer") and isinstance(values, dict)
        yield from (f"{group}.{key}" for key in values) if is_group else [str(group)]


def _is_below(name: str, groups: Iterable[str]) -> bool:
    plain = name.removesuffix("+")
    return any(plain == group or plain.startswith((f"{group}.", f"{group}+")) for group in groups)
