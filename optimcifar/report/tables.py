"""Tables for readers: columns with values to sort by and texts to show, as Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

Row = TypeVar("Row")


@dataclass(frozen=True)
class Column(Generic[Row]):
    """A column of a table.

    Attributes:
        title: its head.
        value: returns the value to sort by.
        text: returns the text of a cell.
        colour: for a column of words, returns the colour of a cell as ``#RRGGBB``, or nothing; None for numbers.
    """

    title: str
    value: Callable[[Row], Any]
    text: Callable[[Row], str]
    colour: Callable[[Row], str] | None = None


@dataclass(frozen=True)
class Table(Generic[Row]):
    """A table, whose first column names its rows.

    Attributes:
        name: its id on a page.
        title: its heading; empty where another heading stands above.
        columns: its columns.
        rows: what its rows are about.
        note: a sentence on how to read it.
    """

    name: str
    title: str
    columns: Sequence[Column[Row]]
    rows: Sequence[Row]
    note: str = ""


def with_content(columns: Sequence[Column[Row]], rows: Sequence[Row]) -> list[Column[Row]]:
    """Return the columns that have anything to show."""
    return [column for column in columns if any(column.text(row) for row in rows)]


def markdown_table(columns: Sequence[Column[Row]], rows: Sequence[Row]) -> list[str]:
    """Return the lines of a table in Markdown."""
    cells = [[column.text(row).replace("|", "\\|") for column in columns] for row in rows]
    table = [[column.title for column in columns], ["---"] * len(columns), *cells]
    return ["| " + " | ".join(line) + " |" for line in table]
