from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest
import torch
from helpers import Command, quiet_trainer, read_rows, read_summary
from lightning.pytorch import Callback, LightningModule, Trainer

from optimcifar import ImageClassifier, Shapes10DataModule
from optimcifar.callbacks.divergence import StopAtDivergence


def test_run_stops_at_the_first_loss_that_is_not_finite(optimcifar: Command, small: list[str], tmp_path: Path) -> None:
    outcome = optimcifar("fit", *small, "--model.optimizer.lr", "1e30")
    run = tmp_path / "lightning_logs" / "version_0"
    summary = read_summary(run)
    assert (summary["status"], summary["train_loss"]) == ("diverged", None)
    # The first update ruins the weights, so the second loss is the first that is not finite.
    assert (summary["diverged_step"], summary["steps"], outcome.status) == (2, 2, 3)
    (row,) = read_rows(run / "metrics.csv")
    assert row["train_loss"] == "nan"
    assert 0 <= float(row["train_acc"]) <= 1
    assert "diverged in step 2 after 1 epoch:" in outcome.out
    assert summary["last_finite"].keys() == {"loss", "train_acc", "val_acc"}
    assert summary["last_finite"]["loss"] == pytest.approx(math.log(10), abs=0.1)


def test_diverged_run_keeps_its_last_finite_metrics(optimcifar: Command, small: list[str], tmp_path: Path) -> None:
    (tmp_path / "rates.py").write_text("def exploding(epoch: int) -> float:\n    return 1 if epoch < 1 else 1e30\n")
    schedule = ("--model.lr_scheduler", "LambdaLR", "--model.lr_scheduler.lr_lambda", "rates.exploding")
    outcome = optimcifar("fit", *small, *schedule)
    assert outcome.status == 3
    run = tmp_path / "lightning_logs" / "version_0"
    summary, rows = read_summary(run), read_rows(run / "metrics.csv")
    assert (summary["diverged_step"], summary["train_loss"], rows[1]["train_loss"]) == (15, None, "nan")
    kept = summary["last_finite"]
    assert (kept["train_loss"], kept["val_loss"]) == (float(rows[0]["train_loss"]), float(rows[0]["val_loss"]))
    assert kept["loss"] == pytest.approx(float(rows[0]["train_loss"]), abs=0.2)


class RuinWeights(Callback):
    """Makes every loss NaN."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        torch.nn.init.constant_(next(pl_module.parameters()), math.nan)


def test_resumed_run_knows_the_last_finite_metrics_of_its_checkpoint(tmp_path: Path) -> None:
    data = Shapes10DataModule(train_images=164, val_size=36)
    first = quiet_trainer(callbacks=[StopAtDivergence()])
    first.fit(ImageClassifier(), data)
    first.save_checkpoint(tmp_path / "epoch1.ckpt")
    measured = {name: value.item() for name, value in first.callback_metrics.items() if name != "lr"}
    stop = StopAtDivergence()
    second = quiet_trainer(max_epochs=2, callbacks=[stop, RuinWeights()])
    second.fit(ImageClassifier(), data, ckpt_path=tmp_path / "epoch1.ckpt", weights_only=True)
    values = stop.summary_values(second)
    assert values["diverged_step"] == 3
    assert values["last_finite"]["train_loss"] == pytest.approx(measured["train_loss"])
    assert values["last_finite"]["val_loss"] == pytest.approx(measured["val_loss"])


def test_step_is_found_among_losses_that_are_checked_together() -> None:
    # As on a GPU or with several processes, where reading a loss is a synchronization.
    losses = [2.0] * 49 + [1.5] + [1.25] * 20 + [math.inf] + [math.nan] * 29
    strategy = SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision)  # noqa: A006  Lightning's name
    trainer = SimpleNamespace(world_size=2, is_last_batch=False, should_stop=False, strategy=strategy)
    callback = StopAtDivergence()
    for step, loss in enumerate(losses, start=1):
        trainer.global_step = step
        callback.on_train_batch_end(cast(Trainer, trainer), ImageClassifier(), torch.tensor(loss), None, step - 1)
        assert trainer.should_stop == (step == 100)
    assert (callback.step, callback.last_finite_loss) == (71, 1.25)
