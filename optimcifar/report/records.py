"""Flat rows, of runs, configurations and differences: for CSV files and for pandas."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from optimcifar.report.analysis import COSTS, METRICS, Analysis, Configuration, Target, cost_of, metric_of
from optimcifar.report.cautions import START_HASHES
from optimcifar.report.sentences import verdict_text
from optimcifar.runs.folder import AVERAGES
from optimcifar.runs.results import RunResult, TimeToTarget
from optimcifar.statistics.estimates import Estimate
from optimcifar.statistics.verdicts import Difference

Record = dict[str, Any]


def run_records(analysis: Analysis) -> list[Record]:
    """Return a row per run, as in ``results.csv``."""
    return [_run_record(run, analysis) for run in analysis.runs]


def configuration_records(analysis: Analysis) -> list[Record]:
    """Return a row per configuration, as in ``summary.csv``."""
    return [_configuration_record(configuration, analysis) for configuration in analysis.configurations]


def difference_records(analysis: Analysis) -> list[Record]:
    """Return a row per difference from the baseline."""
    return [asdict(difference) for difference in analysis.differences]


def to_csv(records: Sequence[Record]) -> str:
    """Return rows as CSV, floats with seven digits. A cell is empty where a row lacks the column."""
    text = io.StringIO(newline="")
    columns = dict.fromkeys(name for record in records for name in record)
    writer = csv.DictWriter(text, list(columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in record.items()} for record in records)
    return text.getvalue()


def interval_fields(name: str, value: Estimate | Difference) -> Record:
    """Return the fields of a mean and its interval: ``val_acc``, ``val_acc_low`` and ``val_acc_high``."""
    return {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}


def difference_fields(name: str, value: Difference | None) -> Record:
    """Return the fields of a paired difference: as ``interval_fields``, the number of pairs, and the adjusted p."""
    fields = {"": "mean", "_low": "low", "_high": "high", "_pairs": "n", "_adjusted_p": "adjusted_p"}
    return {f"{name}{ending}": getattr(value, field) if value else math.nan for ending, field in fields.items()}


def _run_record(run: RunResult, analysis: Analysis) -> Record:
    record: Record = {"configuration": run.name, "seed": run.seed, "status": run.status, "epochs": run.epochs}
    record |= {name: run.hyperparameters.get(name) for name in analysis.differing}
    record |= {
        "diverged_step": run.summary.get("diverged_step"),
        "at_chance": run.status == "finished" and analysis.is_at_chance(run),
    }
    record |= {"train_loss": run.final("train_loss"), "val_loss": run.final("val_loss")}
    record |= {name: metric_of(run, name) for name in METRICS if name != "train_loss"}
    best, epoch = run.best()
    record |= {"best_val_acc": best, "best_epoch": epoch or None}
    record |= {name: cost_of(run, name) for name in COSTS if name != "best_val_acc"}
    if analysis.target_acc is not None:
        record |= _to_target(run.to_target(analysis.target_acc))
    return record | {name: run.summary.get(name) for name in START_HASHES}


def _configuration_record(configuration: Configuration, analysis: Analysis) -> Record:
    record: Record = {"configuration": configuration.name}
    record |= {name: configuration.hyperparameters.get(name) for name in analysis.differing}
    for name in ("seeds", "diverged", "at_chance", "not_finished"):
        record[name] = getattr(configuration, name)
    for name, value in configuration.metrics.items():
        record |= interval_fields(name, value)
    record |= configuration.costs
    if target := configuration.target:
        record |= {"reached_target": target.reached} | _to_target(target)
    record |= difference_fields("difference", configuration.difference)
    record |= {"verdict": verdict_text(configuration), "among_the_best": configuration.among_the_best}
    for average in AVERAGES:
        record |= difference_fields(f"{average}_gain", configuration.gains.get(average))
        gain = configuration.gains.get(average)
        record[f"{average}_verdict"] = gain.verdict if gain else ""
    return record


def _to_target(found: TimeToTarget | Target) -> Record:
    return {
        "epochs_to_target": found.epochs,
        "steps_to_target": found.steps,
        "seconds_to_target": found.seconds,
    }


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.7g}"
    return value
