"""The tasks of a worker: check a run's options, and train and test a run."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import chdir, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import wraps
from io import StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, Concatenate, ParamSpec, TypeVar

from optimcifar.engine.worker_check import Origin, UnfitWorkerError, complaint
from optimcifar.environment import restored_environment
from optimcifar.errors import error_message
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.folder import ENDED, WEIGHTS, RunFolder, test_result

_P = ParamSpec("_P")
_T = TypeVar("_T")

# By these Lightning takes a process for one of several that train a run together, and the first alone writes files.
_RANKS = ("RANK", "LOCAL_RANK", "SLURM_PROCID", "SLURM_NTASKS", "JSM_NAMESPACE_RANK")


@dataclass(frozen=True)
class RunEnd:
    """How a run of a comparison ended.

    Attributes:
        status: ``finished``, ``diverged`` or ``failed``.
        error: why it failed; None for a run that did not.
    """

    status: str
    error: str | None = None


def all_failed(ends: Mapping[Any, RunEnd]) -> bool:
    """Return whether no run has a result."""
    return all(end.status == "failed" for end in ends.values())


def dask_setup(_: Any) -> None:
    """Ignore Ctrl-C, which a terminal sends to the workers too: the coordinator handles it. Dask calls this by name."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def _task(function: Callable[_P, _T]) -> Callable[Concatenate[Origin | None, _P], _T]:
    """Turn a function into a task of a worker.

    Its first argument is the folder and the versions of the command; None for a local worker, which shares them.

    Raises:
        UnfitWorkerError: the worker cannot train the command's runs. It may have joined after all others were checked.
    """

    @wraps(function)
    def task(origin: Origin | None, /, *args: _P.args, **kwargs: _P.kwargs) -> _T:
        with _silence(), _alone(), _in_folder(origin) if origin else nullcontext():
            return function(*args, **kwargs)

    return task


@contextmanager
def _in_folder(origin: Origin) -> Iterator[None]:
    """Work in the command's folder, and forget its modules afterwards: a later command may have others of the name."""
    from distributed import get_worker  # this module is imported by commands that need no dask, too

    worker = get_worker()
    if text := complaint(origin, dask_worker=worker):
        raise UnfitWorkerError(worker.address, text)
    before = set(sys.modules)
    try:
        with chdir(origin.folder):
            yield
    finally:
        new = sys.modules.keys() - before
        own = {name for name in new if "." not in name and _is_in(origin.folder, sys.modules[name])}
        for name in (name for name in new if name.partition(".")[0] in own):
            del sys.modules[name]


def _is_in(folder: Path, module: ModuleType) -> bool:
    """Return whether a module is a file of the folder, or a package in it; those of a virtual environment are not."""
    # A package has folders, and no file of its own without __init__.py; modules of Cython have neither.
    places = [*getattr(module, "__path__", ())] or [getattr(module, "__file__", None)]
    return any(place and Path(place).resolve().parent == folder.resolve() for place in places)


@contextmanager
def _alone() -> Iterator[None]:
    """Hide from Lightning that SLURM or another launcher started the worker: it trains every run alone.

    Lightning reads a process's rank when it is imported.
    """
    with restored_environment():
        for name in _RANKS:
            os.environ.pop(name, None)
        yield


@_task
def check_options(options: tuple[str, ...]) -> str:
    """Return the resolved configuration of a run as YAML.

    Raises:
        Exception: the options cannot be understood, or what they name cannot be built.
    """
    from optimcifar.training.run import training_run

    with training_run(options) as run:
        return run.check()


@_task
def time_epoch(options: tuple[str, ...]) -> tuple[float, int]:
    """Train the first epoch of a run without writing anything.

    Args:
        options: the run's options; callbacks that they name are left out.

    Returns:
        The seconds of the epoch, its validation included, and its number of steps.

    Raises:
        Exception: training failed.
    """
    import torch

    from optimcifar.callbacks.epoch_timer import EpochTimer
    from optimcifar.training.run import training_run

    torch.set_num_threads(1)
    timer = EpochTimer()
    with training_run(options, only=[timer]) as run:
        outcome = run.fit()
    if outcome.error:
        raise outcome.error
    return timer.seconds, timer.steps


@_task
def train_and_test(options: tuple[str, ...], path: Path, seed: int, is_tested: bool) -> RunEnd:
    """Train a run and test its checkpoints, or do what is left to do.

    Args:
        options: the run's options.
        path: its folder.
        seed: its seed.
        is_tested: whether its checkpoints are tested.
    """
    import torch

    # Workers share the machine: more threads would wait for each other.
    torch.set_num_threads(1)
    folder = RunFolder(path)
    try:
        _train_and_test(options, folder, is_tested)
    except Exception as error:  # noqa: BLE001  the tables show it
        return record_failure(folder, seed, error_message(error))
    return RunEnd(folder.status() or "failed")


def record_failure(folder: RunFolder, seed: int, message: str) -> RunEnd:
    """Have the tables show a run that failed, even before training started; return how it ended."""
    if folder.status() is None:
        failed = {"status": "failed", "seed": seed, "error": message}
        write_atomically(folder.summary, json.dumps(failed) + "\n")
    return RunEnd("failed", message)


def _train_and_test(options: tuple[str, ...], folder: RunFolder, is_tested: bool) -> None:
    from optimcifar.training.run import resumed_run, training_run

    if folder.status() in ENDED and not (is_tested and _untested(folder)):
        return
    if not folder.config.exists():
        shutil.rmtree(folder.path, ignore_errors=True)  # cut off before it wrote its configuration
    with resumed_run(folder) if folder.config.exists() else training_run(options) as run:
        if folder.status() not in ENDED:
            outcome = run.fit()
            if outcome.status == "interrupted":
                raise RuntimeError("interrupted")
            if outcome.error:
                raise outcome.error
        for checkpoint in _untested(folder) if is_tested else ():
            run.test(checkpoint)


def _untested(folder: RunFolder) -> list[Path]:
    checkpoints = (folder.checkpoint(weights) for weights in WEIGHTS)
    return [path for path in checkpoints if path.exists() and not test_result(path).exists()]


@contextmanager
def _silence() -> Iterator[None]:
    """Discard what a run prints: the coordinator shows all runs in one table."""
    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        yield
