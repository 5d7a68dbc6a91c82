from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import quiet_trainer, read_rows
from lightning.pytorch import Callback, LightningModule, Trainer

from optimcifar import ImageClassifier, RunLogger, RunSummary, Shapes10DataModule, WeightAverages
from optimcifar.callbacks.validation_rows import ValidationRows


class Clock(Callback):
    """A clock by which a training batch takes a second, and a validation batch a thousand."""

    def __init__(self) -> None:
        self.now = 0.0

    def on_train_batch_end(self, *args: Any) -> None:
        self.now += 1

    def on_validation_batch_end(self, *args: Any) -> None:
        self.now += 1000


class Watch(Callback):
    """Notes what each validation measured."""

    def __init__(self) -> None:
        self.found: list[dict[str, float]] = []

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        metrics = trainer.callback_metrics
        self.found.append({name: metrics[name].item() for name in metrics if name.startswith("val_")})


def test_every_validation_has_a_row_and_every_epoch_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock, watch, summary, logger = Clock(), Watch(), RunSummary(), RunLogger()
    monkeypatch.setattr("optimcifar.callbacks.training_clock.synchronized_time", lambda device: clock.now)
    averages = WeightAverages(swa_epoch_start=2, ema_decay=0.5)
    callbacks = [averages, clock, watch, summary, ValidationRows(summary)]
    # Four batches an epoch.
    trainer = quiet_trainer(
        max_epochs=2, val_check_interval=0.5, num_sanity_val_steps=1, logger=logger, callbacks=callbacks
    )
    trainer.fit(ImageClassifier(), Shapes10DataModule(train_images=320, val_size=64))
    trainer.validate(ImageClassifier(), Shapes10DataModule(train_images=320, val_size=64), verbose=False)
    rows, epochs = (read_rows(Path(logger.log_dir) / name) for name in ("validations.csv", "metrics.csv"))
    assert [(row["epoch"], row["step"], row["seconds"]) for row in rows] == [
        *(("1", "2", "2.0"), ("1", "4", "4.0"), ("2", "6", "6.0"), ("2", "8", "8.0")),
    ]
    assert list(rows[0])[:5] == ["epoch", "step", "seconds", "val_loss", "val_acc"]
    for row, found in zip(rows, watch.found[1:], strict=False):
        measured = {name: float(cell) for name, cell in row.items() if cell and name.startswith("val_")}
        assert measured == pytest.approx(found)
    assert [row["val_acc_swa"] == "" for row in rows] == [True, True, True, False]
    assert all(row["val_acc_ema"] for row in rows)
    assert [(row["epoch"], row["step"], row["seconds"]) for row in epochs] == [("1", "4", "4.0"), ("2", "8", "4.0")]
    assert [row["val_loss"] for row in epochs] == [rows[1]["val_loss"], rows[3]["val_loss"]]
