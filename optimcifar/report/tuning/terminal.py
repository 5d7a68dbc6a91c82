"""What ``optimcifar tune`` prints at its end: the answer, what tuning brought, tables and what to beware of."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from optimcifar.console import OutputConsole
from optimcifar.report.labels import change_text
from optimcifar.report.sentences import circumstances, signed_interval
from optimcifar.report.short_table import differences_note
from optimcifar.report.terminal import VERDICT_STYLES, print_parts, results_table
from optimcifar.report.tuning.columns import verdict_of_gain
from optimcifar.report.tuning.sentences import study_answer, study_cautions
from optimcifar.report.tuning.study import Study


def print_study(study: Study, page: Path) -> None:
    """Print the results to standard output; lines and tables are as wide as the terminal, or 80 columns in a pipe.

    Args:
        study: what the runs show; some may not be over.
        page: the file of the whole report, which is named in the last line.
    """
    console, compared = OutputConsole(), study.comparison
    notes = study_cautions(study)
    if compared.runs:
        notes = [*differences_note(compared), f"{circumstances(compared)}.", *notes]
    print_parts(
        console,
        [*map(console.text, study_answer(study))],
        [results_table(compared, console)] if compared.runs else [],
        [_settings_table(study, console)],
        [*map(console.text, notes)],
        [console.text("Spaces, the cost of tuning and methods are on the page, and in summary.md beside it.")],
    )
    console.print(f"the report is {page}", soft_wrap=True)


def _settings_table(study: Study, console: OutputConsole) -> Table:
    """Return a row per configuration: its tuned setting, and what tuning brought."""
    table = Table(box=None, pad_edge=False)
    for head in ("configuration", "tuned setting", "tuning brought", "verdict"):
        table.add_column(head, overflow="fold")
    for name in study.design.spaces:
        verdict = verdict_of_gain(study, name)
        gain = signed_interval(study.gains[name]) if name in study.gains else ""
        cells = (name, _setting(study, name), gain)
        table.add_row(*map(console.text, cells), console.text(verdict, VERDICT_STYLES.get(verdict, "")))
    return table


def _setting(study: Study, name: str) -> str:
    """Write ``lr 0.01 → 0.0316, momentum 0.9``."""
    if name not in study.chosen:
        return ""
    names, own = study.key_names, study.trials[name][0].setting
    values = study.chosen[name].setting
    return ", ".join(f"{names[key]} {change_text(own[key], value)}" for key, value in values.items())
