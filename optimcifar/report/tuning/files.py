"""The files of a study's report."""

from __future__ import annotations

from pathlib import Path

from optimcifar.report.files import configurations_as_markdown, write_charts
from optimcifar.report.records import run_records, to_csv
from optimcifar.report.tables import markdown_table
from optimcifar.report.tuning.columns import study_tables
from optimcifar.report.tuning.gallery import draw_study_charts
from optimcifar.report.tuning.page import study_page
from optimcifar.report.tuning.records import trial_records, tuned_records
from optimcifar.report.tuning.sentences import study_answer, study_cautions, study_methods, tuning_circumstances
from optimcifar.report.tuning.study import Study
from optimcifar.runs.atomic import write_atomically


def write_study_report(study: Study, out: Path) -> None:
    """Write ``trials.csv``, ``results.csv``, ``summary.csv``, ``summary.md``, the pictures and ``report.html``.

    Files for which there is no run yet are left out.

    Args:
        study: what the runs show; some may not be over.
        out: the folder; it is created if it does not exist.
    """
    if records := trial_records(study):
        write_atomically(out / "trials.csv", to_csv(records))
    if study.comparison.runs:
        write_atomically(out / "results.csv", to_csv(run_records(study.comparison)))
        write_atomically(out / "summary.csv", to_csv(tuned_records(study)))
    write_atomically(out / "summary.md", _markdown(study))
    write_charts(draw_study_charts(study), out)
    write_atomically(out / "report.html", study_page(study))


def _markdown(study: Study) -> str:
    compared = study.comparison
    lines = [*study_answer(study), ""]
    lines += [*configurations_as_markdown(compared), ""] if compared.runs else []
    for table in study_tables(study):
        lines += [f"## {table.title}", "", *markdown_table(table.columns, table.rows), ""]
        lines += [table.note, ""] if table.note else []
    lines += ["## Methods", "", *study_methods(study), *study_cautions(study)]
    lines += ["", f"Trials: {measured_on}."] if (measured_on := tuning_circumstances(study)) else []
    return "\n".join(lines).lstrip() + "\n"
