"""The wheel and the sdist: what they hold, and that they work without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Mapping
from pathlib import Path
from zipfile import ZipFile

import pytest
from helpers import ROOT, read_summary, tracked_files

import optimcifar
from optimcifar.configurations import shipped_configurations, shipped_spaces

# Tests that read files outside of the package.
TESTS_OF_FILES = ("test_readme.py", "test_configs.py", "test_configuration_names.py", "test_imports.py")


def run(*command: object, folder: Path, **environment: str) -> str:
    """Run a command in a folder; return what it prints."""
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    words = [str(word) for word in command]
    done = subprocess.run(words, cwd=folder, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def build(kind: str, source: Path, out: Path) -> Path:
    """Build a wheel or an sdist of a folder, without the network."""
    program = f"import sys; from hatchling import build; build.build_{kind}(sys.argv[1])"
    run(sys.executable, "-c", program, out, folder=source)
    (built,) = out.iterdir()
    return built


def contents(wheel: Path) -> Mapping[str, bytes]:
    with ZipFile(wheel) as archive:
        return {name: archive.read(name) for name in archive.namelist() if not name.endswith("/RECORD")}


@pytest.mark.slow
def test_wheel_and_sdist_work_without_the_checkout(tmp_path: Path) -> None:
    for path in tracked_files():
        copy = tmp_path / "checkout" / path.relative_to(ROOT)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, copy)
    wheel = build("wheel", tmp_path / "checkout", tmp_path / "wheel")
    with tarfile.open(build("sdist", tmp_path / "checkout", tmp_path / "sdist")) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / f"optimcifar-{optimcifar.__version__}"
    assert contents(build("wheel", unpacked, tmp_path / "wheel of sdist")) == contents(wheel)
    assert {name for name in contents(wheel) if ".dist-info/" not in name} == {
        str(Path("optimcifar/configs", name.relative_to("configs")) if name.parts[0] == "configs" else name)
        for name in (path.relative_to(ROOT) for path in tracked_files())
        if name.parts[0] in ("optimcifar", "configs") and name.suffix not in (".md", ".csv", ".png", ".svg")
    }

    installed = tmp_path / "installed"
    run(
        sys.executable, "-m", "pip", "install", "--no-deps", "--no-index", "--target", installed, wheel, folder=tmp_path
    )
    environment = {"PYTHONPATH": str(installed), "OMP_NUM_THREADS": "1"}
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    command = installed / "bin/optimcifar"
    assert run(command, "--version", folder=elsewhere, **environment) == f"optimcifar {optimcifar.__version__}\n"
    run(
        *(command, "fit", "--config", "rmsprop", "--data", "Shapes10DataModule", "--trainer.max_epochs", 1),
        folder=elsewhere,
        **environment,
    )
    assert read_summary(elsewhere / "lightning_logs/version_0")["optimizer"] == "torch.optim.RMSprop"
    listed = run(command, "configs", folder=elsewhere, **environment)
    assert all(f"\n  {name} " in listed for name in [*shipped_configurations(), *shipped_spaces()])

    tests = [Path("tests", name) for name in TESTS_OF_FILES]
    out = run(sys.executable, "-m", "pytest", "-q", "-n", 0, *tests, folder=unpacked, PYTHONPATH=str(unpacked))
    assert "skipped" not in out.splitlines()[-1]
