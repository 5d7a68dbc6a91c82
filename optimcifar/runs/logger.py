"""A run's folder, the ``metrics.csv`` in it, and how files get there whole."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.fabric.plugins import TorchCheckpointIO
from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only

from optimcifar.runs.atomic import write_atomically

#: The columns that every ``metrics.csv`` has, in this order; others follow.
COLUMNS = ("epoch", "step", "lr", "train_loss", "train_acc", "val_loss", "val_acc", "seconds")


def short(value: float) -> float:
    """Return the shortest decimal number that stands for the same float32: 0.01, not 0.009999999776482582."""
    return float(str(np.float32(value)))


class RunLogger(CSVLogger):
    """Writes ``metrics.csv`` with one row per epoch into a folder that no other run has.

    Lightning's CSVLogger writes an epoch's training and validation values as two rows, and clears a folder that
    already has some. Epochs are counted from 1, steps are those done by the end of the epoch, an accuracy is a
    fraction, ``seconds`` are those of training without validation.

    Args:
        save_dir: where the folder ``name`` is.
        name: the folder of all runs.
        version: the run's folder; None takes the next free ``version_<N>``.
    """

    def __init__(
        self, save_dir: str | Path = ".", name: str = "lightning_logs", version: int | str | None = None
    ) -> None:
        super().__init__(save_dir, name, version)
        self._rows: dict[int, dict[str, float | str]] = {}
        self._reopened = False

    @classmethod
    def reopen(cls, folder: Path, rows: bool) -> RunLogger:
        """Return the logger of a run that goes on in its folder, with the rows that are there or from the first on."""
        logger = cls(folder.parent.parent, folder.parent.name, folder.name)
        for part in folder.rglob(".*.*[0-9]") if _is_first_process() else ():
            part.unlink()  # of a file that was being written when the run was killed
        logger._reopened = True
        path = folder / "metrics.csv"
        if rows and path.exists():
            with path.open(encoding="utf-8", newline="") as file:
                logger._rows = {int(row["epoch"]): dict(row) for row in csv.DictReader(file)}
        return logger

    @property
    def version(self) -> int | str:
        """The run's folder: its number, or its name if it was given one. Asking makes the folder."""
        if self._version is None:
            self._version = self._claim_version() if _is_first_process() else self._get_next_version()
        return self._version

    @property
    def experiment(self) -> RunLogger:
        """The logger itself: no other object writes for it."""
        return self

    def log_hyperparams(self, params: object = None) -> None:
        """Write nothing: ``config.yaml`` has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:  # type: ignore[override]
        """Add values to the row of their epoch, and write the file."""
        values = dict(metrics)
        # Whatever is logged without an epoch belongs to the one that was last spoken of.
        epoch = int(values.pop("epoch", max(self._rows, default=1) - 1)) + 1
        row = self._rows.setdefault(epoch, {})
        row |= {name: short(value) for name, value in values.items()} | {"step": (step or 0) + 1}
        self.save()

    @rank_zero_only
    def restore(self, metrics: Mapping[str, float], epoch: int, step: int) -> None:
        """Add the row of an epoch, from 1, if a run in this folder was cut off between its checkpoint and the row."""
        if self._reopened and epoch not in self._rows:
            self.log_metrics({**metrics, "epoch": epoch - 1}, step - 1)

    @rank_zero_only
    def save(self) -> None:
        """Write all rows."""
        if not self._rows:
            return
        names = list(dict.fromkeys([*COLUMNS, *(name for row in self._rows.values() for name in row)]))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"epoch": epoch} for epoch, row in sorted(self._rows.items()))
        write_atomically(Path(self.log_dir) / "metrics.csv", text.getvalue())

    def finalize(self, status: str) -> None:
        """Do nothing: every row is written when it comes."""

    def discard_if_empty(self) -> None:
        """Remove the folder of a run that failed before it wrote anything."""
        if self._version is not None and _is_first_process():
            try:
                Path(self.log_dir).rmdir()
            except OSError:
                return  # it has files

    def _claim_version(self) -> int:
        root = Path(self.root_dir)
        root.mkdir(parents=True, exist_ok=True)
        while True:
            number = int(self._get_next_version())
            try:
                # Of two runs that start at the same moment, one makes the folder and the other takes the next.
                (root / f"version_{number}").mkdir()
            except FileExistsError:
                continue
            return number


class WholeCheckpoints(TorchCheckpointIO):
    """Writes checkpoints beside their place and renames them there, so that there is always a last good one.

    Lightning moves them there from the folder for temporary files, which is a copy where that is on another disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), content.getvalue())


def run_folder(trainer: Trainer) -> Path | None:
    """Return the folder of a run in its first process, and None in the others and where no logger has a folder.

    Unlike ``trainer.log_dir`` it waits for no other process, which may be the one that failed.
    """
    folder = getattr(trainer.logger, "log_dir", None)
    return Path(folder) if folder and trainer.is_global_zero else None


def _is_first_process() -> bool:
    return getattr(rank_zero_only, "rank", 0) == 0
