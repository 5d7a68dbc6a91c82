"""What a comparison was asked for, ``comparison.json``: written before its first run, read by its reports."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence, Set
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self, TypeVar, get_args

from optimcifar.errors import UsageError
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.folder import DESIGNS
from optimcifar.statistics.stages import FALSE_VERDICTS, Stage, single_stage, stages_of_sizes

_FILE = DESIGNS["comparison"]

Read = TypeVar("Read")

#: With seeds on demand: until every verdict is final, or until the best configuration is told from the others.
Until = Literal["verdicts", "best"]


@dataclass(frozen=True)
class Design:
    """What a comparison was asked for.

    Attributes:
        configurations: the configurations, in the order in which they were named.
        baseline: the one that the others are compared with; None for the first.
        target_acc: a validation accuracy, 0 to 1, to which steps and seconds are counted; None for none.
        seeds: the seeds that were chosen beforehand; empty for seeds on demand.
        stages: with seeds on demand, the number of seeds at each look; empty for seeds that were chosen beforehand.
        until: with seeds on demand, when no more are needed.
        looks: how many times seeds were planned, each time after the results of the time before had been there.
    """

    configurations: tuple[str, ...] = ()
    baseline: str | None = None
    target_acc: float | None = None
    seeds: tuple[int, ...] = ()
    stages: tuple[int, ...] = ()
    until: Until = "verdicts"
    looks: int = 1

    @property
    def most_seeds(self) -> int:
        """The number of seeds that a configuration gets at most."""
        return self.stages[-1] if self.stages else len(self.seeds)

    @property
    def new_seeds(self) -> list[Sequence[int]]:
        """The new seeds of each stage; those that were chosen beforehand are a single one."""
        return [range(*ends) for ends in itertools.pairwise((0, *self.stages))] or [self.seeds]

    @property
    def tests(self) -> float:
        """The number of tests among which 5 % were shared if the last look were the only one.

        One for each comparison with the baseline; more with seeds on demand, because earlier looks spend a part.
        """
        last = self.planned_stages(self.seeds)[-1]
        return (len(self.configurations) - 1) * FALSE_VERDICTS / last.level

    @property
    def false_verdicts(self) -> float:
        """The chance of any false verdict, at most: 0.05 for each look."""
        return self.looks * FALSE_VERDICTS

    def planned_stages(self, seeds: Iterable[int]) -> list[Stage]:
        """Return the looks at the verdicts, and the level of each.

        Args:
            seeds: the seeds that runs have; all of them count if seeds were chosen beforehand.
        """
        return stages_of_sizes(self.stages) if self.stages else single_stage(seeds)

    def after(self, before: Self | None, seeds: Set[int]) -> Self:
        """Return the same design, with its looks counted: more seeds, or other stages, after results were there.

        Args:
            before: the design with which the same folder was used before; None for a new folder.
            seeds: those of the folder's runs that have ended.
        """
        if before is None:
            return self
        same = (self.seeds, self.stages) == (before.seeds, before.stages)
        anew = self.stages != before.stages or not seeds >= frozenset(self.seeds)
        return replace(self, looks=before.looks + bool(seeds and anew and not same))

    def write(self, folder: Path) -> None:
        """Write it into a comparison's folder, which is created if it does not exist."""
        write_atomically(folder / _FILE, json.dumps(asdict(self)) + "\n")

    def check(self) -> None:
        """Refuse what no comparison was asked for.

        Raises:
            ValueError: a value is out of range.
            TypeError: a value has the wrong type.
        """
        check_target(self.target_acc)
        if not all(isinstance(name, str) for name in (*self.configurations, self.baseline or "", self.until)):
            raise TypeError("a name is not text")
        if not all(type(number) is int for number in (*self.seeds, *self.stages, self.looks)):
            raise TypeError("a number is not whole")
        if min((*self.seeds, self.looks - 1), default=0) < 0 or self.until not in get_args(Until):
            raise ValueError("a value is out of range")
        if any(later <= earlier for earlier, later in itertools.pairwise((0, *self.stages))):
            raise ValueError("stages do not increase")

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the design that a file holds.

        Raises:
            ValueError, TypeError, KeyError: it is none.
        """
        lists = {name: tuple(values[name]) for name in ("configurations", "seeds", "stages") if name in values}
        design = cls(**{**values, **lists, "configurations": lists["configurations"]})
        design.check()
        return design

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read it from a folder; None if the folder holds none.

        Raises:
            RuntimeError: the file is damaged.
        """
        return read_json(folder / _FILE, cls.of, "remove it, and name the --baseline again")


def read_json(path: Path, parse: Callable[[Any], Read], advice: str) -> Read | None:
    """Read what a command was asked for; None if there is no such file.

    Args:
        path: the file.
        parse: makes it of the values that the file holds.
        advice: what to do if the file is damaged.

    Raises:
        RuntimeError: it is damaged.
    """
    if not path.exists():
        return None
    try:
        return parse(json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise RuntimeError(f"{path} is damaged: {advice}") from error


def parse_targets(text: str) -> tuple[float, ...]:
    """Read the ``--target_acc`` of a comparison: ``0.6``, or one for each workload, ``0.6,0.8``.

    Raises:
        UsageError: it is neither, or an accuracy is out of range.
    """
    try:
        targets = tuple(float(number) for number in text.split(","))
    except ValueError:
        raise UsageError(
            f"--target_acc must be an accuracy such as 0.6, or one for each workload such as 0.6,0.8; got {text!r}"
        ) from None
    for target in targets:
        check_target(target)
    return targets


def only_target(targets: Sequence[float]) -> float | None:
    """Return the target of a comparison on one workload; None if there is none.

    Raises:
        UsageError: there are several.
    """
    if len(targets) > 1:
        raise UsageError(
            f"--target_acc has {len(targets)} accuracies, and only a comparison with --workload takes several"
        )
    return next(iter(targets), None)


def check_target(accuracy: float | None) -> None:
    """Refuse a target that no run can reach.

    Raises:
        UsageError: it is not an accuracy above 0.
    """
    if accuracy is not None and not (isinstance(accuracy, (int, float)) and 0 < accuracy <= 1):
        raise UsageError(f"--target_acc must be greater than 0 and at most 1, got {accuracy}")
