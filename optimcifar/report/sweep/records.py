"""Flat rows of a sweep's runs, for CSV files and pandas."""

from __future__ import annotations

from optimcifar.report.analysis import cost_of
from optimcifar.report.records import Record
from optimcifar.report.sweep.results import Sweep, Tried
from optimcifar.runs.results import RunResult
from optimcifar.spaces.values import option_text

_COSTS = ("train_seconds", "images_per_second", "optimizer_step_ms", "optimizer_state_bytes")


def sweep_records(sweep: Sweep) -> list[Record]:
    """Return a row per run, as in ``sweep.csv``; those that failed or are not over included."""
    return [
        _record(sweep, tried, run)
        for response in sweep.responses
        for tried in response.points
        for _, run in sorted(tried.runs.items())
    ]


def _record(sweep: Sweep, tried: Tried, run: RunResult) -> Record:
    record: Record = {"configuration": tried.point.configuration}
    record |= {key: _cell(tried.point.setting.get(key)) for key in sweep.design.keys}
    record |= {"seed": run.seed, "is_own": tried.point.is_own, "status": run.status, "epochs": run.epochs}
    record["at_chance"] = run.status == "finished" and tried.analysis.is_at_chance(run)
    best, epoch = run.best()
    record |= {"val_acc": run.final("val_acc"), "best_val_acc": best, "best_epoch": epoch or None}
    record |= {metric: run.final(metric) for metric in ("train_loss", "val_loss")}
    return record | {cost: cost_of(run, cost) for cost in _COSTS} | {"folder": tried.point.entry}


def _cell(value: object) -> object:
    """Return a number as it is, and anything else as an option takes it."""
    return value if isinstance(value, (int, float)) and not isinstance(value, bool) else option_text(value)
