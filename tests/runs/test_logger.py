from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from helpers import quiet_trainer, read_rows
from lightning.pytorch import Callback, LightningModule, Trainer

from optimcifar import ImageClassifier, RunLogger, Shapes10DataModule
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.folder import RunFolder
from optimcifar.runs.logger import run_folder


def test_every_run_takes_a_folder_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "lightning_logs" / "version_7").mkdir(parents=True)
    loggers = [RunLogger(), RunLogger()]
    assert [logger.version for logger in loggers] == [8, 9]
    loggers[0].discard_if_empty()
    assert RunLogger().version == 10
    loggers[1].log_metrics({"epoch": 0, "train_loss": 1.0}, step=0)
    loggers[1].discard_if_empty()
    assert (tmp_path / "lightning_logs" / "version_9" / "metrics.csv").exists()
    assert not (tmp_path / "lightning_logs" / "version_8").exists()


def test_run_that_wrote_nothing_leaves_no_folder(tmp_path: Path) -> None:
    logger = RunLogger()
    assert Path(logger.log_dir).is_dir()
    logger.discard_if_empty()
    assert list(tmp_path.iterdir()) == []


def test_values_of_an_epoch_share_a_row(tmp_path: Path) -> None:
    logger = RunLogger(version="mine")
    logger.log_metrics({"epoch": 0, "val_loss": 2.25}, step=12)
    logger.log_metrics({"epoch": 0, "train_loss": 2.5}, step=12)
    logger.log_metrics({"epoch": 1, "train_loss": 2.0}, step=25)
    logger.log_metrics({"seconds": 0.5})  # no epoch, and none follows: the last
    logger.finalize("success")
    rows = read_rows(tmp_path / "lightning_logs" / "mine" / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert (rows[0]["train_loss"], rows[0]["val_loss"], rows[0]["step"]) == ("2.5", "2.25", "13")
    assert (rows[1]["train_loss"], rows[1]["val_loss"], rows[1]["seconds"]) == ("2.0", "", "0.5")


@pytest.mark.parametrize("keep_rows", [True, False])
def test_reopened_run_keeps_its_rows_if_it_has_a_checkpoint(keep_rows: bool, tmp_path: Path) -> None:
    path = tmp_path / "lightning_logs" / "version_0"
    logger = RunLogger()
    logger.log_metrics({"epoch": 0, "train_loss": 2.5}, step=12)
    write_atomically(path / ".metrics.csv.123", "half")
    reopened = RunLogger.reopen(RunFolder(path), keep_rows)
    assert Path(reopened.log_dir) == path
    reopened.log_metrics({"epoch": 1, "train_loss": 2.0}, step=25)
    assert [row["train_loss"] for row in read_rows(path / "metrics.csv")] == (["2.5"] if keep_rows else []) + ["2.0"]
    assert [file.name for file in path.iterdir()] == ["metrics.csv"]


def test_missing_row_is_restored_in_a_reopened_run_only(tmp_path: Path) -> None:
    new = RunLogger()
    new.log_metrics({"epoch": 0, "train_loss": 2.5}, step=12)
    new.restore_row({"train_loss": 2.25}, epoch=2, step=26)
    table = Path(new.log_dir) / "metrics.csv"
    assert len(read_rows(table)) == 1
    reopened = RunLogger.reopen(RunFolder(Path(new.log_dir)), keep_rows=True)
    reopened.restore_row({"train_loss": 9.0}, epoch=1, step=13)
    reopened.restore_row({"train_loss": 2.25}, epoch=2, step=26)
    rows = read_rows(table)
    assert [(row["epoch"], row["step"], row["train_loss"]) for row in rows] == [("1", "13", "2.5"), ("2", "26", "2.25")]


class Folders(Callback):
    """Keeps what a trainer says about the run's folder."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.log_dir, self.folder = trainer.log_dir, run_folder(trainer)


@pytest.mark.parametrize(
    ("logger", "expected"), [(RunLogger("out", "sgd", "seed-0"), Path("out/sgd/seed-0")), (False, None)]
)
def test_log_dir_of_the_trainer_is_the_folder_of_the_run(logger: Any, expected: Path | None) -> None:
    folders = Folders()
    data = Shapes10DataModule(train_images=100, val_size=20)
    quiet_trainer(logger=logger, callbacks=[folders]).fit(ImageClassifier(), data)
    if expected:
        assert Path(str(folders.log_dir)) == expected
        assert len(read_rows(expected / "metrics.csv")) == 1
    assert folders.folder == (RunFolder(expected) if expected else None)
