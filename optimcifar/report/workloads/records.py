"""Flat rows of a comparison over workloads: its runs, its configurations, and the performance profile."""

from __future__ import annotations

import math
from collections.abc import Sequence

from optimcifar.report.records import Record, configuration_records, run_records
from optimcifar.report.workloads.results import UNIT_COLUMN, WorkloadResults, WorkloadTime
from optimcifar.statistics.performance_profile import share_within


def workload_run_records(results: WorkloadResults) -> list[Record]:
    """Return a row per run, as in ``results.csv``."""
    return [{"workload": name} | row for name, own in results.comparisons.items() for row in run_records(own)]


def workload_configuration_records(results: WorkloadResults) -> list[Record]:
    """Return a row per workload and configuration, as in ``summary.csv``."""
    return [{"workload": name} | row for name, own in results.comparisons.items() for row in configuration_records(own)]


def profile_records(results: WorkloadResults) -> list[Record]:
    """Return a row per configuration and workload, as in ``profile.csv``; none without a target.

    ``share_within_ratio`` is the height of the configuration's profile at the row's ratio.
    """
    return [_profile_record(time, results.ratios(time.configuration)) for time in results.times]


def _profile_record(time: WorkloadTime, ratios: Sequence[float]) -> Record:
    return {
        "configuration": time.configuration,
        "workload": time.workload,
        "target_acc": time.target,
        "seeds": time.seeds,
        "reached_target": time.reached,
        UNIT_COLUMN: time.time,
        "ratio": time.ratio,
        "share_within_ratio": share_within(ratios, time.ratio) if math.isfinite(time.ratio) else math.nan,
    }
