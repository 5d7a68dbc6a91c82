"""Class folders of image files, and the cache of their decoded images."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from optimcifar.data.decoding import FORMATS, read_image
from optimcifar.data.images import DataError, Images
from optimcifar.text import listing

#: The folders of the training and of the test images.
PARTS = ("train", "test")

# Part of the fingerprint. Increase it when decoding or storage changes, so that old caches are rebuilt.
_CACHE_FORMAT = 2

# What systems put beside a person's files; names that start with a dot are hidden.
_OF_THE_SYSTEM = ("thumbs.db", "desktop.ini", "lost+found")


@dataclass(frozen=True)
class ClassFolders:
    """Images in ``train/<class>/*.png|jpg`` and ``test/<class>/...``; capitals do not matter.

    Args:
        root: the folder that holds ``train`` and ``test``.
        class_names: the classes, in the order of their labels.
    """

    root: Path
    class_names: tuple[str, ...]

    @property
    def found(self) -> bool:
        """Whether a class has a folder in one of the parts; whether all have is checked when they are read."""
        return any(entry.name.lower() in self.class_names for folder in self._parts for entry in visible(folder))

    @cached_property
    def dataset_name(self) -> str:
        """``CIFAR-10`` with the file format; JPEG, which is lossy, if any file has it."""
        files = (file for part in self._parts for folder in visible(part) for file in visible(Path(folder)))
        lossy = tuple(ending for ending, name in FORMATS.items() if name == "JPEG")
        return f"CIFAR-10, {'JPEG' if any(file.name.lower().endswith(lossy) for file in files) else 'PNG'} copy"

    def prepare(self) -> None:
        """Do nothing: the images are there."""

    def read(self, part: str) -> Images:
        """Read ``train`` or ``test``, ordered by class and file name.

        Caches the decoded images in ``<folder>.npz`` next to the folder. The cache is valid while the files' names,
        sizes and modification times stay the same. If it cannot be written, every call decodes the files.

        Raises:
            DataError: a folder is missing, or holds something else, or a file is not a 32x32 image.
        """
        folder = self._part(part)
        files = [_image_files(path) for path in self._class_folders(folder)]
        fingerprint = _fingerprint(files)
        cache = folder.with_suffix(".npz")
        images = _read_cache(cache, fingerprint)
        if images is None:
            images = _decode(files, folder.name)
            _write_cache(cache, images, fingerprint)
        return images

    @property
    def _parts(self) -> list[Path]:
        return [Path(entry) for entry in visible(self.root) if entry.name.lower() in PARTS and entry.is_dir()]

    def _part(self, part: str) -> Path:
        folders = [folder for folder in self._parts if folder.name.lower() == part]
        if len(folders) == 1:
            return folders[0]
        found = listing(entry.name for entry in visible(self.root))
        raise DataError(f"{self.root} must hold one folder {part}, with a folder for each class: found {found}")

    def _class_folders(self, folder: Path) -> list[Path]:
        entries = visible(folder)
        folders = {entry.name.lower(): Path(entry) for entry in entries if entry.is_dir()}
        missing = [name for name in self.class_names if name not in folders]
        used = {folders[name].name for name in self.class_names if name in folders}
        others = [entry.name for entry in entries if entry.name not in used]
        if missing or others:
            problems = [f"{text} {listing(names)}" for text, names in (("no", missing), ("also", others)) if names]
            raise DataError(
                f"{folder} must hold a folder for each class and nothing else: found {', '.join(problems)}\n"
                f"The classes are {', '.join(self.class_names)}"
            )
        return [folders[name] for name in self.class_names]


def visible(folder: Path) -> list[os.DirEntry[str]]:
    """Return a folder's entries by name, without hidden files and those of the system; none if there is no folder."""
    try:
        with os.scandir(folder) as entries:
            shown = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in _OF_THE_SYSTEM]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(shown, key=lambda entry: entry.name)


def _image_files(folder: Path) -> list[os.DirEntry[str]]:
    """Return a class's files, all of which must be images: none of a person's images is left out unnoticed."""
    entries = visible(folder)
    endings = tuple(FORMATS)
    expected = f"expected files ending in {', '.join(endings)}"
    if not entries:
        raise DataError(f"{folder} holds no images: {expected}")
    for entry in entries:
        if not entry.name.lower().endswith(endings) or not entry.is_file():
            raise DataError(f"{entry.path} is not an image that can be read: {expected}; convert it, or move it away")
    return entries


def _fingerprint(files: list[list[os.DirEntry[str]]]) -> str:
    digest = hashlib.sha256(f"format {_CACHE_FORMAT}".encode())
    for label, entries in enumerate(files):
        for entry in entries:
            stat = entry.stat()
            name = os.fsencode(entry.name)  # which need not be UTF-8
            digest.update(b"%d %b %d %d\n" % (label, name, stat.st_size, stat.st_mtime_ns))
    return digest.hexdigest()


def _decode(files: list[list[os.DirEntry[str]]], name: str) -> Images:
    total = sum(map(len, files))
    pixels = torch.empty((total, 32, 32, 3), dtype=torch.uint8)
    labels = torch.arange(len(files)).repeat_interleave(torch.tensor([len(entries) for entries in files]))
    paths = [entry.path for entries in files for entry in entries]
    # tqdm finds out whether there is a terminal, but not that there is no stderr at all.
    disable = True if sys.stderr is None else None
    for i, path in enumerate(tqdm(paths, f"Decoding {name} images, once", leave=False, disable=disable)):
        pixels[i] = torch.from_numpy(read_image(Path(path)))
    return Images(pixels, labels)


def _read_cache(cache: Path, fingerprint: str) -> Images | None:
    """Return the cached images, or None if the cache is missing, damaged or out of date."""
    try:
        # Reading verifies the zip file's checksum of every array.
        with cache.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if str(arrays["fingerprint"]) != fingerprint:
                return None
            return Images(torch.from_numpy(arrays["pixels"]), torch.from_numpy(arrays["labels"]))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write_cache(cache: Path, images: Images, fingerprint: str) -> None:
    try:
        if _is_of_somebody_else(cache):
            raise FileExistsError(f"{cache} is another file")
        with tempfile.TemporaryDirectory(dir=cache.parent, prefix=f".{cache.stem}-") as folder:
            part = Path(folder) / cache.name
            np.savez(part, pixels=images.pixels.numpy(), labels=images.labels.numpy(), fingerprint=fingerprint)
            part.replace(cache)
    except OSError as error:
        warnings.warn(f"cannot cache the decoded images for the next run: {error}", stacklevel=2)


def _is_of_somebody_else(cache: Path) -> bool:
    """Return whether a file in the cache's place holds other arrays; a damaged one holds none."""
    if not zipfile.is_zipfile(cache):
        return False
    with zipfile.ZipFile(cache) as arrays:
        return "fingerprint.npy" not in arrays.namelist()
