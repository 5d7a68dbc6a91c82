from __future__ import annotations

from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from helpers import Command, quiet_trainer, read_rows
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor
from torch.utils.data import DataLoader

from optimcifar import ImageClassifier, RunLogger, StepLosses

Losses = list[tuple[int, int, float]]


class Given(LightningModule):
    """A module of someone else's, whose loss is the number in the batch, and grows by 0.5 with each evaluation of it.

    Args:
        form: what its training step returns: "tensor", "dict", "manual" (it also makes its steps itself), or "none"
            (nothing for the second batch).
        lbfgs: whether an optimizer evaluates each batch several times.
    """

    def __init__(self, form: str = "tensor", lbfgs: bool = False) -> None:
        super().__init__()
        self.form, self.automatic_optimization = form, form != "manual"
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.make: Any = partial(torch.optim.LBFGS, max_iter=3) if lbfgs else partial(torch.optim.SGD, lr=0.1)
        self.evaluations: dict[float, int] = {}

    def training_step(self, batch: Tensor, batch_idx: int) -> Any:
        number = batch.item() + 4 * self.current_epoch
        before = self.evaluations.get(number, 0)
        self.evaluations[number] = before + 1
        loss = number + 0.5 * before + (self.weight - self.weight.detach()).sum()
        if self.form == "manual":
            for _ in range(2):  # two optimizer steps, as of two networks
                optimizer = self.optimizers()
                self.manual_backward(loss, retain_graph=True)
                optimizer.step()  # type: ignore[union-attr]
        if self.form == "none" and batch_idx == 1:
            return None
        return loss if self.form in ("tensor", "none") else {"loss": loss, "more": "anything"}

    def configure_optimizers(self) -> torch.optim.Optimizer:
        optimizer: torch.optim.Optimizer = self.make(self.parameters())
        return optimizer


def fit(module: LightningModule, *callbacks: Callback, every_n_steps: int = 1, **options: Any) -> Path:
    """Train two epochs on batches of the numbers 1 to 4, and return the run's folder."""
    logger = RunLogger()
    options = {"max_epochs": 2, "logger": logger, "log_every_n_steps": 1} | options
    trainer = quiet_trainer(callbacks=[StepLosses(every_n_steps), *callbacks], **options)
    trainer.fit(module, DataLoader(torch.arange(1.0, 5.0)))  # type: ignore[arg-type]  # a tensor is a data set
    return Path(logger.log_dir)


def losses(folder: Path) -> Losses:
    rows = read_rows(folder / "steps.csv")
    return [(int(row["epoch"]), int(row["step"]), float(row["train_loss"])) for row in rows]


EVERY: Losses = [(1, 1, 1), (1, 2, 2), (1, 3, 3), (1, 4, 4), (2, 5, 5), (2, 6, 6), (2, 7, 7), (2, 8, 8)]


@pytest.mark.filterwarnings("ignore:.*does not have many workers", "ignore:.*`training_step` returned `None`")
@pytest.mark.parametrize(
    ("module", "options", "expected"),
    [
        (Given("tensor"), {}, EVERY),
        (Given("dict"), {}, EVERY),
        (Given("none"), {}, [row for row in EVERY if row[1] not in (2, 6)]),
        (Given("manual"), {}, [(epoch, 2 * step, loss) for epoch, step, loss in EVERY]),
        # L-BFGS evaluates each batch several times, and the first counts.
        (Given(lbfgs=True), {}, EVERY),
        # The mean of three batches, and of the one that is left at the end of an epoch.
        (Given(), {"accumulate_grad_batches": 3}, [(1, 1, 2), (1, 2, 4), (2, 3, 6), (2, 4, 8)]),
        (Given(lbfgs=True), {"accumulate_grad_batches": 3}, [(1, 1, 2), (1, 2, 4), (2, 3, 6), (2, 4, 8)]),
        (Given(), {"every_n_steps": 3}, [(1, 3, 3), (2, 6, 6)]),
        (Given(), {"max_steps": 6}, EVERY[:6]),
        (Given(), {"precision": "64-true"}, EVERY),
    ],
    ids=["tensor", "dict", "none", "manual", "LBFGS", "accumulated", "LBFGS accumulated", "third", "steps", "double"],
)
def test_every_step_has_the_mean_loss_of_its_batches(module: Given, options: dict[str, Any], expected: Losses) -> None:
    found = losses(fit(module, **options))
    assert [row[:2] for row in found] == [row[:2] for row in expected]
    assert [row[2] for row in found] == pytest.approx([row[2] for row in expected], rel=1e-6)
    if module.make.func is torch.optim.LBFGS:
        assert max(module.evaluations.values()) > 1


class Fail(Callback):
    """Fails in the sixth step, or wherever it is told to."""

    def __init__(self, step: int = 6) -> None:
        self.step = step

    def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
        if trainer.global_step == self.step:
            raise RuntimeError("out of luck")


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
def test_run_that_fails_keeps_its_losses_and_its_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RuntimeError, match="out of luck"):
        fit(Given(), Fail())
    assert losses(tmp_path / "lightning_logs" / "version_0") == EVERY[:6]

    def full(path: Path, content: str) -> None:
        raise OSError("no space left on device")

    monkeypatch.setattr("optimcifar.runs.step_table.write_atomically", full)
    with pytest.raises(RuntimeError, match="out of luck"):
        fit(Given(), Fail(step=2))


@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("options", [{"fast_dev_run": True}, {"logger": False}])
def test_run_without_a_folder_writes_nothing(options: dict[str, Any], tmp_path: Path) -> None:
    callbacks: list[Callback] = [StepLosses()]
    quiet_trainer(callbacks=callbacks, **options).fit(Given(), DataLoader(torch.arange(1.0, 5.0)))  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_a_step_waits_for_no_device() -> None:
    # Reading a value of this device raises an error; reading one of a GPU waits for it.
    loss = torch.zeros((), device="meta")
    trainer = SimpleNamespace(global_step=0, current_epoch=0, accumulate_grad_batches=2, world_size=1)
    module, callback = ImageClassifier(), StepLosses()
    for batch in range(6):
        trainer.global_step = (batch + 1) // 2
        callback.on_before_backward(cast(Trainer, trainer), module, loss)
        callback.on_train_batch_end(cast(Trainer, trainer), module, {"loss": loss}, None, batch)
    trainer.strategy = SimpleNamespace(reduce=lambda losses, reduce_op: losses)
    with pytest.raises(NotImplementedError, match="meta"):  # there was something to read
        callback.on_train_epoch_end(cast(Trainer, trainer), module)


def test_steps_are_chosen_and_written_on_the_command_line(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    option = ("--trainer.callbacks+=StepLosses", "--trainer.callbacks.every_n_steps")
    refused = optimcifar("fit", *small, option[0], f"{option[1]}=0")
    assert (refused.status, "every_n_steps must be at least 1, got 0" in refused.err) == (2, True)
    assert optimcifar("fit", *small, option[0]).status == 0
    run = tmp_path / "lightning_logs" / "version_0"
    found = losses(run)
    assert [row[:2] for row in found] == [(1 + step // 13, 1 + step) for step in range(26)]
    # 800 images in batches of 64, and 32 that are left: the means over the images of each epoch.
    sizes = torch.tensor([64.0] * 12 + [32.0])
    means = torch.tensor([row[2] for row in found]).reshape(2, 13) @ sizes / 800
    assert means.tolist() == pytest.approx([float(row["train_loss"]) for row in read_rows(run / "metrics.csv")])
