"""Training on real CIFAR-10, against the results of a plain PyTorch loop.

``OPTIMCIFAR_DATA`` is the folder with the images, as in ``--data.root``.
"""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest
from helpers import CONFIGS, Outcome

from optimcifar import CIFAR10DataModule

ROOT = os.environ.get("OPTIMCIFAR_DATA", "")

pytestmark = pytest.mark.skipif(not ROOT, reason="OPTIMCIFAR_DATA is not set to a folder with CIFAR-10")

# Results of a plain loop on all 50,000 training images of the JPEG copy, means over seeds 0 to 2 (torch 2.15.0, CPU):
# training loss and learning rate of every epoch, test accuracy of the final and of the averaged weights.
REFERENCE: dict[str, tuple[list[float], list[float], float, float | None]] = {
    "sgd": (
        [1.8777, 1.4321, 1.2677, 1.1644, 1.0894, 1.0321, 0.9794, 0.9376, 0.8953, 0.8544],
        [0.01] * 10,
        0.6335,
        None,
    ),
    "adam": (
        [1.6568, 1.3595, 1.2371, 1.149, 1.0804, 1.0272, 0.982, 0.9441, 0.9071, 0.8772],
        [0.001] * 10,
        0.6299,
        None,
    ),
    "sgd_steplr": (
        [1.8777, 1.4321, 1.2082, 1.1683, 1.1335, 1.1285, 1.1245, 1.124, 1.1233, 1.1234],
        [1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 1e-5, 1e-6, 1e-6],
        0.583,
        None,
    ),
    "sgd_swa": (
        [1.8777, 1.4321, 1.2082, 1.1683, 1.1335, 1.1285, 1.1245, 1.1362, 1.1605, 1.1798],
        [1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4, 1e-5, 0.00123334, 0.00478362, 0.01031331],
        0.5813,
        0.5973,
    ),
}

SEEDS = (0, 1, 2)


def test_reads_all_images() -> None:
    data = CIFAR10DataModule(ROOT)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    assert data.read_train().labels.bincount().tolist() == [5000] * 10
    assert data.read_test().labels.bincount().tolist() == [1000] * 10
    assert (len(data.train_positions), len(data.val_positions)) == (45_000, 5_000)
    assert data.read_train().labels[data.val_positions].bincount().tolist() == [500] * 10


def test_val_size_of_all_images_is_refused(optimcifar: Callable[..., Outcome]) -> None:
    outcome = optimcifar("fit", "--data.root", ROOT, "--data.val_size", 50000)
    assert (outcome.status, outcome.err) == (
        2,
        "optimcifar: val_size must be from 0 to 49999 (of 50000 images), got 50000\n",
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", REFERENCE)
def test_configuration_matches_a_plain_loop(name: str, optimcifar: Callable[..., Outcome], tmp_path: Path) -> None:
    runs = [tmp_path / "lightning_logs" / f"version_{seed}" for seed in SEEDS]
    losses, rates, accuracy, averaged = REFERENCE[name]
    found = []
    for seed, run in zip(SEEDS, runs, strict=True):
        options = ("--data.root", ROOT, "--data.val_size", 0, "--seed_everything", seed)
        assert optimcifar("fit", "--config", CONFIGS / f"{name}.yaml", *options).status == 0
        with (run / "metrics.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [float(row["lr"]) for row in rows] == pytest.approx(rates, rel=1e-5)
        found.append([float(row["train_loss"]) for row in rows])
    means = [fmean(epoch) for epoch in zip(*found, strict=True)]
    assert means[0] == pytest.approx(losses[0], abs=0.10)
    assert means[1:] == pytest.approx(losses[1:], abs=0.05)
    for checkpoint, expected in (("last", accuracy), ("swa", averaged)):
        if expected is not None:
            for run in runs:
                assert optimcifar("test", "--ckpt_path", run / "checkpoints" / f"{checkpoint}.ckpt").status == 0
            results = [json.loads((run / "checkpoints" / f"{checkpoint}.test.json").read_text()) for run in runs]
            assert fmean(result["test_acc"] for result in results) == pytest.approx(expected, abs=0.03)
