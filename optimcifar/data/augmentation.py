"""Augment the training images, in the same way for every optimizer."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from optimcifar.data.images import Images, SubsetInMemory

#: ``flip`` mirrors an image left to right with probability 1/2; ``crop_flip`` first shifts it at random.
Augment = Literal["flip", "crop_flip"]

#: The pixels that a random crop adds on each side, by reflection.
PADDING = 4


class Draws(NamedTuple):
    """Random numbers for the images of an epoch.

    Attributes:
        shifts: rows and columns by which each image's crop is moved, (N, 2) int64, -``PADDING`` to ``PADDING``.
        flips: whether each is mirrored, (N,) bool.
        seeds: what the ``transform`` of each image is seeded with, (N,) int64.
    """

    shifts: Tensor
    flips: Tensor
    seeds: Tensor


@lru_cache(maxsize=2)
def draw(seed: int, epoch: int, number: int) -> Draws:
    """Draw for every image of an epoch.

    Args:
        seed: that of the data module.
        epoch: counted from 0.
        number: number of training images.
    """
    # A sequence, because a sum would give (seed 0, epoch 1) and (seed 1, epoch 0) the same numbers.
    generator = np.random.default_rng([seed, 2, epoch])
    return Draws(
        torch.from_numpy(generator.integers(-PADDING, PADDING, size=(number, 2), endpoint=True)),
        torch.from_numpy(generator.integers(0, 2, size=number).astype(bool)),
        torch.from_numpy(generator.integers(0, 2**63, size=number)),
    )


class AugmentedSubset(SubsetInMemory):
    """Training images, augmented a batch at a time on their own device.

    What happens to an image is decided by the seed, the epoch and the image alone: it is equal for all optimizers, on
    any number of devices, and after a resume.

    Args:
        images: all images; shared, not copied.
        positions: positions of the subset's images, (M,).
        seed: that of the data module.
        augment: random crops of ``PADDING`` pixels after padding by reflection, and mirroring; None for neither.
        transform: called with each image after that, (3, H, W) uint8, such as one of ``torchvision.transforms.v2``;
            it draws its random numbers from PyTorch's generators, and returns an image of the same dtype and shape.

    Raises:
        ValueError: the images are too small to be padded, or the transform returns something else.
    """

    def __init__(
        self, images: Images, positions: Tensor, seed: int, augment: Augment | None, transform: nn.Module | None
    ) -> None:
        super().__init__(images, positions)
        height, width = images.pixels.shape[1:3]
        if augment == "crop_flip" and min(height, width) <= PADDING:
            raise ValueError(f"crop_flip needs images of more than {PADDING}x{PADDING} pixels, got {height}x{width}")
        if transform is not None:
            with torch.random.fork_rng(devices=[]):
                _apply(transform, torch.zeros(3, height, width, dtype=torch.uint8))
        self._seed = seed
        self._augment = augment
        self._transform = transform

    def __getitems__(self, indices: Sequence[int]) -> Images:
        """Return a batch of augmented images."""
        pixels, labels = super().__getitems__(indices)
        places = torch.as_tensor(indices)
        draws = draw(self._seed, self.epoch, len(self))
        if self._augment:
            shifts = draws.shifts[places]
            if self._augment == "flip":
                shifts = torch.zeros_like(shifts)
            pixels = cut_out(pixels, self.on_device(shifts), self.on_device(draws.flips[places]))
        if self._transform is not None:
            pixels = _apply_to_each(self._transform, pixels, draws.seeds[places].tolist())
        return Images(pixels, labels)


def cut_out(pixels: Tensor, shifts: Tensor, flips: Tensor) -> Tensor:
    """Shift images, fill the gap at the edge with their reflection, and then mirror some of them.

    Args:
        pixels: (N, H, W, 3).
        shifts: rows and columns to shift by, (N, 2), less than H and W.
        flips: whether to mirror left to right, (N,) bool.
    """
    number, height, width, channels = pixels.shape
    rows = _reflected(torch.arange(height, device=pixels.device) + shifts[:, :1], height)  # (N, H)
    columns = _reflected(torch.arange(width, device=pixels.device) + shifts[:, 1:], width)  # (N, W)
    columns = torch.where(flips[:, None], columns.flip(1), columns)
    first_rows = height * torch.arange(number, device=pixels.device)[:, None]
    # One index for each pixel: a third of the time that an index for each dimension takes.
    chosen = ((first_rows + rows) * width)[:, :, None] + columns[:, None, :]
    return pixels.reshape(-1, channels).index_select(0, chosen.flatten()).view(pixels.shape)


def _reflected(positions: Tensor, size: int) -> Tensor:
    """Return positions from 0 to ``size`` - 1 in place of those beyond, mirrored at the first and the last one."""
    positions = positions.abs()
    return torch.minimum(positions, 2 * (size - 1) - positions)


def _apply_to_each(transform: nn.Module, pixels: Tensor, seeds: Sequence[int]) -> Tensor:
    """Return transformed images, (N, H, W, 3); each draws its random numbers from a seed of its own."""
    transformed = torch.empty_like(pixels)
    # Training's own random numbers, such as those of Dropout, stay as they are.
    with torch.random.fork_rng([pixels.device] if pixels.is_cuda else []):
        for image, result, seed in zip(pixels, transformed, seeds, strict=True):
            torch.manual_seed(seed)
            result.copy_(_apply(transform, image.permute(2, 0, 1)).permute(1, 2, 0))
    return transformed


def _apply(transform: nn.Module, image: Tensor) -> Tensor:
    """Return a transformed image, (3, H, W) uint8.

    Raises:
        ValueError: the transform returns something else.
    """
    found: object = transform(image)
    if isinstance(found, Tensor) and found.dtype == image.dtype and found.shape == image.shape:
        return found
    given = (
        f"{found.dtype}, {tuple(found.shape)}"
        if isinstance(found, Tensor)
        else f"an object of class {type(found).__name__}"
    )
    raise ValueError(
        f"the transform must return an image like the one it gets, {image.dtype}, {tuple(image.shape)}; "
        f"it returned {given}"
    )
