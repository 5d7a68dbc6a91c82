from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
from helpers import ROOT

from optimcifar import Shapes10DataModule

RECORDER = """
import hashlib
from lightning.pytorch import Callback

class RecordImages(Callback):
    "Notes the hash of every image that this process trains on or validates."

    def note(self, trainer, part, images):
        with open(f"{part}-{trainer.current_epoch}-{trainer.global_rank}.txt", "a") as file:
            for image in images:
                # back from normalised values to the bytes of the file
                values = ((image.permute(1, 2, 0) * 0.5 + 0.5) * 255).round().byte().contiguous()
                file.write(hashlib.sha256(values.numpy().tobytes()).hexdigest() + "\\n")

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.note(trainer, "train", batch[0])

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.note(trainer, "val", batch[0])
"""


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Train two epochs on two CPU processes and return the folder in which they ran."""
    (tmp_path / "recorder.py").write_text(RECORDER)
    command = [
        *(sys.executable, "-m", "optimcifar", "fit", "--data", "Shapes10DataModule"),
        *("--data.train_images", "1001", "--data.val_size", "201", "--trainer.max_epochs", "2"),
        *("--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp"),
        "--trainer.callbacks+=recorder.RecordImages",
    ]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    # A group of its own, so that neither process outlives a test that waits for them in vain.
    process = subprocess.Popen(
        command,
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        out, err = process.communicate(timeout=120)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    assert process.returncode == 0, err
    assert out.count("epoch 2/2") == out.count("the run is in") == 1, "one process prints"
    return tmp_path


def images_seen(folder: Path, part: str, epoch: int) -> Counter[str]:
    return Counter("".join(path.read_text() for path in folder.glob(f"{part}-{epoch}-*.txt")).split())


def test_two_processes_show_every_image_once_per_epoch(run: Path) -> None:
    for epoch in (0, 1):
        assert len(list(run.glob(f"train-{epoch}-*.txt"))) == 2
        train, val = images_seen(run, "train", epoch), images_seen(run, "val", epoch)
        assert (len(train), len(val)) == (800, 201)
        assert {*train.values(), *val.values()} == {1}
        assert not train & val
    summary = json.loads((run / "lightning_logs/version_0/summary.json").read_text())
    assert (summary["steps"], summary["device"], summary["status"]) == (14, "2 x cpu", "finished")
    assert len((run / "lightning_logs/version_0/metrics.csv").read_text().splitlines()) == 3
    assert [path.name for path in (run / "lightning_logs").iterdir()] == ["version_0"]
    data = Shapes10DataModule(train_images=1001, val_size=201)
    data.setup("fit")
    assert len(data.val_positions) == 201
    # as exact as on one process: the mean is over the images, not over the processes' means
    assert summary["val_acc"] * 201 == pytest.approx(round(summary["val_acc"] * 201), abs=1e-3)


OPTIONS = (
    *("fit", "--data", "Shapes10DataModule", "--data.train_images", "700", "--data.val_size", "100"),
    *(
        "--trainer.max_epochs",
        "12",
        "--trainer.accelerator",
        "cpu",
        "--trainer.devices",
        "2",
        "--trainer.strategy",
        "ddp",
    ),
)
# The second process kills itself in its sixth epoch, the first time that it gets there.
LOST = """
import os, signal
from pathlib import Path
from lightning.pytorch import Callback

class Lost(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 5 and trainer.global_rank == 1 and not Path("lost.txt").exists():
            Path("lost.txt").touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""


def optimcifar(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "optimcifar", *arguments]
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.mark.slow
def test_run_that_loses_a_process_says_so_and_goes_on(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    assert optimcifar(whole, *OPTIONS).returncode == 0
    cut.mkdir()
    (cut / "losing.py").write_text(LOST)
    lost = optimcifar(cut, *OPTIONS, "--trainer.callbacks+=losing.Lost")
    assert lost.returncode == 1
    message = "optimcifar: another process of this run was lost: optimcifar resume lightning_logs/version_0 goes on"
    assert [line for line in lost.stderr.splitlines() if line.startswith("optimcifar")] == [message]
    assert optimcifar(cut, "resume", "lightning_logs/version_0").returncode == 0
    first, second = (
        torch.load(folder / "lightning_logs/version_0/checkpoints/last.ckpt", weights_only=True)["state_dict"]
        for folder in (whole, cut)
    )
    assert all(torch.equal(first[key], second[key]) for key in first)
