"""How much of a training step the shortcuts in ``optimcifar.training.lightning_overhead`` save.

    python tests/benchmarks/lightning_overhead.py --steps 8000

Switches both shortcuts, and each alone, on and off in turn within one run of ``optimcifar fit`` on Shapes10, 20 steps
at a time. Prints the time of a step with them divided by the time without, median (and quartiles) over pairs of turns,
and writes ``lightning_overhead.json``.
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

from optimcifar.training.lightning_overhead import FastHookNames, NoProfiler
from optimcifar.training.run import training_run

_TURN = 20  # steps

SHORTCUTS = {"NoProfiler": (True, False), "FastHookNames": (False, True), "both": (True, True)}

_FAST = FastHookNames.__setattr__


class Turns(Callback):
    """Switches shortcuts on and off in turn, and times the steps."""

    def __init__(self, profiler: bool, hook_names: bool) -> None:
        self._profiler = profiler
        self._hook_names = hook_names
        self._seconds: dict[bool, list[float]] = {True: [], False: []}
        self._step = 0
        self._since = 0.0

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the time of a turn, and switch."""
        if self._step % _TURN == 0:
            on = self._step // _TURN % 2 == 1
            if self._step:
                self._seconds[not on].append((time.perf_counter() - self._since) / _TURN)
            if self._profiler:
                trainer.profiler = NoProfiler() if on else PassThroughProfiler()  # type: ignore[attr-defined]
            if self._hook_names:
                FastHookNames.__setattr__ = _FAST if on else LightningModule.__setattr__  # type: ignore[method-assign]
            self._since = time.perf_counter()
        self._step += 1

    def ratios(self) -> list[float]:
        """Return the time with the shortcuts divided by the time without, for every pair of turns but the first."""
        pairs = zip(self._seconds[True], self._seconds[False], strict=False)
        return [with_them / without for with_them, without in pairs][1:]


def measure(profiler: bool, hook_names: bool, steps: int) -> list[float]:
    """Return the ratios for a choice of shortcuts over about so many steps."""
    turns = Turns(profiler, hook_names)
    images = ("--data.train_images", str(64 * steps + 100), "--data.val_size", "100", "--trainer.max_epochs", "1")
    try:
        with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()):
            place = ("--trainer.default_root_dir", folder, "--trainer.accelerator", "cpu")
            with training_run(["--data", "Shapes10DataModule", *images, *place]) as run:
                run.trainer.callbacks.insert(0, turns)  # type: ignore[attr-defined]
                outcome = run.fit()
    finally:
        FastHookNames.__setattr__ = _FAST  # type: ignore[method-assign]
    if outcome.error:
        raise outcome.error
    return turns.ratios()


def main(args: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=8000, help="of each run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("lightning_logs/benchmarks"))
    options = parser.parse_args(args)
    quiet()
    torch.set_num_threads(options.threads)
    rows = []
    for name, (profiler, hook_names) in SHORTCUTS.items():
        ratios = measure(profiler, hook_names, options.steps)
        low, median, high = statistics.quantiles(ratios, n=4)
        rows.append({"shortcut": name, "ratio": median, "lower_quartile": low, "upper_quartile": high})
        print(f"{name:14} {median:.3f} ({low:.3f} to {high:.3f}), {len(ratios)} pairs", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    result = {**circumstances(), "threads": options.threads, "steps": options.steps, "rows": rows}
    (options.out / "lightning_overhead.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
