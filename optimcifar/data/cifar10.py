"""The CIFAR-10 data module."""

from __future__ import annotations

from pathlib import Path

from optimcifar.data.cifar10_archive import BATCHES, ensure_batches, read_batches
from optimcifar.data.datamodule import ImageDataModule
from optimcifar.data.image_folders import file_format, has_image_folders, read_image_folder
from optimcifar.data.images import Images


class CIFAR10DataModule(ImageDataModule):
    """CIFAR-10: 50,000 training and 10,000 test images, 32x32 RGB, in ten classes.

    Reads the first of these found in ``root``:

    - ``cifar-10-batches-py/``, torchvision's folder;
    - ``train/<class>/*.png|jpg`` and ``test/<class>/...``, decoded once into ``train.npz`` and ``test.npz``;
    - ``cifar-10-python.tar.gz``, the official archive, unpacked once.

    If there is none, downloads the archive.

    Args:
        root: folder with the images; a download goes here too.
        batch_size: training images per batch and process, at least 1.
        val_size: number of training images held out for validation, the same share of every class; 0 trains on
            all images and skips validation.
        mean: subtracted from pixel values, which are scaled to 0 to 1; one number or one per channel.
        std: divisor applied after subtracting `mean`, greater than 0; one number or one per channel.
        seed: sets the split and, together with the epoch, the order of the training images.

    Raises:
        ValueError: an argument is out of range.

    Source: A. Krizhevsky, "Learning Multiple Layers of Features from Tiny Images", 2009.
    """

    class_names = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def __init__(
        self,
        root: str = "data",
        batch_size: int = 64,
        val_size: int = 5000,
        mean: float | list[float] = 0.5,
        std: float | list[float] = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__(batch_size, val_size, mean, std, seed)
        self.root = Path(root)
        self.save_hyperparameters(logger=False)

    @property
    def dataset_name(self) -> str:
        """``CIFAR-10``, with the file format for image folders, which may be lossy copies."""
        if self._reads_folders():
            return f"CIFAR-10, {file_format(self.root / 'train' / self.class_names[0])} copy"
        return "CIFAR-10"

    def prepare_data(self) -> None:
        """Unpack or download the archive unless the images are already there."""
        if not self._reads_folders():
            ensure_batches(self.root)

    def read_train(self) -> Images:
        """Return the 50,000 training images.

        Raises:
            DataError: a file is missing or damaged.
        """
        return self._read("train")

    def read_test(self) -> Images:
        """Return the 10,000 test images.

        Raises:
            DataError: a file is missing or damaged.
        """
        return self._read("test")

    def _reads_folders(self) -> bool:
        return not (self.root / BATCHES).is_dir() and has_image_folders(self.root, self.class_names)

    def _read(self, part: str) -> Images:
        if self._reads_folders():
            return read_image_folder(self.root / part, self.class_names)
        return read_batches(self.root, train=part == "train")
