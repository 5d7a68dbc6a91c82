"""The CIFAR-10 and CIFAR-100 data modules."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import ClassVar

from lightning.pytorch.trainer.states import TrainerFn
from torch import nn

from optimcifar.data.augmentation import Augment
from optimcifar.data.cifar_archive import Batches, Blank, Download
from optimcifar.data.cifar_sources import DEFAULT_ROOT, Source, find_images
from optimcifar.data.cifar_specs import CIFAR10, CIFAR100, CIFARSpec
from optimcifar.data.datamodule import ImageDataModule, absolute_root
from optimcifar.data.images import DataError, Images


class CIFARDataModule(ImageDataModule):
    """Base class of the CIFAR-10 and CIFAR-100 data modules: 50,000 training and 10,000 test images, 32x32 RGB.

    Reads the first of these that ``root`` holds:

    - torchvision's folder, ``cifar-10-batches-py/`` or ``cifar-100-python/``, or its files themselves;
    - ``train/<class>/*.png|jpg`` and ``test/<class>/...``, in any capitals, decoded once into ``train.npz`` and
      ``test.npz`` beside them;
    - ``cifar-10-python.tar.gz`` or ``cifar-100-python.tar.gz``, the official archive, unpacked once beside itself.

    ``root`` may also be the archive itself. If it is missing, or holds nothing but the other archive, a new run
    downloads the archive to it, unless images lie above or beside it.

    Args:
        root: the folder or archive with the images; stored as an absolute path, ``~`` is the home folder.
        batch_size: training images per batch and process, at least 1.
        val_size: number of training images held out for validation, the same share of every class; 0 trains on
            all images and skips validation.
        mean: subtracted from pixel values, which are scaled to 0 to 1; one number or one per channel.
        std: divisor applied after subtracting `mean`, greater than 0; one number or one per channel.
        seed: sets the split and, together with the epoch, the order of the training images and their augmentation.
        augment: ``flip`` mirrors each training image left to right with probability 1/2; ``crop_flip`` first pads it
            by 4 pixels of reflection, and cuts out a random crop of its size; None leaves the images as they are.
        transform: a module that is called with each training image after that, (3, 32, 32) uint8, such as one of
            ``torchvision.transforms.v2``; None for none.

    Attributes:
        spec: the official archive.

    Raises:
        ValueError: an argument is out of range.

    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """

    spec: ClassVar[CIFARSpec]

    def __init__(
        self,
        root: Path | str = DEFAULT_ROOT,
        batch_size: int = 64,
        val_size: int = 5000,
        mean: float | list[float] = 0.5,
        std: float | list[float] = 0.5,
        seed: int = 0,
        augment: Augment | None = None,
        transform: nn.Module | None = None,
    ) -> None:
        super().__init__(batch_size, val_size, mean, std, seed, augment, transform)
        self.root = absolute_root(root, "a folder or an archive")
        root = str(self.root)  # what a checkpoint holds
        self.save_arguments()

    @property
    def dataset_name(self) -> str:
        """Name of the data set, with the file format for image folders, which may be lossy copies."""
        return self._source.dataset_name

    def prepare_data(self) -> None:
        """Unpack or download the archive unless the images are already there.

        Raises:
            DataError: ``root`` holds something else, or the images cannot be downloaded, or are missing although the
                trainer does not train, but needs those of an earlier run.
        """
        trains = self.trainer is None or self.trainer.state.fn == TrainerFn.FITTING
        if isinstance(self._source, Download) and not trains:
            raise DataError(
                f"there are no images in {self.root}, and only a new run downloads any\n"
                "Name the folder of the images that the checkpoint was trained with: --data.root DIR"
            )
        self._source.prepare()

    def use_blank_images(self) -> None:
        """Use black images in place of the official ones, whose number is known."""
        if isinstance(self._source, Batches):
            self._source = Blank(self.spec, self._source.folder)

    def read_train(self) -> Images:
        """Return the 50,000 training images.

        Raises:
            DataError: a file is missing or damaged.
        """
        return self._source.read("train")

    def read_test(self) -> Images:
        """Return the 10,000 test images.

        Raises:
            DataError: a file is missing or damaged.
        """
        return self._source.read("test")

    @cached_property
    def _source(self) -> Source:
        # Found once: a run names the images that it read, whatever happens to the folder meanwhile.
        return find_images(self.root, self.spec)


class CIFAR10DataModule(CIFARDataModule):
    """CIFAR-10: 50,000 training and 10,000 test images, 32x32 RGB, in ten classes.

    ``CIFARDataModule`` describes the arguments, and where the images are looked for.
    """

    spec = CIFAR10
    class_names = CIFAR10.class_names


class CIFAR100DataModule(CIFARDataModule):
    """CIFAR-100: 50,000 training and 10,000 test images, 32x32 RGB, in a hundred classes, the archive's fine labels.

    ``CIFARDataModule`` describes the arguments, and where the images are looked for.
    """

    spec = CIFAR100
    class_names = CIFAR100.class_names
