"""How much longer a training step takes with each of the callbacks that come with the package.

    python tests/benchmarks/callback_cost.py --steps 4000

Every callback is switched on and off by turns, some steps each, within one run of ``optimcifar fit`` on Shapes10.
Prints the time of a step with it over that of a step without it, median (and quartiles) over the pairs of turns, and
writes ``callback_cost.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from io import StringIO
from pathlib import Path
from typing import Any

import torch
from circumstances import circumstances, quiet
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.profilers import PassThroughProfiler

from optimcifar import GradientsAndUpdates, StepLosses, WeightAverages
from optimcifar.callbacks.divergence import StopAtDivergence
from optimcifar.callbacks.optimizer_cost import OptimizerCost
from optimcifar.training.profiler import NoProfiler
from optimcifar.training.run import training_run

_TURN = 20  # steps


class _SwitchProfiler(Callback):
    """Uses ``NoProfiler`` while it is on, and Lightning's default while it is off."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.profiler = NoProfiler()  # type: ignore[attr-defined]

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        trainer.profiler = PassThroughProfiler()  # type: ignore[attr-defined]


CALLBACKS: dict[str, Callable[[], Callback]] = {
    "OptimizerCost": OptimizerCost,
    "StopAtDivergence": StopAtDivergence,
    "WeightAverages, ema": lambda: WeightAverages(swa_epoch_start=None),
    "GradientsAndUpdates": GradientsAndUpdates,
    "StepLosses": StepLosses,
    "NoProfiler for the default": _SwitchProfiler,
}


class Turns(Callback):
    """Switches a callback on and off by turns, and times the steps."""

    def __init__(self, callback: Callback) -> None:
        self.callback = callback
        self.seconds: dict[bool, list[float]] = {True: [], False: []}
        self._step = 0
        self._since = 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Prepare the callback, and start without it."""
        self._others: list[Callback] = [c for c in trainer.callbacks if type(c) is not type(self.callback)]  # type: ignore[attr-defined]
        trainer.callbacks = self._others  # type: ignore[attr-defined]
        self.callback.setup(trainer, pl_module, stage)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Note the time of a turn, and switch."""
        on = self._step // _TURN % 2 == 1
        if self._step % _TURN == 0:
            if self._step:
                self.seconds[not on].append((time.perf_counter() - self._since) / _TURN)
            if on:
                self.callback.on_train_start(trainer, pl_module)
            else:
                self.callback.on_exception(trainer, pl_module, KeyboardInterrupt())
            trainer.callbacks = [*self._others, self.callback] if on else self._others  # type: ignore[attr-defined]
            self._since = time.perf_counter()
        self._step += 1

    def ratios(self) -> list[float]:
        """Return the time with the callback over that without it, for every pair of turns but the first."""
        pairs = zip(self.seconds[True], self.seconds[False], strict=False)
        return [with_it / without for with_it, without in pairs][1:]


def measure(make: Callable[[], Callback], steps: int) -> list[float]:
    """Return the ratios of one callback over about so many steps."""
    turns = Turns(make())
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
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=4000, help="of each run")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("lightning_logs/benchmarks"))
    options = parser.parse_args(args)
    quiet()
    torch.set_num_threads(options.threads)
    rows = []
    for name, make in CALLBACKS.items():
        ratios = measure(make, options.steps)
        low, median, high = statistics.quantiles(ratios, n=4)
        rows.append({"callback": name, "ratio": median, "lower_quartile": low, "upper_quartile": high})
        print(f"{name:27} {median:.3f} ({low:.3f} to {high:.3f}), {len(ratios)} pairs", flush=True)
    options.out.mkdir(parents=True, exist_ok=True)
    result = {**circumstances(), "threads": options.threads, "steps": options.steps, "rows": rows}
    (options.out / "callback_cost.json").write_text(json.dumps(result, indent=2) + "\n")


if __name__ == "__main__":
    main()
