"""Training, averaging and testing in every precision that a CPU has."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from helpers import Command, ema_by_hand, quiet_trainer, read_rows, read_weights

from optimcifar import ImageClassifier, Shapes10DataModule, WeightAverages

# The dtypes of the weights, and of their averages while a run trains.
PRECISIONS = {
    "32-true": (torch.float32, torch.float32),
    "bf16-mixed": (torch.float32, torch.float32),
    "bf16-true": (torch.bfloat16, torch.float32),
    "16-true": (torch.float16, torch.float32),
    "64-true": (torch.float64, torch.float64),
}


@pytest.mark.parametrize("precision", PRECISIONS)
def test_run_trains_averages_and_is_tested(
    precision: str, optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    averages = ("--trainer.callbacks+=WeightAverages", "--trainer.callbacks.swa_epoch_start=1")
    limit = ("--trainer.limit_train_batches", 2)
    outcome = optimcifar("fit", *small, *averages, *limit, "--trainer.precision", precision)
    assert (outcome.status, outcome.err) == (0, "")
    run = tmp_path / "lightning_logs" / "version_0"
    for row in read_rows(run / "metrics.csv"):
        for name in ("val_acc", "val_acc_swa", "val_acc_ema"):
            # A whole number of the 200 validation images: 16 bits would round it.
            assert float(row[name]) * 200 == pytest.approx(round(float(row[name]) * 200), abs=1e-4)
    for name in ("last", "swa", "ema"):
        checkpoint = run / "checkpoints" / f"{name}.ckpt"
        assert read_weights(checkpoint)["net.fc3.weight"].dtype == PRECISIONS[precision][0]
        assert optimcifar("test", "--ckpt_path", checkpoint).status == 0


@pytest.mark.parametrize("precision", PRECISIONS)
def test_exponential_average_is_that_of_a_plain_loop(precision: str) -> None:
    dtype, averaged = PRECISIONS[precision]
    steps: list[dict[str, torch.Tensor]] = []

    class Recorder(ImageClassifier):
        def on_train_batch_end(self, *args: object) -> None:
            steps.append({name: value.clone() for name, value in self.net.state_dict().items()})

    averages = WeightAverages(swa_epoch_start=None, ema_decay=0.25)  # reached after two of the five steps
    trainer = quiet_trainer(callbacks=[averages], precision=precision, limit_train_batches=5)
    classifier = Recorder(optimizer=partial(torch.optim.SGD, lr=0.1))
    trainer.fit(classifier, Shapes10DataModule(train_images=600, val_size=100))
    assert steps[0]["fc3.weight"].dtype == dtype
    found = averages.state_dict()["ema"]
    assert int(found["n_averaged"]) == len(steps) == 5
    for name, expected in ema_by_hand(steps, largest_decay=0.25).items():
        torch.testing.assert_close(found[f"module.{name}"], expected.to(averaged), rtol=1e-6, atol=1e-7)
    # 16 bits would lose the loss's third digit.
    loss = trainer.callback_metrics["train_loss"]
    assert loss.dtype in (torch.float32, torch.float64)
