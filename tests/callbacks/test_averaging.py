from __future__ import annotations

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers import CONFIGS, Outcome
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from optimcifar import (
    ConvNet,
    EpochEndWeightAveraging,
    ImageClassifier,
    RunLogger,
    Shapes10DataModule,
    WeightAverages,
)


class NormalisedNet(nn.Sequential):
    """A small network with BatchNorm."""

    def __init__(self) -> None:
        super().__init__(nn.Conv2d(3, 4, 5, stride=3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(400, 10))


def data(val_size: int = 200) -> Shapes10DataModule:
    return Shapes10DataModule(train_images=1000, test_images=100, val_size=val_size)


def fit(
    averaging: EpochEndWeightAveraging, epochs: int, net: nn.Module | None = None, *callbacks: Callback
) -> tuple[ImageClassifier, Trainer]:
    classifier = ImageClassifier(
        net=net,
        optimizer=lambda p: torch.optim.SGD(p, lr=0.01, momentum=0.9),
        lr_scheduler=lambda o: torch.optim.lr_scheduler.StepLR(o, 1, 0.5),
    )
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=RunLogger(),
        callbacks=[averaging, *callbacks],
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(classifier, data())
    return classifier, trainer


def average_by_hand(net: nn.Module, rates: list[float], start: int) -> AveragedModel:
    """Train with these rates, an epoch each, and average the weights that epochs ``start`` (from 1) and on end with."""
    images = data()
    images.setup("fit")
    raw = images.read_train()
    values = ((raw.pixels.float() / 255 - 0.5) / 0.5).permute(0, 3, 1, 2).contiguous()
    optimizer = torch.optim.SGD(net.parameters(), lr=rates[0], momentum=0.9)
    average = AveragedModel(net)
    for epoch, rate in enumerate(rates):
        optimizer.param_groups[0]["lr"] = rate
        net.train()
        for chosen in images.train_order(epoch).split(64):
            optimizer.zero_grad()
            F.cross_entropy(net(values[chosen]), raw.labels[chosen]).backward()
            optimizer.step()
        if epoch + 1 >= start:
            average.update_parameters(net)
    update_bn((values[chosen] for chosen in images.train_order(len(rates) - 1).split(64)), average)
    return average.eval()


@pytest.mark.parametrize("make_net", [ConvNet, NormalisedNet])
def test_averages_the_weights_that_epochs_end_with(make_net: Callable[[], nn.Module]) -> None:
    seed_everything(0)
    averaging = EpochEndWeightAveraging(
        swa_lrs=0.004, swa_epoch_start=3, annealing_epochs=2, annealing_strategy="linear"
    )
    classifier, trainer = fit(averaging, 5, make_net())
    # StepLR until averaging starts; from its 0.0025 linearly to 0.004 within two epochs
    rates = [0.01, 0.005, 0.0025, 0.00325, 0.004]
    seed_everything(0)
    expected = average_by_hand(make_net(), rates, start=3)
    images = torch.randn(16, 3, 32, 32)
    torch.testing.assert_close(classifier.net.eval()(images), expected(images), atol=1e-4, rtol=1e-3)
    saved = torch.load(Path(str(trainer.log_dir)) / "checkpoints" / "swa.ckpt", weights_only=True)["state_dict"]
    torch.testing.assert_close(saved, dict(classifier.state_dict()))
    assert trainer.current_epoch == 5


def test_averaged_metrics_are_those_of_the_average() -> None:
    classifier, trainer = fit(EpochEndWeightAveraging(swa_lrs=0.02, swa_epoch_start=2), 3)
    shown = {name: trainer.callback_metrics[name].item() for name in ("val_loss_swa", "val_acc_swa")}
    measured = trainer.validate(classifier, data(), verbose=False)[0]
    assert shown["val_loss_swa"] == pytest.approx(measured["val_loss"], abs=1e-5)
    assert shown["val_acc_swa"] == pytest.approx(measured["val_acc"], abs=1e-6)


def test_average_shown_before_it_starts_is_none(tmp_path: Path) -> None:
    fit(EpochEndWeightAveraging(swa_lrs=0.02, swa_epoch_start=3), 3)
    rows = (tmp_path / "lightning_logs" / "version_0" / "metrics.csv").read_text().splitlines()
    position = rows[0].split(",").index("val_acc_swa")
    assert [bool(row.split(",")[position]) for row in rows[1:]] == [False, False, True]


def test_run_that_would_end_before_averaging_starts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="weight averaging starts in epoch 4, but max_epochs is 3"):
        fit(EpochEndWeightAveraging(swa_lrs=0.02, swa_epoch_start=4), 3)


class StopAfter(Callback):
    """Stops training as early stopping does."""

    def __init__(self, epoch: int) -> None:
        self.epoch = epoch

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        trainer.should_stop = trainer.current_epoch + 1 == self.epoch


def test_training_that_stops_early_keeps_its_average(tmp_path: Path) -> None:
    averaging = EpochEndWeightAveraging(swa_lrs=0.02, swa_epoch_start=2)
    classifier, trainer = fit(averaging, 9, None, StopAfter(3))
    assert trainer.current_epoch == 3
    assert averaging.n_averaged == 2
    folder = tmp_path / "lightning_logs" / "version_0" / "checkpoints"
    swa, raw = (torch.load(next(folder.glob(g)), weights_only=True)["state_dict"] for g in ("swa.ckpt", "epoch*.ckpt"))
    weights = classifier.state_dict()["net.fc3.weight"]
    assert torch.equal(swa["net.fc3.weight"], weights)
    assert not torch.equal(raw["net.fc3.weight"], weights)


def test_training_that_stops_before_averaging_keeps_its_weights_and_says_so(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="had not started when training stopped"):
        classifier, _ = fit(EpochEndWeightAveraging(swa_lrs=0.02, swa_epoch_start=4), 9, None, StopAfter(1))
    checkpoint = next((tmp_path / "lightning_logs/version_0/checkpoints").glob("*.ckpt"))
    loaded = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert torch.equal(loaded["net.fc3.weight"], classifier.state_dict()["net.fc3.weight"])


def test_shipped_configuration_shows_saves_and_tests_the_average(
    optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path
) -> None:
    settings = ("--trainer.max_epochs", "8", "--data.val_size", "100")
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd_swa.yaml", *small, *settings)
    assert outcome.status == 0
    assert "averaging  optimcifar.EpochEndWeightAveraging(swa_lrs=0.05, swa_epoch_start=7" in outcome.out
    run = tmp_path / "lightning_logs" / "version_0"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["val_acc_swa"] is not None
    assert summary["lr_scheduler"] == "torch.optim.lr_scheduler.StepLR"
    assert f"of the averaged weights (swa) {summary['val_acc_swa']:.4f}" in outcome.out
    validated = optimcifar("validate", "--ckpt_path", run / "checkpoints" / "swa.ckpt")
    assert f"validation accuracy {summary['val_acc_swa']:.4f}" in validated.out
    assert optimcifar("test", "--ckpt_path", run / "checkpoints" / "swa.ckpt").status == 0
    assert (run / "checkpoints" / "swa.test.json").exists()
    again = optimcifar("fit", "--config", run / "config.yaml")
    assert again.status == 0
    assert (
        json.loads((tmp_path / "lightning_logs/version_1/summary.json").read_text())["val_acc_swa"]
        == (summary["val_acc_swa"])
    )


def averages_by_hand(net: nn.Module, epochs: int, start: int, decay: float) -> tuple[AveragedModel, AveragedModel]:
    """Train at 0.002, where rounding does not grow; average the weights after epochs ``start`` on, and after steps."""
    images = data()
    images.setup("fit")
    raw = images.read_train()
    values = ((raw.pixels.float() / 255 - 0.5) / 0.5).permute(0, 3, 1, 2).contiguous()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.002, momentum=0.9)
    swa, ema = AveragedModel(net), AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(decay))
    for epoch in range(epochs):
        net.train()
        for chosen in images.train_order(epoch).split(64):
            optimizer.zero_grad()
            F.cross_entropy(net(values[chosen]), raw.labels[chosen]).backward()
            optimizer.step()
            ema.update_parameters(net)
        if epoch + 1 >= start:
            swa.update_parameters(net)
    for average in (swa, ema):
        update_bn((values[chosen] for chosen in images.train_order(epochs - 1).split(64)), average)
        average.eval()
    return swa, ema


def fit_beside(
    folder: str, epochs: int, averages: WeightAverages | None, net: nn.Module, *callbacks: Callback, **options: Any
) -> tuple[ImageClassifier, Trainer]:
    classifier = ImageClassifier(net=net, optimizer=lambda p: torch.optim.SGD(p, lr=0.002, momentum=0.9))
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=RunLogger(name=folder),
        callbacks=[*([averages] if averages else []), *callbacks],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )
    trainer.fit(classifier, data(), weights_only=True, **options)
    return classifier, trainer


def saved(trainer: Trainer, name: str) -> dict[str, torch.Tensor]:
    path = Path(str(trainer.log_dir)) / "checkpoints" / f"{name}.ckpt"
    state: dict[str, torch.Tensor] = torch.load(path, weights_only=True)["state_dict"]
    return state


@pytest.mark.parametrize("make_net", [ConvNet, NormalisedNet])
def test_averages_beside_training_are_those_of_torch(make_net: Callable[[], nn.Module]) -> None:
    seed_everything(0)
    classifier, trainer = fit_beside("runs", 3, WeightAverages(swa_epoch_start=2, ema_decay=0.9), make_net())
    seed_everything(0)
    images = torch.randn(16, 3, 32, 32)
    seed_everything(0)
    by_hand = averages_by_hand(make_net(), 3, start=2, decay=0.9)
    for name, expected in zip(("swa", "ema"), by_hand, strict=True):
        averaged = ImageClassifier(net=make_net())
        averaged.load_state_dict(saved(trainer, name))
        torch.testing.assert_close(averaged.net.eval()(images), expected(images), atol=1e-4, rtol=1e-3)
        shown = trainer.callback_metrics
        measured = Trainer(logger=False, accelerator="cpu", enable_progress_bar=False).validate(
            averaged, data(), verbose=False
        )[0]
        assert shown[f"val_loss_{name}"].item() == pytest.approx(measured["val_loss"], abs=1e-5)
        assert shown[f"val_acc_{name}"].item() == pytest.approx(measured["val_acc"], abs=1e-6)
    # The run itself is the one without averages, also its BatchNorm.
    seed_everything(0)
    alone, _ = fit_beside("alone", 3, None, make_net())
    first, second = classifier.state_dict(), alone.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_averages_stand_in_the_rows_of_their_epochs(tmp_path: Path) -> None:
    fit_beside("runs", 4, WeightAverages(swa_epoch_start=0.5), ConvNet())
    with (tmp_path / "runs/version_0/metrics.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["val_acc_swa"]) for row in rows] == [False, False, True, True]
    assert all(row["val_acc_ema"] and row["val_acc"] for row in rows)


def test_exponential_average_counts_optimizer_steps_not_batches() -> None:
    seed_everything(0)
    averages = WeightAverages(swa_epoch_start=None, ema_decay=0.5)
    net = ConvNet()
    classifier = ImageClassifier(net=net, optimizer=lambda p: torch.optim.SGD(p, lr=0.01))
    trainer = Trainer(max_epochs=1, accumulate_grad_batches=4, logger=False, accelerator="cpu", callbacks=[averages])
    trainer.fit(classifier, data(0))
    assert int(averages.state_dict()["ema"]["n_averaged"]) == trainer.global_step == 4


@pytest.mark.filterwarnings("ignore:The dirpath has changed")
def test_averages_of_a_resumed_run_are_those_of_one_that_was_not_stopped(tmp_path: Path) -> None:
    class Save(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.current_epoch == 1:
                trainer.save_checkpoint(tmp_path / "cut.ckpt")

    def averages() -> WeightAverages:
        return WeightAverages(swa_epoch_start=2, ema_decay=0.9)

    seed_everything(0)
    _, whole = fit_beside("whole", 3, averages(), NormalisedNet(), Save())
    seed_everything(1)
    _, resumed = fit_beside("resumed", 3, averages(), NormalisedNet(), ckpt_path=tmp_path / "cut.ckpt")
    for name in ("swa", "ema"):
        first, second = saved(whole, name), saved(resumed, name)
        assert all(torch.equal(first[key], second[key]) for key in first), name


def test_averages_from_the_command_line_are_shown_saved_and_tested(
    optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path
) -> None:
    averages = ("--trainer.callbacks+=WeightAverages", "--trainer.callbacks.swa_epoch_start=2")
    outcome = optimcifar("fit", *small, *averages)
    assert (outcome.status, outcome.err) == (0, "")
    assert "averaging  optimcifar.WeightAverages(swa_epoch_start=2, ema_decay=0.999)" in outcome.out
    run = tmp_path / "lightning_logs" / "version_0"
    summary = json.loads((run / "summary.json").read_text())
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
def test_averages_that_can_not_be_had_are_refused(
    options: list[str], message: str, optimcifar: Callable[..., Outcome], small: list[str]
) -> None:
    given = [f"--trainer.callbacks.{option}" for option in options]
    outcome = optimcifar("fit", *small, "--trainer.callbacks+=WeightAverages", *given)
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_averages_beside_a_schedule_that_averages_are_the_exponential_one_alone(
    optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path
) -> None:
    command = ("fit", "--config", CONFIGS / "sgd_swa.yaml", *small, "--trainer.max_epochs", 8)
    assert optimcifar(*command).status == 0
    outcome = optimcifar(*command, "--trainer.callbacks+=WeightAverages")
    assert (outcome.status, outcome.err) == (0, "")
    alone, both = (json.loads((tmp_path / f"lightning_logs/version_{n}/summary.json").read_text()) for n in (0, 1))
    assert both["val_acc_swa"] == alone["val_acc_swa"]
    assert "val_acc_ema" in both
    weights = [tmp_path / f"lightning_logs/version_{n}/checkpoints/swa.ckpt" for n in (0, 1)]
    first, second = (torch.load(path, weights_only=True)["state_dict"] for path in weights)
    assert all(torch.equal(first[key], second[key]) for key in first)
