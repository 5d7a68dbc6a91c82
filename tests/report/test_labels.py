"""Labels of hyperparameters and their values."""

from __future__ import annotations

import pytest

from optimcifar.report.labels import short_keys


@pytest.mark.parametrize(
    ("keys", "labels"),
    [
        (["model.optimizer.lr", "model.optimizer.momentum"], ["lr", "momentum"]),
        (["model.optimizer.lr", "model.optimizer.aux.lr"], ["optimizer.lr", "aux.lr"]),
        (
            ["model.optimizer.lr", "model.lr_scheduler.lr", "data.batch_size"],
            ["optimizer.lr", "lr_scheduler.lr", "batch_size"],
        ),
        (["a.lr", "b.a.lr"], ["a.lr", "b.a.lr"]),
    ],
)
def test_labels_are_as_short_as_tells_them_apart(keys: list[str], labels: list[str]) -> None:
    assert short_keys(keys) == dict(zip(keys, labels, strict=True))
