"""The columns of a comparison's tables for readers."""

from __future__ import annotations

import math
from typing import Any, Literal

from optimcifar.report.analysis import Analysis, Configuration, Target
from optimcifar.report.charts.forest import verdict_colour
from optimcifar.report.configurations import short_value
from optimcifar.report.sentences import seeds_text, signed_interval, verdict_text
from optimcifar.report.tables import Column, with_content
from optimcifar.runs.folder import AVERAGES
from optimcifar.statistics.estimates import Estimate, divergence_bound
from optimcifar.statistics.verdicts import NO_DIFFERENCE

# Tables for readers have at most so many hyperparameters; the CSV files have all.
_MOST_HYPERPARAMETERS = 4

_NAME: Column[Configuration] = Column("configuration", lambda row: row.name, lambda row: row.name)


def verdict_columns(analysis: Analysis) -> list[Column[Configuration]]:
    """Return the columns of what was compared, those that have anything to show."""
    measure = analysis.measure.replace("_", " ")
    columns = [
        _NAME,
        *([Column("verdict", verdict_text, verdict_text, _colour)] if len(analysis.names) > 1 else []),
        Column(f"Δ {measure} vs {analysis.baseline}", _difference, _difference_text),
        _metric(measure, analysis.measure),
        Column("pairs", _pairs, lambda row: str(_pairs(row) or "")),
        Column("adjusted p", _adjusted_p, lambda row: number_text(_adjusted_p(row), ".3g")),
        Column("diverged", lambda row: row.diverged, _diverged_text),
        Column("not finished", lambda row: row.not_finished, lambda row: str(row.not_finished or "")),
        Column(
            "seeds needed",
            lambda row: _seeds_needed(row, analysis),
            lambda row: seeds_text(_seeds_needed(row, analysis)),
        ),
    ]
    return with_content(columns, analysis.configurations)


def cost_columns(analysis: Analysis) -> list[Column[Configuration]]:
    """Return the columns of settings and costs, those that have anything to show."""
    columns = [
        _NAME,
        *(_hyperparameter(name) for name in _shown_hyperparameters(analysis)),
        Column("seeds", lambda row: row.seeds, lambda row: str(row.seeds)),
        _cost("training s", "train_seconds", ".1f"),
        _cost("images/s", "images_per_second", ",.0f"),
        _cost("optimizer ms/step", "optimizer_step_ms", ".3f"),
        _cost("optimizer state, bytes", "optimizer_state_bytes", ",.0f"),
    ]
    if analysis.target_acc is not None:
        columns.append(_target(analysis))
    return with_content(columns, analysis.configurations)


def metric_columns(analysis: Analysis) -> list[Column[Configuration]]:
    """Return the columns of what was measured beside that, those that have anything to show."""
    columns = [
        _NAME,
        _cost("best epoch's val acc", "best_val_acc", ".3f"),
        _metric("train loss", "train_loss"),
        *([_metric("test acc", "test_acc")] if analysis.measure != "test_acc" else []),
        *(column for average in AVERAGES for column in _average_columns(average)),
    ]
    return with_content(columns, analysis.configurations)


def _shown_hyperparameters(analysis: Analysis) -> list[str]:
    """Return the differing hyperparameters that every configuration has.

    Those that some lack follow from another one, such as the optimizer's class, and would fill the table with gaps.
    """
    known = [row.hyperparameters for row in analysis.configurations if row.hyperparameters]
    shared = [name for name in analysis.differing if all(name in own for own in known)]
    return shared[:_MOST_HYPERPARAMETERS]


def _hyperparameter(name: str) -> Column[Configuration]:
    def value(row: Configuration) -> Any:
        found = row.hyperparameters.get(name)
        return "" if found is None else found

    return Column(name, value, lambda row: short_value(value(row)))


def _metric(title: str, name: str) -> Column[Configuration]:
    return Column(title, lambda row: row.metrics[name].mean, lambda row: plus_minus(row.metrics[name]))


def _cost(title: str, name: str, form: str) -> Column[Configuration]:
    return Column(title, lambda row: row.costs[name], lambda row: number_text(row.costs[name], form))


def _target(analysis: Analysis) -> Column[Configuration]:
    """Return when the target was reached: in epochs, or in steps where a run has validations within epochs."""
    unit: Literal["step", "epoch"] = "step" if analysis.validates_within_epochs else "epoch"

    def value(row: Configuration) -> float:
        return _to_target(row.target, unit) if row.target else math.nan

    return Column(f"reached val acc {analysis.target_acc:g}", value, lambda row: _target_text(row.target, unit))


def _to_target(target: Target, unit: Literal["step", "epoch"]) -> float:
    return target.steps if unit == "step" else target.epochs


def _target_text(target: Target | None, unit: Literal["step", "epoch"]) -> str:
    """Write ``2 of 3, median 4 epochs, 8.0 s``, or ``never``."""
    if target is None or not target.n:
        return ""
    if not target.reached:
        return "never"
    number = _to_target(target, unit)
    length = f"{number:,.10g} {unit}{'' if number == 1 else 's'}"
    return f"{target.reached} of {target.n}, median {length}, {target.seconds:.1f} s"


def _average_columns(average: str) -> list[Column[Configuration]]:
    def gain(row: Configuration) -> float:
        return row.gains[average].mean if average in row.gains else math.nan

    def text(row: Configuration) -> str:
        found = row.gains.get(average)
        return f"{interval} {found.verdict}" if found and (interval := signed_interval(found)) else ""

    return [
        _metric(f"val acc, {average}", f"val_acc_{average}"),
        Column(f"Δ {average} vs final weights", gain, text),
        _metric(f"test acc, {average}", f"test_acc_{average}"),
    ]


def _colour(row: Configuration) -> str:
    return verdict_colour(row.difference.verdict) if row.difference else ""


def _difference(row: Configuration) -> float:
    return row.difference.mean if row.difference else math.nan


def _difference_text(row: Configuration) -> str:
    return signed_interval(row.difference) if row.difference else ""


def _adjusted_p(row: Configuration) -> float:
    return row.difference.adjusted_p if row.difference else math.nan


def _diverged_text(row: Configuration) -> str:
    """Write ``2 of 5``, or ``0 of 5 (true rate at most 45 %)``."""
    if not row.runs:
        return ""
    bound = "" if row.diverged else f" (true rate at most {100 * divergence_bound(row.runs):.0f} %)"
    return f"{row.diverged} of {row.runs}{bound}"


def _seeds_needed(row: Configuration, analysis: Analysis) -> float:
    found = row.difference
    return analysis.seeds_needed(found) if found and found.verdict == NO_DIFFERENCE else math.nan


def _pairs(row: Configuration) -> int:
    return row.difference.n if row.difference else 0


def plus_minus(value: Estimate) -> str:
    """Write ``0.613 ± 0.020``, or ``0.990 [0.961, 1.000]`` where the interval was cut, or how many values miss."""
    if math.isnan(value.mean):
        return f"missing in {value.missing} of {value.n}" if value.missing < value.n else ""
    if math.isnan(value.low):
        return f"{value.mean:.3f}"
    half = (value.high - value.low) / 2
    if not math.isclose(value.low + half, value.mean, abs_tol=1e-9):
        return f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"
    return f"{value.mean:.3f} ± {half:.3f}"


def number_text(value: float, form: str) -> str:
    """Write a number in a format; nothing for NaN."""
    return "" if math.isnan(value) else format(value, form)
