"""The files of a run's folder, by name."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: The statuses of a run that is over and has a result.
ENDED = ("finished", "diverged")

#: The kinds of results that a folder of runs can hold, and the file that describes each.
DESIGNS = {
    "comparison": "comparison.json",
    "comparison over workloads": "workloads.json",
    "sweep": "sweep.json",
    "study": "tuning.json",
}

#: The averages of the weights: equal-weight (``swa``) and exponential (``ema``).
AVERAGES = ("swa", "ema")

#: The weights of a run that are tested, by the names of their checkpoints: the final ones and the averages. The values
#: are the suffixes of the metrics measured on them: ``val_acc``, ``val_acc_swa``, ``val_acc_ema``.
WEIGHTS = {"last": "", **{name: f"_{name}" for name in AVERAGES}}


@dataclass(frozen=True)
class RunFolder:
    """A run's folder.

    Attributes:
        path: the folder; it need not exist.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration, which ``optimcifar fit --config`` can read again."""
        return self.path / "config.yaml"

    @property
    def metrics(self) -> Path:
        """The metrics, one row per epoch."""
        return self.path / "metrics.csv"

    @property
    def validations(self) -> Path:
        """The metrics of every validation, with the step and the time of training at which it ran."""
        return self.path / "validations.csv"

    @property
    def steps(self) -> Path:
        """The training loss by optimizer step, where ``StepLosses`` writes it."""
        return self.path / "steps.csv"

    @property
    def summary(self) -> Path:
        """What was run, how it ended, and what it cost."""
        return self.path / "summary.json"

    def checkpoint(self, weights: str = "last") -> Path:
        """Return the checkpoint of the final weights, or of an average: one of ``WEIGHTS``."""
        return self.path / "checkpoints" / f"{weights}.ckpt"

    def checkpoints(self) -> list[Path]:
        """Return the checkpoints that exist, sorted by name."""
        return sorted(self.path.glob("checkpoints/*.ckpt"))

    def read_summary(self) -> dict[str, Any]:
        """Return the contents of ``summary.json``; empty where there is no readable one."""
        try:
            values = json.loads(self.summary.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return values if isinstance(values, dict) else {}

    def status(self) -> str | None:
        """Return the run's status, or None where there is no readable summary."""
        status = self.read_summary().get("status")
        return None if status is None else str(status)


def test_result(checkpoint: Path) -> Path:
    """Return the file that holds the test metrics of a checkpoint."""
    return checkpoint.with_suffix(".test.json")


def predictions(checkpoint: Path) -> Path:
    """Return the file that holds the predictions of a checkpoint."""
    return checkpoint.with_suffix(".predictions.csv")


def comparison_run(out: Path, name: str, seed: int) -> RunFolder:
    """Return the folder of one run of a comparison in ``out``."""
    return RunFolder(out / "runs" / name / f"seed-{seed}")


def comparison_runs(out: Path) -> list[RunFolder]:
    """Return the folders of a comparison's runs that have a summary, in no particular order."""
    return [RunFolder(summary.parent) for summary in out.glob("runs/*/seed-*/summary.json")]


def names_in_comparison(folder: Path) -> tuple[str, str] | None:
    """Return the name of a comparison and that of a run in it, such as ``comparison`` and ``sgd-seed-3``.

    Args:
        folder: the run's folder; None is returned for one that is not ``comparison_run`` of any comparison.
    """
    runs = folder.absolute().parent.parent
    if runs.name != "runs" or not re.fullmatch(r"seed-\d+", folder.name):
        return None
    return runs.parent.name, f"{folder.parent.name}-{folder.name}"
