"""Paths as a person types them."""

from __future__ import annotations

import glob
import os
import re
from pathlib import Path

_VARIABLE = r"\$(?:(\w+)|\{(\w+)\})"


def expand_path(path: str | Path) -> Path:
    """Expand ``~``, ``~user``, ``$NAME`` and ``${NAME}`` in a path.

    Only a shell replaces them, and not in a configuration or behind ``=``.

    Raises:
        ValueError: there is no such home folder or variable.
    """
    expanded = Path(os.path.expandvars(path))
    if (variable := re.search(_VARIABLE, str(expanded))) and not expanded.exists():
        raise ValueError(f"{path}: there is no environment variable {variable[1] or variable[2]}")
    try:
        return expanded.expanduser()
    except RuntimeError as error:
        home = expanded.parts[0]
        raise ValueError(f"{path}: there is no home folder {home}; write ./{path} for a folder of that name") from error


def expand_pattern(path: str | Path) -> list[Path]:
    """Return the files and folders that match a path with ``*``, ``?`` or ``[``, sorted; the path itself without these.

    Shells do it, but not behind quotes, and not on every system.

    Raises:
        ValueError: nothing matches, or the path cannot be expanded.
    """
    expanded = expand_path(path)
    if not re.search(r"[*?[]", str(expanded)) or expanded.exists():
        return [expanded]
    if found := sorted(glob.glob(str(expanded), recursive=True)):
        return [Path(one) for one in found]
    raise ValueError(f"nothing matches {path}")


def is_to_be_expanded(text: str) -> bool:
    """Return whether a text is a path with something to expand: ``~/runs``, ``$HOME/runs``, ``/data/$USER``."""
    return re.match(rf"~[\w.-]*/|{_VARIABLE}/|/[^\s:$]*{_VARIABLE}", text) is not None


def absolute_path(path: str | Path) -> Path:
    """Return a path that means the same from every folder, without ``..``; links keep their names.

    Raises:
        ValueError: it starts with a home folder that does not exist, or names a variable that is not set.
    """
    absolute = expand_path(path).absolute()
    ups = [position for position, part in enumerate(absolute.parts, start=1) if part == ".."]
    if not ups:
        return absolute
    # What is above a link is above its target: only the system knows.
    return Path(*absolute.parts[: ups[-1]]).resolve().joinpath(*absolute.parts[ups[-1] :])
