"""The loggers of a run on the command line: the run's own, and beside it those that the options name."""

from __future__ import annotations

import csv
import getpass
import io
import tempfile
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock
from jsonargparse import Namespace
from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger, MLFlowLogger, WandbLogger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only

from optimcifar.callbacks.last_checkpoint import LastCheckpoint
from optimcifar.errors import UsageError
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.folder import WEIGHTS, RunFolder, names_in_comparison
from optimcifar.runs.logger import RunLogger, run_folder
from optimcifar.runs.provenance import import_path

#: The option ``--trainer.logger``, after its classes were built.
Chosen = Logger | Iterable[Logger] | bool | None

# What Lightning calls a group of runs, or the folder of one, that nobody named.
_UNNAMED = (None, "lightning_logs")


def name_loggers(chosen: Any, resumed: RunFolder | None) -> None:
    """Fill in the names of the loggers beside the run's own, where the options leave them out.

    A run of a comparison is a run of its own in each logger, named after configuration and seed, in a group named after
    the comparison. A run that is resumed goes on with the runs that it had there.

    Args:
        chosen: the parsed option ``--trainer.logger``, before its classes are built; it is changed.
        resumed: the folder of the run that goes on in it; None for a new run.
    """
    specs = [spec for spec in (chosen if isinstance(chosen, list) else [chosen]) if isinstance(spec, Namespace)]
    own = [spec.init_args for spec in specs if spec.class_path == import_path(RunLogger)]
    others = [spec for spec in specs if spec.class_path != import_path(RunLogger)]
    if own and (names := names_in_comparison(Path(own[-1].save_dir, own[-1].name, str(own[-1].version)))):
        for spec in others:
            _fill_in(spec, _names(_arguments(spec), *names))
    for spec, before in zip(others, resumed.read_summary().get("loggers", ()) if resumed else (), strict=False):
        if spec.class_path.endswith(before["logger"]):
            # The parser gives W&B's logger all of its arguments, so that the resume="allow" of its own is lost.
            _fill_in(spec, {"version": before["version"], "run_id": before["version"], "resume": "allow"})


def _names(arguments: Namespace, group: str, run: str) -> dict[str, str]:
    """Choose the name arguments that a logger's class accepts, and return their values."""
    if "experiment_name" in arguments:  # MLflow
        return {"experiment_name": group, "run_name": run}
    if "group" in arguments:  # W&B
        return {"group": group, "name": run}
    return {"name": group, "version": run}  # folders, as those of TensorBoard


def _fill_in(spec: Namespace, values: dict[str, Any]) -> None:
    arguments = _arguments(spec)
    for name, value in values.items():
        if name in arguments and arguments[name] in _UNNAMED:
            arguments[name] = value


def _arguments(spec: Namespace) -> Namespace:
    """Return the arguments of a class; one that takes none has no such part."""
    return spec.init_args if "init_args" in spec else Namespace()  # type: ignore[no-untyped-call]


@contextmanager
def one_at_a_time(chosen: Any) -> Iterator[None]:
    """Let one process at a time build MLflow's logger: two would both create the tables of a new SQLite database.

    Args:
        chosen: the parsed option ``--trainer.logger``.
    """
    if MLFlowLogger.__name__ in str(chosen):
        with FileLock(Path(tempfile.gettempdir(), f"optimcifar-{getpass.getuser()}-mlflow.lock")):
            yield
    else:
        yield


def run_loggers(chosen: Chosen, save_dir: str, resumed: RunFolder | None, keep_rows: bool) -> list[Logger]:
    """Return the run's ``RunLogger``, and after it the loggers that the options name.

    Lightning writes a run's files into the folder of the first logger.

    Args:
        chosen: what the options name; None, True and False for no further logger.
        save_dir: the folder that holds ``lightning_logs``.
        resumed: the folder of the run that goes on in it; None for a new run.
        keep_rows: whether the metrics of a resumed run stay.
    """
    named = named_loggers(chosen)
    if resumed:
        own = RunLogger.reopen(resumed, keep_rows)
    else:
        # A run has one folder: of several the last counts, as with any option.
        own = next((logger for logger in reversed(named) if isinstance(logger, RunLogger)), RunLogger(save_dir))
    return [own, *(logger for logger in named if not isinstance(logger, RunLogger))]


def named_loggers(chosen: Chosen) -> list[Logger]:
    """Return the loggers that the options name."""
    if chosen is None or isinstance(chosen, bool):
        return []
    return [chosen] if isinstance(chosen, Logger) else [*chosen]


@rank_zero_only
def prepare_folders(trainer: Trainer, resumed: bool) -> None:
    """Refuse to write into the folder of another run, and let the loggers of a resumed run keep their files.

    Raises:
        FileExistsError: a new run's folder holds a run.
        UsageError: another logger or checkpoint would write into this run's folder or files, or those of another run.
    """
    folder = run_folder(trainer)
    if folder is None:
        return
    _refuse_files_of_the_run(trainer.checkpoint_callbacks)
    if folder.config.exists() and not resumed:
        raise FileExistsError(f"{folder.path} holds another run: choose another folder, or resume that run")
    for logger in trainer.loggers[1:]:
        if isinstance(logger, MLFlowLogger):
            _open(logger)
        if path := getattr(logger, "log_dir", None):
            _refuse_folder_of_a_run(logger, RunFolder(Path(path)), folder)
        if isinstance(logger, CSVLogger) and resumed:
            _keep_file(logger)


def close_loggers(trainer: Trainer, failed: bool) -> None:
    """End a run in W&B, which Lightning leaves open: the next run of this process would go on in it."""
    if any(isinstance(logger, WandbLogger) for logger in trainer.loggers):
        import wandb  # installed, or there would be no such logger

        wandb.finish(exit_code=int(failed))


def _open(logger: MLFlowLogger) -> None:
    """Start a run in MLflow; try again where another process has just created the experiment."""
    from mlflow.exceptions import MlflowException  # installed, or there would be no such logger

    try:
        _ = logger.experiment
    except MlflowException:
        _ = logger.experiment


def _refuse_files_of_the_run(callbacks: list[Checkpoint]) -> None:
    for callback in callbacks:
        if isinstance(callback, LastCheckpoint) or not isinstance(callback, ModelCheckpoint):
            continue
        if callback.dirpath is None and callback.filename in WEIGHTS:
            raise UsageError(
                f"--trainer.callbacks: {type(callback).__name__} would replace the run's own {callback.filename}.ckpt: "
                "give it another filename, or a dirpath"
            )


def _refuse_folder_of_a_run(logger: Logger, folder: RunFolder, own: RunFolder) -> None:
    name = f"--trainer.logger: {type(logger).__name__} would write into {folder.path}, which"
    if folder.path.resolve() == own.path.resolve():
        raise UsageError(f"{name} is the run's own folder: give it another save_dir, name or version")
    if folder.config.exists():
        raise UsageError(f"{name} holds another run: give it another save_dir, name or version")


def _keep_file(logger: CSVLogger) -> None:
    """Let a CSVLogger go on with its file in a folder that it had before; by default it starts by deleting the file."""
    path = Path(logger.log_dir) / ExperimentWriter.NAME_METRICS_FILE
    if not path.exists():
        return
    content = path.read_bytes()
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Experiment logs directory .* exists and is not empty")
        writer = logger.experiment  # deletes the file
    write_atomically(path, content)
    writer.metrics_keys = next(csv.reader(io.StringIO(content.decode())), [])
