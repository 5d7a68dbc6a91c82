from __future__ import annotations

from pathlib import Path

import pytest
from helpers import make_run

from optimcifar.engine.worker import RunEnd, check_options, record_failure
from optimcifar.runs.folder import RunFolder
from optimcifar.runs.results import read_run


def test_a_run_that_failed_before_it_started_is_in_the_tables() -> None:
    folder = RunFolder(Path("out/runs/sgd/seed-3"))
    assert record_failure(folder, 3, "its worker died 10 times") == RunEnd("failed", "its worker died 10 times")
    run = read_run(folder)
    assert (run.status, run.seed, run.summary["error"]) == ("failed", 3, "its worker died 10 times")


def test_a_run_that_had_started_keeps_its_summary() -> None:
    folder = RunFolder(Path("out/runs/sgd/seed-3"))
    make_run(folder.path, 3, [0.1], status="running")
    record_failure(folder, 3, "its worker died 10 times")
    assert folder.status() == "running"


def test_worker_that_slurm_started_trains_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert "seed_everything: 0\n" in check_options(None, ("--data", "Shapes10DataModule"))
