"""Going on from a checkpoint in a run of another length: the rates are those of the new length."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import CONFIGS, Command, quiet_trainer, read_rows
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from schedule_forms import FORMS, RATES, one_cycle, schedule
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, OneCycleLR, PolynomialLR, StepLR

from optimcifar import ChainedSchedule, ImageClassifier, ParamRule, SequentialSchedule, Shapes10DataModule
from optimcifar.optim.types import LRInterval

BATCHES = 3
Rate = Callable[[float, int, int], float]


def sequence_with_a_cycle(base: float, t: int, n: int) -> float:
    return FORMS["LinearLR"].rate(base, t, 2) if t < 2 else FORMS["OneCycleLR"].rate(base, t - 2, n - 2)


# Schedules that leave their length out.
OPEN: dict[str, tuple[Any, Rate]] = {
    name: (schedule(name), FORMS[name].rate)
    for name in ("ConstantLR", "LinearLR", "OneCycleLR", "CosineAnnealingLR", "PolynomialLR", "SequentialLR")
} | {
    "cycle in sequence": (
        partial(SequentialSchedule, schedulers=[schedule("LinearLR"), schedule("OneCycleLR")], milestones=[2]),
        sequence_with_a_cycle,
    ),
    "chain": (
        partial(ChainedSchedule, schedulers=[schedule("ExponentialLR"), schedule("LinearLR")]),
        lambda base, t, n: 0.5**t * FORMS["LinearLR"].rate(base, t, n),
    ),
}


class Steps(Callback):
    """Records the groups' rates and the first momentum in each step, and the optimizer's buffers at the start."""

    def __init__(self) -> None:
        self.rates: list[list[float]] = []
        self.momenta: list[float] = []
        self.buffers: list[torch.Tensor] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        states = trainer.optimizers[0].state.values()
        self.buffers = [state["momentum_buffer"].clone() for state in states]

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        groups = trainer.optimizers[0].param_groups
        self.rates.append([group["lr"] for group in groups])
        self.momenta.append(groups[0]["momentum"])


def fit(
    epochs: int,
    make: Any,
    interval: LRInterval = "step",
    checkpoint: str | None = None,
    batch_size: int = 8,
    **options: Any,
) -> Steps:
    """Train in steps of three batches an epoch; save ``EPOCHS.ckpt``."""
    steps = Steps()
    classifier = ImageClassifier(
        optimizer=lambda params: SGD(params, lr=RATES[0], momentum=0.9),
        lr_scheduler=make,
        lr_interval=interval,
        param_groups=[ParamRule("net.fc3.*", options={"lr": RATES[1]})],
    )
    options = {"limit_val_batches": 0, "callbacks": [steps, *options.pop("callbacks", ())]} | options
    trainer = quiet_trainer(max_epochs=epochs, **options)
    images = Shapes10DataModule(train_images=BATCHES * 8 + 10, val_size=10, batch_size=batch_size)
    trainer.fit(classifier, images, ckpt_path=checkpoint, weights_only=True)
    trainer.save_checkpoint(f"{epochs}.ckpt")
    return steps


@pytest.mark.filterwarnings("ignore:A `OneCycleLR` scheduler is using")
@pytest.mark.parametrize("interval", ["epoch", "step"])
@pytest.mark.parametrize(("first", "whole"), [(3, 5), (5, 6)])
@pytest.mark.parametrize("name", OPEN)
def test_more_epochs_have_the_rates_of_the_longer_run(name: str, first: int, whole: int, interval: LRInterval) -> None:
    make, rate = OPEN[name]
    fit(first, make, interval)
    found = fit(whole, make, interval, f"{first}.ckpt")
    per_epoch = BATCHES if interval == "step" else 1
    times = [t if interval == "step" else t // BATCHES for t in range(first * BATCHES, whole * BATCHES)]
    expected = [pytest.approx([rate(base, t, whole * per_epoch) for base in RATES], rel=1e-9) for t in times]
    assert found.rates == expected


@pytest.mark.filterwarnings("ignore:Be aware that when using `ckpt_path`, callbacks")
def test_fewer_epochs_have_the_rates_of_the_shorter_run() -> None:
    make, rate = OPEN["CosineAnnealingLR"]
    steps = ModelCheckpoint(".", filename="one", every_n_epochs=1, save_top_k=-1, enable_version_counter=False)
    fit(5, make, callbacks=[StopAfterFirstEpoch(), steps], enable_checkpointing=True)
    found = fit(3, make, "step", "one.ckpt")
    assert found.rates == [pytest.approx([rate(base, t, 9) for base in RATES]) for t in range(3, 9)]


class StopAfterFirstEpoch(Callback):
    """Ends the run."""

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = True


def test_momentum_is_that_of_the_longer_run_and_the_optimizer_keeps_its_state() -> None:
    make = partial(OneCycleLR, max_lr=[1.0, 0.1], pct_start=0.5, base_momentum=0.5, max_momentum=0.9)
    fit(2, make)
    saved = torch.load("2.ckpt", weights_only=True)["optimizer_states"][0]["state"]
    found = fit(4, make, "step", "2.ckpt")
    assert found.momenta == pytest.approx([one_cycle(0.9, 0.5, 0.9, t, 12) for t in range(6, 12)])
    assert all(torch.equal(old["momentum_buffer"], new) for old, new in zip(saved.values(), found.buffers, strict=True))


def test_lengths_that_were_given_stay() -> None:
    make = partial(CosineAnnealingLR, T_max=30)
    fit(2, make)
    found = fit(4, make, "step", "2.ckpt")
    expected = [[FORMS["CosineAnnealingLR"].rate(1.0, t, 30) for t in range(6, 12)]]
    assert [rates[0] for rates in found.rates] == pytest.approx([(value - 0.01) / 0.99 for value in expected[0]])


def test_a_given_length_that_is_too_short_is_refused_before_training() -> None:
    make = partial(OneCycleLR, max_lr=[1.0, 0.1], total_steps=6)
    fit(2, make)
    message = "ends after 6 steps, and the run has 12 steps: the checkpoint keeps its total_steps; start a new run with"
    with pytest.raises(ValueError, match=message):
        fit(4, make, "step", "2.ckpt")


def test_fewer_epochs_than_the_checkpoint_has_are_refused_by_lightning() -> None:
    make, _ = OPEN["OneCycleLR"]
    fit(3, make)
    with pytest.raises(MisconfigurationException, match=r"current_epoch=3, but you have set Trainer\(max_epochs=2\)"):
        fit(2, make, "step", "3.ckpt")


def test_going_on_twice_keeps_the_length_of_each_run() -> None:
    make, rate = OPEN["PolynomialLR"]
    for first, whole in ((None, 1), (1, 2), (2, 4)):
        found = fit(whole, make, "step", f"{first}.ckpt" if first else None)
    assert found.rates == [pytest.approx([rate(base, t, 12) for base in RATES]) for t in range(6, 12)]


@pytest.mark.parametrize(
    "changed",
    [{"batch_size": 4}, {"batch_size": 24}, {"accumulate_grad_batches": 2}, {"limit_train_batches": 2}],
    ids=str,
)
def test_a_run_that_goes_on_with_other_steps_ends_its_schedule_with_the_run(changed: dict[str, int]) -> None:
    fit(2, PolynomialLR)
    found = fit(4, PolynomialLR, "step", "2.ckpt", **changed)
    # Six steps of the checkpoint, and those of this run's two epochs.
    steps = 6 + 2 * {"batch_size": 24 // changed.get("batch_size", 8)}.get(next(iter(changed)), 2)
    by_step = list(dict.fromkeys(rates[0] for rates in found.rates))
    assert by_step == pytest.approx([1 - t / steps for t in range(6, steps)])
    # A third run starts from there.
    again = fit(5, PolynomialLR, "step", "4.ckpt", **changed)
    each = (steps - 6) // 2
    by_step = list(dict.fromkeys(rates[0] for rates in again.rates))
    assert by_step == pytest.approx([1 - t / (steps + each) for t in range(steps, steps + each)])


def test_options_that_the_optimizer_keeps_for_itself_stay() -> None:
    class Counting(SGD):
        def step(self, closure: Any = None) -> Any:
            self.param_groups[0]["dampening"] += 1
            return super().step(closure)

    counts = []
    for epochs, checkpoint in ((1, None), (2, "1.ckpt")):
        classifier = ImageClassifier(
            optimizer=lambda params: Counting(params, lr=0.1, dampening=0.0), lr_scheduler=LinearLR, lr_interval="step"
        )
        trainer = quiet_trainer(max_epochs=epochs, limit_val_batches=0, limit_train_batches=3)
        trainer.fit(classifier, Shapes10DataModule(train_images=40, val_size=10, batch_size=8), ckpt_path=checkpoint)
        trainer.save_checkpoint("1.ckpt")
        counts.append(trainer.optimizers[0].param_groups[0]["dampening"])
    assert counts == [3, 6]


def test_a_schedule_with_no_length_goes_on_as_it_was() -> None:
    make = partial(StepLR, step_size=4)
    fit(1, make)
    found = fit(3, make, "step", "1.ckpt")
    assert [rates[0] for rates in found.rates] == pytest.approx([0.1 ** (t // 4) for t in range(3, 9)])


@pytest.mark.parametrize("config", ["sgd_onecycle", "sgd_warmup_cosine", "adamw_cosine"])
def test_a_longer_run_from_the_command_line_has_the_planned_rates(
    config: str, optimcifar: Command, tmp_path: Path
) -> None:
    options = ["--config", CONFIGS / f"{config}.yaml", "--data", "Shapes10DataModule", "--data.train_images", 200]
    options += ["--data.val_size", 20]
    if config == "sgd_warmup_cosine":
        options += ["--model.lr_scheduler.milestones", "[2]"]
    assert optimcifar("fit", *options, "--trainer.max_epochs", 2).status == 0
    checkpoint = tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt"
    longer = [*options, "--trainer.max_epochs", 4]
    outcome = optimcifar("fit", *longer, "--ckpt_path", checkpoint)
    assert (outcome.status, outcome.err) == (0, "")
    assert "note" not in outcome.out
    assert optimcifar("schedule", *longer, "--csv", "rates.csv").status == 0
    planned = [float(row["lr"]) for row in read_rows(tmp_path / "rates.csv")]
    used = [float(row["lr"]) for row in read_rows(tmp_path / "lightning_logs/version_1/metrics.csv")]
    assert used == pytest.approx([planned[8], planned[11]], rel=1e-5)  # three steps an epoch, of which the last


def test_a_given_length_that_is_too_short_is_refused_on_the_command_line(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    cycle = ["--model.lr_scheduler=OneCycleLR", "--model.lr_scheduler.max_lr=1", "--model.lr_scheduler.total_steps=2"]
    assert optimcifar("fit", *small, *cycle).status == 0
    checkpoint = tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt"
    outcome = optimcifar("fit", *small, *cycle, "--trainer.max_epochs", 4, "--ckpt_path", checkpoint)
    assert outcome.status == 2
    message = "the checkpoint keeps its total_steps; start a new run with total_steps 4, or without"
    assert outcome.err == f"optimcifar: OneCycleLR ends after 2 epochs, and the run has 4 epochs: {message}\n"
    assert not (tmp_path / "lightning_logs/version_1").exists()
