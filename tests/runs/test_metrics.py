from __future__ import annotations

import math
from pathlib import Path

import pytest
from helpers import CONFIGS, Command, read_rows

from optimcifar.runs.metrics import COLUMNS, read_cells, read_metrics, shortest_float32, write_metrics


def test_run_writes_one_row_per_epoch(optimcifar: Command, small: list[str], tmp_path: Path) -> None:
    optimcifar("fit", "--config", CONFIGS / "sgd_steplr.yaml", *small, "--trainer.max_epochs", 3)
    rows = read_rows(tmp_path / "lightning_logs" / "version_0" / "metrics.csv")
    assert tuple(rows[0]) == COLUMNS
    assert [row["epoch"] for row in rows] == ["1", "2", "3"]
    assert [row["step"] for row in rows] == ["13", "26", "39"]
    assert [row["lr"] for row in rows] == ["0.01", "0.01", "0.001"]
    assert all(float(value) >= 0 for row in rows for value in row.values())


def test_missing_values_are_empty_cells_and_read_as_nan(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    write_metrics(path, [{"epoch": 1, "train_loss": 2.5}, {"epoch": 2, "train_loss": 2.25, "grad_norm": 0.125}])
    assert path.read_text().splitlines() == [
        "epoch,step,lr,train_loss,train_acc,val_loss,val_acc,seconds,grad_norm",
        "1,,,2.5,,,,,",
        "2,,,2.25,,,,,0.125",
    ]
    assert read_cells(path) == read_rows(path)
    first, second = read_metrics(path)
    assert (first["epoch"], first["train_loss"], second["grad_norm"]) == (1, 2.5, 0.125)
    assert math.isnan(first["val_acc"])
    assert math.isnan(first["grad_norm"])


def test_missing_table_has_no_rows(tmp_path: Path) -> None:
    assert read_cells(tmp_path / "metrics.csv") == []
    assert read_metrics(tmp_path / "metrics.csv") == []


def test_cell_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_text("epoch,train_loss\n1,low\n")
    with pytest.raises(ValueError, match="low"):
        read_metrics(tmp_path / "metrics.csv")


@pytest.mark.parametrize(("value", "expected"), [(0.009999999776482582, 0.01), (1e-5, 1e-5), (782.0, 782.0)])
def test_float32_is_written_in_its_shortest_form(value: float, expected: float) -> None:
    assert shortest_float32(value) == expected
