"""How files get into a run's folder, whole or not at all, and what they say of how the run stands."""

from __future__ import annotations

import json
import os
from pathlib import Path

#: The statuses of a run that is over, with a result.
ENDED = ("finished", "diverged")

#: The averages of weights by the names of their checkpoints, with which the names of what is measured on them end: the
#: equal-weight and the exponential one.
AVERAGES = ("swa", "ema")


def write_whole(path: Path, content: str | bytes) -> None:
    """Write a file beside its place and rename it there: whoever reads finds all of the old or of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_status(folder: Path) -> str | None:
    """Return how a run stands, or None where none is known: no summary was written, or it can't be read."""
    try:
        status = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["status"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(status)
