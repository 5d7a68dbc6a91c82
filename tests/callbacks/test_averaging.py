from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from functools import partial
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from helpers import (
    CONFIGS,
    Command,
    ema_by_hand,
    equal_weights,
    normalised_images,
    quiet_trainer,
    read_rows,
    read_summary,
    read_weights,
)
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import GradientAccumulationScheduler, StochasticWeightAveraging
from torch import nn
from torch.optim.lr_scheduler import StepLR
from torch.optim.swa_utils import AveragedModel, update_bn

from optimcifar import (
    ConvNet,
    EpochEndWeightAveraging,
    ImageClassifier,
    RunLogger,
    Shapes10DataModule,
    WeightAverages,
)
from optimcifar.optim.types import LRSchedulerCallable


class NormalisedNet(nn.Sequential):
    """A small network with BatchNorm."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 5, stride=3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(400, 10))


def data(val_size: int = 200) -> Shapes10DataModule:
    return Shapes10DataModule(train_images=1000, test_images=100, val_size=val_size)


def fit(
    epochs: int,
    *callbacks: Callback,
    net: nn.Module | None = None,
    rate: float = 0.01,
    schedule: LRSchedulerCallable | None = None,
    folder: str = "lightning_logs",
    checkpoint: Path | None = None,
) -> tuple[ImageClassifier, Trainer]:
    """Train with SGD, and write the run to ``<folder>/version_0``."""
    optimizer = partial(torch.optim.SGD, lr=rate, momentum=0.9)
    classifier = ImageClassifier(net=net, optimizer=optimizer, lr_scheduler=schedule)
    trainer = quiet_trainer(
        max_epochs=epochs,
        logger=RunLogger(name=folder),
        callbacks=list(callbacks),
        enable_checkpointing=True,
        num_sanity_val_steps=2,  # Lightning's default
    )
    trainer.fit(classifier, data(), ckpt_path=checkpoint, weights_only=True)
    return classifier, trainer


halving = partial(StepLR, step_size=1, gamma=0.5)


def averages_by_hand(net: nn.Module, rates: list[float], start: int, decay: float = 0.9) -> tuple[nn.Module, nn.Module]:
    """Train with a rate per epoch; average the weights after epochs ``start`` (from 1) on, and after each step."""
    images = data()
    images.setup("fit")
    values, labels = normalised_images(images)
    optimizer = torch.optim.SGD(net.parameters(), lr=rates[0], momentum=0.9)
    swa, ema = AveragedModel(net), deepcopy(net)
    steps: list[dict[str, torch.Tensor]] = []
    for epoch, rate in enumerate(rates):
        optimizer.param_groups[0]["lr"] = rate
        net.train()
        for chosen in images.train_order(epoch).split(64):
            optimizer.zero_grad()
            F.cross_entropy(net(values[chosen]), labels[chosen]).backward()
            optimizer.step()
            steps.append({name: value.detach().clone() for name, value in net.named_parameters()})
        if epoch + 1 >= start:
            swa.update_parameters(net)
    ema.load_state_dict(ema_by_hand(steps, decay), strict=False)  # but for BatchNorm's statistics
    for average in (swa, ema):
        update_bn((values[chosen] for chosen in images.train_order(len(rates) - 1).split(64)), average)
        average.eval()
    return swa, ema


def saved(trainer: Trainer, name: str) -> dict[str, torch.Tensor]:
    return read_weights(Path(str(trainer.log_dir)) / "checkpoints" / f"{name}.ckpt")


def assert_metrics_of(name: str, trainer: Trainer, averaged: ImageClassifier) -> None:
    """Assert that the last validation metrics of an average are those of its weights."""
    shown = trainer.callback_metrics
    measured = quiet_trainer().validate(averaged, data(), verbose=False)[0]
    assert shown[f"val_loss_{name}"].item() == pytest.approx(measured["val_loss"], abs=1e-5)
    assert shown[f"val_acc_{name}"].item() == pytest.approx(measured["val_acc"], abs=1e-6)


def test_schedule_that_averages_is_lightnings() -> None:
    assert issubclass(EpochEndWeightAveraging, StochasticWeightAveraging)


@pytest.mark.parametrize("make_net", [ConvNet, NormalisedNet])
def test_weights_at_the_ends_of_epochs_are_averaged(make_net: Callable[[], nn.Module]) -> None:
    seed_everything(0)
    averaging = EpochEndWeightAveraging(
        swa_lrs=0.004, swa_epoch_start=3, annealing_epochs=2, annealing_strategy="linear"
    )
    classifier, trainer = fit(5, averaging, net=make_net(), schedule=halving)
    # StepLR until averaging starts; from its 0.0025 linearly to 0.004 within two epochs
    rates = [0.01, 0.005, 0.0025, 0.00325, 0.004]
    seed_everything(0)
    expected, _ = averages_by_hand(make_net(), rates, start=3)
    images = torch.randn(16, 3, 32, 32)
    torch.testing.assert_close(classifier.net.eval()(images), expected(images), atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(saved(trainer, "swa"), dict(classifier.state_dict()))
    assert trainer.current_epoch == 5


def test_metrics_of_the_average_are_measured_on_its_weights() -> None:
    classifier, trainer = fit(3, EpochEndWeightAveraging(swa_lrs=0.02, swa_epoch_start=2), schedule=halving)
    assert_metrics_of("swa", trainer, classifier)


def test_metrics_of_the_average_are_empty_before_it_starts(tmp_path: Path) -> None:
    fit(3, EpochEndWeightAveraging(swa_lrs=0.02, swa_epoch_start=3), schedule=halving)
    rows = read_rows(tmp_path / "lightning_logs" / "version_0" / "metrics.csv")
    assert [bool(row["val_acc_swa"]) for row in rows] == [False, False, True]


def test_run_that_would_end_before_averaging_starts_is_refused() -> None:
    with pytest.raises(ValueError, match="weight averaging starts in epoch 4, but max_epochs is 3"):
        fit(3, EpochEndWeightAveraging(swa_lrs=0.02, swa_epoch_start=4), schedule=halving)


class StopAfter(Callback):
    """Stops training as early stopping does."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 == self.epoch


def test_training_that_stops_early_keeps_its_average(tmp_path: Path) -> None:
    averaging = EpochEndWeightAveraging(swa_lrs=0.02, swa_epoch_start=2)
    classifier, trainer = fit(9, averaging, StopAfter(3), schedule=halving)
    assert trainer.current_epoch == 3
    assert averaging.n_averaged == 2
    folder = tmp_path / "lightning_logs" / "version_0" / "checkpoints"
    last = read_weights(next(folder.glob("epoch*.ckpt")))
    weights = classifier.state_dict()["net.fc3.weight"]
    assert torch.equal(saved(trainer, "swa")["net.fc3.weight"], weights)
    assert not torch.equal(last["net.fc3.weight"], weights)


def test_training_that_stops_before_averaging_keeps_its_weights_and_warns(tmp_path: Path) -> None:
    averaging = EpochEndWeightAveraging(swa_lrs=0.02, swa_epoch_start=4)
    with pytest.warns(UserWarning, match="had not started when training stopped"):
        classifier, _ = fit(9, averaging, StopAfter(1), schedule=halving)
    checkpoint = next((tmp_path / "lightning_logs/version_0/checkpoints").glob("*.ckpt"))
    assert torch.equal(read_weights(checkpoint)["net.fc3.weight"], classifier.state_dict()["net.fc3.weight"])


def test_shipped_configuration_prints_saves_and_tests_the_average(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    settings = ("--trainer.max_epochs", "8", "--data.val_size", "100")
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd_swa.yaml", *small, *settings)
    assert outcome.status == 0
    assert "averaging  optimcifar.EpochEndWeightAveraging(swa_lrs=0.05, swa_epoch_start=7" in outcome.out
    run = tmp_path / "lightning_logs" / "version_0"
    summary = read_summary(run)
    assert summary["val_acc_swa"] is not None
    assert summary["lr_scheduler"] == "torch.optim.lr_scheduler.StepLR"
    assert f"of the averaged weights (swa) {summary['val_acc_swa']:.4f}" in outcome.out
    validated = optimcifar("validate", "--ckpt_path", run / "checkpoints" / "swa.ckpt")
    assert f"validation accuracy {summary['val_acc_swa']:.4f}" in validated.out
    assert optimcifar("test", "--ckpt_path", run / "checkpoints" / "swa.ckpt").status == 0
    assert (run / "checkpoints" / "swa.test.json").exists()
    again = optimcifar("fit", "--config", run / "config.yaml")
    assert again.status == 0
    assert read_summary(tmp_path / "lightning_logs" / "version_1")["val_acc_swa"] == summary["val_acc_swa"]


# Rounding errors do not grow at this rate.
LOW_RATE = 0.002


@pytest.mark.parametrize("make_net", [ConvNet, NormalisedNet])
def test_averages_beside_training_are_those_of_a_plain_loop(make_net: Callable[[], nn.Module]) -> None:
    seed_everything(0)
    averages = WeightAverages(swa_epoch_start=2, ema_decay=0.7)  # reached after 20 of the 39 steps
    classifier, trainer = fit(3, averages, net=make_net(), rate=LOW_RATE, folder="averaged")
    images = torch.randn(16, 3, 32, 32)
    seed_everything(0)
    by_hand = averages_by_hand(make_net(), [LOW_RATE] * 3, start=2, decay=0.7)
    for name, expected in zip(("swa", "ema"), by_hand, strict=True):
        averaged = ImageClassifier(net=make_net())
        averaged.load_state_dict(saved(trainer, name))
        torch.testing.assert_close(averaged.net.eval()(images), expected(images), atol=1e-4, rtol=1e-3)
        assert_metrics_of(name, trainer, averaged)
    # Training stays the same, its BatchNorm statistics included.
    seed_everything(0)
    alone, _ = fit(3, net=make_net(), rate=LOW_RATE, folder="alone")
    assert equal_weights(classifier.state_dict(), alone.state_dict())


def test_metrics_of_averages_are_in_the_rows_of_their_epochs(tmp_path: Path) -> None:
    fit(4, WeightAverages(swa_epoch_start=0.5))
    rows = read_rows(tmp_path / "lightning_logs" / "version_0" / "metrics.csv")
    assert [bool(row["val_acc_swa"]) for row in rows] == [False, False, True, True]
    assert all(row["val_acc_ema"] and row["val_acc"] for row in rows)


class AddOne(torch.optim.SGD):
    """Adds one to every weight in every step."""

    def step(self, closure: Callable[[], float]) -> float:  # type: ignore[override]  # always with a closure here
        loss = closure()
        with torch.no_grad():
            for parameter in self.param_groups[0]["params"]:
                parameter.add_(1)
        return loss


def test_exponential_average_of_a_short_run_forgets_its_start() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10))
    first = {name: value.clone() for name, value in net.state_dict().items()}
    averages = WeightAverages(swa_epoch_start=None)
    quiet_trainer(max_epochs=3, callbacks=[averages]).fit(ImageClassifier(net=net, optimizer=AddOne), data())
    found = averages.state_dict()["ema"]
    # The weights grew by the number of the step, from 1 to 39: their average is as old as a tenth of the run.
    for name, start in first.items():
        torch.testing.assert_close(found[f"module.{name}"] - start, torch.full_like(start, 0.9 * 39), rtol=0, atol=1e-3)


def test_exponential_average_counts_optimizer_steps_not_batches() -> None:
    averages = WeightAverages(swa_epoch_start=None, ema_decay=0.5)
    trainer = quiet_trainer(accumulate_grad_batches=4, callbacks=[averages])
    trainer.fit(ImageClassifier(), data(0))
    assert int(averages.state_dict()["ema"]["n_averaged"]) == trainer.global_step == 4


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_resumed_run_ends_with_the_averages_of_an_uninterrupted_one(tmp_path: Path) -> None:
    class Save(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "cut.ckpt")

    def averages() -> WeightAverages:
        return WeightAverages(swa_epoch_start=2, ema_decay=0.9)

    seed_everything(0)
    _, whole = fit(3, averages(), Save(), net=NormalisedNet(), folder="whole")
    seed_everything(1)
    _, resumed = fit(3, averages(), net=NormalisedNet(), folder="resumed", checkpoint=tmp_path / "cut.ckpt")
    for name in ("swa", "ema"):
        assert equal_weights(saved(whole, name), saved(resumed, name)), name


def test_averages_chosen_on_the_command_line_are_printed_saved_and_tested(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    averages = ("--trainer.callbacks+=WeightAverages", "--trainer.callbacks.swa_epoch_start=2")
    outcome = optimcifar("fit", *small, *averages)
    assert (outcome.status, outcome.err) == (0, "")
    assert "averaging  optimcifar.WeightAverages(swa_epoch_start=2, ema_decay=0.999)" in outcome.out
    run = tmp_path / "lightning_logs" / "version_0"
    summary = read_summary(run)
    for name in ("swa", "ema"):
        assert f"{name} acc {summary[f'val_acc_{name}']:.4f}" in outcome.out
        validated = optimcifar("validate", "--ckpt_path", run / "checkpoints" / f"{name}.ckpt")
        assert f"validation accuracy {summary[f'val_acc_{name}']:.4f}" in validated.out
        assert optimcifar("test", "--ckpt_path", run / "checkpoints" / f"{name}.ckpt").status == 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["swa_epoch_start=0"], "swa_epoch_start must be an epoch from 1 or a fraction, got 0"),
        (["swa_epoch_start=1.5"], "swa_epoch_start must be a fraction from 0 to below 1, got 1.5"),
        (["ema_decay=1"], "ema_decay must be from 0 to below 1, got 1"),
        (["swa_epoch_start=null", "ema_decay=null"], "both null: there is nothing to average"),
        (["swa_epoch_start=3"], "weight averaging starts in epoch 3, but max_epochs is 2"),
    ],
)
def test_invalid_averages_are_refused(options: list[str], message: str, optimcifar: Command, small: list[str]) -> None:
    given = [f"--trainer.callbacks.{option}" for option in options]
    outcome = optimcifar("fit", *small, "--trainer.callbacks+=WeightAverages", *given)
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_averages_beside_a_schedule_that_averages_keep_the_exponential_one_only(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    command = ("fit", "--config", CONFIGS / "sgd_swa.yaml", *small, "--trainer.max_epochs", 8)
    assert optimcifar(*command).status == 0
    outcome = optimcifar(*command, "--trainer.callbacks+=WeightAverages")
    assert (outcome.status, outcome.err) == (0, "")
    alone, both = (tmp_path / "lightning_logs" / f"version_{n}" for n in (0, 1))
    assert read_summary(both)["val_acc_swa"] == read_summary(alone)["val_acc_swa"]
    assert "val_acc_ema" in read_summary(both)
    first, second = (read_weights(run / "checkpoints" / "swa.ckpt") for run in (alone, both))
    assert equal_weights(first, second)


@pytest.mark.filterwarnings("ignore:.*callbacks.*GradientAccumulationScheduler")
def test_accumulation_that_changes_by_epoch_decides_which_epochs_end() -> None:
    # 13 batches: 7 steps in the first epoch, 2 in the second.
    scheduler = GradientAccumulationScheduler({0: 2, 1: 8})
    trainer = quiet_trainer(max_epochs=-1, max_steps=9, callbacks=[WeightAverages(swa_epoch_start=2), scheduler])
    trainer.fit(ImageClassifier(), data())
    assert "val_acc_swa" in trainer.callback_metrics
    late = quiet_trainer(max_epochs=-1, max_steps=8, callbacks=[WeightAverages(swa_epoch_start=2), scheduler])
    with pytest.raises(ValueError, match="starts at the end of epoch 2, but the run ends before, after 8 steps"):
        late.fit(ImageClassifier(), data())
