"""Find CIFAR-10 or CIFAR-100 in the folder or file that a person names."""

from __future__ import annotations

import os
from difflib import SequenceMatcher
from pathlib import Path

from optimcifar.data.cifar_archive import Archive, Batches, Download
from optimcifar.data.cifar_folders import PARTS, CIFARFolders
from optimcifar.data.cifar_specs import SPECS, CIFARSpec
from optimcifar.data.class_folders import RUNS, visible
from optimcifar.data.decoding import IMAGE_ENDINGS
from optimcifar.data.images import DataError
from optimcifar.text import listing

Source = Batches | CIFARFolders

#: The folder that a download goes to, in the current folder, if nobody names another.
DEFAULT_ROOT = "data"

_ARCHIVE_ENDINGS = (".gz", ".tgz", ".tar", ".zip")


def find_images(root: Path, spec: CIFARSpec) -> Source:
    """Return what holds the images: the batches, class folders or the archive, in this order.

    A root that is missing, or holds nothing visible but other official archives, is where a download goes, unless a
    person's images lie above or beside it.

    Raises:
        DataError: the root holds something else.
    """
    if root.is_file():
        return Archive(spec, root.parent / spec.folder, root)
    if source := _source_in(root, spec):
        return source
    if root.is_dir() and not holds_nothing(root, spec):
        expected = (
            f"Expected {spec.folder}/, {spec.archive}, or train/ and test/ with the folders {spec.list_classes()}"
        )
        raise DataError(f"{root} is not {spec.name}: found {_contents(root)}\n{expected}; {_advice(root, spec)}")
    _refuse_unlikely_target(root, spec)
    return Download(spec, root / spec.folder, root / spec.archive)


def holds_nothing(root: Path, spec: CIFARSpec | None = None) -> bool:
    """Return whether a root is missing, or a folder that is empty but for hidden files and runs.

    Args:
        root: the root.
        spec: the data set that is looked for; the official archives of others do not count.
    """
    others = {name for other in SPECS if spec and other.name != spec.name for name in (other.archive, other.folder)}
    return not root.exists() or (root.is_dir() and all(entry.name in {RUNS, *others} for entry in visible(root)))


def _source_in(folder: Path, spec: CIFARSpec) -> Source | None:
    if (folder / spec.folder).is_dir():
        return Batches(spec, folder / spec.folder)
    for source in (Batches(spec, folder), CIFARFolders(spec, folder)):
        if source.found:
            return source
    archive = folder / spec.archive
    return Archive(spec, folder / spec.folder, archive) if archive.is_file() else None


def _holds_source(folder: Path, spec: CIFARSpec) -> bool:
    """Return whether a folder that nobody named holds the data set, as far as it may be read."""
    try:
        return _source_in(folder, spec) is not None
    except OSError:
        return False


def _contents(root: Path) -> str:
    """List what a folder holds, and what is in its folders ``train`` and ``test``."""
    parts = [Path(entry) for entry in visible(root) if entry.name.lower() in PARTS and entry.is_dir()]
    inner = [f"; in {part.name}: {listing(entry.name for entry in visible(part))}" for part in parts]
    return listing(entry.name for entry in visible(root)) + "".join(inner)


def _advice(root: Path, spec: CIFARSpec) -> str:
    """Say where the images of a root may be that is not itself one of the known forms."""
    near = [*(Path(entry) for entry in visible(root) if entry.is_dir()), root.parent]
    if folder := next((folder for folder in near if _holds_source(folder, spec)), None):
        return f"did you mean --data.root {folder}?"
    # CIFAR-100 has a class that is called train.
    if {*spec.class_names}.difference(PARTS) & {entry.name.lower() for entry in visible(root)}:
        return "the class folders belong in train/ and test/"
    return "an empty folder is where a download goes"


def _refuse_unlikely_target(root: Path, spec: CIFARSpec) -> None:
    """Refuse to download to a root that is probably mistyped, or lies beside a person's own images.

    Raises:
        DataError: it is.
    """
    if root.is_symlink() and not root.exists():
        raise DataError(
            f"{root} is a link to {root.readlink()}, which does not exist: expected a folder with {spec.name}"
        )
    if root.exists() and not root.is_dir():
        raise DataError(f"{root} is neither a file nor a folder: expected a folder with {spec.name}")
    if any(len(part) > 2 and part.endswith(":") for part in root.parts) and not root.exists():
        raise DataError(f"{root} looks like a URL: expected a folder or an archive on this machine")
    if not root.exists() and root.name.lower().endswith(_ARCHIVE_ENDINGS):
        raise DataError(f"there is no archive {root}: expected {spec.archive}, or the folder that holds it")
    state = "is empty" if root.exists() else "does not exist"
    parents = (*root.parents, *root.resolve().parents)
    if above := next((folder for folder in parents if _is_of_images(folder, spec)), None):
        advice = f"Use them with --data.root {above}, or download" if _holds_source(above, spec) else "Download"
        raise DataError(f"{root} {state}, but there are images in {above}\n{advice} {spec.name} to another folder")
    # Who has made an empty folder, or named none, has not mistyped the name of another.
    if not root.exists() and root != Path.cwd() / DEFAULT_ROOT and (near := _images_beside(root, spec)):
        raise DataError(
            f"{root} does not exist, but there are images in {near}: did you mean --data.root {near}?\n"
            f"To download {spec.name} to {root.name}, make this folder first"
        )


def _images_beside(root: Path, spec: CIFARSpec) -> Path | None:
    """Return a folder with images whose name a person may have meant by that of a missing root."""
    missing = next(folder for folder in (root, *root.parents) if folder.parent.exists())
    beside = [Path(entry) for entry in _readable(missing.parent) if entry.is_dir()]
    beside.sort(key=lambda folder: SequenceMatcher(None, folder.name, missing.name).ratio(), reverse=True)
    meant = [folder / root.relative_to(missing) for folder in beside]
    return next((folder for folder in (*meant, *beside) if _is_image_set(folder, spec)), None)


def _is_of_images(folder: Path, spec: CIFARSpec) -> bool:
    """Return whether a folder is one for images, or, above a person's work, whether it is a set of them."""
    home = Path(os.path.expanduser("~"))  # Path.home() fails for a user without one
    if any(work.is_relative_to(folder) for work in (Path.cwd(), home)):
        return _is_image_set(folder, spec)  # pictures of other kinds lie there too
    return _is_image_set(folder, spec) or any(
        _is_image(entry) or (entry.is_dir() and _holds_only_images(Path(entry))) for entry in _readable(folder)
    )


def _is_image_set(folder: Path, spec: CIFARSpec) -> bool:
    """Return whether a folder holds the data set, or classes or parts of a set of images like it."""
    if _holds_source(folder, spec):
        return True
    folders = {entry.name.lower(): Path(entry) for entry in _readable(folder) if entry.is_dir()}
    inner = [Path(entry) for part in PARTS if part in folders for entry in _readable(folders[part]) if entry.is_dir()]
    classes = [folders[name] for name in (*spec.class_names, *PARTS) if name in folders]
    return any(_holds_only_images(folder) for folder in (*classes, *inner))


def _holds_only_images(folder: Path) -> bool:
    entries = _readable(folder)
    return bool(entries) and all(map(_is_image, entries))


def _is_image(entry: os.DirEntry[str]) -> bool:
    return entry.name.lower().endswith(IMAGE_ENDINGS)


def _readable(folder: Path) -> list[os.DirEntry[str]]:
    """Return the entries of a folder that nobody named: none if it may not be read."""
    try:
        return visible(folder)
    except OSError:
        return []
