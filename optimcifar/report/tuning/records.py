"""Flat rows of a study: its runs for ``trials.csv``, its configurations for ``summary.csv``."""

from __future__ import annotations

from typing import Any

from optimcifar.report.analysis import metric_of
from optimcifar.report.records import Record, configuration_records, difference_fields, interval_fields
from optimcifar.report.tuning.columns import verdict_of_gain
from optimcifar.report.tuning.study import Study, Trial
from optimcifar.runs.results import RunResult
from optimcifar.spaces.values import is_number, option_text
from optimcifar.statistics.estimates import estimate


def trial_records(study: Study) -> list[Record]:
    """Return a row per run, by configuration and trial: the tuning runs, then the final ones.

    A hyperparameter that a configuration does not have is empty; one that it sets to nothing is ``null``.
    """
    keys = study.keys
    return [
        _record(study, trial, run, is_final, keys)
        for trials in study.trials.values()
        for trial in trials
        for is_final, runs in ((False, trial.tuning_runs), (True, trial.final_runs))
        for run in runs
    ]


def tuned_records(study: Study) -> list[Record]:
    """Return a row per configuration: its tuned setting in the comparison, and what tuning brought and cost.

    ``own_val_acc`` is the accuracy of the configuration's own setting with the final seeds, ``tuning_gain`` the
    difference of the tuned setting from it.
    """
    own = {row.name: row.metrics["val_acc"] for row in study.own_comparison.configurations}
    records = []
    for record in configuration_records(study.comparison):
        name = record["configuration"]
        records.append(
            record
            | {"trial": study.chosen[name].number}
            | interval_fields("own_val_acc", own.get(name, estimate([])))
            | difference_fields("tuning_gain", study.gains.get(name))
            | {"tuning_verdict": verdict_of_gain(study, name)}
            | {"tuning_runs": len(study.tuning_runs[name]), "tuning_seconds": study.tuning_seconds(name)}
        )
    return records


def _record(study: Study, trial: Trial, run: RunResult, is_final: bool, keys: list[str]) -> Record:
    name = trial.configuration
    record: Record = {"configuration": name, "trial": trial.number, "seed": run.seed}
    record |= {"is_final": is_final, "status": run.status}
    record |= {key: _value(trial.setting[key]) if key in trial.setting else None for key in keys}
    return record | {
        "val_acc": run.final("val_acc"),
        "test_acc": metric_of(run, "test_acc"),
        "train_loss": run.final("train_loss"),
        "train_seconds": run.summary.get("train_seconds"),
        "optimizer_step_ms": run.summary.get("optimizer_step_ms"),
        "is_candidate": trial in study.candidates[name],
        "is_chosen": trial is study.chosen.get(name),
    }


def _value(value: Any) -> Any:
    return value if is_number(value) else option_text(value)
