"""The ways of training that are compared: each trains two epochs and tells the seconds of the second.

All train the same network from the same weights on the same images in the same order, by SGD with momentum, in batches
of ``BATCH``; they differ in where images come from and in who runs the loop. The first epoch warms up.
"""

from __future__ import annotations

import csv
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from optimcifar import ConvNet, Shapes10DataModule
from optimcifar.cli import main

BATCH = 64
LR, MOMENTUM = 0.01, 0.9


@dataclass
class Task:
    """What is to be trained on.

    Attributes:
        pixels: (N, 32, 32, 3) uint8.
        labels: (N,) int64.
        order: (N,) the order of an epoch.
    """

    pixels: Tensor
    labels: Tensor
    order: Tensor

    @staticmethod
    def of(images: int) -> Task:
        """Draw so many images, and take the order of the first epoch of seed 0."""
        data = Shapes10DataModule(train_images=images, val_size=0)
        data.setup("fit")
        drawn = data.read_train()
        return Task(drawn.pixels, drawn.labels, data.train_order(0))


class TutorialNet(ConvNet):
    """The plain network, ReLU before pooling."""

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (N, 10)."""
        x = F.max_pool2d(F.relu(self.conv1(images)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2).flatten(1)
        logits: Tensor = self.fc3(F.relu(self.fc2(F.relu(self.fc1(x)))))
        return logits


class PillowImages(Dataset[tuple[Tensor, int]]):
    """What torchvision's CIFAR10 does for every image: an array to a PIL image, and that through the transforms."""

    def __init__(self, task: Task) -> None:
        self.pixels, self.labels = task.pixels[task.order].numpy(), task.labels[task.order].tolist()
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize((0.5,) * 3, (0.5,) * 3)])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.pixels[index])), self.labels[index]


def _second_epoch(net: nn.Module, epoch: Callable[[], Iterable[Any]], fused: bool) -> float:
    optimizer = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM, fused=fused)
    for _ in range(2):
        start = time.perf_counter()
        for images, labels in epoch():
            optimizer.zero_grad()
            F.cross_entropy(net(images), labels).backward()
            optimizer.step()
    return time.perf_counter() - start


def tensor_batches(task: Task, memory_format: torch.memory_format) -> Iterator[tuple[Tensor, Tensor]]:
    pixels = task.pixels.permute(0, 3, 1, 2)
    for chosen in task.order.split(BATCH):
        yield pixels[chosen].contiguous(memory_format=memory_format).float().div_(127.5).sub_(1), task.labels[chosen]


def tensor_loop(task: Task) -> float:
    """A hand-written loop over uint8 tensors in memory, with the plain network."""
    return _second_epoch(TutorialNet(), lambda: tensor_batches(task, torch.contiguous_format), fused=True)


def package_network_loop(task: Task) -> float:
    """The same with this package's network and channels last."""
    return _second_epoch(ConvNet(), lambda: tensor_batches(task, torch.channels_last), fused=True)


def notebook_loop(task: Task) -> float:
    """The usual notebook's loop: a data set of PIL images, a loader without workers."""
    loader = DataLoader(PillowImages(task), batch_size=BATCH)
    return _second_epoch(TutorialNet(), lambda: loader, fused=False)


class PlainModule(LightningModule):
    """The LightningModule of the tutorials."""

    def __init__(self) -> None:
        super().__init__()
        self.net = TutorialNet()
        self.seconds = 0.0

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        """Return the loss, logged every step."""
        loss = F.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss, prog_bar=True)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return SGD."""
        return torch.optim.SGD(self.parameters(), lr=LR, momentum=MOMENTUM)

    def on_train_epoch_start(self) -> None:
        """Start the clock."""
        self.seconds = time.perf_counter()

    def on_train_epoch_end(self) -> None:
        """Stop it."""
        self.seconds = time.perf_counter() - self.seconds


def lightning_loop(task: Task) -> float:
    """Lightning as its tutorials use it, with torchvision's way of loading."""
    module = PlainModule()
    with tempfile.TemporaryDirectory() as folder, redirect_stdout(StringIO()), redirect_stderr(StringIO()):
        trainer = Trainer(max_epochs=2, accelerator="cpu", default_root_dir=folder, enable_model_summary=False)
        trainer.fit(module, DataLoader(PillowImages(task), batch_size=BATCH))
    return module.seconds


def fit_epoch_seconds(images: int, *options: str) -> float:
    """Return the seconds that ``optimcifar fit`` reports for its second epoch of so many images."""
    validation = 1000
    with tempfile.TemporaryDirectory() as folder:
        arguments = [
            *("fit", "--data", "Shapes10DataModule", "--data.train_images", str(images + validation)),
            *("--data.val_size", str(validation), "--trainer.max_epochs", "2"),
            *("--trainer.default_root_dir", folder, "--trainer.accelerator", "cpu"),
            "--trainer.callbacks+=optimcifar.callbacks.console_output.EpochBar",
            *options,
        ]
        with redirect_stdout(StringIO()), redirect_stderr(StringIO()) as errors:
            status = main(arguments)
        if status:
            raise RuntimeError(errors.getvalue())
        with (Path(folder) / "lightning_logs" / "version_0" / "metrics.csv").open() as file:
            return float(list(csv.DictReader(file))[1]["seconds"])


def fit(task: Task, *options: str) -> float:
    """``optimcifar fit`` with progress bar, logging, validation and checkpoint."""
    return fit_epoch_seconds(len(task.labels), *options)


def fit_fused(task: Task) -> float:
    """``optimcifar fit`` with the fused implementation of SGD."""
    return fit(task, "--model.optimizer.fused", "true")


def fit_bf16(task: Task) -> float:
    """The same in bfloat16."""
    return fit(task, "--model.optimizer.fused", "true", "--trainer.precision", "bf16-mixed")


def convolutions(task: Task) -> float:
    """The two convolutions alone, forward and backward, on as many images, channels last: the floor."""
    net = ConvNet()
    first = torch.randn(BATCH, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    second = torch.randn(BATCH, 6, 14, 14).contiguous(memory_format=torch.channels_last).requires_grad_()
    gradients = [torch.randn_like(net.conv1(first)), torch.randn_like(net.conv2(second))]
    for _ in range(2):
        start = time.perf_counter()
        for _ in range(len(task.order) // BATCH):
            torch.autograd.backward([net.conv1(first), net.conv2(second)], gradients)
            net.zero_grad()
            second.grad = None
    return time.perf_counter() - start


CONTESTANTS: dict[str, Callable[[Task], float]] = {
    "tensor loop": tensor_loop,
    "tensor loop, package's network": package_network_loop,
    "notebook loop": notebook_loop,
    "Lightning, torchvision loader": lightning_loop,
    "optimcifar fit": fit,
    "optimcifar fit, fused": fit_fused,
    "optimcifar fit, fused, bf16": fit_bf16,
    "convolutions alone": convolutions,
}
