from __future__ import annotations

import hashlib
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import CONFIGS, FAIL, INTERRUPT, Command, quiet_trainer, read_rows, read_summary
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import nn
from torch.utils.data import DataLoader

from optimcifar import ConvNet, ImageClassifier, RunSummary, Shapes10DataModule
from optimcifar.callbacks.divergence import StopAtDivergence


def test_summary_holds_settings_results_and_versions(optimcifar: Command, small: list[str], tmp_path: Path) -> None:
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd_cosine.yaml", *small, "--seed_everything", 4)
    run = tmp_path / "lightning_logs" / "version_0"
    summary, rows = read_summary(run), read_rows(run / "metrics.csv")
    expected: dict[str, Any] = {
        "status": "finished",
        "optimizer": "torch.optim.SGD",
        "lr_scheduler": "torch.optim.lr_scheduler.CosineAnnealingLR",
        "net": "optimcifar.ConvNet",
        "seed": 4,
        "dataset": "Shapes10",
        "train_images": 800,
        "val_images": 200,
        "epochs": 2,
        "steps": 26,
        "device": "cpu",
        "threads": 1,
    } | {name: float(rows[-1][name]) for name in ("train_loss", "train_acc", "val_loss", "val_acc")}
    assert {name: summary[name] for name in expected} == expected
    assert summary["train_seconds"] == pytest.approx(sum(float(row["seconds"]) for row in rows), abs=2e-3)
    assert summary["images_per_second"] == pytest.approx(1600 / summary["train_seconds"], rel=0.02)
    assert summary["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert f"validation accuracy {summary['val_acc']:.4f} (Shapes10)" in outcome.out
    assert "lightning_logs/version_0" in outcome.out


@pytest.mark.parametrize(("option", "status"), [(FAIL, "failed"), (INTERRUPT, "interrupted")])
def test_run_that_was_stopped_has_a_summary_of_its_whole_epochs(
    option: str, status: str, optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    optimcifar("fit", *small, option)
    run = tmp_path / "lightning_logs" / "version_0"
    (row,) = read_rows(run / "metrics.csv")
    summary = read_summary(run)
    assert (summary["status"], summary["epochs"]) == (status, 1)
    assert summary["train_seconds"] == pytest.approx(float(row["seconds"]), abs=1e-3)


def test_metrics_are_none_without_validation(optimcifar: Command, small: list[str], tmp_path: Path) -> None:
    assert optimcifar("fit", *small, "--data.val_size", 0).status == 0
    run = tmp_path / "lightning_logs" / "version_0"
    assert [(row["val_loss"], row["val_acc"]) for row in read_rows(run / "metrics.csv")] == [("", "")] * 2
    assert read_summary(run)["val_acc"] is None


def test_epoch_without_validation_does_not_show_the_validation_before(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    outcome = optimcifar("fit", *small, "--trainer.max_epochs", 3, "--trainer.check_val_every_n_epoch", 2)
    lines = [line for line in outcome.out.splitlines() if line.startswith("epoch")]
    assert ["val acc" in line for line in lines] == [False, True, False]
    run = tmp_path / "lightning_logs" / "version_0"
    assert [bool(row["val_acc"]) for row in read_rows(run / "metrics.csv")] == [False, True, False]
    assert read_summary(run)["val_acc"] is None


class Answer(Callback):
    """Adds values to the summary; it is no class of this package."""

    def summary_values(self, trainer: Trainer) -> dict[str, Any]:
        return {"answer": 42, "answered_in_step": trainer.global_step}


def test_any_callback_can_add_values() -> None:
    summary = RunSummary()
    trainer = quiet_trainer(callbacks=[Answer(), summary])
    trainer.fit(ImageClassifier(), Shapes10DataModule(train_images=164, val_size=36))
    assert (summary.values["answer"], summary.values["answered_in_step"]) == (42, 2)


def test_hashes_are_those_of_the_initial_weights_and_the_first_order(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    optimcifar("fit", *small, "--seed_everything", 4)
    summary = read_summary(tmp_path / "lightning_logs" / "version_0")
    seed_everything(4)
    weights = hashlib.sha256()
    for parameter in ConvNet().parameters():
        weights.update(parameter.detach().numpy().tobytes())
    assert summary["initial_weights_sha256"] == weights.hexdigest()
    data = Shapes10DataModule(train_images=1000, val_size=200, seed=4)
    data.setup("fit")
    order = data.train_order(0).numpy().astype(np.int64).tobytes()
    assert summary["first_epoch_order_sha256"] == hashlib.sha256(order).hexdigest()


def test_hashes_do_not_depend_on_the_optimizer(optimcifar: Command, small: list[str], tmp_path: Path) -> None:
    for optimizer in ("SGD", "Adam"):
        assert optimcifar("fit", *small, "--model.optimizer", optimizer, "--trainer.max_epochs", 1).status == 0
    first, second = (read_summary(tmp_path / "lightning_logs" / f"version_{n}") for n in (0, 1))
    assert first["optimizer"] != second["optimizer"]
    for name in ("initial_weights_sha256", "first_epoch_order_sha256"):
        assert first[name] == second[name]


class AnyModule(LightningModule):
    """A module that knows nothing of images, whatever its batches look like."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.LazyLinear(2)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return self.layer(torch.ones(1, 4)).sum()  # type: ignore[no-any-return]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def loader_of(examples: list[Any]) -> DataLoader[Any]:
    return DataLoader(examples, 4)  # type: ignore[arg-type]  # a list does


@pytest.mark.parametrize(
    ("example", "images"),
    [
        ({"x": torch.ones(4), "y": 1}, 12),
        ({"nested": {"x": (torch.ones(4), 1)}, "name": "a"}, 12),
        ((torch.ones(4), 1), 12),
        ([torch.ones(2, 2), {"y": 1}], 12),
        (torch.ones(4), 12),
        (3, 12),
        (("text", torch.ones(4)), 12),
        ("text", None),
    ],
    ids=str,
)
def test_summary_counts_examples_in_batches_of_any_structure(
    example: Any, images: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(range(100))
    monkeypatch.setattr("optimcifar.callbacks.training_clock.synchronized_time", lambda device: float(next(seconds)))
    summary = RunSummary()
    module = AnyModule()
    quiet_trainer(callbacks=[summary]).fit(module, loader_of([example] * 12))
    assert summary.values["status"] == "finished"
    assert summary.values["dataset"] == "list"
    assert summary.values["images_per_second"] == (images and images / summary.values["train_seconds"])


@pytest.mark.filterwarnings("ignore:.*configure_optimizers. returned .None.")
def test_summary_of_a_module_that_steps_by_itself_and_keeps_other_things_than_tensors() -> None:
    class Manual(AnyModule):
        automatic_optimization = False

        def training_step(self, batch: Any, batch_idx: int) -> None:  # type: ignore[override]
            self.layer(torch.ones(1, 4))

        def configure_optimizers(self) -> None:  # type: ignore[override]
            return None

        def get_extra_state(self) -> dict[str, int]:
            return {"mine": 1}

        def set_extra_state(self, state: dict[str, int]) -> None: ...

    summary = RunSummary()
    quiet_trainer(callbacks=[summary]).fit(Manual(), loader_of([1.0] * 8))
    assert summary.values["lr_scheduler"] is None
    assert summary.values["net"].endswith("Manual")


def test_diverged_step_is_that_of_the_last_fit() -> None:
    stop, summary = StopAtDivergence(), RunSummary()
    for rate, status in ((1e30, "diverged"), (0.01, "finished")):
        classifier = ImageClassifier(optimizer=partial(torch.optim.SGD, lr=rate))
        data = Shapes10DataModule(train_images=400, val_size=100)
        quiet_trainer(callbacks=[stop, summary]).fit(classifier, data)
        assert (summary.values["status"], stop.step is not None) == (status, status == "diverged")
