from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers import Command, equal_weights, normalised_images, read_rows, read_weights
from lightning.pytorch import seed_everything

from optimcifar import ImageClassifier, Shapes10DataModule


def norms_by_hand(epochs: int) -> list[dict[str, float]]:
    """Train by hand, and return the mean norms of each epoch."""
    seed_everything(0)
    net = ImageClassifier().net
    data = Shapes10DataModule(train_images=400, val_size=100)
    data.setup("fit")
    values, labels = normalised_images(data)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.001)
    rows = []
    for epoch in range(epochs):
        sums: dict[str, float] = {}
        batches = data.train_order(epoch).split(64)
        for chosen in batches:
            optimizer.zero_grad()
            F.cross_entropy(net(values[chosen]), labels[chosen]).backward()
            before = {name: p.detach().clone() for name, p in net.named_parameters()}
            optimizer.step()
            for layer in ("conv1", "conv2", "fc1", "fc2", "fc3"):
                names = [f"{layer}.weight", f"{layer}.bias"]
                after = dict(net.named_parameters())
                gradient = torch.cat([after[name].grad.flatten() for name in names])  # type: ignore[union-attr]
                change = torch.cat([(after[name] - before[name]).flatten() for name in names])
                weights = torch.cat([before[name].flatten() for name in names])
                found = {"grad_norm": gradient.norm(), "update_ratio": change.norm() / weights.norm()}
                for kind, value in found.items():
                    sums[f"{kind}_{layer}"] = sums.get(f"{kind}_{layer}", 0.0) + value.item() / len(batches)
        rows.append(sums)
    return rows


def test_norms_of_every_layer_are_in_the_rows_of_their_epochs(optimcifar: Command, tmp_path: Path) -> None:
    data = ("--data", "Shapes10DataModule", "--data.train_images", 400, "--data.val_size", 100)
    adam = ("--model.optimizer", "Adam", "--trainer.max_epochs", 2)
    outcome = optimcifar("fit", *data, *adam, "--trainer.callbacks+=GradientsAndUpdates")
    assert (outcome.status, outcome.err) == (0, "")
    rows = read_rows(tmp_path / "lightning_logs" / "version_0" / "metrics.csv")
    for row, expected in zip(rows, norms_by_hand(2), strict=True):
        assert len(expected) == 10
        for name, value in expected.items():
            assert float(row[name]) == pytest.approx(value, rel=2e-3), name


def test_measuring_norms_does_not_change_training(optimcifar: Command, small: list[str], tmp_path: Path) -> None:
    assert optimcifar("fit", *small).status == 0
    assert optimcifar("fit", *small, "--trainer.callbacks+=GradientsAndUpdates").status == 0
    runs = (tmp_path / "lightning_logs" / f"version_{n}" for n in (0, 1))
    first, second = (read_weights(run / "checkpoints" / "last.ckpt") for run in runs)
    assert equal_weights(first, second)
