"""How configurations are tuned, ``tuning.json``: written before the first run, read by its reports."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from optimcifar.report.design import Design, read_json
from optimcifar.runs.atomic import write_atomically
from optimcifar.spaces.dimensions import Dimension, parse_dimension

_FILE = "tuning.json"

#: The first of the seeds on which settings are chosen. Those on which they are judged are lower.
FIRST_TUNING_SEED = 1000

#: How many of the best settings are tried again, and how many seeds each of them has in the end.
CANDIDATES, CANDIDATE_SEEDS = 3, 3


@dataclass(frozen=True)
class TuningSpace:
    """What is tried for a configuration.

    Attributes:
        space: what may be tried, by hyperparameter, which is an option of ``fit`` without its dashes.
        source: where the space comes from: ``the command``, a file, or ``default``.
        trials: the settings that are tried; the first one is the configuration's own. They hold the hyperparameters
            in the space and those that follow one of them.
        follows: hyperparameters that follow another one, and which: a schedule ties them together.
    """

    space: dict[str, Dimension]
    source: str
    trials: tuple[dict[str, Any], ...]
    follows: dict[str, str]


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
        return cls(spaces, int(values["tuning_seeds"]), Design.of(values["comparison"]))


def trial_entry(configuration: str, trial: int) -> str:
    """Return the name of the folder of a trial's runs."""
    return f"{configuration}-trial-{trial}"


def _texts(space: dict[str, Dimension]) -> dict[str, str]:
    return {key: str(dimension) for key, dimension in space.items()}


def _space(values: dict[str, Any]) -> TuningSpace:
    space = {key: parse_dimension(key, text) for key, text in values["space"].items()}
    return TuningSpace(space, str(values["source"]), tuple(values["trials"]), dict(values["follows"]))
