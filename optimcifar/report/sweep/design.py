"""What a sweep was asked for, ``sweep.json``: written before its first run, read by its reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from optimcifar.report.design import read_json
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.folder import DESIGNS
from optimcifar.spaces.dimensions import Dimension, parse_dimension

_FILE = DESIGNS["sweep"]


@dataclass(frozen=True)
class SweepPoint:
    """A configuration with values of the hyperparameters.

    Attributes:
        entry: the name of its runs' folder.
        configuration: the name of the configuration.
        setting: the values by hyperparameter; None for one that the configuration itself does not have.
        is_own: whether they are all the configuration's own.
    """

    entry: str
    configuration: str
    setting: dict[str, Any]
    is_own: bool = False


@dataclass(frozen=True)
class SweepDesign:
    """What a sweep was asked for.

    Attributes:
        over: what was tried, by hyperparameter, which is an option of ``fit`` without its dashes; one or two.
        points: the points, in the order in which they were named.
        seeds: the seeds of each point.
        follows: hyperparameters that follow another one, and which: a schedule ties them together.
    """

    over: dict[str, Dimension]
    points: tuple[SweepPoint, ...]
    seeds: tuple[int, ...]
    follows: dict[str, str]

    @property
    def keys(self) -> tuple[str, ...]:
        """The hyperparameters."""
        return tuple(self.over)

    @property
    def configurations(self) -> tuple[str, ...]:
        """The configurations, in the order in which they were named."""
        return tuple(dict.fromkeys(point.configuration for point in self.points))

    def check(self) -> None:
        """Refuse what no sweep was asked for.

        Raises:
            ValueError: a number is out of range, or names do not fit each other.
            TypeError: a value has the wrong type.
        """
        if not (1 <= len(self.over) <= 2 and self.points and self.seeds):
            raise ValueError("there is nothing to try, no point or no seed")
        if not all(type(seed) is int for seed in self.seeds):
            raise TypeError("a seed is no whole number")
        for point in self.points:
            if not (isinstance(point.entry, str) and isinstance(point.configuration, str)):
                raise TypeError("a name is not text")
            if dict(point.setting).keys() != self.over.keys():
                raise ValueError("a point does not set the hyperparameters of the sweep")
        if not set(self.follows.values()) <= set(self.over):
            raise ValueError("something follows what is not tried")

    def write(self, folder: Path) -> None:
        """Write it into a sweep's folder, which is created if it does not exist."""
        values = asdict(self) | {"over": {key: str(dimension) for key, dimension in self.over.items()}}
        write_atomically(folder / _FILE, json.dumps(values) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read it from a folder; None if the folder holds none.

        Raises:
            RuntimeError: the file is damaged.
        """
        return read_json(folder / _FILE, cls._of, "run the same sweep again")

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> Self:
        design = cls(
            over={key: parse_dimension(key, text) for key, text in values["over"].items()},
            points=tuple(SweepPoint(**point) for point in values["points"]),
            seeds=tuple(values["seeds"]),
            follows=dict(values["follows"]),
        )
        design.check()
        return design
