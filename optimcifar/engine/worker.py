"""The tasks of a worker: check a run's options, and train and test a run."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

from optimcifar.errors import error_message
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.folder import ENDED, WEIGHTS, RunFolder, test_result


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


def check_options(options: tuple[str, ...]) -> str:
    """Return the resolved configuration of a run as YAML.

    Raises:
        Exception: the options cannot be understood, or what they name cannot be built.
    """
    from optimcifar.training.run import training_run

    with _silence(), training_run(options) as run:
        return run.check()


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
    with _silence(), training_run(options, only=[timer]) as run:
        outcome = run.fit()
    if outcome.error:
        raise outcome.error
    return timer.seconds, timer.steps


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
        with _silence():
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
