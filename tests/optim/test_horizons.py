"""Lengths that nobody gave: those of the run, in epochs or in optimizer steps."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import Command, quiet_trainer
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, GradientAccumulationScheduler, StochasticWeightAveraging
from torch import nn
from torch.optim import SGD
from torch.optim.lr_scheduler import (
    ConstantLR,
    CosineAnnealingLR,
    ExponentialLR,
    LinearLR,
    LRScheduler,
    OneCycleLR,
    PolynomialLR,
)
from torch.utils.data import DataLoader, DistributedSampler, IterableDataset

from optimcifar import ChainedSchedule, ImageClassifier, SequentialSchedule, Shapes10DataModule
from optimcifar.optim.horizons import missing_horizon, run_length, with_horizon
from optimcifar.optim.types import LRInterval

COSINE: Any = partial(CosineAnnealingLR)  # T_max is left out


def data() -> Shapes10DataModule:
    return Shapes10DataModule(train_images=300, val_size=0, batch_size=64)


class Counted(Callback):
    """Counts the optimizer steps and the epochs that began, and notes the schedule's length when training starts."""

    def __init__(self) -> None:
        self.steps = self.epochs = 0
        self.length: int | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        schedule: Any = trainer.lr_scheduler_configs[0].scheduler
        self.length = schedule.T_max
        assert run_length(trainer, trainer.lr_scheduler_configs[0].interval) == schedule.T_max  # type: ignore[arg-type]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.epochs += 1

    def on_before_optimizer_step(self, *args: Any) -> None:
        self.steps += 1


class Scheduled(GradientAccumulationScheduler):
    """Accumulates more batches in the first epochs."""

    def __init__(self) -> None:
        super().__init__({0: 4, 1: 3, 3: 1})


@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.parametrize(
    "options",
    [
        {"max_epochs": 3},
        {"max_epochs": 2, "limit_train_batches": 3},
        {"max_epochs": 2, "limit_train_batches": 0.5},
        pytest.param(
            {"max_epochs": 2, "overfit_batches": 2}, marks=pytest.mark.filterwarnings("ignore:You requested to overfit")
        ),
        {"max_epochs": 2, "accumulate_grad_batches": 2},
        {"max_epochs": 2, "accumulate_grad_batches": 20},
        {"max_epochs": 10, "max_steps": 12},
        {"max_epochs": -1, "max_steps": 7},
        {"max_epochs": -1, "max_steps": 7, "accumulate_grad_batches": 2},
        {"max_epochs": 1, "max_steps": 20, "min_epochs": 1},
        {"max_epochs": 2, "reload_dataloaders_every_n_epochs": 1},
        {"fast_dev_run": 3},
        {"max_epochs": 5, "callbacks": [Scheduled]},
        {"max_epochs": 5, "max_steps": 6, "callbacks": [Scheduled]},
    ],
    ids=str,
)
def test_a_schedule_without_a_length_is_as_long_as_the_finished_run(
    options: dict[str, Any], interval: LRInterval
) -> None:
    counted = Counted()
    callbacks = [counted, *(made() for made in options.get("callbacks", ()))]
    trainer = quiet_trainer(**(options | {"callbacks": callbacks}))
    trainer.fit(ImageClassifier(lr_scheduler=COSINE, lr_interval=interval), data())
    assert counted.length == (counted.epochs if interval == "epoch" else counted.steps)


def test_a_length_in_steps_follows_a_batch_size_that_is_found_before_training() -> None:
    counted = Counted()
    images = data()
    finder = BatchSizeFinder(max_trials=2, steps_per_trial=1, init_val=16)
    trainer = quiet_trainer(max_epochs=2, callbacks=[finder, counted])
    trainer.fit(ImageClassifier(lr_scheduler=COSINE, lr_interval="step"), images)
    assert images.batch_size == 32
    assert counted.length == trainer.global_step == 2 * 10  # of 300 images


def test_the_epoch_that_weight_averaging_adds_does_not_count() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 10), nn.BatchNorm1d(10))
    counted = Counted()
    averaging = StochasticWeightAveraging(swa_lrs=0.1, swa_epoch_start=2, annealing_epochs=1)
    trainer = quiet_trainer(max_epochs=2, callbacks=[averaging, counted])
    trainer.fit(ImageClassifier(net=net, lr_scheduler=COSINE), data())
    assert (counted.length, counted.epochs) == (2, 3)


class Stream(IterableDataset):  # type: ignore[type-arg]
    """Five batches, which it does not tell."""

    def __iter__(self) -> Iterator[Any]:
        for _ in range(5):
            yield torch.zeros(8, 3, 32, 32), torch.zeros(8, dtype=torch.long)


@pytest.mark.parametrize(
    ("interval", "options", "length"),
    [
        ("epoch", {"max_epochs": 2}, 2),
        ("step", {"max_epochs": 3, "max_steps": 12}, 12),
        ("step", {"max_epochs": -1, "max_steps": 7}, 7),
        ("step", {"max_epochs": 2, "limit_train_batches": 3}, 6),
        ("epoch", {"max_epochs": -1, "max_steps": 6, "limit_train_batches": 3}, 2),
    ],
)
def test_a_stream_of_images_has_the_length_that_the_options_give_it(
    interval: LRInterval, options: dict[str, Any], length: int
) -> None:
    counted = Counted()
    trainer = quiet_trainer(limit_val_batches=0, callbacks=[counted], **options)
    trainer.fit(ImageClassifier(lr_scheduler=COSINE, lr_interval=interval), DataLoader(Stream(), batch_size=None))
    assert counted.length == length == (counted.epochs if interval == "epoch" else counted.steps)


@pytest.mark.parametrize(
    ("interval", "options"),
    [
        ("step", {"max_epochs": 2}),
        ("epoch", {"max_epochs": -1, "max_steps": 7}),
        ("epoch", {"max_epochs": -1}),
        ("step", {"max_epochs": -1}),
    ],
)
def test_a_length_that_is_not_known_before_the_run_is_refused(interval: LRInterval, options: dict[str, Any]) -> None:
    trainer = quiet_trainer(limit_val_batches=0, **options)
    classifier = ImageClassifier(lr_scheduler=COSINE, lr_interval=interval)
    with pytest.raises(ValueError, match=r"T_max is left out and the run has no length .* set max_epochs or max_steps"):
        trainer.fit(classifier, DataLoader(Stream(), batch_size=None))


def test_a_stream_of_images_needs_no_length_for_other_schedules() -> None:
    classifier = ImageClassifier(lr_scheduler=partial(ExponentialLR, gamma=0.5), lr_interval="step")
    trainer = quiet_trainer(limit_val_batches=0)
    trainer.fit(classifier, DataLoader(Stream(), batch_size=None))
    assert trainer.optimizers[0].param_groups[0]["lr"] == 0.01 * 0.5**5


def test_run_length_counts_the_steps_of_one_of_several_devices() -> None:
    # A sampler for two processes gives each 150 of the 300 images: 3 batches of 64.
    class SharedImages(Shapes10DataModule):
        def train_dataloader(self) -> Any:
            loader = super().train_dataloader()
            sampler: Any = DistributedSampler(loader.dataset, num_replicas=2, rank=0)
            return DataLoader(loader.dataset, 64, sampler=sampler, collate_fn=loader.collate_fn)

    counted = Counted()
    trainer = quiet_trainer(max_epochs=2, callbacks=[counted])
    images = SharedImages(train_images=300, val_size=0)
    trainer.fit(ImageClassifier(lr_scheduler=COSINE, lr_interval="step"), images)
    assert counted.length == trainer.global_step == 2 * 3


class WithKeywords(CosineAnnealingLR):
    def __init__(self, optimizer: Any, **kwargs: Any) -> None:
        super().__init__(optimizer, **kwargs)


@pytest.mark.parametrize(
    ("make", "missing"),
    [
        (LinearLR, "total_iters"),
        (partial(LinearLR, start_factor=0.5), "total_iters"),
        (PolynomialLR, "total_iters"),
        (partial(partial(ConstantLR, factor=0.5), total_iters=None), "total_iters"),
        (CosineAnnealingLR, "T_max"),
        (partial(OneCycleLR, max_lr=1.0), "total_steps"),
        (partial(SequentialSchedule, schedulers=[LinearLR], milestones=[]), "total_iters"),
        (partial(ChainedSchedule, schedulers=[LinearLR]), "total_iters"),
        (partial(WithKeywords, T_max=None), "T_max"),  # as a configuration gives it
        (partial(LinearLR, total_iters=5), None),
        (partial(PolynomialLR, total_iters=5), None),
        (partial(OneCycleLR, max_lr=1.0, epochs=2, steps_per_epoch=3), None),
        (ExponentialLR, None),
        (lambda optimizer: LinearLR(optimizer, 0.5), None),
    ],
)
def test_a_length_is_missing_unless_it_is_given(make: Any, missing: str | None) -> None:
    assert missing_horizon(make) == missing


@pytest.mark.parametrize(
    ("make", "rates"),
    [
        (partial(LinearLR, start_factor=1.0, end_factor=0.0), [1 - t / 10 for t in range(10)]),
        (PolynomialLR, [1 - t / 10 for t in range(10)]),
        (partial(ConstantLR, factor=0.5), [0.5] * 10),
        (partial(PolynomialLR, total_iters=2), [1, 0.5] + [0.0] * 8),
        (lambda optimizer: LinearLR(optimizer, 1.0, 0.0), [1, 0.8, 0.6, 0.4, 0.2] + [0.0] * 5),  # as PyTorch has it
    ],
)
def test_a_partial_without_a_length_lasts_as_long_as_the_run(make: Any, rates: list[float]) -> None:
    optimizer = SGD([torch.zeros(1)], lr=1.0)
    built: LRScheduler = with_horizon(make, 10)(optimizer)
    found = []
    for _ in range(10):
        found.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        built.step()
    assert found == pytest.approx(rates)


def test_own_class_that_passes_its_arguments_on_may_leave_its_length_out(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(
        "from torch.optim.lr_scheduler import CosineAnnealingLR\n\n\n"
        "class Own(CosineAnnealingLR):\n"
        "    def __init__(self, optimizer, **kwargs):\n        super().__init__(optimizer, **kwargs)\n"
    )
    outcome = optimcifar("schedule", *small, "--model.lr_scheduler", "own.Own")
    assert (outcome.status, outcome.err) == (0, "")
    assert "own.Own" in outcome.out
    assert "2 epochs: from 0.01, highest 0.01, at last 0.005" in outcome.out
