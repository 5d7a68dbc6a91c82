"""Images in memory, batches, the split and the order of the images."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler


class DataError(RuntimeError):
    """Missing, damaged or unexpected images."""


class Images(NamedTuple):
    """Images as they are stored, and their labels.

    Attributes:
        pixels: (N, H, W, 3) uint8, RGB.
        labels: (N,) int64, 0 to the number of classes minus 1.
    """

    pixels: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Images:
        """Return the images on a device; copies nothing that is already there."""
        return Images(self.pixels.to(device), self.labels.to(device))


def blank_images(labels: Tensor, size: int) -> Images:
    """Return a black image for every label; one in memory stands for all.

    Args:
        labels: (N,) int64.
        size: height and width in pixels.
    """
    return Images(torch.zeros(1, size, size, 3, dtype=torch.uint8).expand(len(labels), -1, -1, -1), labels)


class Batch(NamedTuple):
    """A batch as a network gets it: normalised images, and their labels.

    Attributes:
        images: (N, 3, H, W) float32, or the precision's dtype, channels last in memory.
        labels: (N,) int64, 0 to the number of classes minus 1.
    """

    images: Tensor
    labels: Tensor


def held_out_number(size: int | float, total: int) -> int:
    """Return how many of ``total`` images to hold out: ``size``, or that fraction of them if it is a float.

    A fraction above 0 holds out at least one image.
    """
    if isinstance(size, int):
        return size
    return max(1, round(size * total)) if size else 0


def stratified_split(labels: Tensor, size: int, seed: int, name: str = "val_size") -> tuple[Tensor, Tensor]:
    """Draw images to hold out, the same share of every class.

    Args:
        labels: class of every image, (N,).
        size: number of images to hold out, 0 to N - 1.
        seed: equal seeds give equal splits.
        name: what the user calls ``size``, for messages.

    Returns:
        The positions of the other images and of those held out, both in ascending order.

    Raises:
        ValueError: ``size`` is negative or leaves no image to train on.
    """
    if not 0 <= size < len(labels):
        raise ValueError(f"{name} must be from 0 to {len(labels) - 1} (of {len(labels)} images), got {size}")
    generator = np.random.default_rng([seed, 0])
    classes = [generator.permutation(np.flatnonzero(labels == c)) for c in np.unique(labels)]
    # Each image's rank in its class, as a fraction: the smallest hold an equal share of every class.
    rank = np.concatenate([(np.arange(len(c)) + 0.5) / len(c) for c in classes])
    chosen = np.concatenate(classes)[np.argsort(rank, kind="stable")]
    return torch.from_numpy(np.sort(chosen[size:])), torch.from_numpy(np.sort(chosen[:size]))


class SubsetInMemory(Dataset[Images]):
    """A subset of the images that returns whole batches.

    Args:
        images: all images; shared, not copied.
        positions: positions of the subset's images, (M,).

    Attributes:
        epoch: the epoch, counted from 0, which ``SeedEpochSampler`` sets.
    """

    def __init__(self, images: Images, positions: Tensor) -> None:
        self.images = images
        self.positions = positions
        self.epoch = 0

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Images:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Images:
        """Return a batch in a single copy; ``DataLoader`` calls this instead of fetching the images one by one."""
        chosen = self.on_device(self.positions[torch.as_tensor(indices)])
        return Images(self.images.pixels.index_select(0, chosen), self.images.labels.index_select(0, chosen))

    def on_device(self, values: Tensor) -> Tensor:
        """Return values on the device of the images."""
        if not self.images.pixels.is_cuda:
            return values
        # Pinned, because copying from pageable memory waits for the device to finish its work.
        return values.pin_memory().to(self.images.pixels.device, non_blocking=True)


class SeedEpochSampler(DistributedSampler[int]):
    """Sampler that shuffles by (seed, epoch) only and shares one order among the processes.

    The order depends neither on other uses of the random generators nor on resuming. Lightning passes the epoch to
    ``set_epoch`` and does not replace samplers of this base class on several devices. All processes get the same
    number of images: an epoch omits up to ``num_replicas - 1`` images, different ones in each epoch, and repeats none.

    Args:
        dataset: the images.
        seed: equal seeds give equal orders.
        num_replicas: number of processes.
        rank: rank of this process, from 0.
    """

    def __init__(self, dataset: SubsetInMemory, seed: int, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(dataset, num_replicas, rank, seed=seed)
        self._subset = dataset

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, counted from 0, of the order and of the subset."""
        super().set_epoch(epoch)
        self._subset.epoch = epoch

    def order(self, epoch: int) -> Tensor:
        """Return the order of the subset's images in an epoch, counted from 0, for all processes together."""
        # A sequence, because a sum would give (seed 0, epoch 1) and (seed 1, epoch 0) the same order.
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.dataset))  # type: ignore[arg-type]
        return torch.from_numpy(order)

    def __iter__(self) -> Iterator[int]:
        share = self.order(self.epoch)[self.rank :: self.num_replicas]
        return iter(share[: len(self)].tolist())

    def __len__(self) -> int:
        return len(self.dataset) // self.num_replicas  # type: ignore[arg-type]


class InOrderSampler(DistributedSampler[int]):
    """Sampler for evaluation: every image once, in order, shared among the processes.

    Unlike ``DistributedSampler`` it repeats no image to make the shares equal, so metrics are exact.
    """

    def __init__(self, dataset: SubsetInMemory, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(dataset, num_replicas, rank, shuffle=False)

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rank, len(self.dataset), self.num_replicas))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(range(self.rank, len(self.dataset), self.num_replicas))  # type: ignore[arg-type]
