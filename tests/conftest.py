"""What all tests share: one thread, a folder of their own, and nothing left changed behind them."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import Outcome
from PIL import Image

from optimcifar.cli import main
from optimcifar.data.cifar10 import CIFAR10DataModule


@pytest.fixture(autouse=True)
def clean_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run in an empty folder on one thread, and put back what a run changes in the process."""
    threads, path = torch.get_num_threads(), list(sys.path)
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPTIMCIFAR_DEBUG", raising=False)
    # Run as by a person, not as by pytest, whose own arguments LightningCLI would warn about.
    monkeypatch.setattr(sys, "argv", ["optimcifar"])
    environment = dict(os.environ)
    with torch.random.fork_rng():
        yield
    for name in [name for name, module in sys.modules.items() if _lies_in(module, tmp_path)]:
        del sys.modules[name]  # what the test wrote, which another test may write anew
    torch.set_num_threads(threads)
    sys.path[:] = path
    for name in set(os.environ) - set(environment):
        del os.environ[name]
    os.environ.update(environment)


def _lies_in(module: object, folder: Path) -> bool:
    return str(getattr(module, "__file__", None)).startswith(str(folder))


@pytest.fixture
def optimcifar(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Return a function that runs the command line in this process."""

    def run(*args: object) -> Outcome:
        capsys.readouterr()
        status = main([str(arg) for arg in args])
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture
def small() -> list[str]:
    """Return options for a run of less than a second: 800 training and 200 validation images, two epochs."""
    return [
        *("--data", "Shapes10DataModule", "--data.train_images", "1000", "--data.val_size", "200"),
        *("--data.test_images", "100", "--trainer.max_epochs", "2"),
    ]


@pytest.fixture
def image_folders(tmp_path: Path) -> Path:
    """Return a root with class folders of PNG files: six training and two test images a class, all different."""
    generator = np.random.default_rng(0)
    root = tmp_path / "folders"
    for part, number in (("train", 6), ("test", 2)):
        for name in CIFAR10DataModule.class_names:
            folder = root / part / name
            folder.mkdir(parents=True)
            for i in range(number):
                image = generator.integers(0, 256, (32, 32, 3), dtype=np.uint8)
                Image.fromarray(image).save(folder / f"{i:04}.png")
    return root
