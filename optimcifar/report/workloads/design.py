"""The workloads of a comparison over several, ``workloads.json``: written before its first run, read by its reports."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from optimcifar.errors import UsageError
from optimcifar.report.design import read_json
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.folder import DESIGNS
from optimcifar.text import listing

#: The purpose of a folder that holds one.
OVER_WORKLOADS = "comparison over workloads"

_FILE = DESIGNS[OVER_WORKLOADS]


@dataclass(frozen=True)
class WorkloadsDesign:
    """The workloads of a comparison. Each is a comparison in a folder of its own, whose design says everything else.

    Attributes:
        workloads: their names, in the order in which they were named.
    """

    workloads: tuple[str, ...]

    def refuse_fewer(self, folder: Path) -> None:
        """Refuse to leave out a workload that the folder has: a profile of a choice among them would mislead.

        Raises:
            UsageError: one is left out.
            RuntimeError: the folder's ``workloads.json`` is damaged.
        """
        before = type(self).read(folder)
        if missing := [name for name in before.workloads if name not in self.workloads] if before else []:
            raise UsageError(
                f"{folder} has the workload {listing(missing)} too: name it again, or choose another --out"
            )

    def write(self, folder: Path) -> None:
        """Write it into a folder, which is created if it does not exist."""
        write_atomically(folder / _FILE, json.dumps(asdict(self)) + "\n")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read it from a folder; None if the folder holds none.

        Raises:
            RuntimeError: the file is damaged.
        """
        return read_json(folder / _FILE, cls._of, "run the same comparison again")

    @classmethod
    def _of(cls, values: Mapping[str, Any]) -> Self:
        names = tuple(values["workloads"])
        if not names or any(not name or Path(name).name != name for name in names):
            raise ValueError("a workload is not the name of a folder, or there is none")
        return cls(names)


def target_of_each(workloads: Sequence[str], targets: Sequence[float]) -> dict[str, float | None]:
    """Return the target accuracy of each workload; None if there is none.

    Args:
        workloads: their names.
        targets: one for all of them, one for each in their order, or none.

    Raises:
        UsageError: there are more or fewer.
    """
    if len(targets) not in (0, 1, len(workloads)):
        raise UsageError(
            f"--target_acc must be one accuracy for all workloads, or one for each of {', '.join(workloads)}; got "
            f"{len(targets)}"
        )
    if len(targets) < len(workloads):
        return dict.fromkeys(workloads, next(iter(targets), None))
    return dict(zip(workloads, targets, strict=True))
