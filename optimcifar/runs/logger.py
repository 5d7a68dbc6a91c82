"""The Lightning logger that writes ``metrics.csv``, and the folder that it writes to."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from lightning.pytorch import Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only

from optimcifar.runs.atomic import remove_partial_files
from optimcifar.runs.folder import RunFolder
from optimcifar.runs.metrics import read_cells, shortest_float32, write_metrics


class RunLogger(CSVLogger):
    """Writes ``metrics.csv``, one row per epoch, into a folder of its own.

    Lightning's CSVLogger writes an epoch's training and validation values as two rows, and clears a folder that
    already has some. Here epochs count from 1, ``step`` is the number of optimizer steps at the end of the epoch,
    accuracies are fractions, and ``seconds`` is the time of training without validation.

    It stays a CSVLogger, of which it uses public names only, because ``Trainer.log_dir`` is the run's folder for that
    class and TensorBoard's alone.

    Args:
        save_dir: the folder that holds ``name``.
        name: the folder that holds all runs.
        version: the run's folder; None takes the next free ``version_<N>``.
    """

    def __init__(
        self, save_dir: str | Path = ".", name: str = "lightning_logs", version: int | str | None = None
    ) -> None:
        super().__init__(save_dir, name, version)
        self._run_version = version
        self._rows: dict[int, dict[str, float | str]] = {}
        self._reopened = False

    @classmethod
    def reopen(cls, folder: RunFolder, keep_rows: bool) -> RunLogger:
        """Return the logger of a run that is resumed in its folder.

        Args:
            folder: the run's folder.
            keep_rows: whether the existing rows stay; a run without a checkpoint starts again from the first.
        """
        path = folder.path
        logger = cls(path.parent.parent, path.parent.name, path.name)
        logger._reopened = True
        if _is_first_process():
            remove_partial_files(path)
        if keep_rows:
            logger._rows = {int(row["epoch"]): {**row} for row in read_cells(folder.metrics)}
        return logger

    @property
    def version(self) -> int | str:
        """The run's folder: its number, or its name if it was given one. The first access creates the folder."""
        if self._run_version is None:
            self._run_version = self._create_next_folder() if _is_first_process() else self._next_number()
        return self._run_version

    @property
    def experiment(self) -> RunLogger:
        """The logger itself: no other object writes for it."""
        return self

    def log_hyperparams(self, params: object = None) -> None:
        """Do nothing: ``config.yaml`` and ``summary.json`` have them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:  # type: ignore[override]
        """Add values to the row of their epoch, and write the file."""
        values = dict(metrics)
        # A value logged without an epoch belongs to the latest one.
        epoch = int(values.pop("epoch", max(self._rows, default=1) - 1)) + 1
        row = self._rows.setdefault(epoch, {})
        row |= {name: shortest_float32(value) for name, value in values.items()} | {"step": (step or 0) + 1}
        self.save()

    @rank_zero_only
    def restore_row(self, metrics: Mapping[str, float], epoch: int, step: int) -> None:
        """Add the row of an epoch, from 1, in a resumed run that was cut off between its checkpoint and the row."""
        if self._reopened and epoch not in self._rows:
            self.log_metrics({**metrics, "epoch": epoch - 1}, step - 1)

    @rank_zero_only
    def save(self) -> None:
        """Write all rows."""
        if self._rows:
            rows = [row | {"epoch": epoch} for epoch, row in sorted(self._rows.items())]
            write_metrics(RunFolder(Path(self.log_dir)).metrics, rows)

    def finalize(self, status: str) -> None:
        """Do nothing: each row is written when it comes."""

    def discard_if_empty(self) -> None:
        """Remove the folder of a run that failed before it wrote anything, and then the folder of all runs if empty."""
        if self._run_version is not None and _is_first_process():
            for folder in (Path(self.log_dir), Path(self.root_dir)):
                try:
                    folder.rmdir()
                except OSError:
                    return  # it holds files, or was never created

    def _create_next_folder(self) -> int:
        while True:
            number = self._next_number()
            try:
                # Of two runs that start at the same moment, one creates the folder and the other takes the next.
                (Path(self.root_dir) / f"version_{number}").mkdir(parents=True)
            except FileExistsError:
                continue
            return number

    def _next_number(self) -> int:
        found = (re.fullmatch(r"version_(\d+)", path.name) for path in Path(self.root_dir).glob("version_*"))
        return max((int(match[1]) for match in found if match), default=-1) + 1


def run_folder(trainer: Trainer) -> RunFolder | None:
    """Return the run's folder in the first process; None in the others, and where the logger has no folder.

    Unlike ``trainer.log_dir`` it does not wait for the other processes, one of which may have failed.
    """
    folder = getattr(trainer.logger, "log_dir", None)
    return RunFolder(Path(folder)) if folder and trainer.is_global_zero else None


def _is_first_process() -> bool:
    return getattr(rank_zero_only, "rank", 0) == 0
