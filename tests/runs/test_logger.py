from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from helpers import file_contents, quiet_trainer, read_rows
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from lightning.pytorch.loggers import CSVLogger, Logger

from optimcifar import ImageClassifier, RunLogger, RunSummary, Shapes10DataModule, WeightAverages
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


def test_table_of_another_logger_is_not_replaced(tmp_path: Path) -> None:
    table = tmp_path / "lightning_logs" / "version_0" / "metrics.csv"
    write_atomically(table, "epoch,step,train_loss\n0,7,2.5\n")
    with pytest.raises(ValueError, match=r"version_0/metrics.csv is of another logger"):
        RunLogger.reopen(RunFolder(table.parent), keep_rows=True)
    assert table.read_text() == "epoch,step,train_loss\n0,7,2.5\n"


def test_missing_row_is_restored_in_a_reopened_run_only(tmp_path: Path) -> None:
    new = RunLogger()
    new.log_metrics({"epoch": 0, "train_loss": 2.5}, step=12)
    new.restore_row({"train_loss": 2.25}, epoch=2, step=26)
    table = Path(new.log_dir) / "metrics.csv"
    assert len(read_rows(table)) == 1
    reopened = RunLogger.reopen(RunFolder(Path(new.log_dir)), keep_rows=True)
    reopened.restore_row({"train_loss": 9.0}, epoch=1, step=13)  # it is there already
    reopened.restore_row({"train_loss": 2.25}, epoch=2, step=26)
    rows = read_rows(table)
    assert [(row["epoch"], row["step"], row["train_loss"]) for row in rows] == [("1", "13", "2.5"), ("2", "26", "2.25")]


def test_half_a_row_is_completed_and_rows_of_an_epoch_that_starts_again_are_dropped(tmp_path: Path) -> None:
    new = RunLogger()
    new.log_metrics({"epoch": 0, "val_loss": 2.5, "lr-SGD": 0.1}, step=12)  # cut off before the training's values
    new.log_metrics({"epoch": 1, "lr-SGD": 0.2}, step=13)
    reopened = RunLogger.reopen(RunFolder(Path(new.log_dir)), keep_rows=True)
    reopened.restore_row({"train_loss": 2.25, "val_loss": 2.5}, epoch=1, step=13)
    (row,) = read_rows(Path(new.log_dir) / "metrics.csv")
    assert (row["epoch"], row["step"], row["lr-SGD"], row["val_loss"], row["train_loss"]) == (
        *("1", "13", "0.1", "2.5", "2.25"),
    )


def small() -> Shapes10DataModule:
    return Shapes10DataModule(train_images=100, val_size=20)


class Folders(Callback):
    """Keeps what a trainer says about the run's folder."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.log_dir, self.folder = trainer.log_dir, run_folder(trainer)


@pytest.mark.parametrize(
    ("logger", "expected"), [(RunLogger("out", "sgd", "seed-0"), Path("out/sgd/seed-0")), (False, None)]
)
def test_log_dir_of_the_trainer_is_the_folder_of_the_run(logger: Any, expected: Path | None) -> None:
    folders = Folders()
    quiet_trainer(logger=logger, callbacks=[folders]).fit(ImageClassifier(), small())
    if expected:
        assert Path(str(folders.log_dir)) == expected
        assert len(read_rows(expected / "metrics.csv")) == 1
    assert folders.folder == (RunFolder(expected) if expected else None)


class Plain(Logger):
    """A logger with a name and a version, and no folder of its own."""

    name, version, save_dir = "plain", 3, "plain_runs"

    def log_metrics(self, *args: Any, **kwargs: Any) -> None: ...

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...


# A trainer's options, and where its averages go: beside the checkpoints that Lightning writes.
PLACES: dict[str, tuple[Callable[[], dict[str, Any]], str]] = {
    "RunLogger": (lambda: {"logger": RunLogger()}, "lightning_logs/version_0/checkpoints"),
    "RunLogger and another": (
        lambda: {"logger": [CSVLogger("csv"), RunLogger("own")]},
        "own/lightning_logs/version_0/checkpoints",
    ),
    "no logger": (lambda: {"logger": False}, "checkpoints"),
    "no logger, a root": (lambda: {"logger": False, "default_root_dir": "root"}, "root/checkpoints"),
    "CSVLogger": (lambda: {"logger": CSVLogger("csv")}, "csv/lightning_logs/version_0/checkpoints"),
    "a logger without a folder": (lambda: {"logger": Plain()}, "plain_runs/plain/version_3/checkpoints"),
    "checkpoints elsewhere": (
        lambda: {"logger": False, "callbacks": [ModelCheckpoint("mine")], "enable_checkpointing": True},
        "mine",
    ),
}


@pytest.mark.parametrize("name", PLACES)
def test_averages_go_where_the_checkpoints_go(name: str, tmp_path: Path) -> None:
    make_options, place = PLACES[name]
    options = {"enable_checkpointing": "enable_checkpointing" in make_options()} | make_options()
    average = WeightAverages(swa_epoch_start=None, ema_decay=0.5)
    trainer = quiet_trainer(**options | {"callbacks": [average, *options.get("callbacks", [])]})
    trainer.fit(ImageClassifier(), small())
    assert [str(path.parent.relative_to(tmp_path)) for path in tmp_path.rglob("ema.ckpt")] == [place]
    if trainer.checkpoint_callback:
        assert Path(trainer.checkpoint_callback.dirpath).samefile(place)  # type: ignore[attr-defined]


def test_averages_of_an_earlier_run_in_the_same_folder_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints" / "ema.ckpt"
    contents = []
    for number in range(3):
        seed_everything(number, verbose=False)
        moved = f"ema.ckpt of another run is now .*ema-v{number}.ckpt"
        with pytest.warns(UserWarning, match=moved) if number else nullcontext():
            quiet_trainer(callbacks=[WeightAverages(swa_epoch_start=None)]).fit(ImageClassifier(), small())
        contents.append(path.read_bytes())
    assert contents == [path.with_name(f"ema{suffix}.ckpt").read_bytes() for suffix in ("-v1", "-v2", "")]


def test_run_logger_replaces_the_averages_of_its_own_run(tmp_path: Path) -> None:
    trainer = quiet_trainer(logger=RunLogger(), callbacks=[WeightAverages(swa_epoch_start=None)])
    for epochs in (1, 2):
        trainer.fit_loop.max_epochs = epochs
        trainer.fit(ImageClassifier(), small())
    assert [path.name for path in tmp_path.rglob("*.ckpt")] == ["ema.ckpt"]


def test_fast_dev_run_has_no_folder_and_writes_nothing(tmp_path: Path) -> None:
    folders = Folders()
    callbacks = [folders, RunSummary(), WeightAverages(swa_epoch_start=1)]
    quiet_trainer(logger=RunLogger(), callbacks=callbacks, fast_dev_run=True).fit(ImageClassifier(), small())
    assert folders.folder is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("first", [True, False])
def test_folder_of_the_run_is_that_of_the_run_logger_wherever_it_stands(first: bool) -> None:
    folders, loggers = Folders(), [RunLogger("own"), CSVLogger("csv")]
    quiet_trainer(logger=loggers[:: 1 if first else -1], callbacks=[folders]).fit(ImageClassifier(), small())
    assert folders.folder == RunFolder(Path("own/lightning_logs/version_0"))


def test_run_with_the_logger_of_another_run_is_refused(tmp_path: Path) -> None:
    logger = RunLogger(tmp_path)
    data = Shapes10DataModule(train_images=128, val_size=0)
    first = quiet_trainer(logger=logger, max_epochs=2)
    first.fit(ImageClassifier(), data)
    before = file_contents(tmp_path)
    for same in (logger, RunLogger(tmp_path, version="version_0")):
        with pytest.raises(
            FileExistsError, match="version_0 holds another run: give each run a RunLogger and a folder"
        ):
            quiet_trainer(logger=same).fit(ImageClassifier(), data)
    assert file_contents(tmp_path) == before


def test_run_that_goes_on_with_another_logger_of_its_folder_keeps_the_rows(tmp_path: Path) -> None:
    data = Shapes10DataModule(train_images=128, val_size=0)
    first = quiet_trainer(logger=RunLogger(tmp_path, version="mine"), max_epochs=2)
    first.fit(ImageClassifier(), data)
    first.save_checkpoint(tmp_path / "a.ckpt")
    again = quiet_trainer(logger=RunLogger(tmp_path, version="mine"), max_epochs=3)
    again.fit(ImageClassifier(), data, ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    rows = read_rows(tmp_path / "lightning_logs" / "mine" / "metrics.csv")
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]


def test_run_that_goes_on_does_not_replace_the_rows_of_another_logger(tmp_path: Path) -> None:
    data = Shapes10DataModule(train_images=128, val_size=0)
    first = quiet_trainer(logger=RunLogger(tmp_path, version="mine"))
    first.fit(ImageClassifier(), data)
    first.save_checkpoint(tmp_path / "a.ckpt")
    metrics = tmp_path / "lightning_logs" / "mine" / "metrics.csv"
    metrics.write_text("epoch,loss\n0,2.0\n0,1.0\n")
    again = quiet_trainer(logger=RunLogger(tmp_path, version="mine"), max_epochs=2)
    with pytest.raises(ValueError, match="is of another logger, and would be replaced"):
        again.fit(ImageClassifier(), data, ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    assert metrics.read_text() == "epoch,loss\n0,2.0\n0,1.0\n"
