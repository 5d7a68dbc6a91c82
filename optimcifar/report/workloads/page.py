"""The page of a comparison over workloads."""

from __future__ import annotations

from collections.abc import Iterator

from optimcifar.report.cautions import cautions
from optimcifar.report.charts.style import Style
from optimcifar.report.page import charts, heading, html_page, link, paragraphs, table
from optimcifar.report.sentences import answer, circumstances
from optimcifar.report.workloads.profile_chart import performance_profile, profile_context
from optimcifar.report.workloads.results import WorkloadResults
from optimcifar.report.workloads.sentences import heading_of, methods, profile_in_words, workload_cautions
from optimcifar.report.workloads.tables import time_table, verdict_tables
from optimcifar.text import count


def workloads_page(results: WorkloadResults) -> str:
    """Return the page as HTML, with links to the pages of the workloads in the folders beside it."""
    style = Style(results.names, interactive=True)
    figure = performance_profile(style, results)
    drawn = [figure] if figure else []
    parts = [
        paragraphs(profile_in_words(results), "answer"),
        *_workloads(results),
        *([table(time_table(results))] if results.times else []),
        *([charts(drawn, style.looks, profile_context(results))] if drawn else []),
        heading("Methods"),
        paragraphs([*methods(results), *workload_cautions(results)]),
    ]
    numbers = (len(results.comparisons), "workload"), (len(results.names), "configuration"), (len(results.runs), "run")
    return html_page(", ".join(count(number, noun) for number, noun in numbers), parts, drawn)


def _workloads(results: WorkloadResults) -> Iterator[str]:
    """Yield what each workload shows: its answer, what was measured on what, its verdicts, and its own page."""
    tables = verdict_tables(results)
    for name, own in results.comparisons.items():
        yield heading(heading_of(results, name))
        yield paragraphs(answer(own), "answer")
        yield paragraphs([circumstances(own), *cautions(own)], "note")
        yield table(tables[name])
        yield link(f"All figures, charts and methods of {name}", f"{name}/report.html")
