"""Images in memory, their split, and the order in which they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, DistributedSampler


class DataError(RuntimeError):
    """Images that are missing, damaged or not what they should be."""


class Images(NamedTuple):
    """Images and their labels.

    Attributes:
        pixels: (N, 32, 32, 3) uint8, red-green-blue.
        labels: (N,) int64, 0 to the number of classes less one.
    """

    pixels: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> Images:
        """Return them on a device, without a copy where they are there."""
        return Images(self.pixels.to(device), self.labels.to(device))


def stratified_split(labels: Tensor, val_size: int, seed: int) -> tuple[Tensor, Tensor]:
    """Draw ``val_size`` validation images, from each class in proportion to its share.

    Args:
        labels: (N,) class of every image.
        val_size: number of validation images, 0 to N - 1.
        seed: equal seeds give equal splits.

    Returns:
        The positions of the training and of the validation images, both rising.

    Raises:
        ValueError: ``val_size`` is negative or leaves no image to train on.
    """
    if not 0 <= val_size < len(labels):
        raise ValueError(f"val_size must be from 0 to {len(labels) - 1} (of {len(labels)} images), got {val_size}")
    generator = np.random.default_rng([seed, 0])
    classes = [generator.permutation(np.flatnonzero(labels == c)) for c in np.unique(labels)]
    # An image's place within its class, as a fraction: the val_size smallest hold an equal share of every class.
    place = np.concatenate([(np.arange(len(c)) + 0.5) / len(c) for c in classes])
    chosen = np.concatenate(classes)[np.argsort(place, kind="stable")]
    return torch.from_numpy(np.sort(chosen[val_size:])), torch.from_numpy(np.sort(chosen[:val_size]))


class SubsetInMemory(Dataset[Images]):
    """Some of the images, handed out a whole batch at a time.

    Args:
        images: all images; they are shared, not copied.
        positions: (M,) which of them belong to this subset.
    """

    def __init__(self, images: Images, positions: Tensor) -> None:
        self.images = images
        self.positions = positions

    def __len__(self) -> int:
        return len(self.positions)

    def __getitem__(self, index: int) -> Images:
        return self.__getitems__([index])

    def __getitems__(self, indices: Sequence[int]) -> Images:
        """Return the batch of these images in one copy; the loader asks for it by this name."""
        chosen = self.positions[torch.as_tensor(indices)]
        if self.images.pixels.is_cuda:
            # From pinned memory: a copy from any other waits until the device has done its work.
            chosen = chosen.pin_memory().to(self.images.pixels.device, non_blocking=True)
        return Images(self.images.pixels.index_select(0, chosen), self.images.labels.index_select(0, chosen))


class SeedEpochSampler(DistributedSampler[int]):
    """Shuffles by (seed, epoch) alone, and gives every process its own share of one common order.

    Neither other users of the random generators nor a resumed run change the order. Lightning tells the
    epoch through ``set_epoch``, and leaves samplers of this base class in place on several devices. All
    processes take equally many images: up to ``num_replicas`` - 1 images of an epoch, other ones in each, are
    left out where the number does not divide; none comes twice.

    Args:
        dataset: what to draw from.
        seed: equal seeds give equal orders.
        num_replicas: number of processes.
        rank: this process, from 0.
    """

    def __init__(self, dataset: SubsetInMemory, seed: int, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(dataset, num_replicas, rank, seed=seed)

    def order(self, epoch: int) -> Tensor:
        """Return the order of the subset's images in an epoch, counted from 0, over all processes."""
        # A sequence as seed keeps (seed 0, epoch 1) and (seed 1, epoch 0) apart, as their sum would not.
        order = np.random.default_rng([self.seed, 1, epoch]).permutation(len(self.dataset))  # type: ignore[arg-type]
        return torch.from_numpy(order)

    def __iter__(self) -> Iterator[int]:
        share = self.order(self.epoch)[self.rank :: self.num_replicas]
        return iter(share[: len(self)].tolist())

    def __len__(self) -> int:
        return len(self.dataset) // self.num_replicas  # type: ignore[arg-type]


class InOrderSampler(DistributedSampler[int]):
    """Every image once, in order, shared out over the processes; for evaluation.

    Unlike its base it repeats no image to make the shares equal, so that a metric over all is exact.
    """

    def __init__(self, dataset: SubsetInMemory, num_replicas: int = 1, rank: int = 0) -> None:
        super().__init__(dataset, num_replicas, rank, shuffle=False)

    def __iter__(self) -> Iterator[int]:
        return iter(range(self.rank, len(self.dataset), self.num_replicas))  # type: ignore[arg-type]

    def __len__(self) -> int:
        return len(range(self.rank, len(self.dataset), self.num_replicas))  # type: ignore[arg-type]
