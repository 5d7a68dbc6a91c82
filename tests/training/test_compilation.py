"""``--model.compile true``: the network is compiled for training, and nowhere else."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import INTERRUPT, ROOT, Command, equal_weights, read_summary, read_weights
from torch import nn

from optimcifar import ConvNet, ImageClassifier

RUN = Path("lightning_logs/version_0")
COMPILE = ("--model.compile", "true", "--trainer.limit_train_batches", 3)


@pytest.fixture
def compiled(monkeypatch: pytest.MonkeyPatch) -> list[nn.Module]:
    """Return the modules that are asked to be compiled; nothing is, which would take half a minute."""
    modules: list[nn.Module] = []
    monkeypatch.setattr(nn.Module, "compile", lambda module, *args, **kwargs: modules.append(module))
    return modules


def test_network_is_compiled_for_training_only(
    compiled: list[nn.Module], optimcifar: Command, small: list[str]
) -> None:
    assert optimcifar("fit", *small, "--trainer.limit_train_batches", 3).status == 0
    assert not compiled
    assert optimcifar("fit", *small, *COMPILE, INTERRUPT).status == 130
    assert [type(module) for module in compiled] == [ConvNet]
    run = RUN.with_name("version_1")
    assert read_summary(run)["hyperparameters"]["compile"] is True
    assert "compile" not in read_summary(RUN)["hyperparameters"]
    assert optimcifar("resume", run).status == 0
    assert len(compiled) == 2
    for command in ("test", "validate", "predict"):
        assert optimcifar(command, "--ckpt_path", run).status == 0
    assert optimcifar("fit", *small, "--ckpt_path", run, "--trainer.max_epochs", 3).status == 0
    ImageClassifier.load_from_checkpoint(run / "checkpoints/last.ckpt", weights_only=True)
    assert len(compiled) == 2


def run_in_a_process(*options: object) -> int:
    """Run the command in a process of its own: the compiler leaves modules and paths behind."""
    command = [sys.executable, "-m", "optimcifar", *map(str, options)]
    return subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False).returncode


@pytest.mark.slow
@pytest.mark.skipif(not shutil.which("g++"), reason="torch.compile needs a C++ compiler on a CPU")
def test_compiled_run_agrees_with_a_plain_one_and_is_resumed(small: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests"))
    averages = ("--trainer.callbacks+=WeightAverages", "--trainer.callbacks.swa_epoch_start", 1)
    assert run_in_a_process("fit", *small, "--trainer.limit_train_batches", 3, *averages) == 0
    assert run_in_a_process("fit", *small, *COMPILE, *averages) == 0
    assert run_in_a_process("fit", *small, *COMPILE, *averages, INTERRUPT) == 130
    assert run_in_a_process("resume", RUN.with_name("version_2")) == 0
    for name in ("last", "swa", "ema"):
        expected, found, resumed = (
            read_weights(RUN.with_name(f"version_{number}") / "checkpoints" / f"{name}.ckpt") for number in range(3)
        )
        assert equal_weights(found, resumed)
        assert_close(found, expected)


def assert_close(found: dict[str, Any], expected: dict[str, Any]) -> None:
    """Compare weights by name; a compiler may add in another order."""
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)
