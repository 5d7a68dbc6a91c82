"""The table for a terminal and a notebook: at most seven columns."""

from __future__ import annotations

import math

from optimcifar.report.analysis import Analysis, Configuration
from optimcifar.statistics.estimates import Estimate


def short_table(analysis: Analysis) -> dict[str, list[str]]:
    """Return the columns by head: a text for each configuration, the highest accuracy first.

    A column without any text is left out, such as ``diverged`` where no run did.
    """
    rows = [_cells(row, analysis.measure) for row in analysis.configurations]
    return {head: cells for head in rows[0] if any(cells := [row[head] for row in rows])}


def _cells(row: Configuration, measure: str) -> dict[str, str]:
    difference = row.difference
    return {
        "configuration": row.name,
        "seeds": f"{row.seeds} of {row.seeds + row.not_finished}" if row.not_finished else str(row.seeds),
        measure.replace("_", " "): _accuracy(row.metrics[measure]),
        "difference": _plus_minus(difference.mean, difference.high) if difference else "",
        "verdict": difference.verdict if difference else "baseline",
        "time/run": _seconds(row.costs["train_seconds"]),
        "diverged": _collapsed(row),
    }


def _accuracy(value: Estimate) -> str:
    if value.missing:
        return f"missing in {value.missing} of {value.n}"
    return "" if math.isnan(value.mean) else f"{value.mean:.3f}"


def _plus_minus(mean: float, high: float) -> str:
    """Write ``+0.063 ± 0.011``, the mean and half of its interval."""
    if math.isnan(mean):
        return ""
    return f"{mean:+.3f}" if math.isnan(high) else f"{mean:+.3f} ± {high - mean:.3f}"


def _seconds(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:,.0f} s" if value >= 100 else f"{value:.1f} s"


def _collapsed(row: Configuration) -> str:
    """Write how many runs diverged, and how many finished at chance level: ``1; 2 at chance``."""
    parts = [str(row.diverged)] if row.diverged else []
    return "; ".join([*parts, f"{row.at_chance} at chance"] if row.at_chance else parts)
