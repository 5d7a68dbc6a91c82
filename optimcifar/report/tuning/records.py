"""Flat rows of tuning runs: for ``trials.csv``."""

from __future__ import annotations

from typing import Any

from optimcifar.report.records import Record
from optimcifar.report.tuning.study import Study, Trial
from optimcifar.runs.results import RunResult
from optimcifar.spaces.values import is_number, option_text


def trial_records(study: Study) -> list[Record]:
    """Return a row per tuning run, by configuration, trial and seed.

    A hyperparameter that a configuration does not have is empty; one that it sets to nothing is ``null``.
    """
    keys = study.keys
    return [
        _record(study, trial, run, keys)
        for trials in study.trials.values()
        for trial in trials
        for run in trial.tuning_runs
    ]


def _record(study: Study, trial: Trial, run: RunResult, keys: list[str]) -> Record:
    name = trial.configuration
    record: Record = {"configuration": name, "trial": trial.number, "seed": run.seed, "status": run.status}
    record |= {key: _value(trial.setting[key]) if key in trial.setting else None for key in keys}
    return record | {
        "val_acc": run.final("val_acc"),
        "train_loss": run.final("train_loss"),
        "train_seconds": run.summary.get("train_seconds"),
        "optimizer_step_ms": run.summary.get("optimizer_step_ms"),
        "is_candidate": trial in study.candidates[name],
        "is_chosen": trial is study.chosen.get(name),
    }


def _value(value: Any) -> Any:
    return value if is_number(value) else option_text(value)
