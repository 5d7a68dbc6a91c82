"""Shapes10: ten classes of generated images, for quick trials and machines without a network."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from optimcifar.data.augmentation import Augment
from optimcifar.data.datamodule import ImageDataModule
from optimcifar.data.images import Images

# Fixed, so that every user and every run has the same images.
_DRAWING_SEEDS = {"train": 10, "test": 11}

# Images drawn at a time; limits the memory for their coordinates.
_CHUNK = 500


class Shapes10DataModule(ImageDataModule):
    """Ten classes of 32x32 RGB images: shapes and textures of random position, size, angle and colour.

    An image's two colours and its noise are independent of its class, so neither colour nor brightness reveals the
    class: a linear classifier on the pixels stays below 45 % accuracy. Results on these images say nothing about
    CIFAR-10.

    Args:
        batch_size: training images per batch and process, at least 1.
        val_size: number of training images held out for validation, the same share of every class; 0 trains on
            all images and skips validation.
        mean: subtracted from pixel values, which are scaled to 0 to 1; one number or one per channel.
        std: divisor applied after subtracting `mean`, greater than 0; one number or one per channel.
        seed: sets the split and, together with the epoch, the order of the training images and their augmentation, but
            not the images.
        train_images: number of training images, at least 10.
        test_images: number of test images, at least 10.
        augment: ``flip`` mirrors each training image left to right with probability 1/2; ``crop_flip`` first pads it
            by 4 pixels of reflection, and cuts out a random crop of its size; None leaves the images as they are.
        transform: a module that is called with each training image after that, (3, 32, 32) uint8, such as one of
            ``torchvision.transforms.v2``; None for none.

    Raises:
        ValueError: an argument is out of range.
    """

    class_names = ("disc", "ring", "square", "frame", "triangle", "cross", "star", "stripes", "checks", "dots")
    dataset_name = "Shapes10"

    def __init__(
        self,
        batch_size: int = 64,
        val_size: int = 1000,
        mean: float | list[float] = 0.5,
        std: float | list[float] = 0.5,
        seed: int = 0,
        train_images: int = 10_000,
        test_images: int = 2_000,
        augment: Augment | None = None,
        transform: nn.Module | None = None,
    ) -> None:
        for name, number in (("train_images", train_images), ("test_images", test_images)):
            if number < len(self.class_names):
                raise ValueError(f"{name} must be at least {len(self.class_names)}, got {number}")
        super().__init__(batch_size, val_size, mean, std, seed, augment, transform)
        self.train_images = train_images
        self.test_images = test_images
        self.save_arguments()

    def read_train(self) -> Images:
        """Draw the training images."""
        return draw_shapes(self.train_images, _DRAWING_SEEDS["train"])

    def read_test(self) -> Images:
        """Draw the test images."""
        return draw_shapes(self.test_images, _DRAWING_SEEDS["test"])


def draw_shapes(number: int, seed: int) -> Images:
    """Draw images of the ten classes in turn, so that class counts differ by at most one.

    Args:
        number: number of images.
        seed: equal seeds give equal images.
    """
    generator = torch.Generator().manual_seed(seed)
    labels = torch.arange(number) % len(_MASKS)
    pixels = torch.empty((number, 32, 32, 3), dtype=torch.uint8)
    for start in range(0, number, _CHUNK):
        pixels[start : start + _CHUNK] = _draw(labels[start : start + _CHUNK], generator)
    return Images(pixels, labels)


def _draw(labels: Tensor, generator: torch.Generator) -> Tensor:
    number = len(labels)

    def uniform(low: float, high: float, *shape: int) -> Tensor:
        return torch.empty(number, *shape).uniform_(low, high, generator=generator)

    u, v = _coordinates(
        centre=uniform(-4, 4, 2), radius=uniform(8, 13, 1, 1), angle=uniform(0, 2 * torch.pi, 1, 1)
    )  # (number, 32, 32) each
    inside = torch.empty(number, 32, 32)
    for label, mask in enumerate(_MASKS):
        chosen = labels == label
        inside[chosen] = mask(u[chosen], v[chosen]).float()
    ground = uniform(0, 1, 1, 1, 3)
    # The second colour keeps its distance from the first, lighter or darker: shapes are visible, no colour is typical.
    contrast = uniform(0.2, 0.5, 1, 1, 3) * torch.where(ground < 0.5, 1.0, -1.0)
    noise = torch.randn(number, 32, 32, 3, generator=generator) * uniform(0.05, 0.2, 1, 1, 1)
    values = ground + inside[..., None] * contrast + noise
    return values.clamp_(0, 1).mul_(255).round_().byte()


def _coordinates(centre: Tensor, radius: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Return the pixels' coordinates relative to each image's shape, scaled so that its circle has radius 1."""
    line = torch.arange(32.0) - 15.5
    x = (line[None, None, :] - centre[:, 0, None, None]) / radius
    y = (line[None, :, None] - centre[:, 1, None, None]) / radius
    return x * angle.cos() + y * angle.sin(), y * angle.cos() - x * angle.sin()


def _disc(u: Tensor, v: Tensor) -> Tensor:
    return u.square() + v.square() < 1


def _ring(u: Tensor, v: Tensor) -> Tensor:
    return _disc(u, v) & ~_disc(u / 0.6, v / 0.6)


def _square(u: Tensor, v: Tensor) -> Tensor:
    return torch.maximum(u.abs(), v.abs()) < 0.85


def _frame(u: Tensor, v: Tensor) -> Tensor:
    return _square(u, v) & ~_square(u / 0.6, v / 0.6)


def _triangle(u: Tensor, v: Tensor) -> Tensor:
    # Inside all three sides, each 0.55 from the centre.
    sides = [u * torch.tensor(a).cos() + v * torch.tensor(a).sin() for a in (0.0, 2 * torch.pi / 3, 4 * torch.pi / 3)]
    return torch.stack(sides).amax(0) < 0.55


def _cross(u: Tensor, v: Tensor) -> Tensor:
    return (torch.minimum(u.abs(), v.abs()) < 0.3) & (torch.maximum(u.abs(), v.abs()) < 1)


def _star(u: Tensor, v: Tensor) -> Tensor:
    return torch.hypot(u, v) < 0.7 + 0.4 * torch.cos(5 * torch.atan2(v, u))


def _stripes(u: Tensor, v: Tensor) -> Tensor:
    return _disc(u, v) & (torch.sin(2.5 * torch.pi * u) > 0)


def _checks(u: Tensor, v: Tensor) -> Tensor:
    return _disc(u, v) & (torch.sin(2 * torch.pi * u) * torch.sin(2 * torch.pi * v) > 0)


def _dots(u: Tensor, v: Tensor) -> Tensor:
    return _disc(u, v) & (torch.cos(2.5 * torch.pi * u) + torch.cos(2.5 * torch.pi * v) > 0.7)


# Area drawn in the second colour, in the order of the classes.
_MASKS: tuple[Callable[[Tensor, Tensor], Tensor], ...] = (
    _disc,
    _ring,
    _square,
    _frame,
    _triangle,
    _cross,
    _star,
    _stripes,
    _checks,
    _dots,
)
