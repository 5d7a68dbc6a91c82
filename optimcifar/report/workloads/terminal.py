"""What a comparison over workloads prints: answer and table of each, then the performance profile in words."""

from __future__ import annotations

from pathlib import Path

from optimcifar.console import OutputConsole
from optimcifar.report.cautions import cautions
from optimcifar.report.sentences import answer
from optimcifar.report.short_table import differences_note
from optimcifar.report.terminal import print_parts, results_table
from optimcifar.report.workloads.results import WorkloadResults
from optimcifar.report.workloads.sentences import heading_of, profile_in_words, workload_cautions


def print_workloads(results: WorkloadResults, page: Path) -> None:
    """Print the results to standard output; lines and tables are as wide as the terminal, or 80 columns in a pipe.

    Args:
        results: what the runs show.
        page: the file of the whole report, which is named in the last line.
    """
    console = OutputConsole()
    for name, own in results.comparisons.items():
        print_parts(
            console,
            [*map(console.text, [heading_of(results, name), *answer(own)])],
            [results_table(own, console)],
            [*map(console.text, [*differences_note(own), *cautions(own)])],
        )
    print_parts(console, [*map(console.text, [*profile_in_words(results), *workload_cautions(results)])])
    console.print(console.text("Costs, charts and methods are on the workloads' own pages, to which the page links."))
    console.print(f"the report is {page}", soft_wrap=True)
