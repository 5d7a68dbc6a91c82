from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers import CONFIGS, Command, quiet_trainer
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from torch import Tensor, nn
from torch.optim import SGD, Adam
from torch.optim.lr_scheduler import CosineAnnealingLR, CyclicLR, LinearLR, OneCycleLR
from torch.utils.data import DataLoader, IterableDataset

from optimcifar import EpochBar, EpochLines, SequentialSchedule
from optimcifar.callbacks.descriptions import schedule_text
from optimcifar.optim.types import LRSchedulerCallable


def test_run_describes_itself_and_then_every_epoch(optimcifar: Command, small: list[str]) -> None:
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd_steplr.yaml", *small)
    lines = outcome.out.splitlines()
    assert lines[0] == "ConvNet, 62,006 parameters, on Shapes10: 800 training images, 200 for validation, seed 0; cpu"
    assert lines[1].startswith(
        "optimizer  torch.optim.SGD(lr=0.01, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov="
    )
    assert lines[2] == "schedule   torch.optim.lr_scheduler.StepLR(step_size=2, gamma=0.1), every epoch"
    assert lines[3].startswith("epoch 1/2  lr 0.01      train loss 2.")
    assert "  val acc 0." in lines[4]
    assert lines[4].endswith(" s")
    assert outcome.err == ""


def test_a_schedule_is_described_by_its_arguments_without_methods_of_their_names() -> None:
    optimizer = SGD([torch.zeros(1)], lr=0.1, momentum=0.9)
    text = "torch.optim.lr_scheduler.CyclicLR(mode='triangular', gamma=1.0, scale_mode='cycle', cycle_momentum=True)"
    assert schedule_text(CyclicLR(optimizer, base_lr=0.1, max_lr=0.2)).plain == text


def test_a_schedule_is_described_by_what_its_partial_gives_and_leaves_out() -> None:
    optimizer = SGD([torch.zeros(1)], lr=0.1, momentum=0.9)
    cycle = partial(OneCycleLR, max_lr=0.2, total_steps=8)
    text = schedule_text(cycle(optimizer), cycle)
    assert text.plain == (
        f"{SCHEDULES}.OneCycleLR(max_lr=0.2, total_steps=8, pct_start=0.3, anneal_strategy='cos', cycle_momentum=True, "
        "base_momentum=0.85, max_momentum=0.95, div_factor=25.0, final_div_factor=10000.0, three_phase=False)"
    )
    dimmed = [text.plain[span.start : span.end] for span in text.spans if span.style == "dim"]
    assert dimmed[:2] == ["pct_start=0.3", "anneal_strategy='cos'"]
    parts: list[LRSchedulerCallable] = [
        partial(LinearLR, total_iters=2),
        partial(OneCycleLR, max_lr=0.3, total_steps=5),
    ]
    sequence = partial(SequentialSchedule, schedulers=parts, milestones=[2])
    text = schedule_text(sequence(optimizer), sequence)
    assert f"[{SCHEDULES}.LinearLR(start_factor=0.3333333333333333, end_factor=1.0, total_iters=2), " in text.plain
    assert f"{SCHEDULES}.OneCycleLR(max_lr=0.3, total_steps=5, pct_start=0.3, " in text.plain
    assert text.plain.endswith("three_phase=False)], milestones=[2])")


def test_a_terminal_breaks_lines_between_words_and_dims_defaults(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")
    quiet_trainer(callbacks=[EpochLines()]).fit(Plain())
    lines = capsys.readouterr().out.splitlines()
    plain = [re.sub(r"\x1b\[\d*m", "", line) for line in lines]
    assert [line.rstrip() for line in plain[1:3]] == [
        "optimizer  torch.optim.SGD(lr=0.0, momentum=0,",
        "           dampening=0, weight_decay=0, nesterov=False,",
    ]
    assert "lr=0.0, \x1b[2mmomentum=0\x1b[0m" in lines[1]
    assert max(map(len, plain)) <= 60


class Plain(LightningModule):
    """A module of four batches per epoch that logs nothing, with a loss of 4 that never changes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 1)
        for parameter in self.parameters():
            nn.init.zeros_(parameter)

    def loss(self, batch: Tensor) -> Tensor:
        return F.mse_loss(self.layer(batch), torch.full((len(batch), 1), 2.0))

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        return self.loss(batch)

    def configure_optimizers(self) -> Any:
        return SGD(self.parameters(), lr=0.0)

    def train_dataloader(self) -> DataLoader[Tensor]:
        return DataLoader(torch.ones(8, 4), batch_size=2)  # type: ignore[arg-type]  # a tensor is a data set too


class Stream(IterableDataset[Tensor]):
    def __iter__(self) -> Iterator[Tensor]:
        return iter(torch.ones(8, 4))


class WithoutLength(Plain):
    def train_dataloader(self) -> DataLoader[Tensor]:
        return DataLoader(Stream(), batch_size=2)


class Lazy(Plain):
    """Knows its weights after the first batch."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LazyLinear(1)


class Validated(Plain):
    """Logs under this package's names; its ``net`` is no network."""

    def net(self, batch: Tensor) -> Tensor:
        result: Tensor = self.layer(batch)
        return result

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.log("train_loss", loss := self.loss(batch), on_epoch=True, prog_bar=True)
        return loss

    def validation_step(self, batch: Tensor, batch_idx: int) -> None:
        self.log("val_loss", self.loss(batch) / 2)

    def val_dataloader(self) -> DataLoader[Tensor]:
        return self.train_dataloader()


class OwnNames(Plain):
    """Shows a metric on the bar, and logs another for files."""

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        self.log("mse", loss := self.loss(batch), on_epoch=True, prog_bar=True)
        self.log("for files", loss)
        return loss


class Scheduled(Plain):
    """Moves its schedule with every second step."""

    def configure_optimizers(self) -> Any:
        optimizer = SGD(self.parameters(), lr=0.0)
        schedule = CosineAnnealingLR(optimizer, T_max=6)  # of which the run reaches four
        return [optimizer], [{"scheduler": schedule, "interval": "step", "frequency": 2}]


class Manual(Plain):
    """Moves two optimizers and a schedule with every batch."""

    def __init__(self) -> None:
        super().__init__()
        self.automatic_optimization = False

    def configure_optimizers(self) -> Any:
        optimizers = [SGD([self.layer.weight], lr=0.0), Adam([self.layer.bias], lr=0.0)]
        schedule = OneCycleLR(optimizers[0], max_lr=1e-9, total_steps=8, cycle_momentum=False)
        return optimizers, [schedule]

    def training_step(self, batch: Tensor, batch_idx: int) -> Tensor:
        for optimizer in self.optimizers():  # type: ignore[union-attr]  # a list, as there are two
            optimizer.step()
        self.lr_schedulers().step()  # type: ignore[union-attr]  # there is one
        return self.loss(batch)


@dataclass(frozen=True)
class Kind:
    """A kind of module and of trainer, and what is printed below the optimizer; arguments of calls are left out."""

    module: Callable[[], Plain]
    lines: list[str]
    options: dict[str, Any] = field(default_factory=dict)
    optimizers: tuple[str, ...] = ("SGD",)
    parameters: str = "5 parameters"


SCHEDULES = "torch.optim.lr_scheduler"
KINDS = {
    "nothing logged": Kind(Plain, ["schedule   none", "epoch 1/2", "epoch 2/2"]),
    "loader without a length": Kind(WithoutLength, ["schedule   none", "epoch 1/2", "epoch 2/2"]),
    "lazy layers": Kind(
        Lazy, ["schedule   none", "epoch 1/2", "epoch 2/2"], parameters="parameters unknown before the first batch"
    ),
    "Lightning's logger": Kind(Plain, ["schedule   none", "epoch 1/2", "epoch 2/2"], {"logger": CSVLogger(".")}),
    "names of this package": Kind(
        Validated,
        [
            "schedule   none",
            "epoch 1/2  train loss 4.0000  val loss 2.0000",
            "epoch 2/2  train loss 4.0000  val loss 2.0000",
        ],
    ),
    "validation every second epoch": Kind(
        Validated,
        [
            "schedule   none",
            "epoch 1/3  train loss 4.0000",
            "epoch 2/3  train loss 4.0000  val loss 2.0000",
            "epoch 3/3  train loss 4.0000",
        ],
        {"max_epochs": 3, "check_val_every_n_epoch": 2, "num_sanity_val_steps": 2},
    ),
    "names of its own": Kind(OwnNames, ["schedule   none", "epoch 1/2  mse_epoch 4", "epoch 2/2  mse_epoch 4"]),
    "a schedule in steps of its own": Kind(
        Scheduled, [f"schedule   {SCHEDULES}.CosineAnnealingLR(...), every 2 steps", "epoch 1/2", "epoch 2/2"]
    ),
    "manual optimization": Kind(
        Manual,
        [f"schedule   {SCHEDULES}.OneCycleLR(...), stepped by the module", "epoch 1/2", "epoch 2/2"],
        optimizers=("SGD", "Adam"),
    ),
    "an end by steps": Kind(Plain, ["schedule   none", "epoch 1", "epoch 2"], {"max_epochs": -1, "max_steps": 6}),
    "one batch": Kind(
        Validated,
        ["schedule   none", "epoch 1/1  train loss 4.0000  val loss 2.0000"],
        {"fast_dev_run": True},
    ),
    "barebones": Kind(
        Validated,
        ["schedule   none", "epoch 1/2", "epoch 2/2"],
        {"barebones": True, "enable_progress_bar": False, "callbacks": [EpochLines()]},  # Lightning takes no bar then
    ),
}


@pytest.mark.filterwarnings("ignore:You are trying to `self.log.*barebones")
@pytest.mark.parametrize("name", KINDS)
def test_lines_and_bar_work_with_any_module_and_trainer(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    kind = KINDS[name]
    options = {"max_epochs": 2, "enable_progress_bar": True, "callbacks": [EpochLines(), EpochBar()]} | kind.options
    quiet_trainer(**options).fit(kind.module())
    printed = capsys.readouterr().out
    lines = [line.split("\r")[-1].rstrip() for line in printed.split("\n")]  # the bar overwrites its own line
    described = [f"optimizer  torch.optim.{optimizer}(...)" for optimizer in kind.optimizers]
    shown = [re.sub(r"\(.*\)", "(...)", line) for line in lines if line]
    assert shown == [f"{kind.module.__name__}, {kind.parameters}; cpu", *described, *kind.lines]
    assert ("\r" in printed) == ("barebones" not in options)


def test_a_second_fit_prints_its_own_epochs_only(capsys: pytest.CaptureFixture[str]) -> None:
    module, trainer = Validated(), quiet_trainer(callbacks=[EpochLines()])
    trainer.fit(module)
    trainer.fit_loop.max_epochs = 2
    capsys.readouterr()
    trainer.fit(module)
    line = "epoch 2/2  train loss 4.0000  val loss 2.0000"
    assert capsys.readouterr().out.splitlines()[3:] == [line]


def test_a_run_that_goes_on_prints_its_own_epochs_only(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    class Save(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            trainer.save_checkpoint(tmp_path / f"{trainer.current_epoch + 1}.ckpt")

    def fit(max_steps: int, checkpoint: Path | None = None) -> list[str]:
        capsys.readouterr()
        trainer = quiet_trainer(max_epochs=-1, max_steps=max_steps, callbacks=[EpochLines(), Save()])
        trainer.fit(Validated(), ckpt_path=checkpoint, weights_only=True)
        return capsys.readouterr().out.splitlines()[3:]

    assert len(fit(8)) == 2
    assert fit(12, tmp_path / "2.ckpt") == ["epoch 3  train loss 4.0000  val loss 2.0000"]


@pytest.mark.parametrize("command", ["test", "predict", "validate"])
def test_an_evaluation_leaves_whole_lines_and_no_bar(
    command: str, optimcifar: Command, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert optimcifar("fit", *small).status == 0
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)  # shows the bar
    monkeypatch.setenv("COLUMNS", "200")
    outcome = optimcifar(command, "--ckpt_path", "lightning_logs/version_0")
    assert outcome.status == 0
    screen = [line.split("\r")[-1].strip() for line in outcome.out.split("\n")]
    shown = [line for line in screen if line]
    assert ("\r" in outcome.out) == (command != "validate")
    assert all(
        re.match(r"(test|validation) accuracy 0|written to lightning|200 validation images", line) for line in shown
    )
    assert len(shown) == (1 if command == "validate" else 2)
