"""Training on a GPU; skipped where there is none."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import quiet_trainer
from lightning.pytorch import Callback, Trainer

from optimcifar import ConvNet, ImageClassifier, Shapes10DataModule

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


class ForbidSynchronization(Callback):
    """Makes every synchronization with the device an error, from an epoch's second step to its last."""

    def __init__(self) -> None:
        self.steps = 0
        self.devices: set[str] = set()

    def on_train_batch_end(self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        torch.cuda.set_sync_debug_mode("default" if trainer.is_last_batch else "error")
        self.steps += 1
        self.devices.add(trainer.datamodule.train_dataloader().dataset.images.pixels.device.type)  # type: ignore[attr-defined]


def test_images_stay_on_the_gpu_and_no_step_synchronizes_with_it() -> None:
    forbid = ForbidSynchronization()
    data = Shapes10DataModule(train_images=1000, val_size=200)
    trainer = quiet_trainer(max_epochs=2, accelerator="gpu", devices=1, callbacks=[forbid])
    try:
        trainer.fit(ImageClassifier(), data)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert forbid.steps == 2 * 13
    assert forbid.devices == {"cuda"}


def test_network_computes_the_same_as_on_the_cpu() -> None:
    net, images = ConvNet(), torch.randn(8, 3, 32, 32)
    expected = net(images)
    torch.testing.assert_close(net.cuda()(images.cuda()).cpu(), expected, atol=1e-3, rtol=1e-3)
