"""Shared test code: paths, files of a run, made-up runs, and the command line in another process."""

from __future__ import annotations

import csv
import hashlib
import json
import logging
import os
import pickle
import signal
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from PIL import Image

from optimcifar import CIFAR10DataModule, ImageDataModule
from optimcifar.data.cifar import CIFARDataModule
from optimcifar.training.process import _LOG_LEVELS

ROOT = Path(__file__).parent.parent
CONFIGS = ROOT / "configs"

VERSIONS = {"python": "3.11", "optimcifar": "0.1.0", "torch": "2.15.0", "torchvision": "0.29.2", "lightning": "2.6.6"}


def tracked_files() -> list[Path]:
    """Return the files that git tracks, or those of an unpacked sdist, so that a user's own files fail no test.

    Skip where it is neither.
    """
    try:
        listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        listed = ""
    if not listed and (ROOT / "PKG-INFO").exists():  # which a build adds
        files = [
            *ROOT.iterdir(),
            *(path for name in ("optimcifar", "configs", "tests") for path in (ROOT / name).rglob("*")),
        ]
        names = (path.relative_to(ROOT) for path in files if path.is_file() and path.name != "PKG-INFO")
        listed = "\0".join(str(name) for name in names if "__pycache__" not in name.parts)
    if not listed:
        pytest.skip("neither a git checkout nor an sdist")
    return [path for name in listed.split("\0") if name and (path := ROOT / name).exists()]


def make_run(
    folder: Path,
    seed: int | None,
    accuracies: list[float],
    columns: dict[str, list[float]] | None = None,
    hyperparameters: dict[str, Any] | None = None,
    **summary: Any,
) -> None:
    """Write a run whose validation accuracy took this course, and whose test accuracy is 0.01 above the last.

    Without any validation there is no test either.

    Args:
        folder: where.
        seed: its seed; None for a run without one.
        accuracies: the validation accuracies of its epochs.
        columns: more columns of metrics.csv.
        hyperparameters: its resolved settings; None for a summary without any.
        summary: more values of its summary.
    """
    columns = columns or {}
    folder.mkdir(parents=True)
    values = {
        "status": "finished",
        "seed": seed,
        "net": "optimcifar.ConvNet",
        "dataset": "Shapes10",
        "classes": 10,
        "train_images": 800,
        "val_images": 1000,
        "device": "cpu",
        "train_seconds": 2.0 * len(accuracies),
        "images_per_second": 4000.0,
        "optimizer_step_ms": 0.25,
        "optimizer_state_bytes": 1024,
        "initial_weights_sha256": f"weights {seed}",
        "first_epoch_order_sha256": f"order {seed}",
        "versions": VERSIONS,
    }
    if hyperparameters is not None:
        values["hyperparameters"] = hyperparameters
    (folder / "summary.json").write_text(json.dumps(values | summary))
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["epoch", "step", "lr", "train_loss", "train_acc", "val_loss", "val_acc", "seconds", *columns])
        for epoch, accuracy in enumerate(accuracies, start=1):
            more = [values[epoch - 1] for values in columns.values()]
            writer.writerow([epoch, 13 * epoch, 0.01, 2.3 - accuracy, accuracy, 2.4 - accuracy, accuracy, 2.0, *more])
    checkpoints = folder / "checkpoints"
    checkpoints.mkdir()
    if accuracies:
        (checkpoints / "last.test.json").write_text(json.dumps({"test_acc": accuracies[-1] + 0.01}))


def make_comparison(out: Path, names: list[str], seeds: int = 3) -> None:
    """Write runs of configurations that end the higher the later they are named."""
    generator = np.random.default_rng(0)
    for number, name in enumerate(names):
        for seed in range(seeds):
            final = 0.3 + 0.05 * number + 0.002 * generator.standard_normal()
            course = [0.1 + (final - 0.1) * epoch / 4 for epoch in range(1, 5)]
            make_run(out / "runs" / name / f"seed-{seed}", seed, course)
    choice = {"configurations": names, "baseline": names[0], "target_acc": None}
    (out / "comparison.json").write_text(json.dumps(choice))


class Outcome(NamedTuple):
    """A command's exit status and output."""

    status: int
    out: str
    err: str


# The fixture `optimcifar`: runs the command line in this process.
Command = Callable[..., Outcome]


def unwrapped(text: str) -> str:
    """Return printed text in one line: it is wrapped to the width of a terminal."""
    return " ".join(text.split())


def read_rows(path: Path) -> list[dict[str, str]]:
    """Return the rows of a CSV file as text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def metrics_without_times(run: Path, table: str = "metrics.csv") -> list[dict[str, str]]:
    """Return the metrics of a run, given its folder, without the seconds, which no two runs share."""
    return [{name: cell for name, cell in row.items() if name != "seconds"} for row in read_rows(run / table)]


def read_summary(run: Path) -> dict[str, Any]:
    """Return the summary of a run, given its folder."""
    summary: dict[str, Any] = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    return summary


def read_weights(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Return the weights in a checkpoint."""
    weights: dict[str, torch.Tensor] = torch.load(checkpoint, weights_only=True)["state_dict"]
    return weights


def equal_weights(first: Mapping[str, torch.Tensor], second: Mapping[str, torch.Tensor]) -> bool:
    """Return whether two sets of weights are bitwise equal."""
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def file_contents(folder: Path) -> dict[Path, bytes]:
    """Return the contents of all files below a folder."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def quiet_trainer(**options: Any) -> Trainer:
    """Return a trainer for one epoch on the CPU that writes and prints nothing, unless the options say otherwise."""
    settings: dict[str, Any] = {
        "max_epochs": 1,
        "accelerator": "cpu",
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
        "num_sanity_val_steps": 0,
    }
    return Trainer(**settings | options)


class FailInSecondEpoch(Callback):
    """Raises an error when the second epoch starts."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raise the error."""
        if trainer.current_epoch == 1:
            raise RuntimeError("out of luck")


class InterruptInSecondEpoch(Callback):
    """Presses Ctrl-C when the second epoch of a new run starts; a resumed run goes on."""

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raise what Ctrl-C raises."""
        if trainer.current_epoch == 1 and trainer.ckpt_path is None:
            raise KeyboardInterrupt


FAIL = "--trainer.callbacks+=helpers.FailInSecondEpoch"
INTERRUPT = "--trainer.callbacks+=helpers.InterruptInSecondEpoch"


def use_mirrors(monkeypatch: pytest.MonkeyPatch, *urls: str, data: type[CIFARDataModule] = CIFAR10DataModule) -> None:
    """Have CIFAR-10 or CIFAR-100 downloaded from these."""
    monkeypatch.setattr(data, "spec", replace(data.spec, mirrors=urls))


def make_archive(folder: Path, data: type[CIFARDataModule], number: int, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make a small archive in the official format, whose md5s are expected from then on, and whose mirrors are gone.

    Args:
        folder: the folder to make, for the archive, and for what it was made of.
        data: whose archive.
        number: images of a batch, of the classes in turn.
        monkeypatch: that of the test.
    """
    import torchvision.datasets  # takes half a second

    spec, classes = data.spec, len(data.spec.class_names)
    known = getattr(torchvision.datasets, spec.name.replace("-", ""))
    inner = folder / spec.folder
    inner.mkdir(parents=True)
    generator = np.random.default_rng(0)
    labels = [i % classes for i in range(number)]
    for name in spec.files:
        batch = {"data": generator.integers(0, 256, (number, 3072), dtype=np.uint8)}
        named = {"labels": labels} if classes == 10 else {"coarse_labels": [0] * number, "fine_labels": labels}
        (inner / name).write_bytes(pickle.dumps(batch | named))
    meta = inner / known.meta["filename"]
    meta.write_bytes(pickle.dumps({known.meta["key"]: list(spec.class_names)}))
    for part in ("train_list", "test_list"):
        monkeypatch.setattr(known, part, [[name, _md5(inner / name)] for name, _ in getattr(known, part)])
    monkeypatch.setattr(known, "meta", known.meta | {"md5": _md5(meta)})
    path = folder / spec.archive
    with tarfile.open(path, "w:gz") as tar:
        tar.add(inner, inner.name)
    monkeypatch.setattr(data, "spec", replace(spec, archive_md5=_md5(path), mirrors=()))
    return path


def _md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def draw_class_folders(folder: Path, class_names: Sequence[str], number: int, first: int = 0) -> list[int]:
    """Draw images of one grey value each, which no other has, of several sizes, modes and formats.

    Args:
        folder: where the class folders are made.
        class_names: their names.
        number: images of each class, of which the file names do not sort as they are made.
        first: the lowest value; there are 256.

    Returns:
        The values, by class and file name.
    """
    forms = [("L", "png"), ("RGB", "bmp"), ("RGBA", "webp"), ("P", "gif"), ("I;16", "tif"), ("CMYK", "tiff")]
    values = iter(range(first, first + len(class_names) * number))
    drawn = []
    for name in class_names:
        (folder / name).mkdir(parents=True)
        for i in range(number):
            (mode, ending), value = forms[i % len(forms)], next(values)
            size = (40, 60) if i % 2 else (60, 40)
            image = Image.new("I;16", size, 257 * value) if mode == "I;16" else Image.new("L", size, value)
            if mode in ("RGBA", "CMYK"):
                image = image.convert("RGB")  # there is no way from grey to CMYK
            image = image.convert(mode)
            path = folder / name / f"{number - i:03}.{ending}"
            image.save(path, lossless=True)  # an option of WebP, which other formats ignore
            drawn.append((path, value))
    return [value for _, value in sorted(drawn)]


def normalised_images(data: ImageDataModule) -> tuple[torch.Tensor, torch.Tensor]:
    """Return all training images of a set-up module, (N, 3, 32, 32) from -1 to 1, and their labels."""
    images = data.read_train()
    return ((images.pixels.float() / 255 - 0.5) / 0.5).permute(0, 3, 1, 2).contiguous(), images.labels


def ema_by_hand(steps: Sequence[Mapping[str, torch.Tensor]], largest_decay: float) -> dict[str, torch.Tensor]:
    """Return the exponential average of the weights after every step, in float64; its decay rises to the largest."""
    average = {name: value.double() for name, value in steps[0].items()}
    for t, weights in enumerate(steps[1:], start=1):
        decay = min(largest_decay, (1 + t) / (10 + t))
        for name, value in weights.items():
            average[name] = decay * average[name] + (1 - decay) * value.double()
    return average


def record_calls(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[tuple[Any, ...]]:
    """Record the positional arguments of every call of a function or method, which goes on working."""
    calls: list[tuple[Any, ...]] = []
    function = getattr(owner, name)

    def recorded(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        return function(*args, **kwargs)

    monkeypatch.setattr(owner, name, recorded)
    return calls


# What may change in the environment: the seed, which Lightning keeps there; how long OpenMP's threads poll, which the
# command line sets for the whole process; the name of the current test, which pytest sets.
_MAY_CHANGE = {"PL_GLOBAL_SEED", "PL_SEED_WORKERS", "GOMP_SPINCOUNT", "PYTEST_CURRENT_TEST"}


@dataclass(frozen=True)
class ProcessState:
    """The state of this process that a run must restore.

    Attributes:
        path: ``sys.path``.
        environment: the environment variables, without those that may change.
        others: the variables that may change; not compared.
        handlers: handlers by signal.
        levels: the levels of Lightning's loggers.
    """

    path: list[str]
    environment: dict[str, str]
    others: dict[str, str] = field(compare=False)
    handlers: dict[signal.Signals, object]
    levels: dict[str, int]

    @classmethod
    def current(cls) -> ProcessState:
        """Return the state as it is now."""
        return cls(
            list(sys.path),
            {name: value for name, value in os.environ.items() if name not in _MAY_CHANGE},
            {name: value for name, value in os.environ.items() if name in _MAY_CHANGE - {"PYTEST_CURRENT_TEST"}},
            {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)},
            {name: logging.getLogger(name).level for name in ("lightning", *_LOG_LEVELS)},
        )

    def restore(self) -> None:
        """Restore the state, and the variables that may change."""
        sys.path[:] = self.path
        variables = self.environment | self.others
        for name in os.environ.keys() - variables.keys() - {"PYTEST_CURRENT_TEST"}:
            del os.environ[name]
        os.environ.update(variables)
        for number, handler in self.handlers.items():
            signal.signal(number, handler)  # type: ignore[arg-type]  # what getsignal returned
        for name, level in self.levels.items():
            logging.getLogger(name).setLevel(level)


def run_command(args: list[str], threads: int, folder: Path) -> None:
    """Run the command line as the main function of a process; its output goes to ``output.txt`` in ``folder``."""
    from optimcifar.cli import main

    torch.set_num_threads(threads)
    with (folder / "output.txt").open("a") as output:
        os.dup2(output.fileno(), 1)
        os.dup2(output.fileno(), 2)
        raise SystemExit(main(args))
