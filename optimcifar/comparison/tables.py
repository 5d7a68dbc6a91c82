"""The figures of a comparison: a row per run, and a row per configuration."""

from __future__ import annotations

import csv
import io
import math
import statistics
from dataclasses import dataclass
from typing import Any

from optimcifar.comparison.significance import Difference, Estimate, best_group, compare, estimate
from optimcifar.runs.folder import AVERAGES, ENDED, WEIGHTS
from optimcifar.runs.results import RunResult

Row = dict[str, Any]


@dataclass(frozen=True)
class Comparison:
    """What is compared, and with what.

    Attributes:
        runs: all of them.
        baseline: the configuration that the others are compared with.
        target_acc: a validation accuracy, 0 to 1, whose epochs and seconds are counted; None for none.
    """

    runs: list[RunResult]
    baseline: str
    target_acc: float | None = None

    @property
    def names(self) -> list[str]:
        """The configurations, in the order of the runs."""
        return list(dict.fromkeys(run.name for run in self.runs))

    def ended(self, name: str) -> list[RunResult]:
        """Return a configuration's runs that finished or diverged."""
        return [run for run in self.runs if run.name == name and run.status in ENDED]

    @property
    def measure(self) -> str:
        """What is compared: validation accuracy, or test accuracy where there are no validation images."""
        with_validation = any(math.isfinite(run.final("val_acc")) for run in self.runs)
        return "val_acc" if with_validation else "test_acc"

    def values(self, name: str, weights: str = "last") -> dict[int, float]:
        """Return what is compared, by seed, of the final weights or of an average of them, see ``WEIGHTS``."""
        if self.measure == "test_acc":
            return {run.seed: run.tests.get(weights, math.nan) for run in self.ended(name)}
        return {run.seed: run.final(f"val_acc{WEIGHTS[weights]}") for run in self.ended(name)}

    @property
    def averaged(self) -> list[tuple[str, str]]:
        """The configurations whose runs kept averages, each with the name of the average."""
        pairs = ((name, average) for name in self.names for average in AVERAGES)
        return [(n, average) for n, average in pairs if any(map(math.isfinite, self.values(n, average).values()))]

    def gain(self, name: str, average: str) -> Difference:
        """Compare an average of a configuration's weights with the weights of the same runs."""
        return compare(self.values(name, average), self.values(name), max(len(self.averaged), 1))

    def difference(self, name: str) -> Difference:
        """Compare a configuration with the baseline."""
        return compare(self.values(name), self.values(self.baseline), max(len(self.names) - 1, 1))

    def best_group(self) -> list[str]:
        """Return the best configuration and those that can't be told from it."""
        return best_group({name: self.values(name) for name in self.names})


def run_rows(comparison: Comparison) -> list[Row]:
    """Return a row per run, of plain values."""
    rows = []
    for run in comparison.runs:
        best, epoch = run.best()
        row: Row = {"configuration": run.name, "seed": run.seed, "status": run.status, "epochs": len(run.rows)}
        row["diverged_step"] = run.summary.get("diverged_step")
        row |= {name: run.final(name) for name in ("train_loss", "val_loss", "val_acc")}
        for weights, suffix in WEIGHTS.items():
            if suffix:
                row[f"val_acc{suffix}"] = run.final(f"val_acc{suffix}")
            row[f"test_acc{suffix}"] = run.tests.get(weights, math.nan)
        row |= {"best_val_acc": best, "best_epoch": epoch or None}
        for name in ("train_seconds", "images_per_second", "optimizer_step_ms", "optimizer_state_bytes"):
            row[name] = run.summary.get(name)
        if comparison.target_acc is not None:
            row["epochs_to_target"], row["seconds_to_target"] = run.to_target(comparison.target_acc)
        for name in ("initial_weights_sha256", "first_epoch_order_sha256"):
            row[name] = run.summary.get(name)
        rows.append(row)
    return rows


def configuration_rows(comparison: Comparison) -> list[Row]:
    """Return a row per configuration, with means, their intervals and the verdicts."""
    per_run = run_rows(comparison)
    group = comparison.best_group()
    return [_configuration_row(comparison, name, per_run, group) for name in comparison.names]


def _configuration_row(comparison: Comparison, name: str, per_run: list[Row], group: list[str]) -> Row:
    own = [row for row in per_run if row["configuration"] == name]
    ended = [row for row in own if row["status"] in ENDED]
    row: Row = {"configuration": name, "seeds": len(ended)}
    row["diverged"] = sum(run["status"] == "diverged" for run in own)
    row["not_finished"] = len(own) - len(ended)
    metrics = ["train_loss", "val_acc", "test_acc", *(f"{m}{s}" for s in WEIGHTS.values() if s for m in _ACCURACIES)]
    for metric in metrics:
        value = estimate([run[metric] for run in ended]) if ended else Estimate(math.nan, math.nan, math.nan, 0)
        row |= {metric: value.mean, f"{metric}_low": value.low, f"{metric}_high": value.high}
    for metric in ("best_val_acc", "train_seconds", "images_per_second", "optimizer_step_ms", "optimizer_state_bytes"):
        measured = [run[metric] for run in ended if run[metric] is not None]
        row[metric] = statistics.fmean(measured) if measured else math.nan
    if comparison.target_acc is not None:
        for metric in ("epochs_to_target", "seconds_to_target"):
            row[metric] = statistics.median([run[metric] for run in ended] or [math.nan])
    difference = comparison.difference(name)
    row |= {"difference": difference.mean, "difference_low": difference.low, "difference_high": difference.high}
    row["verdict"] = "baseline" if name == comparison.baseline else difference.verdict
    row["among_the_best"] = name in group
    for average in AVERAGES:
        found = comparison.gain(name, average) if (name, average) in comparison.averaged else _NO_DIFFERENCE
        row |= {f"{average}_gain": found.mean, f"{average}_gain_low": found.low, f"{average}_gain_high": found.high}
        row[f"{average}_verdict"] = found.verdict
    return row


_ACCURACIES = ("val_acc", "test_acc")
_NO_DIFFERENCE = Difference(math.nan, math.nan, math.nan, 0, "")


def unequal_starts(runs: list[RunResult]) -> list[str]:
    """Return a line for every seed whose runs did not start alike, by the hashes in their summaries."""
    lines = []
    for seed in sorted({run.seed for run in runs}):
        of_seed = [run for run in runs if run.seed == seed]
        for key, what in (
            ("initial_weights_sha256", "initial weights"),
            ("first_epoch_order_sha256", "images, their split or their order"),
        ):
            if len({run.summary.get(key) for run in of_seed}) > 1:
                lines.append(f"Runs of seed {seed} differ in their {what}: their differences are not the optimizer's.")
    return lines


def to_csv(rows: list[Row]) -> str:
    """Return rows as CSV, floats to seven digits."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.7g}"
    return value
