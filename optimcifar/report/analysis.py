"""The figures of a comparison: a row per run, and a row per configuration."""

from __future__ import annotations

import csv
import io
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from optimcifar.report.configurations import differing_hyperparameters
from optimcifar.runs.folder import AVERAGES, ENDED, WEIGHTS
from optimcifar.runs.results import RunResult
from optimcifar.statistics.verdicts import (
    NO_DIFFERENCE,
    WITHHELD,
    Difference,
    Estimate,
    Highest,
    compare,
    estimate,
    highest,
)

#: The metrics whose mean and interval a configuration's row has.
METRICS = (
    *("train_loss", "val_acc", "test_acc"),
    *(f"{metric}_{average}" for average in AVERAGES for metric in ("val_acc", "test_acc")),
)

#: The figures whose mean a configuration's row has.
COSTS = ("best_val_acc", "train_seconds", "images_per_second", "optimizer_step_ms", "optimizer_state_bytes")


@dataclass(frozen=True)
class Comparison:
    """Runs, and the baseline that their configurations are compared with. All results are computed once.

    Attributes:
        runs: all runs, with the names of their configurations.
        baseline: the name of the configuration that the others are compared with.
        target_acc: a validation accuracy, 0 to 1, to which epochs and seconds are counted; None for none.
    """

    runs: list[RunResult]
    baseline: str
    target_acc: float | None = None

    @cached_property
    def names(self) -> list[str]:
        """The configurations, in the order of the runs."""
        return list(dict.fromkeys(run.name for run in self.runs))

    @cached_property
    def measure(self) -> str:
        """What is compared: the validation accuracy, or the test accuracy if there are no validation images."""
        with_validation = any(math.isfinite(run.final("val_acc")) for run in self.runs)
        return "val_acc" if with_validation else "test_acc"

    @cached_property
    def differing(self) -> list[str]:
        """The hyperparameters in which the runs differ."""
        return differing_hyperparameters(self.runs)

    @cached_property
    def averaged(self) -> list[tuple[str, str]]:
        """The averages that runs have, as pairs of configuration and average."""
        pairs = ((name, average) for name in self.names for average in AVERAGES)
        return [(n, average) for n, average in pairs if any(map(math.isfinite, self.values(n, average).values()))]

    @cached_property
    def differences(self) -> dict[str, Difference]:
        """The difference of each configuration from the baseline, paired by seed."""
        baseline, comparisons = self.values(self.baseline), max(len(self.names) - 1, 1)
        return {name: compare(self.values(name), baseline, comparisons) for name in self.names}

    @cached_property
    def gains(self) -> dict[tuple[str, str], Difference]:
        """The difference of each average in ``averaged`` from the final weights of the same runs."""
        return {
            (name, average): compare(self.values(name, average), self.values(name), len(self.averaged))
            for name, average in self.averaged
        }

    @cached_property
    def highest(self) -> Highest | None:
        """The configuration with the highest mean, and how the others compare with it; None if none has a mean."""
        return highest({name: self.values(name) for name in self.names})

    def is_among_the_best(self, name: str) -> bool | None:
        """Return whether a configuration is not distinguishable from the best one; None if they cannot be compared."""
        if self.highest is None:
            return None
        verdict = self.highest.verdicts.get(name, NO_DIFFERENCE)
        return None if verdict.startswith(WITHHELD) else verdict == NO_DIFFERENCE

    @cached_property
    def run_rows(self) -> list[RunRow]:
        """A row per run."""
        return [_run_row(run, self.target_acc) for run in self.runs]

    @cached_property
    def rows(self) -> list[ConfigurationRow]:
        """A row per configuration."""
        return [_configuration_row(self, name) for name in self.names]

    def ended(self, name: str) -> list[RunResult]:
        """Return the runs of a configuration that finished or diverged."""
        return [run for run in self.runs if run.name == name and run.status in ENDED]

    def measured(self, run: RunResult, weights: str = "last") -> float:
        """Return what is compared, of a run's final weights or of an average, see ``WEIGHTS``."""
        if self.measure == "test_acc":
            return run.tests.get(weights, math.nan)
        return run.final(f"val_acc{WEIGHTS[weights]}")

    def values(self, name: str, weights: str = "last") -> dict[int, float]:
        """Return what is compared by seed; runs without a seed are never paired."""
        return {run.seed: self.measured(run, weights) for run in self.ended(name) if run.seed is not None}


@dataclass(frozen=True)
class RunRow:
    """The figures of a run.

    Attributes:
        run: the run.
        best_val_acc: the best validation accuracy of all epochs.
        best_epoch: its epoch, from 1; None without validation.
        to_target: epochs and seconds to the target accuracy; None without a target.
    """

    run: RunResult
    best_val_acc: float
    best_epoch: int | None
    to_target: tuple[float, float] | None

    def metric(self, name: str) -> float:
        """Return one of ``METRICS``."""
        prefix, _, average = name.partition("test_acc")
        return self.run.final(name) if prefix else self.run.tests.get(average.lstrip("_") or "last", math.nan)

    def cost(self, name: str) -> float | None:
        """Return one of ``COSTS``."""
        value: float | None = self.best_val_acc if name == "best_val_acc" else self.run.summary.get(name)
        return value

    def cells(self, hyperparameters: Sequence[str]) -> dict[str, Any]:
        """Return the row of ``results.csv``."""
        run = self.run
        cells: dict[str, Any] = {
            "configuration": run.name,
            "seed": run.seed,
            "status": run.status,
            "epochs": run.epochs,
        }
        cells |= {name: run.hyperparameters.get(name) for name in hyperparameters}
        cells["diverged_step"] = run.summary.get("diverged_step")
        cells |= {"train_loss": run.final("train_loss"), "val_loss": run.final("val_loss")}
        cells |= {name: self.metric(name) for name in METRICS if name != "train_loss"}
        cells |= {"best_val_acc": self.best_val_acc, "best_epoch": self.best_epoch}
        cells |= {name: self.cost(name) for name in COSTS if name != "best_val_acc"}
        if self.to_target:
            cells["epochs_to_target"], cells["seconds_to_target"] = self.to_target
        return cells | {name: run.summary.get(name) for name in _START_HASHES}


@dataclass(frozen=True)
class ConfigurationRow:
    """The figures of a configuration.

    Means and intervals are over its seeded runs that finished or diverged. If none of its runs is seeded, means are
    over those, without intervals.

    Attributes:
        name: its name.
        seeds: number of seeds.
        diverged: number of runs that diverged.
        not_finished: number of runs that neither finished nor diverged.
        metrics: means and intervals of ``METRICS``.
        costs: means of ``COSTS``; NaN for what was not measured.
        to_target: medians of the epochs and the seconds to the target accuracy; None without a target.
        difference: the difference from the baseline.
        verdict: the verdict on it, or ``baseline``.
        among_the_best: whether it is not distinguishable from the best configuration; None if they cannot be compared.
        gains: the difference of each of its averages from the final weights.
        hyperparameters: its settings.
    """

    name: str
    seeds: int
    diverged: int
    not_finished: int
    metrics: dict[str, Estimate]
    costs: dict[str, float]
    to_target: tuple[float, float] | None
    difference: Difference
    verdict: str
    among_the_best: bool | None
    gains: dict[str, Difference]
    hyperparameters: dict[str, Any]

    def cells(self, hyperparameters: Sequence[str]) -> dict[str, Any]:
        """Return the row of ``summary.csv``."""
        cells: dict[str, Any] = {"configuration": self.name}
        cells |= {name: self.hyperparameters.get(name) for name in hyperparameters}
        cells |= {"seeds": self.seeds, "diverged": self.diverged, "not_finished": self.not_finished}
        for name, value in self.metrics.items():
            cells |= _interval_cells(name, value)
        cells |= self.costs
        if self.to_target:
            cells["epochs_to_target"], cells["seconds_to_target"] = self.to_target
        cells |= _interval_cells("difference", self.difference)
        cells |= {"verdict": self.verdict, "among_the_best": self.among_the_best}
        for average in AVERAGES:
            gain = self.gains.get(average, _NO_DIFFERENCE)
            cells |= _interval_cells(f"{average}_gain", gain) | {f"{average}_verdict": gain.verdict}
        return cells


_START_HASHES = {
    "initial_weights_sha256": "initial weights",
    "first_epoch_order_sha256": "images, their split or their order",
}
_NO_DIFFERENCE = Difference(math.nan, math.nan, math.nan, 0, "")


def _interval_cells(name: str, value: Estimate | Difference) -> dict[str, float]:
    return {name: value.mean, f"{name}_low": value.low, f"{name}_high": value.high}


def _run_row(run: RunResult, target_acc: float | None) -> RunRow:
    best, epoch = run.best()
    return RunRow(run, best, epoch or None, None if target_acc is None else run.to_target(target_acc))


def _configuration_row(comparison: Comparison, name: str) -> ConfigurationRow:
    own = [row for row in comparison.run_rows if row.run.name == name]
    ended = [row for row in own if row.run.status in ENDED]
    seeded = [row for row in ended if row.run.seed is not None]
    counted = seeded or ended
    to_target = None
    if comparison.target_acc is not None:
        known = [row.to_target for row in counted if row.to_target and not math.isnan(row.to_target[0])]
        reached = known or [(math.nan, math.nan)]
        to_target = (statistics.median(e for e, _ in reached), statistics.median(s for _, s in reached))
    gains = {average: comparison.gains[name, average] for n, average in comparison.averaged if n == name}
    return ConfigurationRow(
        name,
        seeds=len(seeded),
        diverged=sum(row.run.status == "diverged" for row in own),
        not_finished=len(own) - len(ended),
        metrics={metric: _mean([row.metric(metric) for row in counted], bool(seeded)) for metric in METRICS},
        costs={cost: _mean_of_known([row.cost(cost) for row in counted]) for cost in COSTS},
        to_target=to_target,
        difference=comparison.differences[name],
        verdict="baseline" if name == comparison.baseline else comparison.differences[name].verdict,
        among_the_best=comparison.is_among_the_best(name),
        gains=gains,
        hyperparameters=next((row.run.hyperparameters for row in own if row.run.hyperparameters), {}),
    )


def _mean(values: list[float], seeded: bool) -> Estimate:
    if not values:
        return Estimate(math.nan, math.nan, math.nan, 0)
    found = estimate(values)
    return found if seeded else Estimate(found.mean, math.nan, math.nan, found.n)


def _mean_of_known(values: list[float | None]) -> float:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else math.nan


def unequal_starts(runs: list[RunResult]) -> list[str]:
    """Return a line for each seed whose runs did not start alike, by the hashes in their summaries."""
    lines = []
    for seed in sorted({run.seed for run in runs if run.seed is not None}):
        of_seed = [run for run in runs if run.seed == seed]
        for key, what in _START_HASHES.items():
            if len({run.summary[key] for run in of_seed if run.summary.get(key) is not None}) > 1:
                lines.append(
                    f"Runs with seed {seed} differ in their {what}: the differences between them are not due to the "
                    "optimizer alone."
                )
    return lines


def without_courses(runs: list[RunResult]) -> list[str]:
    """Return a line if runs have no table of their epochs."""
    found = [run.name for run in runs if run.epochs and not run.rows]
    if not found:
        return []
    return [
        f"No metrics.csv of RunLogger in {', '.join(dict.fromkeys(found))}: the last epoch's figures are those of "
        "summary.json, and those of the other epochs are not known."
    ]


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
    """Return rows as CSV, floats with seven digits."""
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.7g}"
    return value
