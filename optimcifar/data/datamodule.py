"""Base class of the data modules: images in memory, split, shuffled, augmented and normalised per batch."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from pathlib import Path
from typing import Any, get_args

import torch
from lightning.pytorch import LightningDataModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from optimcifar.data.augmentation import Augment, AugmentedSubset
from optimcifar.data.images import (
    Batch,
    Images,
    InOrderSampler,
    SeedEpochSampler,
    SubsetInMemory,
    held_out_number,
    stratified_split,
)
from optimcifar.data.loader import ResumableLoader
from optimcifar.paths import absolute_path

# Evaluation keeps no activations for a backward pass, so larger batches cost little memory and save time.
_EVALUATION_BATCH_SIZE = 500


class ImageDataModule(LightningDataModule):
    """Base class of the data modules: keeps uint8 images in memory, splits them and normalises them per batch.

    Subclasses load the images in ``read_train`` and ``read_test``, as ``Images``. They reach the LightningModule as
    ``Batch``: images (N, 3, H, W) float32, ``(value / 255 - mean) / std``, and labels (N,) int64.

    Args:
        batch_size: training images per batch and process, at least 1.
        val_size: number of training images held out for validation, or their fraction if it is a float, the same share
            of every class; 0 trains on all images and skips validation.
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
        batch_size: int = 64,
        val_size: int | float = 5000,
        mean: float | list[float] = 0.5,
        std: float | list[float] = 0.5,
        seed: int = 0,
        augment: Augment | None = None,
        transform: nn.Module | None = None,
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
        if augment not in (None, *get_args(Augment)):
            raise ValueError(f"augment must be one of {', '.join(get_args(Augment))}, or None; got {augment!r}")
        if torch.as_tensor(std).min() <= 0:
            raise ValueError(f"std must be greater than 0, got {std}")
        super().__init__()
        self.batch_size = batch_size
        self.val_size = val_size
        self.seed = seed
        self.augment = augment
        self.transform = transform
        # (value / 255 - mean) / std == value * scale + shift, per channel or for all channels.
        self._scale = 1 / (255 * torch.as_tensor(std, dtype=torch.float32).reshape(-1, 1, 1))
        self._shift = -torch.as_tensor(mean, dtype=torch.float32).reshape(-1, 1, 1) * 255 * self._scale
        self._train: SubsetInMemory | None = None
        self._val: SubsetInMemory | None = None
        self._test: SubsetInMemory | None = None

    @property
    @abstractmethod
    def dataset_name(self) -> str:
        """Name of the data set, shown with every result."""

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, in the order of their labels."""

    @property
    def num_classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    @property
    def image_size(self) -> int:
        """Height and width of the images in pixels; 32 unless a subclass says otherwise."""
        return 32

    @property
    def augmentation(self) -> str:
        """What is done to training images, in words: ``crop_flip, RandomErasing``; empty if nothing is."""
        transform = [] if self.transform is None else [type(self.transform).__name__]
        return ", ".join([*([self.augment] if self.augment else []), *transform])

    @abstractmethod
    def read_train(self) -> Images:
        """Return all training images, including those held out for validation."""

    @abstractmethod
    def read_test(self) -> Images:
        """Return the test images."""

    def use_blank_images(self) -> None:
        """Use blank images where the number of images is known without reading them: for a run that trains nothing."""

    def setup(self, stage: str) -> None:
        """Read the images of a stage and move them to the trainer's device; only ``"test"`` reads the test images."""
        if stage == "test":
            images = self._to_trainer_device(self._test.images if self._test else self.read_test())
            self._test = SubsetInMemory(images, torch.arange(len(images.labels)))
        else:
            images = self._to_trainer_device(self._train.images if self._train else self.read_train())
            train, val = self.split(images.labels.cpu())
            self._train, self._val = SubsetInMemory(images, train), SubsetInMemory(images, val)

    def split(self, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the positions of the images to train on and of those held out for validation, in ascending order.

        Args:
            labels: classes of all training images, (N,).

        Raises:
            ValueError: ``val_size`` leaves no image to train on.
        """
        return stratified_split(labels, held_out_number(self.val_size, len(labels)), self.seed)

    @property
    def train_positions(self) -> Tensor:
        """Positions of the images to train on, (N,), among all training images; requires ``setup("fit")``."""
        return _require_setup(self._train, "fit").positions

    @property
    def val_positions(self) -> Tensor:
        """Positions of the validation images, (M,), among all training images; requires ``setup("fit")``."""
        return _require_setup(self._val, "fit").positions

    @property
    def val_labels(self) -> Tensor:
        """Classes of the validation images, (M,), in the order of ``val_positions``; requires ``setup("fit")``."""
        subset = _require_setup(self._val, "fit")
        return subset.images.labels[subset.positions]

    @property
    def test_size(self) -> int:
        """Number of test images; requires ``setup("test")``."""
        return len(_require_setup(self._test, "test"))

    def train_order(self, epoch: int) -> Tensor:
        """Return ``train_positions`` in the order of an epoch, counted from 0."""
        return self.train_positions[SeedEpochSampler(_require_setup(self._train, "fit"), self.seed).order(epoch)]

    def train_dataloader(self) -> ResumableLoader:
        """Return the loader of the training images, shuffled and augmented by (seed, epoch).

        Raises:
            ValueError: the images are too small to be cropped, or the transform does not return such an image.
        """
        subset = _require_setup(self._train, "fit")
        if self.augment or self.transform is not None:
            subset = AugmentedSubset(subset.images, subset.positions, self.seed, self.augment, self.transform)
        sampler = SeedEpochSampler(subset, self.seed, *self._world_size_and_rank())
        return ResumableLoader(
            subset,
            batch_size=self.batch_size,
            sampler=sampler,
            collate_fn=_keep_batch,
            generator=torch.Generator(),
            batches_done=self._batches_done,
        )

    def val_dataloader(self) -> DataLoader[Images] | list[DataLoader[Images]]:
        """Return the loader of the validation images, or an empty list if there are none."""
        subset = _require_setup(self._val, "fit")
        return self._evaluation_loader(subset) if len(subset) else []

    def test_dataloader(self) -> DataLoader[Images]:
        """Return the loader of the test images."""
        return self._evaluation_loader(_require_setup(self._test, "test"))

    def predict_dataloader(self) -> DataLoader[Images]:
        """Return the loader of the validation images, which are held out but are not the final test.

        Raises:
            ValueError: ``val_size`` is 0.
        """
        subset = _require_setup(self._val, "predict")
        if not len(subset):
            raise ValueError("val_size must be at least 1 to predict: predictions are for the validation images")
        return self._evaluation_loader(subset)

    def transfer_batch_to_device(self, batch: Images, device: torch.device, dataloader_idx: int) -> Images:
        """Move a batch to the device; after ``setup`` with a trainer it is already there."""
        # Lightning's own version searches nested structures for tensors, which takes longer than moving them.
        return batch.to(device)

    def on_after_batch_transfer(self, batch: Images, dataloader_idx: int) -> Batch:
        """Normalise a batch."""
        # A view keeps the pixels' channels adjacent in memory, the format in which small convolutions are fastest.
        values = batch.pixels.permute(0, 3, 1, 2).float()  # (N, 3, H, W), channels_last
        scale, shift = self._scale.to(values.device), self._shift.to(values.device)
        # The dtype is not float32 with a precision such as bf16-true.
        dtype = self.trainer.lightning_module.dtype if self.trainer else torch.float32
        return Batch(values.mul_(scale).add_(shift).to(dtype), batch.labels)

    def save_arguments(self) -> None:
        """Save the arguments of a subclass's ``__init__`` for checkpoints and tables; that ``__init__`` calls this."""
        frame = inspect.currentframe()
        caller = frame.f_back if frame else None
        # A checkpoint cannot hold a transform that was made in Python; the command line gives import paths and numbers.
        self.save_hyperparameters(ignore="transform", frame=caller, logger=False)
        if "_instantiator" in self.hparams:
            self.save_hyperparameters(frame=caller, logger=False)

    def _evaluation_loader(self, subset: SubsetInMemory) -> DataLoader[Images]:
        sampler = InOrderSampler(subset, *self._world_size_and_rank())
        batch_size = max(self.batch_size, _EVALUATION_BATCH_SIZE)
        # With a generator of its own a loader draws no numbers from the one that Dropout uses.
        generator = torch.Generator()
        return DataLoader(subset, batch_size=batch_size, sampler=sampler, collate_fn=_keep_batch, generator=generator)

    def _batches_done(self) -> int:
        return self.trainer.fit_loop.epoch_loop.batch_progress.current.ready if self.trainer else 0

    def _to_trainer_device(self, images: Images) -> Images:
        """Move all images to the trainer's device once, so that no step has to copy any to a GPU."""
        return images.to(self.trainer.strategy.root_device) if self.trainer else images

    def _world_size_and_rank(self) -> tuple[int, int]:
        return (self.trainer.world_size, self.trainer.global_rank) if self.trainer else (1, 0)


def absolute_root(root: Path | str, expected: str) -> Path:
    """Return the place of a data module's images as an absolute path.

    Raises:
        ValueError: there is none, or it cannot be expanded.
    """
    if root is None:  # in YAML, ~ alone means nothing
        raise ValueError(f"root must be {expected}, got nothing; the home folder is ~/")
    return absolute_path(root)


def image_data(trainer: Trainer) -> ImageDataModule | None:
    """Return the trainer's data module if it is an ``ImageDataModule``, else None."""
    data = getattr(trainer, "datamodule", None)
    return data if isinstance(data, ImageDataModule) else None


def _require_setup(subset: SubsetInMemory | None, stage: str) -> SubsetInMemory:
    if subset is None:
        raise RuntimeError(f'the images have not been read yet: call setup("{stage}") first')
    return subset


def _keep_batch(batch: Any) -> Any:
    # SubsetInMemory returns whole batches: nothing is left to collate.
    return batch
