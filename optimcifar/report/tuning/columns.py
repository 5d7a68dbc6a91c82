"""The tables of a study: tuned settings, spaces, and what tuning cost."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from optimcifar.report.analysis import Analysis, Configuration
from optimcifar.report.charts.forest import verdict_colour
from optimcifar.report.columns import number_text, plus_minus
from optimcifar.report.labels import change_text, value_text
from optimcifar.report.sentences import signed_interval
from optimcifar.report.tables import Column, Table, with_content
from optimcifar.report.tuning.edges import Edge, edges
from optimcifar.report.tuning.study import Study

# Columns of rows that are configurations, by name.
_NAME: Column[str] = Column("configuration", str, str)


@dataclass(frozen=True)
class Tried:
    """A hyperparameter of a configuration, and what was tried for it."""

    configuration: str
    key: str
    values: str
    own: Any
    source: str


def study_tables(study: Study) -> list[Table[Any]]:
    """Return the tables of what was tuned; those of the comparison come before."""
    names = list(study.design.spaces)
    return [
        Table("tuned", "Tuned settings", with_content(_tuned_columns(study), names), names, _tuned_note(study)),
        Table("spaces", "Spaces", _space_columns(study), _tried(study)),
        Table("tuning-cost", "What tuning cost", with_content(_cost_columns(study), names), names),
    ]


def verdict_of_gain(study: Study, name: str) -> str:
    """Return the verdict on what tuning brought a configuration, or that it keeps its own setting."""
    if name not in study.chosen:
        return "no result"
    if not study.chosen[name].number:
        return "own setting kept"
    return study.gains[name].verdict if name in study.gains else "no final run yet"


def _tuned_note(study: Study) -> str:
    seeds = len(study.design.candidate_seeds)
    note = (
        "Own → tuned value of each hyperparameter. Accuracies of the own and the tuned setting are over the final "
        f"seeds. The setting was chosen by its accuracy over {seeds} tuning seeds, so that one is likely too high."
    )
    edge = (
        " At an edge: tuned values in the lowest or highest tenth of their range or outside it, and what to try next."
    )
    return note + edge if edges(study) else note


def _tuned_columns(study: Study) -> list[Column[str]]:
    measure, at_edge = study.comparison.measure.replace("_", " "), edges(study)
    names = study.key_names

    def verdict(name: str) -> str:
        return verdict_of_gain(study, name)

    def gain(name: str) -> float:
        return study.gains[name].mean if name in study.gains else math.nan

    def edge(name: str) -> str:
        return "; ".join(_edge_text(found, names) for found in at_edge if found.configuration == name)

    return [
        _NAME,
        Column("verdict on tuning", verdict, verdict, lambda name: verdict_colour(verdict(name))),
        Column(
            f"Δ {measure}, tuned vs own",
            gain,
            lambda name: signed_interval(study.gains[name]) if name in study.gains else "",
        ),
        *(_setting_column(study, key, short) for key, short in names.items()),
        Column("trial", lambda name: _number(study, name), lambda name: number_text(_number(study, name), ".0f")),
        Column(
            "val acc, tuning seeds",
            lambda name: _tuning_accuracy(study, name),
            lambda name: number_text(_tuning_accuracy(study, name), ".3f"),
        ),
        _accuracy(f"{measure}, own", study.own_comparison),
        _accuracy(f"{measure}, tuned", study.comparison),
        Column("at an edge", edge, edge, lambda name: ""),
    ]


def _edge_text(edge: Edge, names: dict[str, str]) -> str:
    return f"{names[edge.key]}: try {edge.following}"


def _setting_column(study: Study, key: str, short: str) -> Column[str]:
    def value(name: str) -> Any:
        trial = study.chosen.get(name)
        return trial.setting.get(key, "") if trial else ""

    def text(name: str) -> str:
        own = study.design.spaces[name].trials[0]
        return change_text(own[key], value(name)) if key in own and name in study.chosen else ""

    return Column(short, value, text)


def _number(study: Study, name: str) -> float:
    return study.chosen[name].number if name in study.chosen else math.nan


def _tuning_accuracy(study: Study, name: str) -> float:
    return study.chosen[name].mean(study.design.candidate_seeds) if name in study.chosen else math.nan


def _accuracy(title: str, analysis: Analysis) -> Column[str]:
    found: dict[str, Configuration] = {row.name: row for row in analysis.configurations}

    def value(name: str) -> float:
        return found[name].metrics[analysis.measure].mean if name in found else math.nan

    return Column(title, value, lambda name: plus_minus(found[name].metrics[analysis.measure]) if name in found else "")


def _tried(study: Study) -> list[Tried]:
    return [
        Tried(name, key, values, own.trials[0][key], own.source)
        for name, own in study.design.spaces.items()
        for key, values in (
            *((key, tried.describe()) for key, tried in own.space.items()),
            *((key, f"follows {other}") for key, other in own.follows.items()),
        )
    ]


def _space_columns(study: Study) -> list[Column[Tried]]:
    trials = str(study.design.trials)
    return [
        Column("configuration", lambda row: row.configuration, lambda row: row.configuration),
        Column("hyperparameter", lambda row: row.key, lambda row: row.key, lambda row: ""),
        Column("tried", lambda row: row.values, lambda row: row.values, lambda row: ""),
        Column("own value", lambda row: row.own, lambda row: value_text(row.own)),
        Column("trials", lambda row: trials, lambda row: trials),
        Column("from", lambda row: row.source, lambda row: row.source, lambda row: ""),
    ]


def _cost_columns(study: Study) -> list[Column[str]]:
    def with_status(status: str) -> Column[str]:
        def number(name: str) -> int:
            return sum(any(run.status == status for run in trial.tuning_runs) for trial in study.trials[name])

        return Column(f"{status} trials", number, lambda name: str(number(name) or ""))

    def runs(name: str) -> int:
        return len(study.tuning_runs[name])

    def minutes(name: str) -> float:
        return study.tuning_seconds(name) / 60

    return [
        _NAME,
        Column("trials", lambda name: study.design.trials, lambda name: str(study.design.trials)),
        Column("tuning runs", runs, lambda name: str(runs(name))),
        with_status("diverged"),
        with_status("failed"),
        Column("minutes of training", minutes, lambda name: f"{minutes(name):,.1f}"),
    ]
