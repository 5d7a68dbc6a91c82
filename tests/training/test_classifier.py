from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers import normalised_images, quiet_trainer
from lightning.pytorch import Trainer, seed_everything
from lightning.pytorch.callbacks import Callback
from torch import nn

from optimcifar import ConvNet, ImageClassifier, Shapes10DataModule
from optimcifar.data.images import Batch


def data(**settings: Any) -> Shapes10DataModule:
    return Shapes10DataModule(**({"train_images": 1000, "val_size": 200, "test_images": 100} | settings))


class History(Callback):
    """Records the metrics of each epoch and the loss of each step."""

    def __init__(self) -> None:
        self.steps: list[float] = []
        self.epochs: list[dict[str, float]] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        self.steps.append(outputs["loss"].item())

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        if trainer.current_epoch:
            self.on_train_end(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: Any) -> None:
        self.epochs.append({name: value.item() for name, value in trainer.callback_metrics.items()})


def plain_loop(
    epochs: int, lr: float, train_images: int = 1000
) -> tuple[list[float], list[dict[str, float]], nn.Module]:
    """Train without Lightning on the same images in the same order, with ReLU before pooling."""
    images = data(train_images=train_images)
    images.setup("fit")
    values, labels = normalised_images(images)
    net = ConvNet()
    optimizer = torch.optim.SGD(net.parameters(), lr=lr, momentum=0.9)

    def predict(x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(net.conv1(x)), 2)
        x = F.max_pool2d(F.relu(net.conv2(x)), 2).flatten(1)
        logits: torch.Tensor = net.fc3(F.relu(net.fc2(F.relu(net.fc1(x)))))
        return logits

    steps, rows = [], []
    for epoch in range(epochs):
        total, right = 0.0, 0
        for chosen in images.train_order(epoch).split(64):
            logits = predict(values[chosen])
            loss = F.cross_entropy(logits, labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            steps.append(loss.item())
            total += loss.item() * len(chosen)
            right += int((logits.argmax(1) == labels[chosen]).sum())
        val = images.val_positions
        with torch.no_grad():
            logits = predict(values[val])
        rows.append(
            {
                "train_loss": total / (train_images - 200),
                "train_acc": right / (train_images - 200),
                "val_loss": F.cross_entropy(logits, labels[val]).item(),
                "val_acc": (logits.argmax(1) == labels[val]).float().mean().item(),
                "lr": lr,
            }
        )
    return steps, rows, net


def test_training_and_metrics_equal_a_plain_loops() -> None:
    history = History()
    seed_everything(0)
    classifier = ImageClassifier(optimizer=lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9))
    quiet_trainer(max_epochs=3, callbacks=[history]).fit(classifier, data())
    seed_everything(0)
    steps, rows, net = plain_loop(3, lr=0.01)
    assert len(history.steps) == 3 * 13
    torch.testing.assert_close(history.steps, steps, atol=1e-4, rtol=0)
    for row, expected in zip(history.epochs, rows, strict=True):
        assert row == pytest.approx(expected, abs=1e-3)
    torch.testing.assert_close(dict(classifier.net.state_dict()), dict(net.state_dict()), atol=1e-3, rtol=0)


def test_first_hundred_losses_equal_a_plain_loops() -> None:
    # Summing in another order changes the losses by a few hundred-thousandths within a hundred steps, as much as
    # float64 changes a plain loop in float32.
    history = History()
    seed_everything(0)
    quiet_trainer(callbacks=[history]).fit(ImageClassifier(), data(train_images=6600))
    seed_everything(0)
    steps, _, _ = plain_loop(1, lr=0.01, train_images=6600)
    assert len(steps) == 100
    torch.testing.assert_close(history.steps, steps, atol=1e-4, rtol=0)


def test_logged_rate_is_the_one_that_the_epoch_used() -> None:
    history = History()
    classifier = ImageClassifier(
        optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
        lr_scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, step_size=2, gamma=0.1),
    )
    quiet_trainer(max_epochs=5, callbacks=[history]).fit(classifier, data())
    assert [row["lr"] for row in history.epochs] == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


def test_schedule_with_interval_step_steps_after_every_batch() -> None:
    history = History()
    classifier = ImageClassifier(
        optimizer=lambda p: torch.optim.SGD(p, lr=0.1),
        lr_scheduler=lambda o: torch.optim.lr_scheduler.LambdaLR(o, lambda step: 1 - step / 26),
        lr_interval="step",
    )
    quiet_trainer(max_epochs=2, callbacks=[history]).fit(classifier, data())
    # 13 steps an epoch; the rate of an epoch's last step
    assert [row["lr"] for row in history.epochs] == pytest.approx([0.1 * (1 - 12 / 26), 0.1 * (1 - 25 / 26)])


class StepLosses(ImageClassifier):
    """Records the batch and the loss of each call of training_step."""

    def training_step(self, batch: Batch, batch_idx: int) -> torch.Tensor:
        loss = super().training_step(batch, batch_idx)
        self.calls = [*getattr(self, "calls", []), (batch_idx, loss.item())]
        return loss


def test_batch_that_a_closure_evaluates_again_counts_once() -> None:
    history = History()
    classifier = StepLosses(optimizer=lambda p: torch.optim.LBFGS(p, lr=0.1, max_iter=3))
    quiet_trainer(callbacks=[history]).fit(classifier, data(train_images=328))
    assert len(classifier.calls) > 2
    first = dict(reversed(classifier.calls))
    assert history.epochs[0]["train_loss"] == pytest.approx((first[0] + first[1]) / 2, abs=1e-5)


def test_plateau_schedule_monitors_the_validation_loss() -> None:
    history = History()
    classifier = ImageClassifier(
        optimizer=lambda p: torch.optim.SGD(p, lr=0.0),
        lr_scheduler=lambda o: torch.optim.lr_scheduler.ReduceLROnPlateau(o, patience=0, factor=0.5, min_lr=[-1.0]),
    )
    quiet_trainer(max_epochs=2, callbacks=[history]).fit(classifier, data())
    assert classifier.trainer.lr_scheduler_configs[0].monitor == "val_loss"


def test_every_module_gets_its_own_network() -> None:
    first, second = ImageClassifier(), ImageClassifier()
    assert first.net is not second.net


def test_unknown_interval_is_refused() -> None:
    with pytest.raises(ValueError, match="lr_interval must be 'epoch' or 'step', got 'week'"):
        ImageClassifier(lr_interval="week")  # type: ignore[arg-type]


@pytest.mark.parametrize("net", [None, nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))])
def test_checkpoint_written_in_python_loads_and_predicts_the_same(net: nn.Module | None, tmp_path: Path) -> None:
    classifier = ImageClassifier(net=net, optimizer=lambda p: torch.optim.Adam(p, lr=1e-3))
    run = quiet_trainer()
    run.fit(classifier, data())
    run.save_checkpoint(tmp_path / "a.ckpt")
    more: dict[str, Any] = {} if net is None else {"net": nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))}
    loaded = ImageClassifier.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True, **more)
    images = torch.randn(4, 3, 32, 32)
    assert torch.equal(loaded(images), classifier(images))
