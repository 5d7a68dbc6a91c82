from __future__ import annotations

import csv
import hashlib
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from helpers import CONFIGS, Outcome
from lightning.pytorch import Trainer, seed_everything

from optimcifar import ConvNet, ImageClassifier, RunLogger, Shapes10DataModule
from optimcifar.callbacks.divergence import StopAtDivergence
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.metrics import COLUMNS, shortest_float32
from optimcifar.runs.provenance import import_path


def rows_of(run: Path) -> list[dict[str, str]]:
    with (run / "metrics.csv").open() as file:
        return list(csv.DictReader(file))


def test_a_run_leaves_these_files(optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path) -> None:
    optimcifar("fit", *small)
    run = tmp_path / "lightning_logs" / "version_0"
    files = sorted(str(path.relative_to(run)) for path in run.rglob("*") if path.is_file())
    assert files == ["checkpoints/last.ckpt", "config.yaml", "metrics.csv", "summary.json"]
    assert [path.name for path in tmp_path.iterdir()] == ["lightning_logs"]


def test_metrics_have_one_row_per_epoch(optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path) -> None:
    optimcifar("fit", "--config", CONFIGS / "sgd_steplr.yaml", *small, "--trainer.max_epochs", 3)
    rows = rows_of(tmp_path / "lightning_logs" / "version_0")
    assert tuple(rows[0]) == COLUMNS
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["step"] for row in rows] == ["13", "26", "39"]
    assert [row["lr"] for row in rows] == ["0.01", "0.01", "0.001"]
    assert all(float(value) >= 0 for row in rows for value in row.values())


def test_metrics_without_validation_leave_its_columns_empty(
    optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path
) -> None:
    assert optimcifar("fit", *small, "--data.val_size", 0).status == 0
    run = tmp_path / "lightning_logs" / "version_0"
    assert [(row["val_loss"], row["val_acc"]) for row in rows_of(run)] == [("", "")] * 2
    assert json.loads((run / "summary.json").read_text())["val_acc"] is None


def test_values_of_an_earlier_validation_are_not_shown_as_the_last_ones(
    optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path
) -> None:
    outcome = optimcifar("fit", *small, "--trainer.max_epochs", 3, "--trainer.check_val_every_n_epoch", 2)
    lines = [line for line in outcome.out.splitlines() if line.startswith("epoch")]
    assert ["val acc" in line for line in lines] == [False, True, False]
    run = tmp_path / "lightning_logs" / "version_0"
    assert [bool(row["val_acc"]) for row in rows_of(run)] == [False, True, False]
    assert json.loads((run / "summary.json").read_text())["val_acc"] is None


def test_summary_says_what_was_run_on_what(
    optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path
) -> None:
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd_cosine.yaml", *small, "--seed_everything", 4)
    run = tmp_path / "lightning_logs" / "version_0"
    summary = json.loads((run / "summary.json").read_text())
    last = rows_of(run)[-1]
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
    } | {name: float(last[name]) for name in ("train_loss", "train_acc", "val_loss", "val_acc")}
    assert {name: summary[name] for name in expected} == expected
    assert summary["train_seconds"] == pytest.approx(sum(float(r["seconds"]) for r in rows_of(run)), abs=2e-3)
    assert summary["images_per_second"] == pytest.approx(1600 / summary["train_seconds"], rel=0.02)
    assert summary["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert f"validation accuracy {summary['val_acc']:.4f} (Shapes10)" in outcome.out
    assert "lightning_logs/version_0" in outcome.out


def test_hashes_are_those_of_the_initial_weights_and_the_first_order(
    optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path
) -> None:
    optimcifar("fit", *small, "--seed_everything", 4)
    summary = json.loads((tmp_path / "lightning_logs/version_0/summary.json").read_text())
    seed_everything(4)
    weights = hashlib.sha256()
    for parameter in ConvNet().parameters():
        weights.update(parameter.detach().numpy().tobytes())
    assert summary["initial_weights_sha256"] == weights.hexdigest()
    data = Shapes10DataModule(train_images=1000, val_size=200, seed=4)
    data.setup("fit")
    order = data.train_order(0).numpy().astype(np.int64).tobytes()
    assert summary["first_epoch_order_sha256"] == hashlib.sha256(order).hexdigest()


def test_hashes_are_equal_whatever_the_optimizer(
    optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path
) -> None:
    for optimizer in ("SGD", "Adam"):
        assert optimcifar("fit", *small, "--model.optimizer", optimizer, "--trainer.max_epochs", 1).status == 0
    first, second = (json.loads((tmp_path / f"lightning_logs/version_{n}/summary.json").read_text()) for n in (0, 1))
    assert first["optimizer"] != second["optimizer"]
    for name in ("initial_weights_sha256", "first_epoch_order_sha256"):
        assert first[name] == second[name]


def test_a_loss_that_is_not_finite_is_called_diverged(
    optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path
) -> None:
    outcome = optimcifar("fit", *small, "--model.optimizer.lr", "1e30")
    summary = json.loads((tmp_path / "lightning_logs/version_0/summary.json").read_text())
    assert (summary["status"], summary["train_loss"]) == ("diverged", None)
    # The step that blew up is the second; the run ends there.
    assert (summary["diverged_step"], summary["steps"], outcome.status) == (2, 2, 3)
    rows = rows_of(tmp_path / "lightning_logs" / "version_0")
    assert [row["train_loss"] for row in rows] == ["nan"]
    assert 0 <= float(rows[0]["train_acc"]) <= 1
    assert "diverged in step 2 after 1 epoch:" in outcome.out
    assert summary["last_finite"].keys() == {"loss", "train_acc", "val_acc"}
    assert summary["last_finite"]["loss"] == pytest.approx(math.log(10), abs=0.1)


def test_diverged_run_keeps_the_last_finite_values(
    optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path
) -> None:
    (tmp_path / "rates.py").write_text("def exploding(epoch: int) -> float:\n    return 1 if epoch < 1 else 1e30\n")
    schedule = ("--model.lr_scheduler", "LambdaLR", "--model.lr_scheduler.lr_lambda", "rates.exploding")
    outcome = optimcifar("fit", *small, *schedule)
    assert outcome.status == 3
    run = tmp_path / "lightning_logs" / "version_0"
    summary, rows = json.loads((run / "summary.json").read_text()), rows_of(run)
    assert (summary["diverged_step"], summary["train_loss"], rows[1]["train_loss"]) == (15, None, "nan")
    kept = summary["last_finite"]
    assert (kept["train_loss"], kept["val_loss"]) == (float(rows[0]["train_loss"]), float(rows[0]["val_loss"]))
    assert kept["loss"] == pytest.approx(float(rows[0]["train_loss"]), abs=0.2)


def test_divergence_is_found_among_steps_that_were_looked_at_together() -> None:
    # As on a GPU or with several processes, where a look at a loss is a wait.
    losses = [2.0] * 49 + [1.5] + [1.25] * 20 + [math.inf] + [math.nan] * 29
    strategy = SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision)  # noqa: A006  Lightning's name
    trainer = SimpleNamespace(world_size=2, is_last_batch=False, should_stop=False, strategy=strategy)
    callback = StopAtDivergence()
    for step, loss in enumerate(losses, start=1):
        trainer.global_step = step
        callback.on_train_batch_end(cast(Trainer, trainer), ImageClassifier(), torch.tensor(loss), None, step - 1)
        assert trainer.should_stop == (step == 100)
    assert (callback.step, callback.last_finite_loss) == (71, 1.25)


def raising_in_second_epoch(folder: Path, statement: str) -> str:
    """Write a callback that runs a statement when the second epoch starts, and return the option that adds it."""
    (folder / "raising.py").write_text(
        "from lightning.pytorch import Callback\n"
        "class InSecondEpoch(Callback):\n"
        "    def on_train_epoch_start(self, trainer, pl_module):\n"
        "        if trainer.current_epoch == 1:\n"
        f"            {statement}\n"
    )
    sys.modules.pop("raising", None)  # of another test
    return "--trainer.callbacks+=raising.InSecondEpoch"


def test_a_run_that_fails_says_so_in_its_summary(
    optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path
) -> None:
    outcome = optimcifar("fit", *small, raising_in_second_epoch(tmp_path, "raise RuntimeError('out of luck')"))
    assert (outcome.status, outcome.err) == (1, "optimcifar: out of luck\n")
    run = tmp_path / "lightning_logs" / "version_0"
    assert json.loads((run / "summary.json").read_text())["status"] == "failed"
    assert len(rows_of(run)) == 1


def test_a_run_that_is_interrupted_says_so_and_where_it_lies(
    optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path
) -> None:
    outcome = optimcifar("fit", *small, raising_in_second_epoch(tmp_path, "raise KeyboardInterrupt"))
    assert outcome.status == 130
    assert outcome.err == "optimcifar: interrupted; optimcifar resume lightning_logs/version_0 goes on\n"
    run = tmp_path / "lightning_logs" / "version_0"
    assert json.loads((run / "summary.json").read_text())["status"] == "interrupted"
    assert (run / "checkpoints" / "last.ckpt").exists()


def test_runs_take_folders_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "lightning_logs" / "version_7").mkdir(parents=True)
    loggers = [RunLogger(), RunLogger()]
    assert [logger.version for logger in loggers] == [8, 9]
    loggers[0].discard_if_empty()
    assert RunLogger().version == 10
    loggers[1].log_metrics({"epoch": 0, "train_loss": 1.0}, step=0)
    loggers[1].discard_if_empty()
    assert (tmp_path / "lightning_logs" / "version_9" / "metrics.csv").exists()
    assert not (tmp_path / "lightning_logs" / "version_8").exists()


def test_file_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    write_atomically(path, "old\n")

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new\n")
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(("value", "expected"), [(0.009999999776482582, 0.01), (1e-5, 1e-5), (782.0, 782.0)])
def test_float32_is_shown_by_its_shortest_number(value: float, expected: float) -> None:
    assert shortest_float32(value) == expected


def test_class_is_named_by_its_shortest_path() -> None:
    assert import_path(torch.optim.RMSprop) == "torch.optim.RMSprop"
    assert import_path(ConvNet) == "optimcifar.ConvNet"
