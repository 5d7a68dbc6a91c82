"""The base of the data modules: images in memory, split, ordered and normalised a batch at a time."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from optimcifar.data.images import Images, InOrderSampler, SeedEpochSampler, SubsetInMemory, stratified_split

# Evaluation has no gradients to keep: larger batches than in training cost little memory and save time.
_EVALUATION_BATCH_SIZE = 500


def _as_is(batch: Any) -> Any:
    # The subset hands out whole batches: there is nothing left to collate.
    return batch


class ImageDataModule(LightningDataModule):
    """Base of the data modules: holds uint8 images, splits them, and normalises them a batch at a time.

    A subclass says where images come from, in ``read_train`` and ``read_test``. Batches reach the module as
    ``Images``: pixels (N, 3, 32, 32) float32, ``(value / 255 - mean) / std``, and labels (N,) int64.

    Args:
        batch_size: training images per batch and per process, at least 1.
        val_size: number of training images held out for validation, from every class in proportion; 0 trains on
            all of them, without validation.
        mean: subtracted from the pixels' values, which are 0 to 1: one number, or one a channel.
        std: what they are divided by then; greater than 0.
        seed: decides the split, and with the epoch the order of the images.

    Raises:
        ValueError: an argument is out of its range.
    """

    class_names: tuple[str, ...]

    def __init__(
        self,
        batch_size: int = 64,
        val_size: int = 5000,
        mean: float | list[float] = 0.5,
        std: float | list[float] = 0.5,
        seed: int = 0,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        if val_size < 0:
            raise ValueError(f"val_size must be at least 0, got {val_size}")
        if seed < 0:
            raise ValueError(f"seed must be at least 0, got {seed}")
        for name, value in (("mean", mean), ("std", std)):
            if isinstance(value, list) and len(value) != 3:
                raise ValueError(f"{name} must be one number or three, got {len(value)}")
        if torch.as_tensor(std).min() <= 0:
            raise ValueError(f"std must be greater than 0, got {std}")
        super().__init__()
        self.batch_size = batch_size
        self.val_size = val_size
        self.seed = seed
        # (value / 255 - mean) / std as value * scale + shift, for channels or for all of them
        self._scale = 1 / (255 * torch.as_tensor(std, dtype=torch.float32).reshape(-1, 1, 1))
        self._shift = -torch.as_tensor(mean, dtype=torch.float32).reshape(-1, 1, 1) * 255 * self._scale
        self._train: SubsetInMemory | None = None
        self._val: SubsetInMemory | None = None
        self._test: SubsetInMemory | None = None

    @property
    @abstractmethod
    def dataset_name(self) -> str:
        """What the images are, as it is shown beside every figure measured on them."""

    @abstractmethod
    def read_train(self) -> Images:
        """Return all training images, those held out for validation among them."""

    @abstractmethod
    def read_test(self) -> Images:
        """Return the test images."""

    def setup(self, stage: str) -> None:
        """Read the images that a stage needs, the test images for ``"test"`` only, to where the trainer computes."""
        if stage == "test":
            images = self._in_place(self._test.images if self._test else self.read_test())
            self._test = SubsetInMemory(images, torch.arange(len(images.labels)))
        else:
            images = self._in_place(self._train.images if self._train else self.read_train())
            train, val = stratified_split(images.labels.cpu(), self.val_size, self.seed)
            self._train, self._val = SubsetInMemory(images, train), SubsetInMemory(images, val)

    @property
    def train_positions(self) -> Tensor:
        """(N,) which of the training images are trained on, after ``setup("fit")``."""
        return _after_setup(self._train, "fit").positions

    @property
    def val_positions(self) -> Tensor:
        """(N,) which of the training images are held out for validation, after ``setup("fit")``."""
        return _after_setup(self._val, "fit").positions

    @property
    def val_labels(self) -> Tensor:
        """(M,) the classes of the validation images, in the order of ``val_positions``, after ``setup("fit")``."""
        subset = _after_setup(self._val, "fit")
        return subset.images.labels[subset.positions]

    @property
    def test_size(self) -> int:
        """Number of test images, after ``setup("test")``."""
        return len(_after_setup(self._test, "test"))

    def train_order(self, epoch: int) -> Tensor:
        """Return the positions among all training images in the order in which an epoch, from 0, sees them."""
        return self.train_positions[SeedEpochSampler(_after_setup(self._train, "fit"), self.seed).order(epoch)]

    def train_dataloader(self) -> DataLoader[Images]:
        """Return the loader of the training images, in the order of (seed, epoch)."""
        subset = _after_setup(self._train, "fit")
        sampler = SeedEpochSampler(subset, self.seed, *self._processes())
        return DataLoader(subset, batch_size=self.batch_size, sampler=sampler, collate_fn=_as_is)

    def val_dataloader(self) -> DataLoader[Images] | list[DataLoader[Images]]:
        """Return the loader of the validation images; an empty list where there are none."""
        subset = _after_setup(self._val, "fit")
        return self._evaluation_loader(subset) if len(subset) else []

    def test_dataloader(self) -> DataLoader[Images]:
        """Return the loader of the test images."""
        return self._evaluation_loader(_after_setup(self._test, "test"))

    def predict_dataloader(self) -> DataLoader[Images]:
        """Return the loader of the validation images, the ones held out that are not for the final test.

        Raises:
            ValueError: ``val_size`` is 0.
        """
        subset = _after_setup(self._val, "predict")
        if not len(subset):
            raise ValueError("val_size must be at least 1 to predict: it is the validation images that are predicted")
        return self._evaluation_loader(subset)

    def transfer_batch_to_device(self, batch: Images, device: torch.device, dataloader_idx: int) -> Images:
        """Return the batch, which is on the device already if ``setup`` knew the trainer."""
        # Lightning looks for tensors in structures of any kind, which takes longer than to move them.
        return batch.to(device)

    def on_after_batch_transfer(self, batch: Images, dataloader_idx: int) -> Images:
        """Normalise a batch."""
        pixels, labels = batch
        # A pixel's channels lie side by side, which is the memory format that small convolutions are fastest in: the
        # view keeps it.
        values = pixels.permute(0, 3, 1, 2).float()  # (N, 3, 32, 32), channels_last
        scale, shift = self._scale.to(values.device), self._shift.to(values.device)
        return Images(values.mul_(scale).add_(shift), labels)

    def _evaluation_loader(self, subset: SubsetInMemory) -> DataLoader[Images]:
        sampler = InOrderSampler(subset, *self._processes())
        batch_size = max(self.batch_size, _EVALUATION_BATCH_SIZE)
        return DataLoader(subset, batch_size=batch_size, sampler=sampler, collate_fn=_as_is)

    def _in_place(self, images: Images) -> Images:
        """Return the images on the trainer's device: a GPU takes all of them once, and none in a step."""
        return images.to(self.trainer.strategy.root_device) if self.trainer else images

    def _processes(self) -> tuple[int, int]:
        """Return the number of processes and this one's rank."""
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)


def image_data(trainer: Trainer) -> ImageDataModule | None:
    """Return the trainer's data module if it is one of this package's."""
    data = getattr(trainer, "datamodule", None)
    return data if isinstance(data, ImageDataModule) else None


def _after_setup(subset: SubsetInMemory | None, stage: str) -> SubsetInMemory:
    if subset is None:
        raise RuntimeError(f'the images are not read yet: call setup("{stage}") first')
    return subset
