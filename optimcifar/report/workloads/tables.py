"""The tables of a comparison over workloads: the verdicts on each, and the times to the targets."""

from __future__ import annotations

import math

from optimcifar.report.analysis import Configuration
from optimcifar.report.columns import verdict_columns
from optimcifar.report.tables import Column, Table
from optimcifar.report.workloads.results import UNIT, WorkloadResults, WorkloadTime
from optimcifar.report.workloads.sentences import time_text
from optimcifar.statistics.estimates import LEVEL
from optimcifar.text import percent

# A row is a configuration, with its time on each workload.
_Row = dict[str, WorkloadTime]


def verdict_tables(results: WorkloadResults) -> dict[str, Table[Configuration]]:
    """Return the table of verdicts of each workload, without headings."""
    note = f"Means ± half of their {percent(LEVEL)} intervals over seeds."
    return {
        name: Table(f"verdicts-{number}", "", verdict_columns(own), own.configurations, note)
        for number, (name, own) in enumerate(results.comparisons.items())
    }


def time_table(results: WorkloadResults) -> Table[_Row]:
    """Return the table of times to the targets: a row per configuration, a column per workload."""
    rows = [{time.workload: time for time in results.times_of(name)} for name in results.names]
    columns: list[Column[_Row]] = [Column("configuration", _configuration, _configuration)]
    columns += [_time_column(name, own.target_acc or math.nan) for name, own in results.comparisons.items()]
    note = (
        f"{UNIT.capitalize()} until half of the seeds had reached the target, also divided by those of the fastest; or "
        "how many seeds reached it, if fewer than half did."
    )
    return Table("times", "Time to target", columns, rows, note)


def _configuration(row: _Row) -> str:
    return next(iter(row.values())).configuration


def _time_column(workload: str, target: float) -> Column[_Row]:
    return Column(f"{workload}, to {target:g}", lambda row: row[workload].time, lambda row: time_text(row[workload]))
