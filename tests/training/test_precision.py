"""Training, averaging and testing in every precision that a CPU has."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch
from helpers import Command, quiet_trainer, read_rows, read_weights
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from optimcifar import ConvNet, ImageClassifier, Shapes10DataModule, WeightAverages

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
def test_averages_are_those_of_torch(precision: str) -> None:
    dtype, averaged = PRECISIONS[precision]
    steps: list[dict[str, torch.Tensor]] = []

    class Recorder(ImageClassifier):
        def on_train_batch_end(self, *args: object) -> None:
            steps.append({name: value.clone() for name, value in self.net.state_dict().items()})

    averages = WeightAverages(swa_epoch_start=None, ema_decay=0.9)
    trainer = quiet_trainer(callbacks=[averages], precision=precision, limit_train_batches=5)
    classifier = Recorder(optimizer=partial(torch.optim.SGD, lr=0.1))
    trainer.fit(classifier, Shapes10DataModule(train_images=600, val_size=100))
    by_hand = AveragedModel(ConvNet().to(averaged), multi_avg_fn=get_ema_multi_avg_fn(0.9))  # type: ignore[no-untyped-call]
    for weights in steps:
        net = ConvNet().to(averaged)
        net.load_state_dict(weights)
        by_hand.update_parameters(net)
    assert steps[0]["fc3.weight"].dtype == dtype
    found = averages.state_dict()["ema"]
    for name, expected in by_hand.state_dict().items():
        torch.testing.assert_close(found[name], expected, rtol=1e-6, atol=1e-7)
    # 16 bits would lose the loss's third digit.
    loss = trainer.callback_metrics["train_loss"]
    assert loss.dtype in (torch.float32, torch.float64)
