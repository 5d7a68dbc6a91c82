"""What runs came to, read from their folders."""

from __future__ import annotations

import csv
import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from optimcifar.runs.folder import WEIGHTS


@dataclass(frozen=True)
class RunResult:
    """One run.

    Attributes:
        name: its configuration's.
        seed: its seed.
        folder: where it lies.
        summary: ``summary.json``.
        rows: ``metrics.csv``, a dict an epoch; what is missing or not finite is NaN or infinite.
        tests: test accuracies by kind of weights, see ``WEIGHTS``.
    """

    name: str
    seed: int
    folder: Path
    summary: dict[str, Any]
    rows: list[dict[str, float]] = field(repr=False)
    tests: dict[str, float]

    @property
    def status(self) -> str:
        """``finished``, ``diverged``, ``failed``, ``interrupted`` or ``running``."""
        return str(self.summary["status"])

    def final(self, metric: str) -> float:
        """Return what the last epoch logged; NaN for what it did not."""
        return self.rows[-1].get(metric, math.nan) if self.rows else math.nan

    def best(self) -> tuple[float, int]:
        """Return the best validation accuracy and its epoch, from 1; NaN and 0 without validation."""
        accuracies = [(row["val_acc"], -int(row["epoch"])) for row in self.rows if math.isfinite(row["val_acc"])]
        best, epoch = max(accuracies, default=(math.nan, 0))
        return best, -epoch

    def to_target(self, target: float) -> tuple[float, float]:
        """Return the epochs and the seconds of training until the validation accuracy reached a target, or infinity."""
        seconds = 0.0
        for row in self.rows:
            seconds += row["seconds"]
            if row["val_acc"] >= target:
                return row["epoch"], seconds
        return math.inf, math.inf


def read_runs(folder: Path) -> list[RunResult]:
    """Read the runs of a comparison, by configuration and seed, or a single run.

    Raises:
        RuntimeError: the folder holds no run, or what it holds is damaged.
    """
    if (folder / "summary.json").exists():
        return [read_run(folder, folder.name)]
    paths = sorted(folder.glob("runs/*/seed-*/summary.json"), key=lambda path: (path.parts[-3], _seed(path)))
    if not paths:
        raise RuntimeError(f"{folder} holds no run: there is no summary.json in it or in its runs/<name>/seed-<k>/")
    return [read_run(path.parent, path.parts[-3]) for path in paths]


def _seed(path: Path) -> int:
    number = path.parts[-2].removeprefix("seed-")
    return int(number) if number.isdigit() else 0


def read_run(folder: Path, name: str) -> RunResult:
    """Read one run.

    Args:
        folder: where it lies.
        name: what its configuration is called.

    Raises:
        RuntimeError: it is damaged.
    """
    try:
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
        seed = int(summary["seed"] or 0)
        if "status" not in summary:
            raise KeyError("status")
        rows = _read_rows(folder / "metrics.csv")
        tests = {}
        for weights in WEIGHTS:
            path = folder / "checkpoints" / f"{weights}.test.json"
            if path.exists():
                tests[weights] = float(json.loads(path.read_text(encoding="utf-8"))["test_acc"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RuntimeError(f"{folder} is damaged: {type(error).__name__}: {error}") from error
    return RunResult(name, seed, folder, summary, rows, tests)


def _read_rows(path: Path) -> list[dict[str, float]]:
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [{name: float(cell or "nan") for name, cell in row.items()} for row in csv.DictReader(file)]
