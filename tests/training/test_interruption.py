"""Runs that are stopped at random moments and resumed end like uninterrupted runs."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest
from helpers import CONFIGS, equal_weights, metrics_without_times, read_summary, read_weights, run_command

from optimcifar.runs.folder import ENDED

# Without ResNet-20, whose runs take 30 times as long and go on by the same means.
CONFIG_FILES = sorted(path for path in CONFIGS.glob("*.yaml") if not path.stem.startswith("resnet20_"))
THREADS = (1, 2)
# Interruptions of each run: at least two, and at least 50 in all tests together.
KILLS = max(2, -(-50 // (len(CONFIG_FILES) * len(THREADS))))
# A run that ends before it was interrupted so often is started anew, at most so many times.
STARTS = 20
# Values of a summary that no two runs share.
TIMES = {"train_seconds", "images_per_second", "optimizer_step_ms"}


def options(config: Path, root: Path) -> list[object]:
    """Return the options of a run of eight epochs with a few steps each, with averages and the losses of steps."""
    data = ("--data", "Shapes10DataModule", "--data.train_images", 700, "--data.val_size", 60, "--data.batch_size", 32)
    averages = ("--trainer.callbacks+=WeightAverages", "--trainer.callbacks.swa_epoch_start=3")
    losses = "--trainer.callbacks+=StepLosses"
    return ["--config", config, *data, "--trainer.max_epochs", 8, "--trainer.default_root_dir", root, *averages, losses]


class Runs:
    """Runs of one configuration in other processes.

    Args:
        processes: where to start them.
        config: the configuration.
        threads: the threads of each process.
        folder: the folder of their files and of their output.
    """

    def __init__(self, processes: ForkServerContext, config: Path, threads: int, folder: Path) -> None:
        self.processes, self.config, self.threads, self.folder = processes, config, threads, folder
        self.generator = random.Random(f"{config.stem} {threads}")

    def uninterrupted(self) -> tuple[Path, float]:
        """Return the folder of a run, and how long it took in seconds."""
        start = time.monotonic()
        process = self._start("fit", *options(self.config, self.folder / "whole"))
        process.join(300)
        assert process.exitcode == 0, self.output()
        return self.folder / "whole" / "lightning_logs" / "version_0", time.monotonic() - start

    def interrupted(self, seconds: float) -> Path:
        """Return the folder of a run that was stopped ``KILLS`` times and resumed, given how long a whole run takes."""
        for _ in range(STARTS):
            root = self.folder / "cut"
            shutil.rmtree(root, ignore_errors=True)
            if all(self._kill(root, self.generator.uniform(0.1, 0.5) * seconds) for _ in range(KILLS)):
                process = self._continue(root)
                process.join(300)
                assert process.exitcode == 0, self.output()
                return max(root.glob("lightning_logs/version_*/summary.json")).parent
        pytest.fail(f"{STARTS} runs ended before they were interrupted {KILLS} times")

    def output(self) -> str:
        """Return what the processes printed."""
        return (self.folder / "output.txt").read_text()

    def _kill(self, root: Path, seconds: float) -> bool:
        """Start or resume a run and stop it after some time; return whether it was stopped."""
        printed = len(self.output())
        process = self._continue(root)
        process.join(seconds)
        if process.is_alive():
            assert process.pid is not None
            os.kill(process.pid, self.generator.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        process.join(300)
        status = process.exitcode
        # 0: it ended first; 130: it stopped in order; negative: it was killed, or stopped before it handled signals.
        assert status is not None, self.output()
        # 1 without a word: it was stopped on a busy machine before the command line had begun.
        silent = status == 1 and "optimcifar: " not in self.output()[printed:]
        assert status in (0, 130) or status < 0 or silent, self.output()
        # A run may have ended, and its process been stopped on the way out.
        ended = any(read_summary(path.parent)["status"] in ENDED for path in root.glob("lightning_logs/*/summary.json"))
        return status != 0 and not ended

    def _continue(self, root: Path) -> ForkServerProcess:
        """Start the run in a folder, or resume it once it has written its configuration."""
        started = sorted(root.glob("lightning_logs/*/config.yaml"))
        return self._start("resume", started[-1].parent) if started else self._start("fit", *options(self.config, root))

    def _start(self, *args: object) -> ForkServerProcess:
        command = [str(arg) for arg in args]
        process = self.processes.Process(target=run_command, args=(command, self.threads, self.folder))
        process.start()
        return process


def assert_same_run(run: Path, other: Path) -> None:
    """Assert that metrics, summary and all weights are equal, apart from times."""
    assert metrics_without_times(run) == metrics_without_times(other)
    assert metrics_without_times(run, "validations.csv") == metrics_without_times(other, "validations.csv")
    assert (run / "steps.csv").read_bytes() == (other / "steps.csv").read_bytes()
    first, second = ({k: v for k, v in read_summary(r).items() if k not in TIMES} for r in (run, other))
    assert first == second
    names, other_names = (sorted(path.name for path in r.glob("checkpoints/*.ckpt")) for r in (run, other))
    assert names == other_names
    for name in names:
        weights, other_weights = (read_weights(r / "checkpoints" / name) for r in (run, other))
        assert equal_weights(weights, other_weights), name


@pytest.mark.slow
@pytest.mark.parametrize("threads", THREADS)
@pytest.mark.parametrize("config", CONFIG_FILES, ids=lambda path: path.stem)
def test_run_that_is_killed_and_resumed_equals_an_uninterrupted_one(
    config: Path, threads: int, processes: ForkServerContext, tmp_path: Path
) -> None:
    runs = Runs(processes, config, threads, tmp_path)
    whole, seconds = runs.uninterrupted()
    cut = runs.interrupted(seconds)
    assert_same_run(whole, cut)
    assert "Traceback" not in runs.output()
    assert not list(cut.parent.glob("version_*/**/.*")), "partial files were left"
