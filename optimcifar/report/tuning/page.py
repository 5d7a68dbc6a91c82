"""The page of a study."""

from __future__ import annotations

from optimcifar.report.charts.style import Style
from optimcifar.report.comparison_page import comparison_tables
from optimcifar.report.page import charts, heading, html_page, paragraphs, table
from optimcifar.report.sentences import circumstances
from optimcifar.report.tuning.columns import study_tables
from optimcifar.report.tuning.gallery import study_context, study_figures
from optimcifar.report.tuning.sentences import study_answer, study_cautions, study_methods, tuning_circumstances
from optimcifar.report.tuning.study import Study
from optimcifar.text import count


def study_page(study: Study) -> str:
    """Return the page as HTML."""
    style = Style(list(study.design.spaces), interactive=True)
    drawn, compared = study_figures(study, style), study.comparison
    measured_on = circumstances(compared) if compared.runs else tuning_circumstances(study)
    tables = comparison_tables(compared) if compared.runs else []
    parts = [
        paragraphs(study_answer(study), "answer"),
        paragraphs([measured_on] * bool(measured_on), "note"),
        *map(table, [*tables[:1], *study_tables(study), *tables[1:]]),
        heading("Methods"),
        paragraphs([*study_methods(study), *study_cautions(study)]),
        charts(drawn, style.looks, study_context(study)),
    ]
    configurations, tuning = count(len(study.design.spaces), "configuration"), sum(map(len, study.tuning_runs.values()))
    final = sum(len(trial.final_runs) for trial in study.finalists)
    title = f"{configurations} tuned, {count(tuning, 'tuning run')}, {count(final, 'final run')}"
    return html_page(title, parts, drawn)
