"""Files that were cut, changed, or come from elsewhere; disks that are full; runs at the same moment."""

from __future__ import annotations

import csv
import json
import multiprocessing
import random
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import torch
from helpers import Outcome, run_command

Command = Callable[..., Outcome]


@pytest.fixture
def checkpoint(optimcifar: Command, small: list[str], tmp_path: Path) -> Path:
    outcome = optimcifar("fit", *small, "--trainer.max_epochs", 1)
    assert outcome.status == 0, outcome
    return tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt"


def test_checkpoint_cut_at_any_tenth_is_refused(checkpoint: Path, optimcifar: Command) -> None:
    content = checkpoint.read_bytes()
    for tenth in range(10):
        checkpoint.write_bytes(content[: len(content) * tenth // 10])
        outcome = optimcifar("test", "--ckpt_path", checkpoint)
        assert outcome.status == 1
        assert outcome.err == f"optimcifar: {checkpoint} is damaged, or not a checkpoint of Lightning\n"
    checkpoint.write_bytes(content)
    assert optimcifar("test", "--ckpt_path", checkpoint).status == 0


def test_checkpoint_with_a_changed_bit_is_refused(checkpoint: Path, optimcifar: Command) -> None:
    content = checkpoint.read_bytes()
    generator = random.Random(0)
    for position in (*(generator.randrange(len(content)) for _ in range(10)), len(content) // 2):
        changed = bytearray(content)
        changed[position] ^= 1 << generator.randrange(8)
        checkpoint.write_bytes(changed)
        outcome = optimcifar("test", "--ckpt_path", checkpoint)
        if outcome.status == 0:
            # A bit that means nothing, such as one of a name's padding: what is read is what was written.
            (checkpoint.parent / "whole.ckpt").write_bytes(content)
            first, second = (
                torch.load(path, weights_only=True)["state_dict"]
                for path in (checkpoint, checkpoint.parent / "whole.ckpt")
            )
            assert all(torch.equal(first[key], second[key]) for key in first)
        else:
            assert outcome.err == f"optimcifar: {checkpoint} is damaged, or not a checkpoint of Lightning\n"


def test_resume_from_a_damaged_checkpoint_leaves_the_run_as_it_is(checkpoint: Path, optimcifar: Command) -> None:
    run = checkpoint.parents[1]
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | {"status": "interrupted"}))
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    outcome = optimcifar("resume", run)
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_checkpoint_that_lacks_something_is_refused(checkpoint: Path, optimcifar: Command, small: list[str]) -> None:
    content = torch.load(checkpoint, weights_only=True)
    for missing in ("state_dict", "pytorch-lightning_version", "optimizer_states"):
        torch.save({name: value for name, value in content.items() if name != missing}, checkpoint)
        outcome = optimcifar("fit", *small, "--ckpt_path", checkpoint)
        assert outcome.status in (1, 2), missing
        assert outcome.err.startswith("optimcifar: ")
        assert outcome.err.count("\n") <= 2
        assert "Traceback" not in outcome.err


@pytest.fixture
def processes() -> ForkServerContext:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["optimcifar.training.lightning_cli"])
    return context


def at_once(processes: ForkServerContext, folder: Path, commands: list[list[str]]) -> list[int | None]:
    """Run commands at the same time and return their statuses."""
    running = [processes.Process(target=run_command, args=(args, 1, folder)) for args in commands]
    for process in running:
        process.start()
    for process in running:
        process.join(120)
    return [process.exitcode for process in running]


def test_runs_that_start_at_the_same_moment_do_not_disturb_each_other(
    processes: ForkServerContext, small: list[str], tmp_path: Path
) -> None:
    runs = [["fit", *small, "--seed_everything", str(seed)] for seed in range(3)]
    assert at_once(processes, tmp_path, runs) == [0, 0, 0], (tmp_path / "output.txt").read_text()
    found = [json.loads(path.read_text()) for path in tmp_path.glob("lightning_logs/version_*/summary.json")]
    assert sorted(summary["seed"] for summary in found) == [0, 1, 2]
    for folder in tmp_path.glob("lightning_logs/version_*"):
        with (folder / "metrics.csv").open() as file:
            assert [row["epoch"] for row in csv.DictReader(file)] == ["1", "2"]


def test_images_that_are_decoded_twice_at_once_are_whole(
    processes: ForkServerContext, image_folders: Path, tmp_path: Path
) -> None:
    data = ("--data.root", str(image_folders), "--data.val_size", "20", "--trainer.max_epochs", "1")
    runs = [["fit", *data] for _ in range(3)]
    assert at_once(processes, tmp_path, runs) == [0, 0, 0], (tmp_path / "output.txt").read_text()
    hashes = {
        json.loads(path.read_text())["train_loss"] for path in tmp_path.glob("lightning_logs/version_*/summary.json")
    }
    assert len(hashes) == 1
    assert [path.name for path in image_folders.glob("*.npz")] == ["train.npz"]
    assert not list(image_folders.glob(".*"))


FULL = """
import resource
import signal
from lightning.pytorch import Callback

class FillsUp(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            # What a full disk does to a large file: writing fails after so many bytes.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
"""


def test_disk_that_fills_up_ends_the_run_with_a_line_and_leaves_the_last_good_checkpoint(
    processes: ForkServerContext, small: list[str], tmp_path: Path
) -> None:
    (tmp_path / "full.py").write_text(FULL)
    full = ["fit", *small, "--trainer.max_epochs", "4", "--trainer.callbacks+=full.FillsUp"]
    assert at_once(processes, tmp_path, [full]) == [1]
    said = (tmp_path / "output.txt").read_text().splitlines()
    assert said[-1].startswith("optimcifar: ")
    assert "File too large" in said[-1]
    assert not any("Traceback" in line for line in said)
    run = tmp_path / "lightning_logs" / "version_0"
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 1
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["last.ckpt"]
    assert json.loads((run / "summary.json").read_text())["status"] == "failed"
    # With room again it goes on to the end.
    (tmp_path / "full.py").write_text("from lightning.pytorch import Callback\n\nclass FillsUp(Callback):\n    pass\n")
    assert at_once(processes, tmp_path, [["resume", str(run)]]) == [0]
    assert json.loads((run / "summary.json").read_text())["epochs"] == 4


GROWTH = """
import os
from lightning.pytorch import Callback

class Watch(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        with open("watched.txt", "a") as file:
            file.write(f"{pages * os.sysconf('SC_PAGE_SIZE')} {len(os.listdir('/proc/self/fd'))}\\\\n")
"""


@pytest.mark.slow
def test_memory_and_open_files_stay_flat_over_300_epochs(processes: ForkServerContext, tmp_path: Path) -> None:
    (tmp_path / "watch.py").write_text(GROWTH.replace("\\\\n", "\\n"))
    data = ("--data", "Shapes10DataModule", "--data.train_images", "740", "--data.val_size", "100")
    averages = ("--trainer.callbacks+=watch.Watch", "--trainer.callbacks+=WeightAverages")
    assert at_once(processes, tmp_path, [["fit", *data, "--trainer.max_epochs", "300", *averages]]) == [0]
    watched = (tmp_path / "watched.txt").read_text().splitlines()
    memory, opened = zip(*(map(int, line.split()) for line in watched), strict=True)
    assert len(memory) == 300
    assert max(memory[250:]) - max(memory[20:70]) < 10_000_000
    assert max(opened[250:]) <= max(opened[20:70])
    lines = (tmp_path / "lightning_logs/version_0/metrics.csv").read_text().splitlines()
    assert len(lines) == 301
    assert max(map(len, lines[1:])) < 2 * min(map(len, lines[1:]))
