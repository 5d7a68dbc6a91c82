from __future__ import annotations

import copy
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers import Command, equal_weights, normalised_images, quiet_trainer, read_rows, read_weights
from lightning.pytorch import seed_everything
from torch import Tensor, nn

from optimcifar import GradientsAndUpdates, ImageClassifier, RunLogger, Shapes10DataModule


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


class Odd(nn.Module):
    """A network with a layer that starts at zero, one that stays at zero, and one that nothing uses."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3072, 10, bias=False)
        self.late = nn.Linear(10, 10, bias=False)
        self.stuck = nn.Linear(10, 10, bias=False)
        self.unused = nn.Linear(10, 10)
        for layer in (self.late, self.stuck):
            nn.init.zeros_(layer.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return logits, (N, 10)."""
        features = self.linear(images.flatten(1))
        logits: Tensor = features + self.late(features) + 0 * self.stuck(features)
        return logits


def test_a_mean_leaves_out_steps_without_anything_to_measure(tmp_path: Path) -> None:
    seed_everything(0)
    data = Shapes10DataModule(train_images=400, val_size=100, batch_size=100)
    net = Odd()
    by_hand = copy.deepcopy(net)
    classifier = ImageClassifier(net=net, optimizer=lambda parameters: torch.optim.SGD(parameters, lr=0.1))
    logger = RunLogger(tmp_path)
    quiet_trainer(logger=logger, callbacks=[GradientsAndUpdates()]).fit(classifier, data)

    values, labels = normalised_images(data)
    optimizer = torch.optim.SGD(by_hand.parameters(), lr=0.1)
    ratios, gradients = [], []
    for chosen in data.train_order(0).split(100):
        optimizer.zero_grad()
        F.cross_entropy(by_hand(values[chosen]), labels[chosen]).backward()
        before = by_hand.late.weight.detach().clone()
        optimizer.step()
        gradients.append(by_hand.late.weight.grad.norm().item())  # type: ignore[union-attr]
        if before.norm():
            ratios.append(((by_hand.late.weight - before).norm() / before.norm()).item())

    (row,) = read_rows(Path(str(logger.log_dir)) / "metrics.csv")
    assert (len(ratios), len(gradients)) == (2, 3)  # the first step starts from zero
    assert float(row["update_ratio_late"]) == pytest.approx(sum(ratios) / 2, rel=2e-3)
    assert float(row["grad_norm_late"]) == pytest.approx(sum(gradients) / 3, rel=2e-3)
    assert float(row["grad_norm_stuck"]) == 0
    assert float(row["update_ratio_unused"]) == 0
    assert not {"update_ratio_stuck", "grad_norm_unused"} & row.keys()
