"""Training that goes on from any checkpoint, or in a second fit, is that of a run that never stopped."""

from __future__ import annotations

import random
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import Command, equal_weights, metrics_without_times, quiet_trainer, read_rows
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint, StochasticWeightAveraging
from torch import nn
from torch.optim.lr_scheduler import OneCycleLR, ReduceLROnPlateau, StepLR

from optimcifar import (
    ConvNet,
    EpochEndWeightAveraging,
    GradientsAndUpdates,
    ImageClassifier,
    RunLogger,
    RunSummary,
    Shapes10DataModule,
    StepLosses,
    WeightAverages,
)
from optimcifar.callbacks.validation_rows import ValidationRows
from optimcifar.optim.types import LRInterval, LRSchedulerCallable

# A training epoch has four batches.
SETTINGS: dict[str, dict[str, Any]] = {
    "validation at the end": {},
    "validation within the epoch": {"val_check_interval": 0.5},
    "validation every second epoch": {"check_val_every_n_epoch": 2},
    "validation after three batches of any epoch": {"check_val_every_n_epoch": None, "val_check_interval": 3},
    "no validation": {"limit_val_batches": 0},
    "gradients of three batches": {"accumulate_grad_batches": 3, "val_check_interval": 0.25},
    "three batches": {"limit_train_batches": 3},
    "an end by steps": {"max_epochs": -1, "max_steps": 10},
}


class Net(nn.Sequential):
    """A network whose training depends on random numbers and on what it saw before."""

    def __init__(self) -> None:
        layers = (nn.Conv2d(3, 4, 5, stride=4), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Dropout(0.3))
        super().__init__(*layers, nn.Linear(196, 10))


class SaveEverywhere(Callback):
    """Saves a checkpoint at every moment at which Lightning's ``ModelCheckpoint`` can."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.files = folder, list[Path]()

    def save(self, trainer: Trainer, moment: str) -> None:
        self.files.append(
            self.folder / f"step {trainer.global_step}, batch {trainer.fit_loop.batch_idx}, {moment}.ckpt"
        )
        trainer.save_checkpoint(self.files[-1])

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        self.save(trainer, "after the batch")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer, "after validation")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.save(trainer, "after the epoch")


class Run:
    """A run of two epochs; its metrics go to a folder."""

    def __init__(
        self,
        folder: Path,
        *callbacks: Callback,
        schedule: LRSchedulerCallable | None = None,
        averages: WeightAverages | None = None,
        summary: RunSummary | None = None,
        lr_interval: LRInterval = "epoch",
        net: nn.Module | None = None,
        **settings: Any,
    ) -> None:
        seed_everything(0, verbose=False)
        self.folder = folder
        self.averages = averages or WeightAverages(swa_epoch_start=1, ema_decay=0.9)
        self.summary = summary or RunSummary()
        self.trainer = quiet_trainer(
            **{"max_epochs": 2, "logger": RunLogger(folder)} | settings,
            callbacks=[self.averages, self.summary, *callbacks],
        )
        schedule = schedule or partial(StepLR, step_size=1, gamma=0.5)
        optimizer = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
        self.classifier = ImageClassifier(net or Net(), optimizer, schedule, lr_interval)
        self.data = Shapes10DataModule(train_images=320, val_size=64)

    def fit(self, checkpoint: Path | None = None) -> Run:
        if checkpoint:
            seed_everything(7, verbose=False)  # a resumed process has drawn other numbers before
        self.trainer.fit(self.classifier, self.data, ckpt_path=checkpoint, weights_only=True)
        return self

    def weights(self) -> dict[str, torch.Tensor]:
        weights: dict[str, torch.Tensor] = dict(self.classifier.state_dict())
        return weights | {f"{n}.{k}": v for n, a in self.averages.state_dict().items() for k, v in a.items()}

    def table(self, name: str) -> list[dict[str, str]]:
        """Return the rows of a CSV file of the run without seconds, which no two runs share; none without the file."""
        rows = [row for path in self.folder.rglob(name) for row in read_rows(path)]
        return [{column: cell for column, cell in row.items() if column != "seconds"} for row in rows]

    def rows(self) -> dict[str, dict[str, str]]:
        """Return the filled cells but for seconds, by epoch."""
        rows = [row for path in self.folder.rglob("metrics.csv") for row in read_rows(path)]
        return {row["epoch"]: {k: v for k, v in row.items() if v and k != "seconds"} for row in rows}


def assert_goes_on(whole: Run, resumed: Run, name: str) -> None:
    assert resumed.trainer.global_step == whole.trainer.global_step, name
    assert equal_weights(whole.classifier.state_dict(), resumed.classifier.state_dict()), name
    if not resumed.summary.values:
        return  # nothing was left to train
    assert equal_weights(whole.weights(), resumed.weights()), name
    expected = whole.rows()
    assert resumed.rows() == {epoch: expected[epoch] for epoch in resumed.rows()}, name
    for metric in ("train_loss", "val_loss", "val_acc_swa", "val_loss_ema"):
        assert resumed.summary.values.get(metric) == whole.summary.values.get(metric), (name, metric)


@pytest.mark.parametrize("settings", SETTINGS)
def test_training_goes_on_from_every_checkpoint(settings: str, tmp_path: Path) -> None:
    save = SaveEverywhere(tmp_path)
    whole = Run(tmp_path / "whole", GradientsAndUpdates(), StepLosses(), save, **SETTINGS[settings]).fit()
    assert "grad_norm_5" in whole.rows()["1"]
    losses = whole.table("steps.csv")
    assert [row["step"] for row in losses] == [str(step + 1) for step in range(whole.trainer.global_step)]
    for number, checkpoint in enumerate(save.files):
        resumed = Run(tmp_path / str(number), GradientsAndUpdates(), StepLosses(), **SETTINGS[settings]).fit(checkpoint)
        assert_goes_on(whole, resumed, checkpoint.stem)
        assert resumed.table("steps.csv") == losses[step_of(checkpoint) :], checkpoint.stem


class SaveTables(SaveEverywhere):
    """Saves the tables beside each checkpoint, as a run that is killed there leaves them."""

    def save(self, trainer: Trainer, moment: str) -> None:
        super().save(trainer, moment)
        copy_tables(Path(trainer.log_dir or ""), self.files[-1].with_suffix(""))


def copy_tables(run: Path, to: Path) -> None:
    to.mkdir(parents=True)
    for path in run.glob("*.csv"):
        shutil.copy(path, to)


def step_of(checkpoint: Path) -> int:
    return int(checkpoint.stem.removeprefix("step ").partition(",")[0])


@pytest.mark.parametrize(
    ("settings", "checkpoints"),
    [
        ("gradients of three batches", slice(0, 8, 4)),  # after the first batch of three, and after the third
        *(pytest.param(settings, slice(-1), marks=pytest.mark.slow) for settings in SETTINGS),
    ],
)
def test_tables_go_on_in_the_folder_of_the_run(settings: str, checkpoints: slice, tmp_path: Path) -> None:
    def run(folder: Path, *callbacks: Callback) -> Run:
        summary = RunSummary()
        own = (StepLosses(), ValidationRows(summary), *callbacks)
        return Run(folder, *own, summary=summary, **SETTINGS[settings] | {"logger": RunLogger(folder, version=0)})

    save = SaveTables(tmp_path)
    whole = run(tmp_path / "whole", save).fit()
    assert len(whole.table("steps.csv")) == whole.trainer.global_step
    for number, checkpoint in enumerate(save.files[checkpoints]):
        # Killed with its checkpoint, or after it had gone on to its end.
        for name, left in (("at once", checkpoint.with_suffix("")), ("late", Path(whole.trainer.log_dir or ""))):
            folder = tmp_path / f"{number} {name}"
            copy_tables(left, folder / "lightning_logs" / "version_0")
            resumed = run(folder).fit(checkpoint)
            for table in ("steps.csv", "validations.csv"):
                assert resumed.table(table) == whole.table(table), (table, name, checkpoint.stem)


INTERRUPTED = """
from lightning.pytorch import Callback

class Interrupted(Callback):
    "Presses Ctrl-C in the 21st step of a new run."

    def on_train_batch_end(self, trainer, *args):
        if trainer.global_step == 21 and trainer.ckpt_path is None:
            raise KeyboardInterrupt
"""


def test_tables_of_a_run_that_is_interrupted_within_an_epoch_and_resumed_are_whole(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    options = (*small, "--trainer.val_check_interval", 5, "--trainer.callbacks+=StepLosses")
    (tmp_path / "interrupted.py").write_text(INTERRUPTED)
    assert optimcifar("fit", *options).status == 0
    assert optimcifar("fit", *options, "--trainer.callbacks+=interrupted.Interrupted").status == 130
    whole, cut = (tmp_path / "lightning_logs" / f"version_{number}" for number in (0, 1))
    assert [row["step"] for row in read_rows(whole / "validations.csv")] == ["5", "10", "18", "23"]
    assert read_rows(cut / "steps.csv") == read_rows(whole / "steps.csv")[:21]
    assert optimcifar("resume", cut).status == 0
    assert (cut / "steps.csv").read_bytes() == (whole / "steps.csv").read_bytes()
    assert metrics_without_times(cut, "validations.csv") == metrics_without_times(whole, "validations.csv")


def test_schedule_in_steps_that_leaves_its_length_out_goes_on_from_every_checkpoint(tmp_path: Path) -> None:
    save = SaveEverywhere(tmp_path)
    one_cycle = partial(OneCycleLR, max_lr=0.1)
    whole = Run(tmp_path / "whole", save, schedule=one_cycle, lr_interval="step").fit()
    for number, checkpoint in enumerate(save.files):
        resumed = Run(tmp_path / str(number), schedule=one_cycle, lr_interval="step").fit(checkpoint)
        assert_goes_on(whole, resumed, checkpoint.stem)


@pytest.mark.parametrize(
    ("settings", "rates"),
    [
        ("validation at the end", ["0.01", "0.01", "0.005"]),
        pytest.param("validation within the epoch", ["0.01", "0.01", "0.005"], marks=pytest.mark.slow),
        pytest.param("validation every second epoch", [*["0.01"] * 4, "0.005"], marks=pytest.mark.slow),
        pytest.param("an end by steps", ["0.01", "0.01", "0.005"], marks=pytest.mark.slow),
    ],
)
def test_schedule_that_follows_a_metric_goes_on_from_every_checkpoint(
    settings: str, rates: list[str], tmp_path: Path
) -> None:
    # Only a tenth of the best loss counts as better: every validation but the first halves the rate.
    plateau = partial(ReduceLROnPlateau, threshold=0.9, patience=0, factor=0.5)
    save = SaveEverywhere(tmp_path)
    three = {"max_epochs": len(rates)} | SETTINGS[settings]
    whole = Run(tmp_path / "whole", save, schedule=plateau, **three).fit()
    assert [row["lr"] for row in whole.rows().values()] == rates
    for number, checkpoint in enumerate(save.files):
        resumed = Run(tmp_path / str(number), schedule=plateau, **three).fit(checkpoint)
        assert_goes_on(whole, resumed, checkpoint.stem)


def test_averaging_with_a_schedule_of_its_own_goes_on_from_every_checkpoint(tmp_path: Path) -> None:
    def averaging() -> EpochEndWeightAveraging:
        return EpochEndWeightAveraging(swa_lrs=0.02, swa_epoch_start=2, annealing_epochs=2)

    save = SaveEverywhere(tmp_path)
    settings: dict[str, Any] = {"max_epochs": 3, "val_check_interval": 0.5}
    whole = Run(tmp_path / "whole", averaging(), save, **settings).fit()
    for number, checkpoint in enumerate(save.files[:-1]):  # after the last, nothing is left to train
        resumed = Run(tmp_path / str(number), averaging(), **settings).fit(checkpoint)
        assert_goes_on(whole, resumed, checkpoint.stem)


@pytest.mark.slow
def test_averaging_of_lightning_goes_on_from_every_checkpoint(tmp_path: Path) -> None:
    def averaging() -> StochasticWeightAveraging:
        return StochasticWeightAveraging(swa_lrs=0.02, swa_epoch_start=2, annealing_epochs=2)

    save = SaveEverywhere(tmp_path)
    averages = [WeightAverages(swa_epoch_start=None, ema_decay=0.5) for _ in range(100)]
    whole = Run(tmp_path / "whole", averaging(), save, averages=averages.pop(), net=ConvNet(), max_epochs=3).fit()
    for number, checkpoint in enumerate(save.files[:-1]):
        run = Run(tmp_path / str(number), averaging(), averages=averages.pop(), net=ConvNet(), max_epochs=3)
        assert_goes_on(whole, run.fit(checkpoint), checkpoint.stem)


def test_double_precision_goes_on_bit_for_bit(tmp_path: Path) -> None:
    save = SaveEverywhere(tmp_path)
    whole = Run(tmp_path / "whole", save, precision="64-true").fit()
    resumed = Run(tmp_path / "resumed", precision="64-true").fit(save.files[1])
    assert_goes_on(whole, resumed, "64-true")


def test_layers_that_were_released_stay_released(tmp_path: Path) -> None:
    class Release(Callback):
        def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
            pl_module.net[0].requires_grad_(False)  # type: ignore[index]

        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.current_epoch == 1:
                pl_module.net[0].requires_grad_(True)  # type: ignore[index]

    save = SaveEverywhere(tmp_path)
    whole = Run(tmp_path / "whole", Release(), save, max_epochs=3).fit()
    for number, checkpoint in enumerate(save.files[-6:-2]):
        resumed = Run(tmp_path / str(number), Release(), max_epochs=3).fit(checkpoint)
        assert equal_weights(whole.classifier.state_dict(), resumed.classifier.state_dict()), checkpoint.stem


@pytest.mark.filterwarnings("ignore:.*callbacks used to create the checkpoint need to be provided")
@pytest.mark.parametrize("steps", [3, 4, 5, 8])
def test_run_that_steps_ended_goes_on_within_its_epoch(steps: int, tmp_path: Path) -> None:
    def run(name: str, max_steps: int, *callbacks: Callback) -> Run:
        averages = WeightAverages(swa_epoch_start=None, ema_decay=0.9)
        settings: dict[str, Any] = {"max_steps": max_steps, "enable_checkpointing": bool(callbacks)}
        return Run(tmp_path / name, *callbacks, averages=averages, max_epochs=-1, **settings)

    run("short", steps, ModelCheckpoint(tmp_path / "saved", "end")).fit()
    resumed = run("resumed", 10).fit(tmp_path / "saved" / "end.ckpt")
    assert_goes_on(run("whole", 10).fit(), resumed, "")


def test_random_generators_go_on(tmp_path: Path) -> None:
    class Draw(Callback):
        def __init__(self) -> None:
            self.drawn: list[tuple[float, ...]] = []

        def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
            self.drawn.append((random.random(), np.random.random(), torch.rand(()).item()))

    whole, rest = Draw(), Draw()
    save = SaveEverywhere(tmp_path)
    Run(tmp_path / "whole", whole, save).fit()
    Run(tmp_path / "rest", rest).fit(save.files[1])
    assert rest.drawn == whole.drawn[2:]


def test_batches_of_another_size_are_refused_within_an_epoch_only(tmp_path: Path) -> None:
    save = SaveEverywhere(tmp_path)
    Run(tmp_path / "whole", save).fit()
    within, at_the_end = save.files[0], next(path for path in save.files if "epoch" in path.name)
    smaller = Run(tmp_path / "smaller")
    smaller.data = Shapes10DataModule(train_images=320, val_size=64, batch_size=32)
    with pytest.raises(ValueError, match="middle of an epoch with batch_size 64 on 1 device, and this run has batch_s"):
        smaller.fit(within)
    again = Run(tmp_path / "again")
    again.data = Shapes10DataModule(train_images=320, val_size=64, batch_size=32)
    assert again.fit(at_the_end).trainer.global_step == 4 + 8


def test_time_and_images_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter(range(100_000))
    # Every look at the clock takes a second.
    monkeypatch.setattr("optimcifar.callbacks.training_clock.synchronized_time", lambda device: float(next(clock)))
    save = SaveEverywhere(tmp_path)
    Run(tmp_path / "whole", save, limit_val_batches=0).fit()
    for checkpoint in save.files[:-1]:
        clock = iter(range(1_000_000, 2_000_000))  # much later
        values = Run(tmp_path / checkpoint.stem, limit_val_batches=0).fit(checkpoint).summary.values
        assert 2 <= values["train_seconds"] <= 20
        assert values["images_per_second"] == round(2 * 256 / values["train_seconds"], 1)


class Interrupt(Callback):
    """Raises an error in a batch of the first epoch, or in its validation, once."""

    def __init__(self, stage: str) -> None:
        self.stage: str | None = stage

    def stop(self, stage: str, batch: int) -> None:
        if stage == self.stage and batch == 1:
            self.stage = None
            raise RuntimeError("interrupted")

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, out: Any, batch: Any, index: int
    ) -> None:
        self.stop("fit", index)

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, out: Any, batch: Any, index: int, n: int = 0
    ) -> None:
        self.stop("validate", index)

    def on_test_batch_end(self, trainer: Trainer, pl_module: Any, out: Any, batch: Any, index: int, n: int = 0) -> None:
        self.stop("test", index)


@pytest.mark.parametrize("stage", ["fit", "validate", "test"])
def test_metrics_start_clean_after_an_interruption(stage: str) -> None:
    def call(trainer: Trainer, classifier: ImageClassifier) -> dict[str, float]:
        function = trainer.fit if stage == "fit" else partial(getattr(trainer, stage), verbose=False)
        function(classifier, datamodule=Shapes10DataModule(train_images=1500, val_size=1100, test_images=1100))
        return {name: value.item() for name, value in trainer.callback_metrics.items()}

    frozen = partial(torch.optim.SGD, lr=0.0)
    used = ImageClassifier(optimizer=frozen)
    with pytest.raises(RuntimeError, match="interrupted"):
        call(quiet_trainer(callbacks=[Interrupt(stage)]), used)
    with torch.no_grad():
        for parameter in used.parameters():
            parameter.mul_(5)
    new = ImageClassifier(optimizer=frozen)
    new.load_state_dict(used.state_dict())
    assert call(quiet_trainer(), used) == call(quiet_trainer(), new)


def test_callbacks_start_clean_with_another_trainer(tmp_path: Path) -> None:
    used, averages = RunSummary(), WeightAverages(swa_epoch_start=1, ema_decay=0.5)
    Run(tmp_path / "first", averages=averages, summary=used, max_epochs=1).fit()
    Run(tmp_path / "second", averages=averages, summary=used, max_epochs=2).fit()
    assert used.values["images_per_second"] == pytest.approx(512 / used.values["train_seconds"], rel=0.1)
    assert used.values["hyperparameters"]["trainer.max_epochs"] == 2
    assert [int(state["n_averaged"]) for state in averages.state_dict().values()] == [2, 8]


def test_second_fit_of_a_trainer_goes_on_with_averages_and_time(tmp_path: Path) -> None:
    run = Run(tmp_path).fit()
    first = run.summary.values
    run.trainer.fit_loop.max_epochs = 4
    run.fit()
    assert [int(state["n_averaged"]) for state in run.averages.state_dict().values()] == [4, 16]
    assert run.summary.values["epochs"] == 4
    assert run.summary.values["train_seconds"] > first["train_seconds"]
    assert run.summary.values["initial_weights_sha256"] == first["initial_weights_sha256"]


def test_averages_with_batch_norm_are_there_outside_of_fit(tmp_path: Path) -> None:
    run = Run(tmp_path, num_sanity_val_steps=2).fit()
    measured = {name: value.item() for name, value in run.trainer.callback_metrics.items() if "ema" in name}
    validated = run.trainer.validate(run.classifier, run.data, verbose=False)[0]
    assert {name: validated[name] for name in measured} == pytest.approx(measured)
    run.trainer.fit_loop.max_epochs = 3
    assert run.fit().rows().keys() == {"1", "2", "3"}


def test_average_may_be_added_when_a_run_goes_on(tmp_path: Path) -> None:
    save = SaveEverywhere(tmp_path)
    Run(tmp_path / "one", save, averages=WeightAverages(swa_epoch_start=None)).fit()
    both = Run(tmp_path / "both", averages=WeightAverages(swa_epoch_start=2)).fit(save.files[1])
    assert [int(state["n_averaged"]) for state in both.averages.state_dict().values()] == [1, 8]


def test_failed_test_leaves_the_summary_of_a_finished_run(tmp_path: Path) -> None:
    run = Run(tmp_path, Interrupt("test")).fit()
    (summary,) = tmp_path.rglob("summary.json")
    before = summary.read_bytes()
    run.data = Shapes10DataModule(train_images=320, val_size=64, test_images=1100)
    with pytest.raises(RuntimeError, match="interrupted"):
        run.trainer.test(run.classifier, run.data)
    assert summary.read_bytes() == before


def test_each_fit_averages_anew_with_a_schedule_of_its_own(tmp_path: Path) -> None:
    averaging = EpochEndWeightAveraging(swa_lrs=0.02, swa_epoch_start=2)
    Run(tmp_path / "used", averaging).fit()
    again = Run(tmp_path / "again", averaging, max_epochs=3).fit()
    new = Run(tmp_path / "new", EpochEndWeightAveraging(swa_lrs=0.02, swa_epoch_start=2), max_epochs=3).fit()
    assert equal_weights(again.classifier.state_dict(), new.classifier.state_dict())
    assert again.rows() == new.rows()


def test_new_fit_from_the_weights_of_a_checkpoint_is_a_new_run(tmp_path: Path) -> None:
    save = SaveEverywhere(tmp_path)
    Run(tmp_path / "run", save).fit()
    loaded = {name: Run(tmp_path / name) for name in ("loaded", "copied")}
    checkpoint = torch.load(save.files[1], weights_only=True)
    loaded["loaded"].classifier.on_load_checkpoint(checkpoint)  # as load_from_checkpoint does
    for run in loaded.values():
        run.classifier.load_state_dict(checkpoint["state_dict"])
        seed_everything(0, verbose=False)
        run.fit()
    assert loaded["loaded"].rows() == loaded["copied"].rows()
