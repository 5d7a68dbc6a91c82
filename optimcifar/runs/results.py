"""The results of runs, read from their folders."""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeVar

from optimcifar.runs.folder import WEIGHTS, RunFolder, comparison_runs, test_result
from optimcifar.runs.metrics import COLUMNS, is_row_of_an_epoch, read_metrics

Read = TypeVar("Read")


@dataclass(frozen=True)
class TimeToTarget:
    """How long a run trained until a validation reached a target.

    All are infinity if none did, and NaN if the run has no table of its validations.

    Attributes:
        epochs: the epoch of the validation, from 1.
        steps: the number of optimizer steps before it.
        seconds: the seconds of training before it, without validation.
    """

    epochs: float
    steps: float
    seconds: float


@dataclass(frozen=True)
class RunResult:
    """The result of one run.

    Attributes:
        name: the name of its configuration.
        seed: its seed; None for a run that was not seeded.
        folder: its folder.
        summary: the contents of ``summary.json``.
        rows: the rows of ``metrics.csv``, one for each whole epoch; a missing value is NaN. Empty without that file.
        validations: the rows of ``validations.csv``, one for each validation. Empty without that file, as in runs of
            earlier versions.
        tests: test accuracies by weights, see ``WEIGHTS``.
        test_images: the number of test images; None if nothing was tested.
        entry: the name of its configuration in its comparison; None for a single run.
    """

    name: str
    seed: int | None
    folder: Path
    summary: dict[str, Any] = field(repr=False)
    rows: list[dict[str, float]] = field(repr=False)
    tests: dict[str, float]
    entry: str | None = None
    test_images: int | None = None
    validations: list[dict[str, float]] = field(default_factory=list, repr=False)

    @property
    def status(self) -> str:
        """``finished``, ``diverged``, ``failed``, ``interrupted`` or ``running``."""
        return str(self.summary["status"])

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The resolved settings by flat name, such as ``optimizer.lr``; none if the run failed before it started."""
        return self.summary.get("hyperparameters") or {}

    @property
    def epochs(self) -> int:
        """The number of whole epochs."""
        return len(self.rows) or int(self.summary.get("epochs") or 0)

    @property
    def chance_level(self) -> float:
        """The accuracy of guessing, that of weights which give every image the same class; NaN if it is not known."""
        classes = self.summary.get("classes")
        return 1 / int(classes) if classes else math.nan

    def final(self, metric: str) -> float:
        """Return the last epoch's value of a metric; NaN if there is none, or if it is not finite."""
        value = (self.rows[-1] if self.rows else self.summary).get(metric)
        return value if isinstance(value, (int, float)) and math.isfinite(value) else math.nan

    def best(self) -> tuple[float, int]:
        """Return the best validation accuracy and its epoch, from 1; NaN and 0 without validation."""
        accuracies = [(row["val_acc"], -int(row["epoch"])) for row in self.rows if math.isfinite(row["val_acc"])]
        best, epoch = max(accuracies, default=(math.nan, 0))
        return best, -epoch

    @property
    def validates_within_epochs(self) -> bool:
        """Whether validations lie elsewhere than at the ends of epochs."""
        ends = {(row["epoch"], row["step"]) for row in self.rows}
        return any((row["epoch"], row["step"]) not in ends for row in self.validations)

    @cached_property
    def step_losses(self) -> list[tuple[int, float]]:
        """The steps in ``steps.csv``, from 1, and their training losses; none without that file.

        They are read on first use: there are thousands.

        Raises:
            RuntimeError: the file is damaged.
        """
        return _undamaged(_read_step_losses, RunFolder(self.folder).steps)

    def to_target(self, target: float) -> TimeToTarget:
        """Return how long the run trained until a validation accuracy, 0 to 1, was reached.

        Every validation counts. A run of an earlier version has them in ``metrics.csv`` alone, at the ends of epochs.
        """
        if self.epochs and not self.rows:
            return TimeToTarget(math.nan, math.nan, math.nan)
        seconds = accumulate(row["seconds"] for row in self.rows)
        at_ends = [{**row, "seconds": so_far} for row, so_far in zip(self.rows, seconds, strict=True)]
        # Sorting is stable: of two that follow the same step, that of validations.csv comes first.
        for row in sorted([*self.validations, *at_ends], key=lambda row: (row["epoch"], row["step"])):
            if row["val_acc"] >= target:
                return TimeToTarget(row["epoch"], row["step"], row["seconds"])
        return TimeToTarget(math.inf, math.inf, math.inf)


def read_runs(folder: Path) -> list[RunResult]:
    """Read a run, the runs of a comparison, or a folder of runs such as ``lightning_logs``.

    Raises:
        RuntimeError: the folder holds no run, or a damaged one.
    """
    if RunFolder(folder).summary.exists():
        return [read_run(RunFolder(folder))]
    if compared := comparison_runs(folder):
        results = [read_run(run, entry=run.path.parent.name) for run in compared]
        return sorted(results, key=lambda run: (run.name, -1 if run.seed is None else run.seed))
    singles = (RunFolder(path) for path in folder.glob("*/"))
    if found := [run for run in singles if run.summary.exists()]:
        return [read_run(run) for run in sorted(found, key=_natural_order)]
    raise RuntimeError(
        f"{folder} holds no run: there is no summary.json in it, in its folders, or in its runs/<name>/seed-<k>/"
    )


def read_run(folder: RunFolder, entry: str | None = None) -> RunResult:
    """Read one run.

    Args:
        folder: the run's folder.
        entry: the name of its configuration in its comparison; None for a single run.

    Raises:
        RuntimeError: it is damaged.
    """
    summary, seed = _undamaged(_read_summary, folder.summary)
    rows = _undamaged(_read_rows, folder.metrics)
    validations = _undamaged(_read_validations, folder.validations)
    paths = {weights: test_result(folder.checkpoint(weights)) for weights in WEIGHTS}
    results = {weights: _undamaged(_read_test, path) for weights, path in paths.items() if path.exists()}
    tests = {weights: accuracy for weights, (accuracy, _) in results.items()}
    test_images = next((images for _, images in results.values()), None)
    return RunResult(
        entry or folder.path.name, seed, folder.path, summary, rows, tests, entry, test_images, validations
    )


def _undamaged(read: Callable[[Path], Read], path: Path) -> Read:
    """Read a file, and name it if it is damaged."""
    try:
        return read(path)
    except (OSError, ValueError, KeyError, TypeError, csv.Error) as error:
        raise RuntimeError(f"{path} is damaged: {type(error).__name__}: {error}") from error


def _read_summary(path: Path) -> tuple[dict[str, Any], int | None]:
    summary: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    if "status" not in summary:
        raise KeyError("status")
    return summary, None if summary["seed"] is None else int(summary["seed"])


def _read_rows(path: Path) -> list[dict[str, float]]:
    """Read the rows of the epochs that ended."""
    rows = read_metrics(path)
    if rows and (missing := [name for name in COLUMNS if name not in rows[0]]):
        raise ValueError(f"there is no column {missing[0]!r}")
    return [row for row in rows if _is_whole_epoch(row)]


def _read_validations(path: Path) -> list[dict[str, float]]:
    rows = read_metrics(path)
    if rows and (missing := [name for name in ("epoch", "step", "seconds", "val_acc") if name not in rows[0]]):
        raise ValueError(f"there is no column {missing[0]!r}")
    return rows


def _read_step_losses(path: Path) -> list[tuple[int, float]]:
    return [(int(row["step"]), row["train_loss"]) for row in read_metrics(path)]


def _is_whole_epoch(row: dict[str, float]) -> bool:
    """Return whether a row is of an epoch that ended: its time is logged then."""
    return is_row_of_an_epoch(row) and math.isfinite(row["seconds"])


def _read_test(path: Path) -> tuple[float, int | None]:
    """Read a test accuracy, and the number of images."""
    values = json.loads(path.read_text(encoding="utf-8"))
    return float(values["test_acc"]), values.get("test_images")


def _natural_order(run: RunFolder) -> tuple[str, int, str]:
    """Sort version_9 before version_10."""
    stem = run.path.name.rstrip("0123456789")
    number = run.path.name[len(stem) :]
    return stem, int(number or 0), run.path.name
