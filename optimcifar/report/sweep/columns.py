"""The columns of a sweep's tables for readers."""

from __future__ import annotations

import math
from typing import Any

from optimcifar.report.charts.forest import UNDECIDED_COLOUR, VERDICT_COLOURS
from optimcifar.report.columns import number_text, plus_minus
from optimcifar.report.labels import value_text
from optimcifar.report.sweep.results import Response, Sweep, Tried
from optimcifar.report.tables import Column, with_content
from optimcifar.spaces.values import is_number
from optimcifar.statistics.verdicts import BETTER

#: Costs that a table shows: their head and format by metric.
_COSTS = {
    "train_seconds": ("training s", ".1f"),
    "images_per_second": ("images/s", ",.0f"),
    "optimizer_step_ms": ("optimizer ms/step", ".3f"),
}


def sweep_columns(sweep: Sweep, response: Response) -> list[Column[Tried]]:
    """Return the columns about the points of a configuration, those that have anything to show."""
    columns = [
        *(_value(sweep, key) for key in sweep.design.keys),
        Column("note", mark, mark, _colour),
        _metric("val acc", "val_acc"),
        _metric("train loss", "train_loss"),
        Column("best epoch's val acc", _best_epoch, lambda row: number_text(_best_epoch(row), ".3f")),
        *(_cost(title, name, form) for name, (title, form) in _COSTS.items()),
        Column("seeds", lambda row: len(row.ended), seeds_text),
        Column("diverged", lambda row: row.diverged, lambda row: _of(row, row.diverged)),
        Column("at chance", lambda row: row.at_chance, lambda row: _of(row, row.at_chance)),
        Column("no result", _missing, _missing_text),
    ]
    return with_content(columns, response.points)


def mark(row: Tried) -> str:
    """Write whether a point is or may be the best, and whether it is the file's own: ``best, own``."""
    best = "best" if row.is_best else "may be best" if row.is_among_best else ""
    return ", ".join(filter(None, (best, "own" if row.point.is_own else "")))


def _colour(row: Tried) -> str:
    return "" if not mark(row) else VERDICT_COLOURS[BETTER] if row.is_best else UNDECIDED_COLOUR


def seeds_text(row: Tried) -> str:
    """Write the number of seeds with a result, and of all if some have none: ``2/3``."""
    ended, planned = len(row.ended), len(row.seeds)
    return str(ended) if ended == planned else f"{ended}/{planned}"


def _value(sweep: Sweep, key: str) -> Column[Tried]:
    def order(row: Tried) -> Any:
        value = row.point.setting.get(key)
        return value if is_number(value) else sweep.position(key, value)

    return Column(sweep.names[key], order, lambda row: value_text(row.point.setting.get(key)))


def _metric(title: str, name: str) -> Column[Tried]:
    return Column(title, lambda row: row.estimate(name).mean, lambda row: plus_minus(row.estimate(name)))


def _cost(title: str, name: str, form: str) -> Column[Tried]:
    return Column(title, lambda row: row.estimate(name).mean, lambda row: number_text(row.estimate(name).mean, form))


def _best_epoch(row: Tried) -> float:
    return row.figures.costs["best_val_acc"] if row.figures else math.nan


def _of(row: Tried, number: int) -> str:
    return f"{number} of {len(row.ended)}" if number else ""


def _missing(row: Tried) -> int:
    return sum(row.without_result.values())


def _missing_text(row: Tried) -> str:
    return ", ".join(f"{number} {state}" for state, number in row.without_result.items())
