"""Find the training, validation and test images in a folder of a person's own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from optimcifar.data.class_folders import RUNS, visible
from optimcifar.data.images import DataError
from optimcifar.text import differences, listing

_PARTS = ("train", "val", "test")

_EXPECTED = "Expected a folder of images for each class, or train/ with these, and maybe val/ and test/ with the same"


@dataclass(frozen=True)
class FolderParts:
    """Where the training, validation and test images of a data set are.

    Attributes:
        class_names: names of the class folders, sorted; at least two.
        train: the folder with the class folders of the training images.
        val: the same for validation; None if there is none.
        test: the same for the test; None if there is none.
    """

    class_names: tuple[str, ...]
    train: Path
    val: Path | None = None
    test: Path | None = None


def find_parts(root: Path) -> FolderParts:
    """Return the parts of a folder: ``train``, ``val`` and ``test`` in any capitals, or the folder itself for training.

    A folder ``train`` that holds images itself is a class of that name. No image is read.

    Raises:
        DataError: the folder is missing, or holds something else.
    """
    if not root.is_dir():
        raise DataError(f"{root} {'is not a folder' if root.exists() else 'does not exist'}\n{_EXPECTED}")
    folders = _folders(root)
    parts = [folder for folder in folders if folder.name.lower() in _PARTS]
    if not any(map(_folders, parts)):
        return FolderParts(_class_names(root), root)
    found = {folder.name.lower(): folder for folder in parts}
    if len(found) < len(parts) or len(parts) < len(folders) or "train" not in found:
        names = listing(folder.name for folder in folders)
        raise DataError(f"{root} must hold one folder train, maybe val and test, and no others: found {names}")
    class_names = _class_names(found["train"])
    for folder in parts:
        _require_classes(folder, class_names, found["train"])
    return FolderParts(class_names, **found)


def other_classes(expected: Sequence[str], found: Sequence[str]) -> str:
    """Say in which classes a folder differs from those that are expected; empty if in none."""
    missing = [name for name in expected if name not in found]
    return differences(missing, [name for name in found if name not in expected])


def _folders(folder: Path) -> list[Path]:
    return [Path(entry) for entry in visible(folder) if entry.is_dir() and entry.name != RUNS]


def _class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of a folder's class folders, and refuse anything else in it: it could be a person's images."""
    names = tuple(entry.name for entry in _folders(folder))
    if others := [entry.name for entry in visible(folder) if not entry.is_dir()]:
        raise DataError(f"{folder} must hold class folders and nothing else: found also {listing(others)}\n{_EXPECTED}")
    if len(names) < 2:
        inner = next((folder / name for name in names if len(_folders(folder / name)) > 1), None)
        advice = f"did you mean --data.root {inner}?" if inner else _EXPECTED
        raise DataError(f"{folder} must hold the folders of at least two classes: found {listing(names)}\n{advice}")
    return names


def _require_classes(folder: Path, class_names: tuple[str, ...], train: Path) -> None:
    """Refuse a part whose classes are not those of the training images."""
    if other := other_classes(class_names, _class_names(folder)):
        raise DataError(f"{folder} must hold the classes of {train}: found {other}")
