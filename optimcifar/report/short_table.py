"""The table for a terminal and a notebook: at most seven columns."""

from __future__ import annotations

import math

from optimcifar.report.analysis import Analysis, Configuration
from optimcifar.statistics.estimates import Estimate


def short_table(analysis: Analysis) -> dict[str, list[str]]:
    """Return the columns by head: a text for each configuration, the highest accuracy first.

    The numbers are short enough for a terminal of 80 columns. A column without any text is left out, such as
    ``diverged`` where no run did.
    """
    rows = [_cells(row, analysis) for row in analysis.configurations]
    return {head: cells for head in rows[0] if any(cells := [row[head] for row in rows])}


def differences_note(analysis: Analysis) -> list[str]:
    """Say what the column of differences shows; nothing without it."""
    if not any(_difference(row, analysis) for row in analysis.configurations):
        return []
    parts = [f"Differences from {analysis.baseline}, paired by seed"]
    if any(math.isfinite(found.high) for found in analysis.differences):
        parts.append("± half of their intervals")
    if any("(" in _difference(row, analysis) for row in analysis.configurations):
        parts.append("with the number of pairs where one of the two has other seeds as well")
    return [f"{', '.join(parts)}."]


def _cells(row: Configuration, analysis: Analysis) -> dict[str, str]:
    measure = analysis.measure
    return {
        "configuration": row.name,
        "seeds": f"{row.seeds}/{row.seeds + row.not_finished}" if row.not_finished else str(row.seeds),
        measure.replace("_", " "): _accuracy(row.metrics[measure]),
        "difference": _difference(row, analysis),
        "verdict": _verdict(row, compared=len(analysis.names) > 1),
        "s/run": _seconds(row.costs["train_seconds"]),
        "diverged": str(row.diverged or ""),
    }


def _accuracy(value: Estimate) -> str:
    if value.missing:
        return "missing"
    return "" if math.isnan(value.mean) else f"{value.mean:.3f}"


def _difference(row: Configuration, analysis: Analysis) -> str:
    """Write a difference, and the number of pairs where either side has other seeds as well: ``+0.063 ± 0.011 (5)``."""
    found = row.difference
    if found is None:
        return ""
    seeds = {row.seeds, len(analysis.values(analysis.baseline))}
    pairs = f" ({found.n})" if found.n and seeds != {found.n} else ""
    return _plus_minus(found.mean, found.high) + pairs


def _plus_minus(mean: float, high: float) -> str:
    """Write ``+0.063 ± 0.011``, the mean and half of its interval."""
    if math.isnan(mean):
        return ""
    return f"{mean:+.3f}" if math.isnan(high) else f"{mean:+.3f} ± {high - mean:.3f}"


def _verdict(row: Configuration, compared: bool) -> str:
    """Write ``worse``, or ``worse; 2 at chance`` if runs ended at chance level; divergence has its own column."""
    parts = [row.difference.verdict if row.difference else "baseline"] if compared else []
    parts += [f"{row.at_chance} at chance"] if row.at_chance else []
    return "; ".join(parts)


def _seconds(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"
