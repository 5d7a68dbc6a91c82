from __future__ import annotations

import json
import math
from dataclasses import astuple
from pathlib import Path

import pytest
from helpers import INTERRUPT, Command, make_run, quiet_trainer, read_summary
from lightning.pytorch.loggers import CSVLogger

from optimcifar import ImageClassifier, RunSummary, Shapes10DataModule
from optimcifar.runs.folder import RunFolder
from optimcifar.runs.results import TimeToTarget, read_run


def test_rows_are_those_of_whole_epochs(optimcifar: Command, small: list[str], tmp_path: Path) -> None:
    assert optimcifar("fit", *small, "--trainer.callbacks+=LearningRateMonitor", INTERRUPT).status == 130
    run = read_run(RunFolder(tmp_path / "lightning_logs" / "version_0"))
    assert run.epochs == len(run.rows) == 1
    assert run.final("val_acc") == run.summary["val_acc"]


def test_run_without_a_table_has_the_last_epoch_of_its_summary(tmp_path: Path) -> None:
    make_run(tmp_path / "run", 0, [0.25, 0.5], epochs=2, val_acc=0.5, train_loss=1.75, val_loss=None)
    (tmp_path / "run" / "metrics.csv").unlink()
    run = read_run(RunFolder(tmp_path / "run"))
    assert (run.epochs, run.rows) == (2, [])
    assert (run.final("val_acc"), run.final("train_loss")) == (0.5, 1.75)
    assert math.isnan(run.final("val_loss"))
    assert math.isnan(run.best()[0])
    assert all(map(math.isnan, astuple(run.to_target(0.3))))


def test_table_of_another_logger_is_not_taken_for_rows_of_epochs(tmp_path: Path) -> None:
    logger = CSVLogger(tmp_path)
    trainer = quiet_trainer(max_epochs=2, logger=logger, callbacks=[RunSummary()], log_every_n_steps=1)
    trainer.fit(ImageClassifier(), Shapes10DataModule(train_images=160, val_size=32))
    folder = Path(logger.log_dir)
    assert (folder / "metrics.csv").exists()
    run = read_run(RunFolder(folder))
    assert (run.epochs, run.rows) == (2, [])
    assert run.final("val_acc") == read_summary(folder)["val_acc"]


def test_run_that_failed_before_training_has_no_epochs(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_text(json.dumps({"status": "failed", "seed": 0, "error": "no disk"}))
    run = read_run(RunFolder(tmp_path))
    assert run.epochs == 0
    assert math.isnan(run.final("val_acc"))
    assert run.to_target(0.3) == TimeToTarget(math.inf, math.inf, math.inf)


VALIDATIONS = """epoch,step,seconds,val_loss,val_acc
1,7,1.0,2.3,0.15
1,13,2.0,2.2,0.2
2,20,3.25,2.1,0.45
2,26,4.0,2.0,0.4
"""


def test_target_is_looked_for_in_every_validation(tmp_path: Path) -> None:
    make_run(tmp_path / "run", 0, [0.2, 0.4])  # in steps 13 and 26, two seconds each
    at_ends = read_run(RunFolder(tmp_path / "run"))
    assert not at_ends.validates_within_epochs
    assert [at_ends.to_target(target) for target in (0.1, 0.4)] == [TimeToTarget(1, 13, 2), TimeToTarget(2, 26, 4)]
    validations = tmp_path / "run" / "validations.csv"
    validations.write_text(VALIDATIONS)
    within = read_run(RunFolder(tmp_path / "run"))
    assert within.validates_within_epochs
    found = [within.to_target(target) for target in (0.1, 0.2, 0.4, 0.5)]
    never = TimeToTarget(math.inf, math.inf, math.inf)
    assert found == [TimeToTarget(1, 7, 1), TimeToTarget(1, 13, 2), TimeToTarget(2, 20, 3.25), never]
    # A run of an earlier version that was resumed has no rows of its first epochs.
    head, *rows = VALIDATIONS.splitlines(keepends=True)
    validations.write_text(head + rows[3])
    resumed = read_run(RunFolder(tmp_path / "run"))
    assert not resumed.validates_within_epochs
    assert [resumed.to_target(target) for target in (0.2, 0.4)] == [TimeToTarget(1, 13, 2), TimeToTarget(2, 26, 4)]


def test_losses_of_steps_are_read_with_those_that_are_not_finite(tmp_path: Path) -> None:
    make_run(tmp_path / "run", 0, [0.2])
    run = read_run(RunFolder(tmp_path / "run"))
    assert run.step_losses == []
    (tmp_path / "run" / "steps.csv").write_text("epoch,step,train_loss\n1,1,2.5\n1,2,inf\n")
    assert read_run(RunFolder(tmp_path / "run")).step_losses == [(1, 2.5), (2, math.inf)]


def test_damaged_table_is_named(tmp_path: Path) -> None:
    make_run(tmp_path / "run", 0, [0.2])
    (tmp_path / "run" / "steps.csv").write_text("epoch,step\n1,1\n")
    with pytest.raises(RuntimeError, match=r"steps\.csv is damaged: .*train_loss"):
        _ = read_run(RunFolder(tmp_path / "run")).step_losses
    (tmp_path / "run" / "validations.csv").write_text("epoch,step\n1,1\n")
    with pytest.raises(RuntimeError, match=r"validations\.csv is damaged: .*there is no column 'seconds'"):
        read_run(RunFolder(tmp_path / "run"))
