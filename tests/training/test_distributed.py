from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers import ROOT, Outcome, equal_weights, read_rows, read_summary, read_weights

from optimcifar import Shapes10DataModule

RECORDER = """
import hashlib
from lightning.pytorch import Callback

class Record(Callback):
    "Writes the hash of each image that this process trains on or validates to a file per epoch, and every loss."

    def write(self, trainer, part, images):
        with open(f"{part}-{trainer.current_epoch}-{trainer.global_rank}.txt", "a") as file:
            for image in images:
                # from normalised values back to bytes
                values = ((image.permute(1, 2, 0) * 0.5 + 0.5) * 255).round().byte().contiguous()
                file.write(hashlib.sha256(values.numpy().tobytes()).hexdigest() + "\\n")

    def on_train_batch_start(self, trainer, pl_module, batch, batch_idx):
        self.write(trainer, "train", batch[0])

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        with open(f"losses-{trainer.global_rank}.txt", "a") as file:
            file.write(f"{outputs['loss'].item()}\\n")

    def on_validation_batch_start(self, trainer, pl_module, batch, batch_idx, dataloader_idx=0):
        self.write(trainer, "val", batch[0])
"""


TWO_PROCESSES = ("--trainer.accelerator", "cpu", "--trainer.devices", "2", "--trainer.strategy", "ddp")


def optimcifar(folder: Path, *arguments: str) -> Outcome:
    """Run the command line in another process, in a folder, for at most 120 s."""
    # A process group of its own, so that no process of the run outlives a test that waits for it in vain.
    process = subprocess.Popen(
        [sys.executable, "-m", "optimcifar", *arguments],
        cwd=folder,
        env=os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)},
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
    return Outcome(process.returncode, out, err)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Train two epochs in two processes on the CPU, and return the folder in which they ran."""
    (tmp_path / "recorder.py").write_text(RECORDER)
    data = ("--data", "Shapes10DataModule", "--data.train_images", "1001", "--data.val_size", "201")
    callbacks = ("--trainer.callbacks+=recorder.Record", "--trainer.callbacks+=StepLosses")
    outcome = optimcifar(tmp_path, "fit", *data, "--trainer.max_epochs", "2", *TWO_PROCESSES, *callbacks)
    assert outcome.status == 0, outcome.err
    assert outcome.out.count("epoch 2/2") == 1, "one process prints"
    return tmp_path


def images_seen(folder: Path, part: str, epoch: int) -> Counter[str]:
    return Counter("".join(path.read_text() for path in folder.glob(f"{part}-{epoch}-*.txt")).split())


@pytest.mark.slow
def test_two_processes_use_every_image_once_per_epoch(run: Path) -> None:
    for epoch in (0, 1):
        assert len(list(run.glob(f"train-{epoch}-*.txt"))) == 2
        train, val = images_seen(run, "train", epoch), images_seen(run, "val", epoch)
        assert (len(train), len(val)) == (800, 201)
        assert {*train.values(), *val.values()} == {1}
        assert not train & val
    summary = read_summary(run / "lightning_logs" / "version_0")
    assert (summary["steps"], summary["device"], summary["status"]) == (14, "2 x cpu", "finished")
    assert len(read_rows(run / "lightning_logs" / "version_0" / "metrics.csv")) == 2
    assert [path.name for path in (run / "lightning_logs").iterdir()] == ["version_0"]
    data = Shapes10DataModule(train_images=1001, val_size=201)
    data.setup("fit")
    assert len(data.val_positions) == 201
    # The mean over all images, not over the processes' means.
    assert summary["val_acc"] * 201 == pytest.approx(round(summary["val_acc"] * 201), abs=1e-3)
    own, other = ([*map(float, (run / f"losses-{rank}.txt").read_text().split())] for rank in (0, 1))
    rows = read_rows(run / "lightning_logs" / "version_0" / "steps.csv")
    assert [row["step"] for row in rows] == [str(step) for step in range(1, 15)]
    means = [(loss + others) / 2 for loss, others in zip(own, other, strict=True)]
    assert [float(row["train_loss"]) for row in rows] == pytest.approx(means)


OPTIONS = (
    *("fit", "--data", "Shapes10DataModule", "--data.train_images", "700", "--data.val_size", "100"),
    *("--trainer.max_epochs", "12", *TWO_PROCESSES),
)
# The second process kills itself once, when its sixth epoch starts.
KILLED = """
import os, signal
from pathlib import Path
from lightning.pytorch import Callback

class KillSecondProcess(Callback):
    def on_train_epoch_start(self, trainer, pl_module):
        if trainer.current_epoch == 5 and trainer.global_rank == 1 and not Path("killed.txt").exists():
            Path("killed.txt").touch()
            os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.slow
def test_run_that_loses_a_process_says_so_and_can_be_resumed(tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    assert optimcifar(whole, *OPTIONS).status == 0
    cut.mkdir()
    (cut / "killing.py").write_text(KILLED)
    lost = optimcifar(cut, *OPTIONS, "--trainer.callbacks+=killing.KillSecondProcess")
    assert lost.status == 1
    message = "optimcifar: another process of this run was lost: optimcifar resume lightning_logs/version_0 goes on"
    assert [line for line in lost.err.splitlines() if line.startswith("optimcifar")] == [message]
    assert optimcifar(cut, "resume", "lightning_logs/version_0").status == 0
    first, second = (
        read_weights(folder / "lightning_logs" / "version_0" / "checkpoints" / "last.ckpt") for folder in (whole, cut)
    )
    assert equal_weights(first, second)


NORMALISED = """
from torch import nn

class Normalised(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Conv2d(3, 4, 5, stride=4), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(196, 10))
"""


@pytest.mark.slow
def test_averages_get_their_statistics_from_the_images_of_all_processes(tmp_path: Path) -> None:
    (tmp_path / "normalised.py").write_text(NORMALISED)
    data = ("--data", "Shapes10DataModule", "--data.train_images", "500", "--data.val_size", "52")
    # A decay of zero: the average is the weights themselves.
    averages = ("--trainer.callbacks+=WeightAverages", "--trainer.callbacks.swa_epoch_start=null")
    options = ("--model.net", "normalised.Normalised", *averages, "--trainer.callbacks.ema_decay=0")
    outcome = optimcifar(tmp_path, "fit", *data, *options, "--trainer.max_epochs", "2", *TWO_PROCESSES)
    assert outcome.status == 0, outcome.err
    weights = read_weights(tmp_path / "lightning_logs/version_0/checkpoints/ema.ckpt")
    shapes = Shapes10DataModule(train_images=500, val_size=52)
    shapes.setup("fit")
    order = shapes.train_order(1)
    assert len(order) == 448  # 224 for each process: three batches of 64 and one of 32
    batches = [batch for rank in (0, 1) for batch in torch.split(order[rank::2], 64)]
    values = [
        F.conv2d(
            (shapes.read_train().pixels[batch].permute(0, 3, 1, 2) / 255 - 0.5) / 0.5,
            weights["net.0.weight"],
            weights["net.0.bias"],
            stride=4,
        )
        for batch in batches
    ]
    for name, found in (
        ("running_mean", torch.stack([value.mean((0, 2, 3)) for value in values]).mean(0)),
        ("running_var", torch.stack([value.var((0, 2, 3)) for value in values]).mean(0)),
    ):
        torch.testing.assert_close(weights[f"net.1.{name}"], found, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("strategy", ["ddp", "ddp_spawn", "ddp_fork", "ddp_notebook"])
def test_every_strategy_of_several_processes_reports_its_run(strategy: str, tmp_path: Path) -> None:
    processes = (*TWO_PROCESSES[:-1], strategy)
    data = ("--data", "Shapes10DataModule", "--data.train_images", "300", "--data.val_size", "100")
    outcome = optimcifar(tmp_path, "fit", *data, "--trainer.max_epochs", "1", *processes)
    assert outcome.status == 0, outcome.err
    summary = read_summary(tmp_path / "lightning_logs" / "version_0")
    assert f"finished after 1 epoch: train loss {summary['train_loss']:.4f}" in outcome.out
    assert "the run is in lightning_logs/version_0, its weights in lightning_logs/version_0/checkpoints/last.ckpt" in (
        outcome.out
    )
    assert [path.name for path in (tmp_path / "lightning_logs").iterdir()] == ["version_0"]
    diverging = ("--model.optimizer.lr", "1e30", "--trainer.max_epochs", "9")
    diverged = optimcifar(tmp_path, "fit", *data, *processes, *diverging)
    assert (diverged.status, "diverged in step" in diverged.out) == (3, True), diverged.err


# The run ends with the third step of its second epoch, and goes on there.
@pytest.mark.slow
def test_two_processes_go_on_within_an_epoch(tmp_path: Path) -> None:
    data = ("--data", "Shapes10DataModule", "--data.train_images", "700", "--data.val_size", "100")
    losses = "--trainer.callbacks+=StepLosses"
    options = ("fit", *data, *TWO_PROCESSES, losses, "--trainer.max_epochs", "3")
    for name, more in (("whole", ()), ("cut", ("--trainer.max_steps", "8"))):
        (tmp_path / name).mkdir()
        assert optimcifar(tmp_path / name, *options, *more).status == 0
    cut = "lightning_logs/version_0/checkpoints/last.ckpt"
    rest = optimcifar(tmp_path / "cut", "fit", *TWO_PROCESSES, losses, "--trainer.max_epochs", "3", "--ckpt_path", cut)
    assert rest.status == 0, rest.err
    runs = (tmp_path / "whole" / "lightning_logs" / "version_0", tmp_path / "cut" / "lightning_logs" / "version_1")
    first, second = (read_weights(run / "checkpoints" / "last.ckpt") for run in runs)
    assert equal_weights(first, second)
    whole, rest_rows = (read_rows(run / "metrics.csv") for run in runs)
    assert [row["train_loss"] for row in rest_rows] == [row["train_loss"] for row in whole[1:]]
    assert read_rows(runs[1] / "steps.csv") == read_rows(runs[0] / "steps.csv")[8:]
