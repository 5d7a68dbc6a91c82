"""Fixtures for all tests: a clean process, the command line, and small data."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Iterator
from multiprocessing.context import ForkServerContext
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
import yaml
from fake_cluster import FakeCluster
from helpers import Command, Outcome, ProcessState, make_archive
from PIL import Image

from optimcifar import CIFAR10DataModule
from optimcifar.cli import main

if TYPE_CHECKING:
    from distributed import Client


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Use two processes for the quick tests of whole folders, and one otherwise.

    Starting two takes longer than a few tests; slow tests use both cores themselves, and kill runs at measured times.
    """
    few = config.option.keyword or any(".py" in argument for argument in config.args)
    quick = config.option.markexpr == "not slow"
    return 2 if quick and not few and os.cpu_count() != 1 else 0


@pytest.fixture
def without_charts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out of reports what takes seconds: the charts, and the library of the page."""
    for module in ("comparison_page", "charts.gallery"):
        monkeypatch.setattr(f"optimcifar.report.{module}.figures", lambda analysis, style: [])
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda *arguments, **options: "")


@pytest.fixture
def process_check() -> Iterator[None]:
    """Fail a test that leaves the process changed, after monkeypatch has undone the test's own changes."""
    before = ProcessState.current()
    yield
    after = ProcessState.current()
    before.restore()
    assert after == before, "the test left the process changed"


@pytest.fixture(autouse=True)
def isolated(process_check: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Run a test in an empty folder, on one thread, and without the modules that other tests wrote."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPTIMCIFAR_DEBUG", raising=False)
    # LightningCLI would warn about pytest's own arguments.
    monkeypatch.setattr(sys, "argv", ["optimcifar"])
    with torch.random.fork_rng():
        yield
    for name in [name for name, module in sys.modules.items() if _is_below(module, tmp_path)]:
        del sys.modules[name]
    torch.set_num_threads(threads)


def _is_below(module: object, folder: Path) -> bool:
    return str(getattr(module, "__file__", None)).startswith(str(folder))


@pytest.fixture
def optimcifar(capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs the command line in this process."""

    def run(*args: object) -> Outcome:
        capsys.readouterr()
        status = main([str(arg) for arg in args])
        return Outcome(status, *capsys.readouterr())

    return run


@pytest.fixture(scope="session")
def processes() -> ForkServerContext:
    """Return a context whose processes start with Lightning imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["optimcifar.training.lightning_cli"])
    return context


@pytest.fixture
def small() -> list[str]:
    """Return options for a run of less than a second: 800 training and 200 validation images, two epochs."""
    return [
        *("--data", "Shapes10DataModule", "--data.train_images", "1000", "--data.val_size", "200"),
        *("--data.test_images", "100", "--trainer.max_epochs", "2"),
    ]


@pytest.fixture
def two_configurations() -> None:
    """Write two configurations into the current folder, which is empty: sgd.yaml and adam.yaml, at a rate of 0.01."""
    for name in ("SGD", "Adam"):
        optimizer = {"class_path": f"torch.optim.{name}", "init_args": {"lr": 0.01, "weight_decay": 0}}
        Path(f"{name.lower()}.yaml").write_text(yaml.safe_dump({"model": {"optimizer": optimizer}}))


@pytest.fixture
def cluster(two_configurations: None, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """Return a cluster that trains nothing, in place of that of sweeps and studies."""
    fake = FakeCluster()
    for module, names in {
        "sweep": ("connect", "check_runs", "make_runs"),
        "tune": ("connect", "check_runs", "make_runs"),
        "forecast": ("first_epoch_times", "places"),
        "tuned_files": ("check_runs",),
    }.items():
        for name in names:
            monkeypatch.setattr(f"optimcifar.tuning.{module}.{name}", getattr(fake, name))
    return fake


@pytest.fixture(scope="module")
def client(request: pytest.FixtureRequest) -> Iterator[Client]:
    """Return a dask client of two workers in this process, of one thread each unless a test says otherwise."""
    from distributed import Client  # takes half a second

    local = {"processes": False, "n_workers": 2, "dashboard_address": "127.0.0.1:0"}
    with Client(threads_per_worker=getattr(request, "param", 1), **local) as client:
        yield client


@pytest.fixture
def image_folders(tmp_path: Path) -> Path:
    """Return a root of class folders with PNG files: six training and two test images per class, all different."""
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


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a small archive of CIFAR-10 in the official format, whose mirrors are gone; a batch has 20 images."""
    return make_archive(tmp_path / "made", CIFAR10DataModule, 20, monkeypatch)
