"""The Lightning logger that writes ``metrics.csv``, and the folders of a trainer's files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import count
from pathlib import Path

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only, rank_zero_warn

from optimcifar.runs.atomic import remove_partial_files
from optimcifar.runs.folder import RunFolder
from optimcifar.runs.metrics import is_row_of_an_epoch, read_cells, shortest_float32, write_metrics

# The values of an epoch by column; text for those that were read from a file.
_Row = dict[str, float | str]


class RunLogger(CSVLogger):
    """Writes ``metrics.csv``, one row per epoch, into a folder of its own.

    Lightning's CSVLogger writes an epoch's training and validation values as two rows, and clears a folder that
    already has some. Here epochs count from 1, ``step`` is the number of optimizer steps at the end of the epoch,
    accuracies are fractions, and ``seconds`` is the time of training without validation.

    A value goes into the row of the epoch in which it is logged, whoever logs it: a module, or a callback such as
    ``LearningRateMonitor``. The last value of a name in an epoch counts. A value from before the first epoch goes into
    the first row, one from after the last epoch into the last row. ``Trainer.validate`` and ``Trainer.test`` add
    columns to the last row, and replace nothing in it.

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
        self._rows: dict[int, _Row] = {}
        self._between: _Row = {}  # values from between two epochs, until the next begins
        self._trainer: Trainer | None = None
        self._reopened = False

    @classmethod
    def reopen(cls, folder: RunFolder, keep_rows: bool) -> RunLogger:
        """Return the logger of a run that is resumed in its folder.

        Args:
            folder: the run's folder.
            keep_rows: whether the existing rows stay; a run without a checkpoint starts again from the first.

        Raises:
            ValueError: the existing rows are those of another logger.
        """
        rows = _read_rows(folder.metrics)
        path = folder.path
        logger = cls(path.parent.parent, path.parent.name, path.name)
        logger._reopened = True
        if _is_first_process():
            remove_partial_files(path)
        if keep_rows:
            logger._rows = rows
        return logger

    @property
    def version(self) -> int | str:
        """The run's folder: its number, or its name if it was given one. The first access creates the folder."""
        if self._run_version is None:
            self._run_version = self._create_next_folder() if _is_first_process() else self._next_number()
        return self._run_version

    @property
    def experiment(self) -> RunLogger:
        """The logger itself: no other object writes for it. The first access creates the folder."""
        # Lightning asks for it before a run starts: the loggers that come after this one choose other folders.
        _ = self.version
        return self

    def log_hyperparams(self, params: object = None) -> None:
        """Do nothing: ``config.yaml`` and ``summary.json`` have them."""

    def log_graph(self, model: LightningModule, input_array: object = None) -> None:  # type: ignore[override]
        """Take the numbers of epochs and steps from the module's trainer. Lightning calls this before a run starts.

        Raises:
            FileExistsError: the folder holds another run, and the new one does not go on from a checkpoint.
            ValueError: the folder's rows are those of another logger.
        """
        trainer = model.trainer
        if trainer.state.fn == "fit" and trainer is not self._trainer and _is_first_process():
            self._keep_rows(goes_on=trainer.ckpt_path is not None)
        self._trainer = trainer

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:  # type: ignore[override]
        """Add values to the row of their epoch. A trainer calls ``save`` afterwards; outside of one, write them.

        Args:
            metrics: values by name.
            step: the position of the optimizer step among all steps, from 0. It is used only outside of a trainer, like
                an ``epoch`` among the values, because callbacks and modules count in ways of their own.
        """
        values: _Row = {name: _number(value) for name, value in metrics.items() if name not in ("epoch", "step")}
        trainer = self._trainer
        if trainer is None and "epoch" in metrics:
            self._add(int(metrics["epoch"]) + 1, values | {"step": (step or 0) + 1})
            self.save()
        elif trainer is None or (trainer.state.fn == "fit" and _is_between_epochs(trainer)):
            self._between |= values
        elif trainer.state.fn == "fit":
            self._add(trainer.current_epoch + 1, values | {"step": trainer.global_step})
        else:
            epoch = max(self._rows, default=1)
            self._add(epoch, values | {"step": trainer.global_step} | self._rows.get(epoch, {}))

    @rank_zero_only
    def restore_row(self, metrics: Mapping[str, float], epoch: int, step: int) -> None:
        """Complete the row of a checkpoint's epoch, from 1, in a resumed run, and drop the rows after it.

        A run may be cut off between its checkpoint and its row, or in the epoch after it, which starts again.
        """
        if self._reopened:
            saved: _Row = {name: _number(value) for name, value in metrics.items()}
            written = {name: cell for name, cell in self._rows.get(epoch, {}).items() if cell != ""}
            rows = {number: row for number, row in self._rows.items() if number < epoch}
            self._rows = rows | {epoch: saved | {"step": step} | written}
            self.save()

    @rank_zero_only
    def save(self) -> None:
        """Write all rows."""
        if self._rows:
            rows = [row | {"epoch": epoch} for epoch, row in sorted(self._rows.items())]
            write_metrics(RunFolder(Path(self.log_dir)).metrics, rows)

    @rank_zero_only
    def finalize(self, status: str) -> None:
        """Write all rows; those of values that no epoch follows included."""
        if self._rows:
            self._add(max(self._rows), {})
        self.save()

    def discard_if_empty(self) -> None:
        """Remove the folder of a run that failed before it wrote anything, and then the folder of all runs if empty."""
        if self._run_version is not None and _is_first_process():
            for folder in (Path(self.log_dir), Path(self.root_dir)):
                try:
                    folder.rmdir()
                except OSError:
                    return  # it holds files, or was never created

    def _keep_rows(self, goes_on: bool) -> None:
        """Go on with the rows of the folder's run, which one of another trainer would replace."""
        metrics = RunFolder(Path(self.log_dir)).metrics
        if self._reopened or not metrics.exists():
            return
        if not goes_on:
            raise FileExistsError(
                f"{self.log_dir} holds another run: give each run a RunLogger and a folder of its own"
            )
        self._rows, self._reopened = _read_rows(metrics), True

    def _add(self, epoch: int, values: _Row) -> None:
        self._rows[epoch] = self._rows.get(epoch, {}) | self._between | values
        self._between = {}

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


def _read_rows(metrics: Path) -> dict[int, _Row]:
    """Return the rows of a file by epoch; refuse those of another logger, which would be replaced."""
    rows = read_cells(metrics)
    if not all(map(is_row_of_an_epoch, rows)):
        raise ValueError(f"{metrics} is of another logger, and would be replaced: move it away to resume")
    return {int(row["epoch"]): {**row} for row in rows}


def run_logger(trainer: Trainer) -> RunLogger | None:
    """Return the logger of the run's folder, or None where there is none."""
    return next((logger for logger in trainer.loggers if isinstance(logger, RunLogger)), None)


def run_folder(trainer: Trainer) -> RunFolder | None:
    """Return the run's folder in the first process; None in the others, and for a run without a folder of its own.

    It is the folder of the ``RunLogger``, or else of the first logger that has one, such as Lightning's CSVLogger.
    Unlike ``trainer.log_dir`` it does not wait for the other processes, one of which may have failed.
    """
    loggers = [logger] if (logger := run_logger(trainer)) else trainer.loggers
    folders = (getattr(logger, "log_dir", None) for logger in loggers)
    folder = next(filter(None, folders), None)
    return RunFolder(Path(folder)) if folder and trainer.is_global_zero else None


def checkpoint_path(trainer: Trainer, name: str) -> str:
    """Return where a checkpoint of this name goes: into the run's folder, or where Lightning would put it.

    Without a ``RunLogger`` that is the folder of the trainer's ``ModelCheckpoint``, or the one that it would have.
    Other runs may share that folder: a checkpoint of the same name that is there is renamed to ``<name>-v1``, and so
    on. All processes must call this.
    """
    if logger := run_logger(trainer):
        return str(RunFolder(Path(trainer.strategy.broadcast(logger.log_dir))).checkpoint(name))
    own = trainer.checkpoint_callback
    dirpath = own.dirpath if isinstance(own, ModelCheckpoint) else None
    place = ModelCheckpoint(dirpath, filename=name, save_top_k=0)  # for its folder and names: it saves nothing
    place.setup(trainer, trainer.lightning_module, stage="fit")
    path = place.format_checkpoint_name({})
    if trainer.is_global_zero and Path(path).exists():
        names = (place.format_checkpoint_name({}, ver=number) for number in count(1))
        kept = next(name for name in names if not Path(name).exists())
        Path(path).rename(kept)
        rank_zero_warn(f"{path} of another run is now {kept}")
    return path


def _is_between_epochs(trainer: Trainer) -> bool:
    """Return whether no epoch has begun yet, the next has not, or the last is over."""
    return trainer.sanity_checking or trainer.fit_loop.epoch_progress.current.ready <= trainer.current_epoch


def _number(value: float) -> float:
    """Return a value as it is written: a count of bytes in full, other numbers in the shortest form of a float32."""
    return value if isinstance(value, int) else shortest_float32(value)


def _is_first_process() -> bool:
    return getattr(rank_zero_only, "rank", 0) == 0
