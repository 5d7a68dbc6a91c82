"""Tables with rows in the order of optimizer steps: ``steps.csv`` and ``validations.csv``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.metrics import read_cells, shortest_float32


class StepTable:
    """A CSV table that grows during a run, and goes on with its file when the run is resumed.

    The text stays in memory, so that writing the whole file again formats no row twice.

    Args:
        columns: the columns after ``epoch`` and ``step``; a row may add more.
    """

    def __init__(self, *columns: str) -> None:
        self._columns = ["epoch", "step", *columns]
        self._lines: list[str] = []

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._lines)

    def go_on(self, path: Path, step: int, most: int | None = None) -> None:
        """Take over the rows of an existing file up to a checkpoint; the resumed run makes the later ones again.

        Args:
            path: the file.
            step: the last step of the checkpoint.
            most: the number of rows before the checkpoint; None for all up to the step.
        """
        for row in read_cells(path)[:most]:
            if int(row["step"]) <= step:
                self._append(row)

    def add(self, epoch: int, step: int, values: Mapping[str, float]) -> None:
        """Add a row.

        Args:
            epoch: the epoch, from 1.
            step: the number of optimizer steps so far.
            values: the other cells by column; a missing one is empty.
        """
        numbers = {name: str(shortest_float32(value)) for name, value in values.items()}
        self._append({"epoch": str(epoch), "step": str(step)} | numbers)

    def write(self, path: Path) -> None:
        """Write all rows."""
        write_atomically(path, "\n".join([",".join(self._columns), *self._lines, ""]))

    def _append(self, row: Mapping[str, str]) -> None:
        if added := [name for name in row if name not in self._columns]:
            self._columns += added
            self._lines = [line + "," * len(added) for line in self._lines]
        self._lines.append(",".join(row.get(name, "") for name in self._columns))
