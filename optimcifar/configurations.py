"""Find configurations and spaces by path or by name: ``sgd`` is the one that comes with the package."""

from __future__ import annotations

import difflib
import re
import textwrap
from collections.abc import Iterable, Mapping
from importlib import resources
from itertools import takewhile
from pathlib import Path

from optimcifar.errors import UsageError
from optimcifar.paths import expand_path
from optimcifar.runs.atomic import write_atomically
from optimcifar.text import alternatives, listing

# pyproject.toml puts the same files into the wheel.
_CONFIGURATIONS = ("*.yaml", "tuned/*.yaml")
_SPACES = ("*.yaml",)

_LINE = 80  # characters of a line of the list

_MOST_SUGGESTIONS = 3

# From so many characters on, a part of a name suggests it, as cosine does sgd_cosine.
_SHORTEST_PART = 3


def find_configuration(typed: str) -> Path:
    """Return the file of a configuration.

    Args:
        typed: its path, with or without ``.yaml``, or else the name of one that comes with the package.

    Raises:
        UsageError: there is none; the message has the nearest ones.
    """
    return _find("configuration", typed, shipped_configurations())


def find_space(typed: str) -> Path:
    """Return a file of spaces for ``optimcifar tune``.

    Args:
        typed: its path, with or without ``.yaml``, or else the name of one that comes with the package.

    Raises:
        UsageError: there is none; the message has the nearest ones.
    """
    return _find("space", typed, shipped_spaces())


def portable_name(typed: str) -> str:
    """Return what names a configuration for every worker: its file, or the name of one that comes with the package.

    Raises:
        UsageError: there is none; the message has the nearest ones.
    """
    path = find_configuration(typed)
    return typed if path == shipped_configurations().get(typed) else str(path)


def shipped_configurations() -> dict[str, Path]:
    """Return the configurations that come with the package: files by name, such as ``sgd`` or ``tuned/sgd``."""
    return _named(_folder(), _CONFIGURATIONS)


def shipped_spaces() -> dict[str, Path]:
    """Return the files of spaces that come with the package, by name."""
    return _named(_folder() / "spaces", _SPACES)


def list_shipped() -> str:
    """List the configurations and spaces that come with the package, with a line on each."""
    every = {"configurations": shipped_configurations(), "spaces": shipped_spaces()}
    width = max((len(name) for files in every.values() for name in files), default=0)
    parts = []
    for heading, files in every.items():
        parts += [f"{heading}:", *(_entry(name, width, path) for name, path in files.items()), ""]
    return "\n".join(parts[:-1])


def copy_shipped(folder: Path) -> int:
    """Copy the configurations and spaces that come with the package.

    Args:
        folder: where; a missing one is created.

    Returns:
        The number of files that the folder has of them.

    Raises:
        UsageError: a file there has other content; nothing is written then.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is not a folder")
    files = [*shipped_configurations().values(), *shipped_spaces().values()]
    copies = {folder / file.relative_to(_folder()): file.read_bytes() for file in files}
    differing = [str(copy) for copy, content in copies.items() if copy.exists() and not _holds(copy, content)]
    if differing:
        raise UsageError(f"{listing(differing)}: already exists with different content; nothing was written")
    for copy, content in copies.items():
        if not copy.exists():
            write_atomically(copy, content)
    return len(copies)


def _folder() -> Path:
    """Return the folder of what comes with the package: within an installed one, beside one in a checkout."""
    package = Path(str(resources.files("optimcifar")))
    within = package / "configs"
    return within if within.is_dir() else package.parent / "configs"


def _named(folder: Path, patterns: Iterable[str]) -> dict[str, Path]:
    files = [file for pattern in patterns for file in sorted(folder.glob(pattern))]
    return {file.relative_to(folder).with_suffix("").as_posix(): file for file in files}


def _find(noun: str, typed: str, shipped: Mapping[str, Path]) -> Path:
    if not typed:
        raise UsageError(f"name a {noun}: got nothing")
    path = expand_path(typed)
    for file in (path, Path(f"{path}.yaml")):
        if _is_file(file):
            return file
    if typed in shipped:
        return shipped[typed]
    if path.is_dir():
        raise UsageError(f"{typed} is a folder, not a {noun}")
    nearest = _nearest(typed, shipped)
    hint = f"did you mean {alternatives(nearest)}?" if nearest else "optimcifar configs lists those that have a name"
    raise UsageError(f"there is no {noun} {typed}: {hint}")


def _is_file(path: Path) -> bool:
    """Return whether a path can be read; pipes can be, as in ``--config <(sed ...)``."""
    try:
        return path.exists() and not path.is_dir()
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error


def _nearest(typed: str, shipped: Iterable[str]) -> list[str]:
    """Return what may have been meant, as it can be typed: first among what is in the same folder."""
    path = Path(typed)
    beside = sorted(str(path.parent / file.name) for file in expand_path(path).parent.glob("*.yaml"))
    known = [*beside, *shipped]
    return _alike(path, [one for one in known if Path(one).parent == path.parent]) or _alike(path, known)


def _alike(path: Path, known: Iterable[str]) -> list[str]:
    by_stem = {Path(one).stem.lower(): one for one in reversed(list(known))}
    stem = path.stem.lower()
    if stem in by_stem:
        return [by_stem[stem]]
    with_it = [one for one in sorted(by_stem) if stem in one and len(stem) >= _SHORTEST_PART]
    close = difflib.get_close_matches(stem, by_stem, n=_MOST_SUGGESTIONS)
    return [by_stem[one] for one in dict.fromkeys([*with_it, *close])][:_MOST_SUGGESTIONS]


def _entry(name: str, width: int, path: Path) -> str:
    prefix = f"  {name:{width}}  "
    return prefix + textwrap.shorten(_first_sentence(path), _LINE - len(prefix), placeholder=" ...")


def _first_sentence(path: Path) -> str:
    """Return the first sentence of the comment at the top of a file."""
    with path.open(encoding="utf-8") as lines:
        comment = " ".join(line.strip("# \n") for line in takewhile(lambda line: line.startswith("#"), lines))
    sentence = re.match(r".*?\.(?=\s|$)", comment)
    return sentence[0] if sentence else comment


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.read_bytes() == content
