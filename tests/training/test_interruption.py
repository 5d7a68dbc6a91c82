"""Runs that are stopped at any moment, and go on as if they had not been."""

from __future__ import annotations

import csv
import json
import multiprocessing
import os
import random
import signal
import time
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest
import torch
from helpers import CONFIGS, run_command

# What a run takes, which no two runs have in common.
TIMES = {"train_seconds", "images_per_second", "optimizer_step_ms"}
KILLS = 2  # of every configuration on one and on two threads
ALL_KILLS = 50  # no fewer in all
killed: list[str] = []  # what was, in this session


@pytest.fixture(scope="module")
def processes() -> ForkServerContext:
    """Return a context whose processes have torch imported when they start."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["optimcifar.training.lightning_cli"])
    return context


def start(processes: ForkServerContext, args: list[object], threads: int, folder: Path) -> ForkServerProcess:
    process = processes.Process(target=run_command, args=([str(arg) for arg in args], threads, folder))
    process.start()
    return process


def contents(run: Path) -> tuple[list[dict[str, str]], dict[str, object], dict[str, dict[str, torch.Tensor]]]:
    """Return metrics, summary and all weights of a run, without times."""
    with (run / "metrics.csv").open() as file:
        rows = [{name: cell for name, cell in row.items() if name != "seconds"} for row in csv.DictReader(file)]
    summary = json.loads((run / "summary.json").read_text())
    states = {p.name: torch.load(p, weights_only=True)["state_dict"] for p in (run / "checkpoints").glob("*.ckpt")}
    return rows, {name: value for name, value in summary.items() if name not in TIMES}, states


def assert_same_run(run: Path, other: Path) -> None:
    rows, summary, states = contents(run)
    other_rows, other_summary, other_states = contents(other)
    assert rows == other_rows
    assert summary == other_summary
    assert states.keys() == other_states.keys()
    for name, state in states.items():
        assert all(torch.equal(state[key], other_states[name][key]) for key in state), name


def options(config: Path, root: Path) -> list[object]:
    """Eight epochs of a few steps, with averages where the configuration has none."""
    data = ("--data", "Shapes10DataModule", "--data.train_images", 700, "--data.val_size", 60, "--data.batch_size", 32)
    own: list[object] = [
        "fit",
        "--config",
        config,
        *data,
        "--trainer.max_epochs",
        8,
        "--trainer.default_root_dir",
        root,
    ]
    return [*own, "--trainer.callbacks+=WeightAverages", "--trainer.callbacks.swa_epoch_start=3"]


@pytest.mark.slow
@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("config", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_run_killed_at_random_moments_ends_as_one_that_was_not(
    config: Path, threads: int, processes: ForkServerContext, tmp_path: Path
) -> None:
    began = time.monotonic()
    whole = start(processes, options(config, tmp_path / "whole"), threads, tmp_path)
    whole.join(300)
    assert whole.exitcode == 0, (tmp_path / "output.txt").read_text()
    lasted = time.monotonic() - began
    run, cut = tmp_path / "whole/lightning_logs/version_0", tmp_path / "cut"
    generator = random.Random(f"{config.stem} {threads}")
    kills = 0
    status: int | None = None
    while status != 0:
        found = sorted(cut.glob("lightning_logs/*/config.yaml"))
        args = ["resume", found[-1].parent] if found else options(config, cut)
        process = start(processes, args, threads, tmp_path)
        if kills < KILLS:
            process.join(generator.uniform(0.2, 0.6) * lasted)
            if process.is_alive():
                assert process.pid is not None
                os.kill(process.pid, generator.choice([signal.SIGKILL, signal.SIGTERM, signal.SIGINT]))
        process.join(300)
        status = process.exitcode
        kills += status != 0
        # 0: it was faster; 130: it was asked to stop; negative: it was killed, or asked before it could say anything
        assert status in (0, 130) or (status is not None and status < 0), (tmp_path / "output.txt").read_text()
    killed.extend([f"{config.stem}, {threads} threads"] * kills)
    assert_same_run(run, max(cut.glob("lightning_logs/version_*/summary.json")).parent)
    assert "Traceback" not in (tmp_path / "output.txt").read_text()
    assert not list(cut.glob("lightning_logs/version_*/**/.*")), "parts of files were left"


@pytest.mark.slow
def test_runs_were_killed_often_enough(request: pytest.FixtureRequest) -> None:
    chosen = [item for item in request.session.items if "killed_at_random" in item.name]
    assert len(killed) >= ALL_KILLS or len(chosen) < 2 * len(list(CONFIGS.glob("*.yaml")))
