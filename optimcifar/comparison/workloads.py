"""Train a comparison over several workloads, one after the other on the same workers, or forecast it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import reduce
from operator import add
from pathlib import Path

from distributed import Client

from optimcifar.comparison.compare import check_plan, train_plan, with_looks
from optimcifar.comparison.forecast import TimeLeft, look_rows, power_rows, row, spread, time_rows
from optimcifar.comparison.workload_plan import WorkloadsPlan
from optimcifar.engine.cluster import connect
from optimcifar.engine.progress import resumable
from optimcifar.engine.runs import Run
from optimcifar.engine.settings import refuse_equal_configurations, refuse_other_purpose
from optimcifar.engine.worker import RunEnd
from optimcifar.errors import UsageError
from optimcifar.report.workloads.design import OVER_WORKLOADS


def train_workloads(plan: WorkloadsPlan) -> dict[Run, RunEnd]:
    """Train and test the runs on all workloads; print what it does, and return how each run ended.

    Raises:
        UsageError: a run's options are wrong, or a folder has runs with other settings.
        RuntimeError: the cluster cannot be reached.
    """
    print(plan.describe(), flush=True)
    with connect(plan.first.cluster, plan.out, plan.entries) as client:
        _check(client, plan)
        plan.design.write(plan.out)
        for own in plan.plans.values():
            with_looks(own).write(own.out)
        ends: dict[Run, RunEnd] = {}
        with resumable(plan.out):
            for name, own in plan.plans.items():
                print(f"{name}: {own.describe()}", flush=True)
                ends |= train_plan(client, own)
        return ends


def forecast_workloads(plan: WorkloadsPlan, spread_of: Path | None = None) -> Iterator[str]:
    """Yield lines on what a comparison over workloads would cost and could show; write nothing.

    Args:
        plan: the comparison.
        spread_of: a comparison that says how much paired differences scatter, see ``forecast``.

    Raises:
        UsageError: a run's options are wrong, or a folder has runs with other settings.
        RuntimeError: the cluster cannot be reached, or training failed.
    """
    sd, source = spread(spread_of)
    yield plan.describe()
    with connect(plan.first.cluster, plan.out, plan.entries) as client:
        resolved, left = _check(client, plan), list[TimeLeft]()
        for name, own in plan.plans.items():
            yield f"{name}: {own.describe()}"
            time_left = yield from time_rows(client, own, resolved[name])
            left.append(time_left)
            yield from look_rows(own)
    yield "on every workload:"
    yield from power_rows(plan.first.design, sd, source)
    yield row("time in all", reduce(add, left).describe())


def _check(client: Client, plan: WorkloadsPlan) -> dict[str, list[str]]:
    """Refuse settings that a workload cannot train, equal workloads, and a folder that holds other workloads.

    Returns:
        The resolved configurations on each workload, as YAML.
    """
    refuse_other_purpose(plan.out, OVER_WORKLOADS)
    plan.design.refuse_fewer(plan.out)
    resolved = {}
    for name, own in plan.plans.items():
        try:
            resolved[name] = check_plan(client, own)
        except UsageError as error:
            raise UsageError(f"{name}: {error}") from error
    runs = [
        replace(run, name=f"{run.name} on {name}")
        for name, own in plan.plans.items()
        for run in own.runs(own.design.new_seeds[0][:1])
    ]
    refuse_equal_configurations(runs, [text for texts in resolved.values() for text in texts])
    return resolved
