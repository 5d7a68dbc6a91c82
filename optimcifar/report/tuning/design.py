"""How configurations are tuned, ``tuning.json``: written before the first run, read by its reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from optimcifar.report.design import Design, read_json
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.folder import DESIGNS
from optimcifar.spaces.dimensions import Dimension, parse_dimension

_FILE = DESIGNS["study"]

#: The first of the seeds on which settings are chosen. Those on which they are judged are lower.
FIRST_TUNING_SEED = 1000

#: How many of the best settings are tried again, and how many seeds each of them has in the end.
CANDIDATES, CANDIDATE_SEEDS = 3, 3


@dataclass(frozen=True)
class TuningSpace:
    """What is tried for a configuration.

    Attributes:
        space: what may be tried, by hyperparameter, which is an option of ``fit`` without its dashes.
        source: where the space comes from: ``the command``, a file without its folder, or ``default``.
        trials: the settings that are tried; the first one is the configuration's own. They hold the hyperparameters
            in the space and those that follow one of them.
        follows: hyperparameters that follow another one, and which: a schedule ties them together.
    """

    space: dict[str, Dimension]
    source: str
    trials: tuple[dict[str, Any], ...]
    follows: dict[str, str]

    def check(self) -> None:
        """Refuse a space that is empty, and trials that do not set what it has and what follows that.

        Raises:
            ValueError: that is so.
            TypeError: a trial is no mapping.
        """
        if not self.space or not set(self.follows.values()) <= set(self.space):
            raise ValueError("nothing is tried, or something follows what is not tried")
        if any(dict(trial).keys() != {*self.space, *self.follows} for trial in self.trials):
            raise ValueError("a trial does not set the hyperparameters of its space")


@dataclass(frozen=True)
class TuningDesign:
    """How configurations are tuned, and then compared.

    Attributes:
        spaces: what is tried, by configuration; equally many trials of each.
        tuning_seeds: on how many seeds every trial runs.
        comparison: how the tuned settings are compared, on seeds below ``FIRST_TUNING_SEED``.
    """

    spaces: dict[str, TuningSpace]
    tuning_seeds: int
    comparison: Design

    @property
    def trials(self) -> int:
        """The number of trials of each configuration."""
        return len(next(iter(self.spaces.values())).trials)

    @property
    def trial_seeds(self) -> range:
        """The seeds of every trial."""
        return range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + self.tuning_seeds)

    @property
    def candidate_seeds(self) -> range:
        """The seeds of the best trials, by whose mean one is chosen."""
        return range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + max(self.tuning_seeds, CANDIDATE_SEEDS))

    @property
    def candidates(self) -> int:
        """The number of trials of each configuration that get all of these seeds."""
        return min(CANDIDATES, self.trials)

    @property
    def tuning_runs(self) -> int:
        """The number of runs for choosing a configuration's settings."""
        more = len(self.candidate_seeds) - len(self.trial_seeds)
        return self.trials * len(self.trial_seeds) + self.candidates * more

    def check(self) -> None:
        """Refuse what no study was planned with.

        Raises:
            ValueError: a value is out of range, or names do not fit each other.
            TypeError: a value has the wrong type.
        """
        if set(self.spaces) != set(self.comparison.configurations) or self.comparison.baseline not in self.spaces:
            raise ValueError("the configurations that are tuned are not those that are compared")
        if len({len(own.trials) for own in self.spaces.values()}) != 1 or not self.trials:
            raise ValueError("not all configurations have the same number of trials, one or more")
        if type(self.tuning_seeds) is not int or self.tuning_seeds < 1:
            raise ValueError("there is no tuning seed")
        if max((*self.comparison.seeds, self.comparison.most_seeds - 1)) >= FIRST_TUNING_SEED:
            raise ValueError("a final seed is a tuning seed")
        for own in self.spaces.values():
            own.check()

    def write(self, folder: Path) -> None:
        """Write it into a study's folder, which is created if it does not exist."""
        spaces = {name: asdict(own) | {"space": _texts(own.space)} for name, own in self.spaces.items()}
        values = {"spaces": spaces, "tuning_seeds": self.tuning_seeds, "comparison": asdict(self.comparison)}
        write_atomically(folder / _FILE, json.dumps(values) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read it from a folder; None if the folder holds none.

        Raises:
            RuntimeError: the file is damaged.
        """
        return read_json(folder / _FILE, cls._of, "choose another folder, or remove it and tune again")

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> Self:
        spaces = {name: _space(own) for name, own in values["spaces"].items()}
        design = cls(spaces, values["tuning_seeds"], Design.of(values["comparison"]))
        design.check()
        return design


def trial_entry(configuration: str, trial: int) -> str:
    """Return the name of the folder of a trial's runs."""
    return f"{configuration}-trial-{trial}"


def _texts(space: dict[str, Dimension]) -> dict[str, str]:
    return {key: str(dimension) for key, dimension in space.items()}


def _space(values: dict[str, Any]) -> TuningSpace:
    space = {key: parse_dimension(key, text) for key, text in values["space"].items()}
    return TuningSpace(space, str(values["source"]), tuple(values["trials"]), dict(values["follows"]))
