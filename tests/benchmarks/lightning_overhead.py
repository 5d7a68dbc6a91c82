"""How much of a training step ``NoProfiler`` saves.

    python tests/benchmarks/lightning_overhead.py --steps 8000

Switches it on and off in turn within one run of ``optimcifar fit`` on Shapes10, 20 steps at a time. Prints the time of
a step with it divided by the time without, median (and quartiles) over pairs of turns, and writes
``lightning_overhead.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from circumstances import circumstances, quiet
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import PassThroughProfiler

from optimcifar.training.lightning_overhead import NoProfiler
from optimcifar.training.run import training_run

_TURN = 20  # steps


class Turns(Callback):
    """Switches ``NoProfiler`` on and off in turn, and times the steps."""

    def __init__(self) -> None:
        self._seconds: dict[bool, list[float]] = {True: [], False: []}
        self._step = 0
        self._since = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the time of a turn, and switch."""
        if self._step % _TURN == 0:
            on = self._step // _TURN % 2 == 1
            if self._step:
                self._seconds[not on].append((time.perf_counter() - self._since) / _TURN)
            trainer.profiler = NoProfiler() if on else PassThroughProfiler()  # type: ignore[attr-defined]
            self._since = time.perf_counter()
        self._step += 1

    def ratios(self) -> list[float]:
        """Return the time with it divided by the time without, for every pair of turns but the first."""
        pairs = zip(self._seconds[True], self._seconds[False], strict=False)
        return [with_it / without for with_it, without in pairs][1:]


def measure(steps: int) -> list[float]:
    """Return the ratios over about so many steps."""
    turns = Turns()
    images = ("--data.train_images", str(64 * steps + 100), "--data.val_size", "100", "--trainer.max_epochs", "1")
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
        place = ("--trainer.default_root_dir", folder, "--trainer.accelerator", "cpu")
        with training_run(["--data", "Shapes10DataModule", *images, *place]) as run:
            run.trainer.callbacks.insert(0, turns)  # type: ignore[attr-defined]
            outcome = run.fit()
    if outcome.error:
        raise outcome.error
    return turns.ratios()


def main(args: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8000, help="of the run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("lightning_logs/benchmarks"))
    options = parser.parse_args(args)
    quiet()
    torch.set_num_threads(options.threads)
    ratios = measure(options.steps)
    low, median, high = statistics.quantiles(ratios, n=4)
    print(f"NoProfiler {median:.3f} ({low:.3f} to {high:.3f}), {len(ratios)} pairs", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    result = {"ratio": median, "lower_quartile": low, "upper_quartile": high, "pairs": len(ratios)}
    about = {**circumstances(), "threads": options.threads, "steps": options.steps}
    (options.out / "lightning_overhead.json").write_text(json.dumps(about | result, indent=2) + "\n")


if __name__ == "__main__":
    main()
