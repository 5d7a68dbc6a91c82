from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import Command, equal_weights, quiet_trainer, read_summary, read_weights
from torch import Tensor, nn
from torchvision.transforms import v2

from optimcifar import ImageClassifier, RunSummary, Shapes10DataModule
from optimcifar.data.augmentation import AugmentedSubset, cut_out, draw
from optimcifar.data.images import Images, SeedEpochSampler


def images(number: int, height: int = 32, width: int = 32) -> Images:
    pixels = torch.randint(0, 256, (number, height, width, 3), dtype=torch.uint8)
    return Images(pixels, torch.arange(number))


def subset_of(number: int, **settings: Any) -> AugmentedSubset:
    torch.manual_seed(0)
    return AugmentedSubset(
        images(number), torch.arange(number), **({"seed": 0, "augment": None, "transform": None} | settings)
    )


def epoch_of(data: Shapes10DataModule, epoch: int) -> Tensor:
    """Return the training images of an epoch, (N, 32, 32, 3), in the order of the data set."""
    loader = data.train_dataloader()
    assert isinstance(loader.sampler, SeedEpochSampler)
    loader.sampler.set_epoch(epoch)
    pixels = torch.cat([batch.pixels for batch in loader])
    return pixels[data.train_order(epoch).argsort()]


def small_data(**settings: Any) -> Shapes10DataModule:
    defaults: dict[str, Any] = {"train_images": 200, "val_size": 50, "augment": "crop_flip"}
    data = Shapes10DataModule(**(defaults | settings))
    data.setup("fit")
    return data


@pytest.mark.parametrize(("height", "width"), [(32, 32), (5, 9)])
def test_crops_and_flips_equal_torchvisions(height: int, width: int) -> None:
    pixels = images(60, height, width).pixels
    shifts, flips, _ = draw(0, 0, 60)
    expected = pixels.permute(0, 3, 1, 2)
    padded = v2.functional.pad(expected, [4], padding_mode="reflect")
    found = cut_out(pixels, shifts, flips)
    for image, wide, (down, right), flip in zip(found, padded, shifts.tolist(), flips, strict=True):
        crop = v2.functional.crop(wide, 4 + down, 4 + right, height, width)
        assert torch.equal(image.permute(2, 0, 1), v2.functional.horizontal_flip(crop) if flip else crop)


def test_shifts_and_flips_are_equally_frequent() -> None:
    shifts, flips, _ = draw(0, 0, 9000)
    for counts in (shifts[:, 0].add(4).bincount(), shifts[:, 1].add(4).bincount()):
        assert len(counts) == 9
        assert counts.sub(1000).abs().max() < 5 * 30  # standard errors
    assert abs(int(flips.sum()) - 4500) < 5 * 48


def test_flip_alone_moves_nothing() -> None:
    subset = subset_of(100, augment="flip")
    found, original = subset.__getitems__(range(100)).pixels, subset.images.pixels
    same = (found == original).flatten(1).all(1)
    mirrored = (found == original.flip(2)).flatten(1).all(1)
    assert (same | mirrored).all()
    assert 30 < mirrored.sum() < 70


@pytest.mark.parametrize(
    "settings", [{"augment": "crop_flip"}, {"augment": None, "transform": v2.RandomErasing(p=0.5)}]
)
def test_depends_on_seed_epoch_and_image_alone(settings: dict[str, Any]) -> None:
    first = epoch_of(small_data(**settings), 3)
    torch.manual_seed(99)
    data = small_data(**settings, batch_size=7)
    epoch_of(data, 0)
    assert torch.equal(epoch_of(data, 3), first)
    assert not torch.equal(epoch_of(data, 2), first)
    # Another seed has another split: its data set has the same images in other places.
    subsets = [subset_of(50, seed=seed, **settings) for seed in (0, 1)]
    assert not torch.equal(*(subset.__getitems__(range(50)).pixels for subset in subsets))


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_together_train_on_the_images_of_one(processes: int) -> None:
    subset = subset_of(60, augment="crop_flip")
    whole = subset.__getitems__(SeedEpochSampler(subset, 0).order(0).tolist()).pixels
    shares = [
        subset.__getitems__(list(SeedEpochSampler(subset, 0, processes, rank))).pixels for rank in range(processes)
    ]
    assert torch.equal(torch.stack(shares, 1).flatten(0, 1), whole)


def test_only_training_images_are_augmented() -> None:
    data, plain = small_data(), small_data(augment=None)
    assert not torch.equal(epoch_of(data, 0), epoch_of(plain, 0))
    assert torch.equal(*(next(iter(of.predict_dataloader())).pixels for of in (data, plain)))


def test_a_transform_draws_for_each_image_and_leaves_training_its_random_numbers() -> None:
    class Shift(nn.Module):
        def forward(self, image: Tensor) -> Tensor:
            return image.roll(int(torch.randint(0, 32, ())), 2)

    subset = subset_of(40, transform=Shift())
    state = torch.get_rng_state()
    found = subset.__getitems__(range(40)).pixels
    assert torch.equal(torch.get_rng_state(), state)
    original = subset.images.pixels
    shifts = [next(s for s in range(32) if torch.equal(f, o.roll(s, 1))) for f, o in zip(found, original, strict=True)]
    assert len(set(shifts)) > 10


@pytest.mark.parametrize(
    ("transform", "message"),
    [
        (v2.ToDtype(torch.float32, scale=True), r"returned torch\.float32, \(3, 32, 32\)"),
        (v2.CenterCrop(28), r"returned torch\.uint8, \(3, 28, 28\)"),
        (nn.Sequential(v2.ToPILImage()), "returned an object of class Image"),
    ],
)
def test_a_transform_that_returns_something_else_is_refused(transform: nn.Module, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        subset_of(1, transform=transform)


def test_images_too_small_for_a_crop_are_refused() -> None:
    with pytest.raises(ValueError, match="crop_flip needs images of more than 4x4 pixels, got 4x32"):
        AugmentedSubset(images(1, 4), torch.arange(1), 0, "crop_flip", None)


def test_unknown_augmentation_is_refused() -> None:
    with pytest.raises(ValueError, match="augment must be one of flip, crop_flip, or None; got 'crop'"):
        Shapes10DataModule(augment="crop")  # type: ignore[arg-type]


AUGMENTED = (
    *("--data", "Shapes10DataModule", "--data.train_images", 300, "--data.val_size", 60, "--data.batch_size", 32),
    *("--data.augment", "crop_flip", "--data.transform", "torchvision.transforms.v2.RandomErasing"),
)


def test_augmented_run_says_so_and_goes_on_within_an_epoch_bit_for_bit(optimcifar: Command) -> None:
    whole = optimcifar("fit", *AUGMENTED, "--trainer.max_steps", 13)
    assert (whole.status, whole.err) == (0, "")
    assert "on Shapes10: 240 training images (crop_flip, RandomErasing), 60 for validation" in whole.out
    runs = [Path("lightning_logs", f"version_{number}") for number in range(3)]
    assert optimcifar("fit", *AUGMENTED, "--trainer.max_steps", 10).status == 0  # an epoch has 8 steps
    assert optimcifar("fit", "--ckpt_path", runs[1], "--trainer.max_steps", 13).status == 0
    assert equal_weights(*(read_weights(run / "checkpoints/last.ckpt") for run in (runs[0], runs[2])))
    summary = read_summary(runs[0])
    assert summary["augmentation"] == "crop_flip, RandomErasing"
    settings = summary["hyperparameters"]
    assert settings["data.augment"] == "crop_flip"
    assert settings["data.transform"].endswith(".RandomErasing")
    assert settings["data.transform.p"] == 0.5


def test_run_in_python_records_its_transform_and_its_checkpoint_can_be_loaded(tmp_path: Path) -> None:
    data = Shapes10DataModule(train_images=100, val_size=0, transform=v2.RandomErasing(p=0.3))
    trainer = quiet_trainer(callbacks=[summary := RunSummary()])
    trainer.fit(ImageClassifier(), data)
    assert summary.values["hyperparameters"]["data.transform"].startswith("RandomErasing(p=0.3")
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    loaded = torch.load(tmp_path / "last.ckpt", weights_only=True)
    assert loaded["datamodule_hyper_parameters"]["train_images"] == 100
