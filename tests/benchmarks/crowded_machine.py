"""How training slows down when other programs use the cores as well.

    python tests/benchmarks/crowded_machine.py --rounds 3

Runs ``optimcifar fit`` on Shapes10 with one thread and with two, alone and beside one busy process per core, with
OpenMP's own way of waiting and with the command line's, in turn in every round. Prints images a second, and writes
``crowded_machine.json``.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from itertools import product
from pathlib import Path
from typing import Any

from circumstances import circumstances

from optimcifar.text import count

_BUSY = [sys.executable, "-c", "while True: pass"]


# What GNU OpenMP does where nothing else is said: it tries so many times before it sleeps.
_DEFAULT = {"GOMP_SPINCOUNT": "300000"}


def images_per_second(threads: int, short: bool, busy: bool, images: int) -> float:
    """Train an epoch in a process of its own."""
    environment = os.environ | {"OMP_NUM_THREADS": str(threads)} | ({} if short else _DEFAULT)
    data = ("--data", "Shapes10DataModule", "--data.train_images", str(images), "--data.val_size", "100")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        if busy:
            for _ in range(os.cpu_count() or 1):
                stack.callback(stack.enter_context(subprocess.Popen(_BUSY)).kill)
        options = (
            *data,
            "--trainer.max_epochs",
            "1",
            "--trainer.accelerator",
            "cpu",
            "--trainer.default_root_dir",
            folder,
        )
        command = [sys.executable, "-m", "optimcifar", "fit", *options]
        subprocess.run(command, env=environment, check=True, stdout=subprocess.DEVNULL)
        (summary,) = Path(folder).glob("lightning_logs/*/summary.json")
        return float(json.loads(summary.read_text())["images_per_second"])


def main(args: list[str] | None = None) -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=4000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("lightning_logs/benchmarks"))
    options = parser.parse_args(args)
    cases = list(product((1, 2), (False, True), (False, True)))
    measured: dict[Any, list[float]] = {case: [] for case in cases}
    for _ in range(options.rounds):
        for threads, busy, short in cases:
            measured[threads, busy, short].append(images_per_second(threads, short, busy, options.images))
    rows = []
    for (threads, busy, short), found in measured.items():
        waiting = "short" if short else "OpenMP's own"
        what = f"{count(threads, 'thread')}, {'busy' if busy else 'free'} cores, {waiting} waiting"
        print(f"{what:40} {statistics.median(found):7,.0f} ({min(found):,.0f} to {max(found):,.0f}) images/s")
        rows.append({"threads": threads, "busy": busy, "short": short, "images_per_second": found})
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "crowded_machine.json").write_text(json.dumps({**circumstances(), "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
