"""Find CIFAR-10 in the folder or file that a person names."""

from __future__ import annotations

from pathlib import Path

from optimcifar.data.cifar10_archive import ARCHIVE, BATCHES, Archive, Batches, Download
from optimcifar.data.image_folders import PARTS, ClassFolders, visible
from optimcifar.data.images import DataError
from optimcifar.text import listing

Source = Batches | ClassFolders

CLASS_NAMES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

_EXPECTED = f"Expected {BATCHES}/, {ARCHIVE}, or train/ and test/ with the folders {', '.join(CLASS_NAMES)}"

# The folder of a run is there before its images.
_RUNS = "lightning_logs"

_ARCHIVE_ENDINGS = (".gz", ".tgz", ".tar", ".zip")


def find_images(root: Path) -> Source:
    """Return what holds the images: the batches, class folders or the archive, in this order.

    A root that is missing, or holds nothing visible, is where a download goes, unless images lie beside it.

    Raises:
        DataError: the root holds something else.
    """
    if root.is_file():
        return Archive(root.parent / BATCHES, root)
    if source := _source_in(root):
        return source
    if any(entry.name != _RUNS for entry in visible(root)):
        raise DataError(f"{root} is not CIFAR-10: found {_contents(root)}\n{_EXPECTED}; {_advice(root)}")
    _refuse_unlikely_target(root)
    return Download(root / BATCHES, root / ARCHIVE)


def _source_in(folder: Path) -> Source | None:
    if (folder / BATCHES).is_dir():
        return Batches(folder / BATCHES)
    for source in (Batches(folder), ClassFolders(folder, CLASS_NAMES)):
        if source.found:
            return source
    return Archive(folder / BATCHES, folder / ARCHIVE) if (folder / ARCHIVE).is_file() else None


def _holds_images(folder: Path) -> bool:
    """Return whether a folder that nobody named holds images, as far as it may be read."""
    try:
        return _source_in(folder) is not None
    except OSError:
        return False


def _contents(root: Path) -> str:
    """List what a folder holds, and what is in its folders ``train`` and ``test``."""
    parts = [Path(entry) for entry in visible(root) if entry.name.lower() in PARTS and entry.is_dir()]
    inner = [f"; in {part.name}: {listing(entry.name for entry in visible(part))}" for part in parts]
    return listing(entry.name for entry in visible(root)) + "".join(inner)


def _advice(root: Path) -> str:
    """Say where the images of a root may be that is not itself one of the known forms."""
    near = [*(Path(entry) for entry in visible(root) if entry.is_dir()), root.parent]
    if folder := next((folder for folder in near if _holds_images(folder)), None):
        return f"did you mean --data.root {folder}?"
    if any(entry.name.lower() in CLASS_NAMES for entry in visible(root)):
        return "the class folders belong in train/ and test/"
    return "an empty folder is where a download goes"


def _refuse_unlikely_target(root: Path) -> None:
    """Refuse to download to a root that is probably mistyped, or lies beside a person's own images.

    Raises:
        DataError: it is.
    """
    if root.is_symlink() and not root.exists():
        raise DataError(f"{root} is a link to {root.readlink()}, which does not exist: expected a folder with CIFAR-10")
    if root.exists() and not root.is_dir():
        raise DataError(f"{root} is neither a file nor a folder: expected a folder with CIFAR-10")
    if any(len(part) > 2 and part.endswith(":") for part in root.parts) and not root.exists():
        raise DataError(f"{root} looks like a URL: expected a folder or an archive on this machine")
    if not root.exists() and root.name.lower().endswith(_ARCHIVE_ENDINGS):
        raise DataError(f"there is no archive {root}: expected {ARCHIVE}, or the folder that holds it")
    if _holds_images(root.parent):
        state = "is empty" if root.exists() else "does not exist"
        raise DataError(
            f"{root} {state}, but there are images in {root.parent}\n"
            f"Use them with --data.root {root.parent}, or download CIFAR-10 to another folder"
        )
