"""Class folders of image files, and the cache of their decoded images."""

from __future__ import annotations

import hashlib
import os
import sys
import tempfile
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from optimcifar.data.decoding import Decoder
from optimcifar.data.images import DataError, Images

#: The folder of runs, which may lie beside images.
RUNS = "lightning_logs"

# Part of the fingerprint. Increase it when decoding or storage changes, so that old caches are rebuilt.
_CACHE_FORMAT = 2

# What systems put beside a person's files; names that start with a dot are hidden.
_OF_THE_SYSTEM = ("thumbs.db", "desktop.ini", "lost+found", "__macosx")


@dataclass(frozen=True)
class ClassFolders:
    """Image files in a folder for each class, and the cache of their decoded images.

    The cache is valid while the files' names, sizes and modification times, and the decoder, stay the same. If it
    cannot be written, every call decodes the files.

    Args:
        folders: the folder of each class, in the order of the labels; all lie in one folder.
        cache: the file for the decoded images.
        decoder: what files there may be, and how they are decoded.
    """

    folders: tuple[Path, ...]
    cache: Path
    decoder: Decoder

    def labels(self) -> Tensor:
        """Return the labels of all images without decoding any, (N,) int64.

        Raises:
            DataError: a folder is empty, or holds anything but image files.
        """
        return _labels(self._files())

    def names(self) -> list[str]:
        """Return ``<class>/<file>`` of all images, in the order of the labels.

        Raises:
            DataError: a folder is empty, or holds anything but image files.
        """
        return [f"{Path(entry).parent.name}/{entry.name}" for entries in self._files() for entry in entries]

    def read(self) -> Images:
        """Read all images, ordered by class and file name.

        Raises:
            DataError: a folder is empty, or holds anything but image files, or a file cannot be decoded.
        """
        files = self._files()
        fingerprint = _fingerprint(files, self.decoder)
        images = _read_cache(self.cache, fingerprint)
        if images is None:
            images = _decode(files, self.decoder, self.folders[0].parent.name)
            _write_cache(self.cache, images, fingerprint)
        return images

    def _files(self) -> list[list[os.DirEntry[str]]]:
        return [_image_files(folder, self.decoder) for folder in self.folders]


def visible(folder: Path) -> list[os.DirEntry[str]]:
    """Return a folder's entries by name, without hidden files and those of the system; none if there is no folder."""
    try:
        with os.scandir(folder) as entries:
            shown = [e for e in entries if not e.name.startswith(".") and e.name.lower() not in _OF_THE_SYSTEM]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(shown, key=lambda entry: entry.name)


def _image_files(folder: Path, decoder: Decoder) -> list[os.DirEntry[str]]:
    """Return a class's files, all of which must be images: none of a person's images is left out unnoticed."""
    entries = visible(folder)
    expected = f"expected files ending in {', '.join(decoder.formats)}"
    if not entries:
        raise DataError(f"{folder} holds no images: {expected}")
    for entry in entries:
        if not entry.name.lower().endswith(tuple(decoder.formats)) or not entry.is_file():
            raise DataError(f"{entry.path} is not an image that can be read: {expected}; convert it, or move it away")
    return entries


def _labels(files: list[list[os.DirEntry[str]]]) -> Tensor:
    return torch.arange(len(files)).repeat_interleave(torch.tensor([len(entries) for entries in files]))


def _fingerprint(files: list[list[os.DirEntry[str]]], decoder: Decoder) -> str:
    digest = hashlib.sha256(f"format {_CACHE_FORMAT}{decoder.key}".encode())
    for label, entries in enumerate(files):
        for entry in entries:
            stat = entry.stat()
            name = os.fsencode(entry.name)  # which need not be UTF-8
            digest.update(b"%d %b %d %d\n" % (label, name, stat.st_size, stat.st_mtime_ns))
    return digest.hexdigest()


def _decode(files: list[list[os.DirEntry[str]]], decoder: Decoder, name: str) -> Images:
    labels = _labels(files)
    pixels = torch.empty((len(labels), decoder.size, decoder.size, 3), dtype=torch.uint8)
    paths = [entry.path for entries in files for entry in entries]
    # tqdm finds out whether there is a terminal, but not that there is no stderr at all.
    disable = True if sys.stderr is None else None
    for i, path in enumerate(tqdm(paths, f"Decoding {name} images, once", leave=False, disable=disable)):
        pixels[i] = torch.from_numpy(decoder.read(Path(path)))
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
