"""Runs of the command line on a person's own images."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from helpers import Command, draw_class_folders, file_contents, read_rows, read_summary

from optimcifar.training.schedule_plan import plan_rates

RUN = Path("lightning_logs/version_0")
CLASSES = ("ant", "bee", "cat")


@pytest.fixture
def animals(tmp_path: Path) -> Path:
    """Return a folder of ten images of each of three classes."""
    draw_class_folders(tmp_path / "animals", CLASSES, 10)
    return tmp_path / "animals"


@pytest.mark.slow
def test_own_images_are_trained_on_tested_and_predicted(
    optimcifar: Command, animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = ("--data", "ImageFolderDataModule", "--data.root", "animals", "--data.image_size", 24)
    outcome = optimcifar("fit", *data, "--data.test_size", 6, "--trainer.max_epochs", 1)
    assert (outcome.status, outcome.err) == (0, "")
    assert "on animals: 22 training images, 2 for validation" in outcome.out
    summary = read_summary(RUN)
    assert [summary[name] for name in ("dataset", "classes", "train_images")] == ["animals", 3, 22]
    config = yaml.safe_load((RUN / "config.yaml").read_text())
    assert config["model"]["net"] == {
        "class_path": "optimcifar.ConvNet",
        "init_args": {"num_classes": 3, "image_size": 24},
    }
    assert config["data"]["init_args"]["root"] == str(animals)

    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    checkpoint = tmp_path / RUN / "checkpoints" / "last.ckpt"
    assert "(6 test images of animals)" in optimcifar("test", "--ckpt_path", checkpoint).out
    assert json.loads(checkpoint.with_name("last.test.json").read_text())["test_images"] == 6
    assert optimcifar("predict", "--ckpt_path", checkpoint).status == 0
    rows = read_rows(checkpoint.with_name("last.predictions.csv"))
    assert [row["label"] in CLASSES and row["predicted"] in CLASSES for row in rows] == [True, True]

    # Another class in the place of one would give its name to what is one of the others.
    (animals / "ant").rename(animals / "zebra")
    outcome = optimcifar("test", "--ckpt_path", checkpoint)
    assert outcome.status == 1
    assert outcome.err == (
        f"optimcifar: {animals} must hold the classes that the checkpoint was trained with: found no ant, also zebra\n"
    )
    animals.rename(tmp_path / "moved")
    before = file_contents(tmp_path)
    outcome = optimcifar("fit", "--ckpt_path", checkpoint, "--trainer.max_epochs", 2)
    assert outcome.status == 1
    assert outcome.err == (
        f"optimcifar: {checkpoint} was trained with --data.root {animals}, which does not exist: put it back, or say "
        "where it is now, with --data.root\n"
    )
    outcome = optimcifar("test", "--ckpt_path", checkpoint, "--data.root", "typo")
    typo = tmp_path / "elsewhere" / "typo"
    assert outcome.err.startswith(f"optimcifar: --data.root {typo} does not exist: {checkpoint} was trained with /")
    assert file_contents(tmp_path) == before


def test_a_schedule_needs_no_decoded_images(animals: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimcifar.data.class_folders._decode", lambda *args: pytest.fail("decoded"))
    data = ["--data", "ImageFolderDataModule", "--data.root", "animals", "--data.batch_size", "8"]
    planned = plan_rates([*data, "--model.lr_scheduler", "LinearLR", "--model.lr_interval", "step"])
    assert len(planned.rates) == 30  # steps of 10 epochs of 24 images
    assert not list(tmp_path.glob("*.npz"))


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (
            ["--data.root", "typo"],
            1,
            "/typo does not exist\nExpected a folder of images for each class, or train/ with",
        ),
        (
            ["--data.root", "animals/ant"],
            1,
            "/animals/ant must hold class folders and nothing else: found also 001.gif",
        ),
        ([], 2, "optimcifar: --data.root is missing: it has no default\n"),
        (["--data.root", "animals", "--data.val_size", "1.5"], 2, "val_size must be a number of images, or a fraction"),
    ],
)
def test_wrong_options_are_refused_in_words(
    options: list[str], status: int, message: str, optimcifar: Command, animals: Path, tmp_path: Path
) -> None:
    before = file_contents(tmp_path)
    outcome = optimcifar("fit", "--data", "ImageFolderDataModule", *options)
    assert (outcome.status, outcome.out) == (status, "")
    assert message in outcome.err
    assert len(outcome.err.splitlines()) <= 2
    assert file_contents(tmp_path) == before
