"""What a worker of the cluster does: check a run's options, and make the run."""

from __future__ import annotations

import json
import shutil
import signal
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.folder import ENDED, WEIGHTS, RunFolder

_DIVERGED = 3  # the exit status of a run that diverged, which is a result as others are


def dask_setup(_: Any) -> None:
    """Leave Ctrl-C, which a terminal sends to the workers as well, to the coordinator: dask calls this by its name."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def check(options: tuple[str, ...]) -> str:
    """Return all that the options of a run come to, as YAML, or raise what is wrong with them."""
    from optimcifar.training.lightning_cli import check as check_options

    with redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        return check_options(["fit", *options])


def make(options: tuple[str, ...], folder: Path, seed: int) -> dict[str, Any]:
    """Train and test one run, or what is missing of it; return its ``status`` and, if it failed, the ``error``."""
    import torch

    # Workers share the machine: more threads than one would wait for each other.
    torch.set_num_threads(1)
    error = None
    if RunFolder(folder).status() not in ENDED:
        command = ["resume", str(folder)] if (folder / "config.yaml").exists() else ["fit", *options]
        if command[0] == "fit":
            shutil.rmtree(folder, ignore_errors=True)  # a run that was cut off before it wrote what it is
        error = _failure(command)
    for checkpoint in [folder / "checkpoints" / f"{name}.ckpt" for name in WEIGHTS] if error is None else ():
        tested = not checkpoint.exists() or checkpoint.with_suffix(".test.json").exists()
        error = error if tested else error or _failure(["test", "--ckpt_path", str(checkpoint)])
    if error is None:
        return {"status": RunFolder(folder).status()}
    if RunFolder(folder).status() is None:
        # It failed before training started, and is to be seen in the tables all the same.
        write_atomically(folder / "summary.json", json.dumps({"status": "failed", "seed": seed, "error": error}) + "\n")
    return {"status": "failed", "error": error}


def _failure(command: list[str]) -> str | None:
    """Run a command and return what it said of its failure, or None."""
    from optimcifar.cli import main

    errors = StringIO()
    with redirect_stdout(StringIO()), redirect_stderr(errors):
        status = main(command)
    return (
        errors.getvalue().strip().removeprefix("optimcifar: ") or f"status {status}"
        if status not in (0, _DIVERGED)
        else None
    )
