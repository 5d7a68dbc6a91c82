"""The commands that evaluate a checkpoint: validate, test and predict."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from helpers import Command, read_rows, read_summary

from optimcifar import ImageClassifier, Shapes10DataModule

RUN = Path("lightning_logs/version_0")
CHECKPOINT = RUN / "checkpoints" / "last.ckpt"


def test_test_measures_the_test_images_and_writes_the_result(optimcifar: Command, small: list[str]) -> None:
    optimcifar("fit", *small)
    outcome = optimcifar("test", "--ckpt_path", CHECKPOINT)
    classifier = ImageClassifier.load_from_checkpoint(CHECKPOINT, weights_only=True).eval()
    data = Shapes10DataModule(test_images=100)
    data.setup("test")
    images = data.read_test()
    with torch.no_grad():
        logits = classifier((images.pixels.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5)
    accuracy = (logits.argmax(1) == images.labels).float().mean().item()
    result = json.loads(CHECKPOINT.with_suffix(".test.json").read_text())
    assert result["test_acc"] == pytest.approx(accuracy)
    assert result["test_loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, images.labels).item(), 1e-4)
    assert (result["dataset"], result["test_images"], result["checkpoint"]) == ("Shapes10", 100, "last.ckpt")
    assert f"test accuracy {accuracy:.4f}, " in outcome.out
    assert not RUN.with_name("version_1").exists()


def test_logger_that_is_named_gets_the_result(optimcifar: Command, small: list[str]) -> None:
    optimcifar("fit", *small)
    options = ("--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "csv")
    assert optimcifar("test", "--ckpt_path", CHECKPOINT, *options).status == 0
    (row,) = read_rows(Path("csv/lightning_logs/version_0/metrics.csv"))
    result = json.loads(CHECKPOINT.with_suffix(".test.json").read_text())
    assert float(row["test_acc"]) == pytest.approx(result["test_acc"])


@pytest.mark.parametrize("option", ["fast_dev_run", "barebones"])
@pytest.mark.parametrize("command", ["validate", "test", "predict"])
def test_trial_runs_are_no_results(option: str, command: str, optimcifar: Command, small: list[str]) -> None:
    optimcifar("fit", *small, "--trainer.max_epochs", 1, "--trainer.limit_train_batches", 1)
    outcome = optimcifar(command, "--ckpt_path", CHECKPOINT, f"--trainer.{option}", "true")
    assert outcome.status == 2
    assert f"--trainer.{option} would give {command} no result" in outcome.err
    assert [path.name for path in CHECKPOINT.parent.iterdir()] == ["last.ckpt"]


def test_only_test_reads_the_test_images(
    optimcifar: Command, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shapes10DataModule, "read_test", lambda self: pytest.fail("the test images were read"))
    assert optimcifar("fit", *small).status == 0
    assert optimcifar("validate", "--ckpt_path", CHECKPOINT).status == 0
    assert optimcifar("predict", "--ckpt_path", CHECKPOINT).status == 0


def test_predict_writes_the_class_of_every_validation_image(optimcifar: Command, small: list[str]) -> None:
    optimcifar("fit", *small, "--trainer.max_epochs", 4, "--model.optimizer", "Adam")
    outcome = optimcifar("predict", "--ckpt_path", CHECKPOINT)
    rows = read_rows(CHECKPOINT.with_suffix(".predictions.csv"))
    assert list(rows[0]) == ["image", "label", "predicted", "probability"]
    data = Shapes10DataModule(train_images=1000, val_size=200)
    data.setup("fit")
    assert [int(row["image"]) for row in rows] == data.val_positions.tolist()
    accuracy = sum(row["label"] == row["predicted"] for row in rows) / 200
    assert accuracy == pytest.approx(read_summary(RUN)["val_acc"])
    assert "200 validation images of Shapes10 predicted" in outcome.out


def test_checkpoint_of_another_network_is_refused_in_two_lines(optimcifar: Command, small: list[str]) -> None:
    optimcifar("fit", *small, "--trainer.max_epochs", 1)
    outcome = optimcifar("test", "--ckpt_path", CHECKPOINT, "--model.net", "torchvision.models.squeezenet1_1")
    assert outcome.status == 1
    first, second = outcome.err.splitlines()
    assert "Error(s) in loading state_dict for ImageClassifier" in first
    assert max(len(first), len(second)) < 350
