from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import CONFIGS, Outcome

from optimcifar import Shapes10DataModule
from optimcifar.data.shapes10 import draw_shapes


def linear_accuracy(features: torch.Tensor, labels: torch.Tensor, train: int) -> float:
    """Fit a ridge classifier to the first ``train`` images and return its accuracy on the others."""
    features = torch.cat([features, torch.ones(len(features), 1)], 1).double()
    targets = torch.nn.functional.one_hot(labels, 10).double()
    x, y = features[:train], targets[:train]
    weights = torch.linalg.solve(x.T @ x + 10 * torch.eye(x.shape[1], dtype=torch.double), x.T @ y)
    return float(((features[train:] @ weights).argmax(1) == labels[train:]).float().mean())


def test_linear_classifier_cannot_tell_the_class_from_pixels_or_colours() -> None:
    images = draw_shapes(4000, seed=3)
    values = images.pixels.float() / 255
    assert linear_accuracy(values.flatten(1), images.labels, 3000) < 0.45
    colours = torch.cat([values.mean((1, 2)), values.std((1, 2))], 1)
    assert linear_accuracy(colours, images.labels, 3000) < 0.25


def test_classes_are_balanced_and_images_depend_only_on_the_seed() -> None:
    first, again = draw_shapes(100, seed=1), draw_shapes(100, seed=1)
    assert first.labels.bincount().tolist() == [10] * 10
    assert torch.equal(first.pixels, again.pixels)
    assert not torch.equal(first.pixels, draw_shapes(100, seed=2).pixels)


def test_training_and_test_images_are_disjoint() -> None:
    data = Shapes10DataModule()
    train, test = data.read_train(), data.read_test()
    assert train.pixels.shape == (10_000, 32, 32, 3)
    assert test.pixels.shape == (2_000, 32, 32, 3)
    assert not {image.numpy().tobytes() for image in train.pixels} & {image.numpy().tobytes() for image in test.pixels}


@pytest.mark.slow
def test_shipped_configuration_reaches_70_to_95_percent(optimcifar: Callable[..., Outcome], tmp_path: Path) -> None:
    assert optimcifar("fit", "--config", CONFIGS / "sgd.yaml", "--data", "Shapes10DataModule").status == 0
    summary = json.loads((tmp_path / "lightning_logs/version_0/summary.json").read_text())
    assert 0.70 <= summary["val_acc"] <= 0.95
