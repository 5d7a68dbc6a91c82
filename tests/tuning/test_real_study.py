"""Whole studies and sweeps, run as a person would run them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from helpers import CONFIGS, Command, equal_weights, read_rows, read_weights

SMALL = [
    *("--data", "Shapes10DataModule", "--data.train_images", "1000", "--data.val_size", "200"),
    *("--data.test_images", "100", "--trainer.max_epochs", "2"),
]
SGD, ADAM = (str(CONFIGS / f"{name}.yaml") for name in ("sgd", "adam"))
TUNE = ["tune", f"{SGD}:model.optimizer.lr=0.03..0.3", ADAM, "--trials", "4", "--seeds", "2", *SMALL]


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "optimcifar", *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=600)
    return process.returncode, out, err


def trials(out: str) -> list[dict[str, str]]:
    """Return trials.csv without times."""
    rows = read_rows(Path(out, "trials.csv"))
    return [{name: cell for name, cell in row.items() if not name.endswith(("_seconds", "_ms"))} for row in rows]


def tuned(out: str) -> dict[str, str]:
    return {path.name: path.read_text() for path in Path(out, "tuned").iterdir()}


@pytest.mark.slow
def test_workers_and_kills_change_nothing_and_tuned_files_repeat_the_final_runs(optimcifar: Command) -> None:
    status, out, err = finish(start(*TUNE, "--jobs", "1", "--out", "one"))
    assert (status, err) == (0, "")
    assert "2 configurations x (4 + 2 x 3) tuning runs + 2 x 2 x 2 final runs = 28 runs, about" in out
    assert [row["seed"] for row in trials("one")].count("1000") == 8

    assert finish(start(*TUNE, "--jobs", "3", "--out", "three"))[0] == 0
    assert trials("three") == trials("one")
    assert tuned("three") == tuned("one")

    process = start(*TUNE, "--jobs", "2", "--out", "killed")
    while len(list(Path("killed").glob("runs/*/seed-1000/checkpoints/last.ckpt"))) < 5:
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert finish(start(*TUNE, "--jobs", "2", "--out", "killed"))[0] == 0
    assert trials("killed") == trials("one")
    assert tuned("killed") == tuned("one")

    (number,) = {row["trial"] for row in trials("one") if row["configuration"] == "sgd" and row["is_chosen"] == "True"}
    again = ["--seed_everything", "1", "--trainer.logger", "optimcifar.RunLogger", "--trainer.logger.version", "again"]
    assert optimcifar("fit", "--config", "one/tuned/sgd.yaml", *again).status == 0
    final = Path(f"one/runs/sgd-trial-{number}/seed-1/checkpoints/last.ckpt")
    assert equal_weights(read_weights(Path("lightning_logs/again/checkpoints/last.ckpt")), read_weights(final))
    assert not list(Path("one").glob("runs/*/seed-100?/checkpoints/*.test.json"))  # no tuning run is tested
    assert len(list(Path("one").glob("runs/*/seed-[01]/checkpoints/last.test.json"))) >= 4


@pytest.mark.slow
def test_sweep_trains_every_value_and_reports(optimcifar: Command) -> None:
    over = ["--over", "model.optimizer.lr=0.01,0.1", "--over", "data.batch_size=32,64"]
    status, out, err = finish(start("sweep", SGD, *over, "--seeds", "1", "--jobs", "2", "--out", "grid", *SMALL))
    assert (status, err) == (0, "")
    assert "4 points x 1 seed = 4 runs" in out
    assert len(read_rows(Path("grid/sweep.csv"))) == 4
    assert Path("grid/report.html").exists()
    status, shown, err = optimcifar("report", "grid")
    assert (status, err) == (0, "")
    assert shown.strip() in out
