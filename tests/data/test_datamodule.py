from __future__ import annotations

from typing import Any

import pytest
import torch
from torchvision.transforms.v2 import functional as transforms

from optimcifar import Shapes10DataModule
from optimcifar.data.images import Images, InOrderSampler, SeedEpochSampler, SubsetInMemory, stratified_split


def small_data(**settings: Any) -> Shapes10DataModule:
    data = Shapes10DataModule(**({"train_images": 300, "test_images": 50, "val_size": 60} | settings))
    data.setup("fit")
    return data


def subset_of(number: int) -> SubsetInMemory:
    pixels = torch.zeros(number, 32, 32, 3, dtype=torch.uint8)
    return SubsetInMemory(Images(pixels, torch.arange(number)), torch.arange(number))


def test_split_takes_the_same_share_of_every_class() -> None:
    labels = torch.tensor([0] * 100 + [1] * 200 + [2] * 700)[torch.randperm(1000)]
    train, val = stratified_split(labels, 100, seed=0)
    assert labels[val].bincount().tolist() == [10, 20, 70]
    assert sorted([*train.tolist(), *val.tolist()]) == list(range(1000))


def test_split_has_the_requested_size_when_classes_cannot_share_it_equally() -> None:
    train, val = stratified_split(torch.arange(100) % 10, 33, seed=0)
    assert (len(train), len(val)) == (67, 33)
    assert set((torch.arange(100) % 10)[val].bincount().tolist()) <= {3, 4}


def test_split_depends_only_on_the_seed() -> None:
    labels = torch.arange(100) % 10
    torch.manual_seed(1)
    first = stratified_split(labels, 30, seed=5)[1]
    torch.manual_seed(2)
    assert torch.equal(stratified_split(labels, 30, seed=5)[1], first)
    assert not torch.equal(stratified_split(labels, 30, seed=6)[1], first)


@pytest.mark.parametrize("val_size", [-1, 100, 101])
def test_split_without_training_images_is_refused(val_size: int) -> None:
    with pytest.raises(ValueError, match=f"val_size must be from 0 to 99 .*got {val_size}"):
        stratified_split(torch.arange(100) % 10, val_size, seed=0)


def test_training_order_depends_only_on_seed_and_epoch() -> None:
    def epoch(data: Shapes10DataModule, number: int) -> list[int]:
        loader = data.train_dataloader()
        assert isinstance(loader.sampler, SeedEpochSampler)
        loader.sampler.set_epoch(number)
        return [index for batch in loader.batch_sampler for index in batch]  # type: ignore[union-attr]

    torch.manual_seed(1)
    first = epoch(small_data(seed=0), 1)
    torch.manual_seed(2)
    list(small_data(seed=0).train_dataloader())
    assert epoch(small_data(seed=0), 1) == first
    # Another epoch or seed gives another order, also for (seed 1, epoch 0), whose sum is that of (seed 0, epoch 1).
    assert epoch(small_data(seed=0), 0) != first
    assert epoch(small_data(seed=1), 0) != first


def test_epoch_has_every_training_image_once_and_no_validation_image() -> None:
    data = small_data()
    seen = data.train_order(0)
    assert sorted(seen.tolist()) == data.train_positions.tolist()
    assert not set(seen.tolist()) & set(data.val_positions.tolist())
    loader = data.train_dataloader()
    pixels = torch.cat([batch[0] for batch in loader])
    assert torch.equal(pixels, data.read_train().pixels[seen])


def test_batches_equal_torchvisions_transforms() -> None:
    mean, std = [0.4, 0.5, 0.6], [0.2, 0.25, 0.3]
    data = Shapes10DataModule(train_images=100, val_size=10, mean=mean, std=std)
    data.setup("fit")
    batch = next(iter(data.train_dataloader()))
    images, labels = data.on_after_batch_transfer(batch, 0)
    chosen = data.train_order(0)[:64]
    raw = data.read_train()
    values = transforms.to_dtype(raw.pixels[chosen].permute(0, 3, 1, 2), torch.float32, scale=True)
    torch.testing.assert_close(images, transforms.normalize(values, mean, std))
    assert torch.equal(labels, raw.labels[chosen])
    assert images.is_contiguous(memory_format=torch.channels_last)


def test_val_size_zero_skips_validation() -> None:
    data = small_data(val_size=0)
    assert data.val_dataloader() == []
    assert len(data.train_positions) == 300
    with pytest.raises(ValueError, match="val_size must be at least 1 to predict"):
        data.predict_dataloader()


def test_only_the_test_stage_reads_the_test_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Shapes10DataModule, "read_test", lambda self: pytest.fail("the test images were read"))
    for stage in ("fit", "validate", "predict"):
        Shapes10DataModule(train_images=100, val_size=10).setup(stage)


@pytest.mark.parametrize("processes", [2, 3])
def test_processes_share_one_order_without_repeats(processes: int) -> None:
    subset = subset_of(300)
    shares = [list(SeedEpochSampler(subset, 0, processes, rank)) for rank in range(processes)]
    assert {len(share) for share in shares} == {300 // processes}
    together = [index for group in zip(*shares, strict=True) for index in group]
    assert together == SeedEpochSampler(subset, 0).order(0).tolist()


def test_training_omits_images_beyond_equal_shares() -> None:
    shares = [list(SeedEpochSampler(subset_of(11), 0, 2, rank)) for rank in range(2)]
    assert [len(share) for share in shares] == [5, 5]
    assert len(set(shares[0] + shares[1])) == 10


def test_evaluation_gives_every_image_to_exactly_one_process() -> None:
    samplers = [InOrderSampler(subset_of(11), 2, rank) for rank in range(2)]
    assert [len(sampler) for sampler in samplers] == [6, 5]
    assert sorted(index for sampler in samplers for index in sampler) == list(range(11))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"val_size": -1}, "val_size must be at least 0, got -1"),
        ({"seed": -1}, "seed must be at least 0, got -1"),
        ({"std": 0.0}, "std must be greater than 0, got 0.0"),
        ({"mean": [0.5, 0.5]}, "mean must be one number or three, got 2"),
        ({"train_images": 9}, "train_images must be at least 10, got 9"),
    ],
)
def test_settings_out_of_range_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Shapes10DataModule(**settings)


def test_loader_before_setup_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r'call setup\("fit"\) first'):
        Shapes10DataModule().train_dataloader()
