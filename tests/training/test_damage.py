"""Damaged checkpoints, full disks, concurrent runs, and leaks."""

from __future__ import annotations

import json
import random
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pytest
import torch
from helpers import Command, equal_weights, file_contents, read_rows, read_summary, read_weights, run_command


@pytest.fixture
def checkpoint(optimcifar: Command, small: list[str], tmp_path: Path) -> Path:
    """Train a run and return its checkpoint."""
    outcome = optimcifar("fit", *small, "--trainer.max_epochs", 1)
    assert outcome.status == 0, outcome
    return tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt"


def test_truncated_checkpoint_is_refused(checkpoint: Path, optimcifar: Command) -> None:
    content = checkpoint.read_bytes()
    for tenth in range(10):
        checkpoint.write_bytes(content[: len(content) * tenth // 10])
        outcome = optimcifar("test", "--ckpt_path", checkpoint)
        assert outcome.status == 1
        assert outcome.err == f"optimcifar: {checkpoint} is damaged, or not a checkpoint of Lightning\n"
    checkpoint.write_bytes(content)
    assert optimcifar("test", "--ckpt_path", checkpoint).status == 0


def test_checkpoint_with_a_flipped_bit_is_refused(checkpoint: Path, optimcifar: Command) -> None:
    content = checkpoint.read_bytes()
    generator = random.Random(0)
    for position in (*(generator.randrange(len(content)) for _ in range(10)), len(content) // 2):
        changed = bytearray(content)
        changed[position] ^= 1 << generator.randrange(8)
        checkpoint.write_bytes(changed)
        outcome = optimcifar("test", "--ckpt_path", checkpoint)
        if outcome.status == 0:
            # The bit has no meaning, such as one of a name's padding: the weights are intact.
            whole = checkpoint.with_name("whole.ckpt")
            whole.write_bytes(content)
            assert equal_weights(read_weights(checkpoint), read_weights(whole))
        else:
            assert outcome.err == f"optimcifar: {checkpoint} is damaged, or not a checkpoint of Lightning\n"


def test_resume_from_a_damaged_checkpoint_does_not_change_the_run(checkpoint: Path, optimcifar: Command) -> None:
    run = checkpoint.parents[1]
    (run / "summary.json").write_text(json.dumps(read_summary(run) | {"status": "interrupted"}))
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    before = file_contents(run)
    outcome = optimcifar("resume", run)
    assert outcome.status == 1
    assert outcome.err.count("\n") == 1
    assert file_contents(run) == before


def test_incomplete_checkpoint_is_refused(checkpoint: Path, optimcifar: Command, small: list[str]) -> None:
    content = torch.load(checkpoint, weights_only=True)
    for missing in ("state_dict", "pytorch-lightning_version", "optimizer_states"):
        torch.save({name: value for name, value in content.items() if name != missing}, checkpoint)
        outcome = optimcifar("fit", *small, "--ckpt_path", checkpoint)
        assert outcome.status in (1, 2), missing
        assert outcome.err.startswith("optimcifar: ")
        assert outcome.err.count("\n") <= 2
        assert "Traceback" not in outcome.err


def run_concurrently(processes: ForkServerContext, folder: Path, commands: list[list[str]]) -> list[int | None]:
    """Run commands at the same time, and return their exit statuses."""
    running = [processes.Process(target=run_command, args=(args, 1, folder)) for args in commands]
    for process in running:
        process.start()
    for process in running:
        process.join(120)
    return [process.exitcode for process in running]


@pytest.mark.slow
def test_runs_that_start_together_take_folders_of_their_own(
    processes: ForkServerContext, small: list[str], tmp_path: Path
) -> None:
    runs = [["fit", *small, "--seed_everything", str(seed)] for seed in range(3)]
    assert run_concurrently(processes, tmp_path, runs) == [0, 0, 0], (tmp_path / "output.txt").read_text()
    folders = list(tmp_path.glob("lightning_logs/version_*"))
    assert sorted(read_summary(folder)["seed"] for folder in folders) == [0, 1, 2]
    for folder in folders:
        assert [row["epoch"] for row in read_rows(folder / "metrics.csv")] == ["1", "2"]


@pytest.mark.slow
def test_runs_that_decode_the_same_images_together_share_one_cache(
    processes: ForkServerContext, image_folders: Path, tmp_path: Path
) -> None:
    data = ("--data.root", str(image_folders), "--data.val_size", "20", "--trainer.max_epochs", "1")
    runs = [["fit", *data] for _ in range(3)]
    assert run_concurrently(processes, tmp_path, runs) == [0, 0, 0], (tmp_path / "output.txt").read_text()
    losses = {read_summary(folder)["train_loss"] for folder in tmp_path.glob("lightning_logs/version_*")}
    assert len(losses) == 1
    assert [path.name for path in image_folders.glob("*.npz")] == ["train.npz"]
    assert not list(image_folders.glob(".*"))


FULL_DISK = """
import resource
import signal
from lightning.pytorch import Callback

class FillDisk(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 2:
            # Like a full disk, this makes writing a large file fail.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
"""


def test_full_disk_ends_the_run_with_one_line_and_keeps_the_last_good_checkpoint(
    processes: ForkServerContext, small: list[str], tmp_path: Path
) -> None:
    (tmp_path / "full.py").write_text(FULL_DISK)
    full = ["fit", *small, "--trainer.max_epochs", "4", "--trainer.callbacks+=full.FillDisk"]
    assert run_concurrently(processes, tmp_path, [full]) == [1]
    lines = (tmp_path / "output.txt").read_text().splitlines()
    assert lines[-1].startswith("optimcifar: ")
    assert "File too large" in lines[-1]
    assert not any("Traceback" in line for line in lines)
    run = tmp_path / "lightning_logs" / "version_0"
    assert torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["epoch"] == 1
    assert [path.name for path in (run / "checkpoints").iterdir()] == ["last.ckpt"]
    assert read_summary(run)["status"] == "failed"
    # With room on the disk it can be resumed.
    (tmp_path / "full.py").write_text("from lightning.pytorch import Callback\n\nclass FillDisk(Callback):\n    pass\n")
    assert run_concurrently(processes, tmp_path, [["resume", str(run)]]) == [0]
    assert read_summary(run)["epochs"] == 4


RESOURCES = """
import os
from lightning.pytorch import Callback

class RecordResources(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        with open("/proc/self/statm") as file:
            pages = int(file.read().split()[1])
        with open("resources.txt", "a") as file:
            file.write(f"{pages * os.sysconf('SC_PAGE_SIZE')} {len(os.listdir('/proc/self/fd'))}\\\\n")
"""


@pytest.mark.slow
def test_memory_and_open_files_do_not_grow_over_300_epochs(processes: ForkServerContext, tmp_path: Path) -> None:
    (tmp_path / "resources.py").write_text(RESOURCES.replace("\\\\n", "\\n"))
    data = ("--data", "Shapes10DataModule", "--data.train_images", "740", "--data.val_size", "100")
    averages = ("--trainer.callbacks+=resources.RecordResources", "--trainer.callbacks+=WeightAverages")
    assert run_concurrently(processes, tmp_path, [["fit", *data, "--trainer.max_epochs", "300", *averages]]) == [0]
    recorded = (tmp_path / "resources.txt").read_text().splitlines()
    memory, opened = zip(*(map(int, line.split()) for line in recorded), strict=True)
    assert len(memory) == 300
    assert max(memory[250:]) - max(memory[20:70]) < 10_000_000
    assert max(opened[250:]) <= max(opened[20:70])
    lines = (tmp_path / "lightning_logs/version_0/metrics.csv").read_text().splitlines()
    assert len(lines) == 301
    assert max(map(len, lines[1:])) < 2 * min(map(len, lines[1:]))
