"""Whole comparisons, run as a person would run them."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import CONFIGS, unwrapped

import optimcifar
from optimcifar.errors import UsageError

SMALL = [
    *("--data", "Shapes10DataModule", "--data.train_images", "1000", "--data.val_size", "200"),
    *("--data.test_images", "100", "--trainer.max_epochs", "2", "--jobs", "2"),
]
SGD, ADAM, SWA = (str(CONFIGS / f"{name}.yaml") for name in ("sgd", "adam", "sgd_swa"))

Command = list[str]


def start(*arguments: object) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "optimcifar", "compare", *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)


def finish(process: subprocess.Popen[str], seconds: int = 400) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=seconds)
    return process.returncode, out, err


def results(out: str) -> list[dict[str, str]]:
    """Return the rows of results.csv without times."""
    with Path(out, "results.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{key: cell for key, cell in row.items() if not re.search("second|_ms", key)} for row in rows]


def weights(out: str) -> dict[str, Any]:
    paths = sorted(Path(out).glob("runs/*/seed-*/checkpoints/*.ckpt"))
    return {
        str(path.relative_to(out)): torch.load(path, weights_only=True, map_location="cpu")["state_dict"]
        for path in paths
    }


def metrics(out: str) -> dict[str, list[list[str]]]:
    """Return all runs' metrics without times."""
    tables = {}
    for path in sorted(Path(out).glob("runs/*/seed-*/metrics.csv")):
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        tables[str(path.relative_to(out))] = [[c for k, c in row.items() if k != "seconds"] for row in rows]
    return tables


def assert_same(out: str, undisturbed: str) -> None:
    assert results(out) == results(undisturbed)
    assert metrics(out) == metrics(undisturbed)
    found, expected = weights(out), weights(undisturbed)
    assert found.keys() == expected.keys()
    for name, state in expected.items():
        assert all(torch.equal(found[name][key], value) for key, value in state.items()), name


@pytest.mark.slow
def test_compares_goes_on_and_refuses_to_mix() -> None:
    wrong = f"{SGD}:model.optimizer.lr=-1"
    status, out, err = finish(start(SGD, wrong, "--seeds", 1, "--out", "first", *SMALL))
    assert (status, err) == (2, "optimcifar: sgd-lr=-1: --model.optimizer: Invalid learning rate: -1.0\n")
    assert not Path("first").exists()

    entries = [SGD, f"{ADAM}:model.optimizer.lr=0.002"]
    status, out, err = finish(start(*entries, "--seeds", "0,5", "--out", "both", *SMALL))
    assert (status, err) == (0, "")
    assert out.count("finished, train loss") == 4
    rows = results("both")
    assert [(row["configuration"], row["seed"]) for row in rows] == [
        ("sgd", "0"), ("sgd", "5"), ("adam-lr=0.002", "0"), ("adam-lr=0.002", "5"),
    ]  # fmt: skip
    assert all(0 <= float(row["test_acc"]) <= 1 for row in rows)
    for first, second in ((0, 2), (1, 3)):
        for key in ("initial_weights_sha256", "first_epoch_order_sha256"):
            assert rows[first][key] == rows[second][key] != rows[1 - first][key]
    assert "(fewer than 3 seeds in common)" in unwrapped(out)

    before = {path: path.stat().st_mtime_ns for path in Path("both").glob("runs/*/*/summary.json")}
    status, out, err = finish(start(*entries, "--seeds", "0,5", "--out", "both", *SMALL))
    assert (status, err) == (0, "")
    assert {path: path.stat().st_mtime_ns for path in before} == before

    status, out, err = finish(start(*entries, "--seeds", "0,5", "--out", "both", *SMALL, "--data.batch_size", "32"))
    assert status == 2
    assert "both/runs/sgd/seed-0 was made with other settings: data.init_args.batch_size was 64, and is now 32" in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_failing_and_diverging_runs_stop_no_other(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(
        "from lightning.pytorch import Callback\n"
        "class Fails(Callback):\n"
        "    def on_train_epoch_end(self, trainer, pl_module):\n"
        "        raise RuntimeError('no more')\n"
    )
    # The second fails in its first epoch, the third before: it would start averaging after its last one.
    entries = [SGD, f"{SGD}:trainer.callbacks+=failing.Fails", SWA, f"{SGD}:model.optimizer.lr=1e30"]
    status, out, err = finish(start(*entries, "--seeds", 1, "--out", "out", *SMALL))
    assert (status, err) == (1, "optimcifar: 2 of 4 runs failed\n")
    rows = {row["configuration"]: row for row in results("out")}
    assert {name: row["status"] for name, row in rows.items()} == {
        "sgd": "finished",
        "sgd-callbacks+=failing.Fails": "failed",
        "sgd_swa": "failed",
        "sgd-lr=1e30": "diverged",
    }
    assert rows["sgd-lr=1e30"]["diverged_step"] == "2"
    assert "sgd-callbacks+=failing.Fails seed 0: failed: no more" in out
    assert "sgd_swa seed 0: failed: weight averaging starts in epoch 7, but max_epochs is 2" in out


@pytest.mark.slow
def test_scheduler_that_is_not_there_is_named() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    status, _, err = finish(start(SGD, "--scheduler", address, "--out", "out"))
    assert (status, err) == (1, f"optimcifar: no scheduler answers at {address}\n")


def children(pid: int) -> list[int]:
    """Return a process's descendants."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    parents = {int(line.split()[0]): int(line.split()[1]) for line in listed.splitlines()}
    own = [child for child, parent in parents.items() if parent == pid]
    return [*own, *(below for child in own for below in children(child))]


def training(pid: int) -> list[int]:
    """Return the processes under a coordinator that compute: the workers, not what watches over them."""

    def seconds(child: int) -> float:
        try:
            fields = Path(f"/proc/{child}/stat").read_text().rsplit(")", 1)[1].split()
        except OSError:
            return 0.0
        return int(fields[11]) / os.sysconf("SC_CLK_TCK")

    return [child for child in children(pid) if seconds(child) > 1]


def wait_until(condition: Callable[[], object], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.05)  # for another process


def rows_written(out: str) -> int:
    return sum(len(table) for table in metrics(out).values())


LONGER = ["--data", "Shapes10DataModule", "--data.train_images", "3000", "--data.val_size", "200",
          "--data.test_images", "100", "--trainer.max_epochs", "8", "--jobs", "2"]  # fmt: skip


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> str:
    out = tmp_path_factory.mktemp("undisturbed") / "out"
    status, _, err = finish(start(SGD, ADAM, SWA, "--seeds", 2, "--out", out, *LONGER))
    assert (status, err) == (0, "")
    return str(out)


@pytest.mark.slow
def test_killed_workers_change_nothing(undisturbed: str) -> None:
    process = start(SGD, ADAM, SWA, "--seeds", 2, "--out", "out", *LONGER)
    killed = 0
    for rows in (2, 9, 17, 26, 35):
        wait_until(lambda rows=rows: rows_written("out") >= rows or process.poll() is not None)  # type: ignore[misc]
        for pid in training(process.pid)[:1]:
            os.kill(pid, signal.SIGKILL)
            killed += 1
    status, _, err = finish(process)
    assert (status, killed) == (0, 5)
    # Python's own word on what the killed processes left behind may come; ours does not.
    assert "optimcifar:" not in err
    assert "Traceback" not in err
    assert_same("out", undisturbed)


@pytest.mark.slow
def test_killed_coordinator_is_started_again_and_repeats_nothing_finished(undisturbed: str) -> None:
    process = start(SGD, ADAM, SWA, "--seeds", 2, "--out", "out", *LONGER)
    wait_until(lambda: rows_written("out") >= 25)
    left = training(process.pid)
    process.kill()
    finish(process)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))
    done = [p for p in Path("out").glob("runs/*/*/summary.json") if '"finished"' in p.read_text()]
    before = {path: path.stat().st_mtime_ns for path in done}
    status, _, err = finish(start(SGD, ADAM, SWA, "--seeds", 2, "--out", "out", *LONGER))
    assert (status, err) == (0, "")
    assert before
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert_same("out", undisturbed)


@pytest.mark.slow
def test_seeds_on_demand_go_on_after_a_kill_as_they_would_have_gone(tmp_path: Path) -> None:
    (tmp_path / "failing.py").write_text(
        "from lightning.pytorch import Callback\n"
        "class Fails(Callback):\n"
        "    def on_train_epoch_end(self, trainer, pl_module):\n"
        "        raise RuntimeError('no more')\n"
    )
    # The second is as good as the first; the third learns nothing in so few steps.
    muon = CONFIGS / "muon.yaml"
    entries = [muon, f"{muon}:model.optimizer.weight_decay=1e-30", SGD, f"{muon}:trainer.callbacks+=failing.Fails"]
    options = ["--seeds", "auto", "--max_seeds", 6, "--until", "best", "--out", "out", *SMALL, "--data.batch_size", 8]
    process = start(*entries, *options)
    wait_until(lambda: list(Path("out").glob("runs/*/seed-0/summary.json")))
    assert json.loads(Path("out/comparison.json").read_text())["stages"] == [5, 6]
    wait_until(lambda: rows_written("out") >= 20)
    process.kill()
    left = training(process.pid)
    finish(process)
    wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in left))
    done = [p for p in Path("out").glob("runs/*/*/summary.json") if '"finished"' in p.read_text()]
    before = {path: path.stat().st_mtime_ns for path in done}

    status, out, err = finish(start(*entries, *options))
    assert (status, err) == (1, "optimcifar: 5 of 22 runs failed\n")
    assert before
    assert {path: path.stat().st_mtime_ns for path in before} == before
    best, failing = "muon, muon-weight_decay=1e-30", "muon-callbacks+=failing.Fails (too few runs with a result)"
    lines = [line for line in out.splitlines() if line.startswith("stage ")]
    assert lines[0].endswith(f"more seeds for {best}; no more seeds for sgd (below the best), {failing}")
    assert lines[1:] == [f"stage 2 of 2, 6 seeds: the best of those that can be compared is among {best}"]
    numbers = {path.name: len(list(path.iterdir())) for path in Path("out/runs").iterdir()}
    assert sorted(numbers.values()) == [5, 5, 6, 6]


@pytest.mark.slow
def test_compare_in_python_returns_what_the_command_reports() -> None:
    options = SMALL[: SMALL.index("--jobs")]
    with pytest.raises(UsageError, match="--max_seeds needs --seeds auto"):
        optimcifar.compare([SGD, ADAM], max_seeds=10)
    found = optimcifar.compare([SGD, Path(ADAM)], seeds=[0, 4, 2], baseline="adam", jobs=2, options=options)
    assert [(run.name, run.seed) for run in found.runs] == [(n, s) for n in ("sgd", "adam") for s in (0, 2, 4)]
    assert [(difference.configuration, difference.baseline, difference.n) for difference in found.differences] == [
        ("sgd", "adam", 3)
    ]
    status, _, _ = finish(start(SGD, ADAM, "--seeds", "0,4,2", "--baseline", "adam", *SMALL))
    assert status == 0
    before = {path: path.stat().st_mtime_ns for path in Path().glob("lightning_logs/comparison/runs/*/*/summary.json")}
    assert len(before) == 6
    again = optimcifar.compare([SGD, ADAM], seeds=[0, 4, 2], baseline="adam", jobs=2, options=options)
    assert again.to_records() == found.to_records()
    assert {path: path.stat().st_mtime_ns for path in before} == before

    with pytest.raises(RuntimeError, match="all runs failed: sgd_swa seed 0: weight averaging starts in epoch 7"):
        optimcifar.compare([SWA], seeds=1, jobs=1, options=options, out="failed")


@pytest.mark.slow
def test_script_that_calls_compare_unguarded_is_told_so(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(f"import optimcifar\noptimcifar.compare([{SGD!r}], seeds=1, jobs=1)\n")
    ended = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert 'does the script call compare below `if __name__ == "__main__":`?' in ended.stderr.splitlines()[-1]
