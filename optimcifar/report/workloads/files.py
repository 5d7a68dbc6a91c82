"""The files of a report over workloads: those of each workload in its folder, and those of all together."""

from __future__ import annotations

from pathlib import Path

from optimcifar.report.cautions import cautions
from optimcifar.report.files import write_charts, write_report
from optimcifar.report.records import to_csv
from optimcifar.report.sentences import answer, circumstances
from optimcifar.report.tables import markdown_table
from optimcifar.report.workloads.page import workloads_page
from optimcifar.report.workloads.profile_chart import draw_profile
from optimcifar.report.workloads.records import (
    profile_records,
    workload_configuration_records,
    workload_run_records,
)
from optimcifar.report.workloads.results import WorkloadResults
from optimcifar.report.workloads.sentences import heading_of, methods, profile_in_words, workload_cautions
from optimcifar.report.workloads.tables import time_table, verdict_tables
from optimcifar.runs.atomic import write_atomically


def write_workloads_report(results: WorkloadResults, out: Path) -> None:
    """Write the report of each workload into its folder, and ``report.html`` and tables of all beside these folders.

    ``profile.csv`` and the chart need a target.

    Args:
        results: what the runs show.
        out: the folder; it is created if it does not exist.
    """
    for name, own in results.comparisons.items():
        write_report(own, out / name)
    write_atomically(out / "results.csv", to_csv(workload_run_records(results)))
    write_atomically(out / "summary.csv", to_csv(workload_configuration_records(results)))
    if results.times:
        write_atomically(out / "profile.csv", to_csv(profile_records(results)))
    write_atomically(out / "summary.md", _markdown(results))
    write_charts(draw_profile(results), out)
    write_atomically(out / "report.html", workloads_page(results))


def _markdown(results: WorkloadResults) -> str:
    blocks = [[line] for line in profile_in_words(results)]
    for name, shown in verdict_tables(results).items():
        own = results.comparisons[name]
        blocks += [[f"## {heading_of(results, name)}"], answer(own), markdown_table(shown.columns, shown.rows)]
        blocks += [[f"{shown.note} {circumstances(own)}.", *cautions(own)]]
    if results.times:
        times = time_table(results)
        blocks += [[f"## {times.title}"], markdown_table(times.columns, times.rows), [times.note]]
    blocks += [["## Methods"], [*methods(results), *workload_cautions(results)]]
    return "\n\n".join("\n".join(block) for block in blocks if block) + "\n"
