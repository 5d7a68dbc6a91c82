"""The table of a run's metrics, ``metrics.csv``: one row per epoch."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np

from optimcifar.runs.atomic import write_atomically

#: The columns of every table, in this order; others follow.
COLUMNS = ("epoch", "step", "lr", "train_loss", "train_acc", "val_loss", "val_acc", "seconds")


def shortest_float32(value: float) -> float:
    """Return the shortest decimal that rounds to the same float32: 0.01, not 0.009999999776482582."""
    return float(str(np.float32(value)))


def write_metrics(path: Path, rows: Iterable[Mapping[str, float | str]]) -> None:
    """Write a table; a value that a row lacks is an empty cell.

    Args:
        path: the file.
        rows: values by column, one row per epoch, in order.
    """
    table = list(rows)
    names = list(dict.fromkeys([*COLUMNS, *(name for row in table for name in row)]))
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table)
    write_atomically(path, text.getvalue())


def is_row_of_an_epoch(row: Mapping[str, object]) -> bool:
    """Return whether a row is of a table with one row per epoch.

    Lightning's CSVLogger writes files of the same name with several.
    """
    return tuple(row)[: len(COLUMNS)] == COLUMNS


def read_cells(path: Path) -> list[dict[str, str]]:
    """Return the rows of a table as text; none where there is no file."""
    if not path.exists():
        return []
    with path.open(encoding="utf-8", newline="") as file:
        return [dict(row) for row in csv.DictReader(file)]


def read_metrics(path: Path) -> list[dict[str, float]]:
    """Return the rows of a table as numbers, an empty cell as NaN; no rows where there is no file.

    Raises:
        ValueError: a cell is not a number.
    """
    return [{name: float(cell or "nan") for name, cell in row.items()} for row in read_cells(path)]
