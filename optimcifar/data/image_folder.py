"""The data module of a person's own images, in a folder for each class."""

from __future__ import annotations

import hashlib
import os
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from optimcifar.data.augmentation import Augment
from optimcifar.data.class_folders import ClassFolders
from optimcifar.data.datamodule import ImageDataModule, absolute_root
from optimcifar.data.decoding import resizing
from optimcifar.data.folder_parts import FolderParts, find_parts, other_classes
from optimcifar.data.images import DataError, Images, blank_images, held_out_number, stratified_split

# No seed of a run: whatever is drawn for validation, the test images are the same.
_TEST_SEED = 2**32


class _Share(NamedTuple):
    """Some of the images in class folders, by position."""

    folders: ClassFolders
    positions: Tensor | slice = slice(None)  # which copies nothing

    def labels(self) -> Tensor:
        return self.folders.labels()[self.positions]

    def read(self) -> Images:
        images = self.folders.read()
        return Images(images.pixels[self.positions], images.labels[self.positions])


class ImageFolderDataModule(ImageDataModule):
    """Images of any size in a folder for each class, of which there are at least two.

    ``root`` holds ``train/<class>/...``, and maybe ``val/`` and ``test/`` with the same classes, or the class folders
    themselves. The classes are named after their folders, in alphabetical order. Nothing is downloaded.

    Files are PNG, JPEG, BMP, GIF, TIFF, WebP, PPM, PGM or PBM, and hold one image each. An image is scaled, and its
    middle cut out, to ``image_size``. The images are decoded once: for an ``image_size`` of 32 into ``train-32px.npz``
    beside ``train``, or into ``<root>-32px.npz`` beside ``root``. In memory they take N x image_size^2 x 3 bytes, and
    twice that while they are read.

    Args:
        root: the folder of the images; stored as an absolute path, ``~`` is the home folder.
        image_size: height and width to which the images are scaled and cut, in pixels, at least 1.
        batch_size: training images per batch and process, at least 1.
        val_size: without ``val/``: number of training images held out for validation, or their fraction if it is below
            1, the same share of every class; 0 trains on all of them and skips validation.
        test_size: without ``test/``: number of training images held out for the test, or their fraction if it is below
            1, the same share of every class, and the same images for every seed.
        mean: subtracted from pixel values, which are scaled to 0 to 1; one number or one per channel.
        std: divisor applied after subtracting `mean`, greater than 0; one number or one per channel.
        seed: sets the split and, together with the epoch, the order of the training images and their augmentation.
        augment: ``flip`` mirrors each training image left to right with probability 1/2; ``crop_flip`` first pads it
            by 4 pixels of reflection, and cuts out a random crop of its size; None leaves the images as they are.
        transform: a module that is called with each training image after that, (3, H, W) uint8, such as one of
            ``torchvision.transforms.v2``; None for none.

    Raises:
        ValueError: an argument is out of range.
    """

    def __init__(
        self,
        root: Path | str,
        image_size: int = 32,
        batch_size: int = 64,
        val_size: int | float = 0.1,
        test_size: int | float = 0.1,
        mean: float | list[float] = 0.5,
        std: float | list[float] = 0.5,
        seed: int = 0,
        augment: Augment | None = None,
        transform: nn.Module | None = None,
    ) -> None:
        if image_size < 1:
            raise ValueError(f"image_size must be at least 1, got {image_size}")
        for name, size in (("val_size", val_size), ("test_size", test_size)):
            if size < 0 or (isinstance(size, float) and size >= 1):
                raise ValueError(f"{name} must be a number of images, or a fraction from 0 to below 1, got {size}")
        super().__init__(batch_size, val_size, mean, std, seed, augment, transform)
        self.root = absolute_root(root, "a folder")
        self._image_size = image_size
        self._test_size = test_size
        self._blank = False
        root = str(self.root)  # what a checkpoint holds
        self.save_arguments()

    @property
    def dataset_name(self) -> str:
        """Name of the folder ``root``."""
        return self.root.name

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the class folders, sorted.

        Raises:
            DataError: ``root`` is missing, or holds something else.
        """
        return self._parts.class_names

    @property
    def image_size(self) -> int:
        """Height and width of the images in pixels."""
        return self._image_size

    def use_blank_images(self) -> None:
        """Use black images in place of the training images, which need not be decoded to be counted."""
        self._blank = True

    def read_train(self) -> Images:
        """Return the training images by class and file name, and after them those of ``val/``.

        Raises:
            DataError: a folder is empty or holds something else, or a file cannot be decoded.
            ValueError: ``test_size`` leaves no image to train on.
        """
        train, val = self._parts.train, self._parts.val
        shares = [_Share(self._folders(train), slice(None) if self._parts.test else self._held_out[0])]
        if val:
            shares.append(_Share(self._folders(val)))
        if self._blank:
            return blank_images(torch.cat([share.labels() for share in shares]), self.image_size)
        return _joined([share.read() for share in shares])

    def read_test(self) -> Images:
        """Return the images of ``test/``, or those held out for the test.

        Raises:
            DataError: a folder is empty or holds something else, or a file cannot be decoded.
            ValueError: there are no test images.
        """
        if self._parts.test:
            return self._folders(self._parts.test).read()
        if not self._test_size:
            raise ValueError(f"there are no test images: {self.root} has no folder test, and test_size is 0")
        return _Share(self._folders(self._parts.train), self._held_out[1]).read()

    def split(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the positions of the images to train on, and of those of ``val/`` or held out for validation."""
        if not self._parts.val:
            return super().split(labels)
        positions = torch.arange(len(labels))
        val = len(self._folders(self._parts.val).labels())
        return positions[:-val], positions[-val:]

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps: the classes of the network's outputs, and which images it must not see."""
        return {"class_names": list(self.class_names), "held_out": self._held_out_hash}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Refuse images of other classes than those of the checkpoint, or test images that it may have been trained on.

        Raises:
            DataError: the classes or the images held out for the test differ.
        """
        if other := other_classes(state_dict["class_names"], self.class_names):
            raise DataError(f"{self.root} must hold the classes that the checkpoint was trained with: found {other}")
        if not self._parts.test and self._held_out_hash != state_dict["held_out"]:
            raise DataError(
                f"{self.root} holds out other images for the test than the checkpoint's, which it may have been "
                "trained on\nPut all images and test_size back as they were, or put the test images into a folder test"
            )

    @cached_property
    def _parts(self) -> FolderParts:
        # Found once: a run names the classes that it read, whatever happens to the folder meanwhile.
        return find_parts(self.root)

    @cached_property
    def _held_out(self) -> tuple[Tensor, Tensor]:
        """Positions in ``train/``: of the images to train and validate on, and of those held out for the test."""
        labels = self._folders(self._parts.train).labels()
        number = held_out_number(self._test_size, len(labels))
        return stratified_split(labels, number, _TEST_SEED, "test_size")

    @cached_property
    def _held_out_hash(self) -> str | None:
        """A hash of the names of the images held out for the test; None if ``test/`` has them."""
        if self._parts.test:
            return None
        names = self._folders(self._parts.train).names()
        held_out = "\n".join(names[position] for position in self._held_out[1].tolist())
        return hashlib.sha256(os.fsencode(held_out)).hexdigest()

    def _folders(self, part: Path) -> ClassFolders:
        folders = tuple(part / name for name in self.class_names)
        cache = part.with_name(f"{part.name}-{self.image_size}px.npz")
        return ClassFolders(folders, cache, resizing(self.image_size))


def _joined(images: list[Images]) -> Images:
    if len(images) == 1:
        return images[0]
    return Images(torch.cat([one.pixels for one in images]), torch.cat([one.labels for one in images]))
