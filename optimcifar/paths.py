"""Paths as a person types them."""

from __future__ import annotations

from pathlib import Path


def expand_home(path: str | Path) -> Path:
    """Return a path with the home folder in place of ``~`` or ``~user``: only a shell replaces it, and not always.

    Raises:
        ValueError: there is no such home folder.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        home = Path(path).parts[0]
        raise ValueError(f"{path}: there is no home folder {home}; write ./{path} for a folder of that name") from error


def absolute_path(path: str | Path) -> Path:
    """Return a path that means the same from every folder, without ``..``; links keep their names.

    Raises:
        ValueError: it starts with a home folder that does not exist.
    """
    absolute = expand_home(path).absolute()
    ups = [position for position, part in enumerate(absolute.parts, start=1) if part == ".."]
    if not ups:
        return absolute
    # What is above a link is above its target: only the system knows.
    return Path(*absolute.parts[: ups[-1]]).resolve().joinpath(*absolute.parts[ups[-1] :])
