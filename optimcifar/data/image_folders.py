"""Class folders of image files and the cache of their decoded images."""

from __future__ import annotations

import hashlib
import os
import tempfile
import warnings
import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from optimcifar.data.images import DataError, Images

SUFFIXES = (".png", ".jpg", ".jpeg")

# Part of the fingerprint. Increase it when decoding or storage changes, so that old caches are rebuilt.
_CACHE_FORMAT = 1


def has_image_folders(root: Path, class_names: tuple[str, ...]) -> bool:
    """Return whether ``root/train`` has a folder for at least one class."""
    return any((root / "train" / name).is_dir() for name in class_names)


def read_image_folder(folder: Path, class_names: tuple[str, ...]) -> Images:
    """Read ``folder/<class>/*.png|jpg``, ordered by class and file name.

    Caches the decoded images in ``<folder>.npz`` next to the folder. The cache is valid while the files' names, sizes
    and modification times stay the same. If it cannot be written, every call decodes the files.

    Raises:
        DataError: a class has no images, or a file is not a 32x32 image.
    """
    files = [_image_files(folder / name) for name in class_names]
    fingerprint = _fingerprint(files)
    cache = folder.with_suffix(".npz")
    images = _read_cache(cache, fingerprint)
    if images is None:
        images = _decode(files, folder.name)
        _write_cache(cache, images, fingerprint)
    return images


def file_format(folder: Path) -> str:
    """Return the format of a class folder's image files, ``"JPEG"`` or ``"PNG"``."""
    return "PNG" if _image_files(folder)[0].name.lower().endswith(".png") else "JPEG"


def _image_files(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            files = [entry for entry in entries if entry.name.lower().endswith(SUFFIXES)]
    except FileNotFoundError:
        files = []
    if not files:
        raise DataError(f"{folder} holds no images: expected files ending in {', '.join(SUFFIXES)}")
    return sorted(files, key=lambda entry: entry.name)


def _fingerprint(files: list[list[os.DirEntry[str]]]) -> str:
    digest = hashlib.sha256(f"format {_CACHE_FORMAT}".encode())
    for label, entries in enumerate(files):
        for entry in entries:
            stat = entry.stat()
            digest.update(f"{label} {entry.name} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _decode(files: list[list[os.DirEntry[str]]], name: str) -> Images:
    total = sum(map(len, files))
    pixels = torch.empty((total, 32, 32, 3), dtype=torch.uint8)
    labels = torch.arange(len(files)).repeat_interleave(torch.tensor([len(entries) for entries in files]))
    paths = [entry.path for entries in files for entry in entries]
    for i, path in enumerate(tqdm(paths, f"Decoding {name} images, once", leave=False, disable=None)):
        try:
            with Image.open(path) as image:
                array = np.array(image.convert("RGB"))
        except (OSError, SyntaxError, ValueError) as error:  # Pillow raises SyntaxError for a broken PNG
            raise DataError(f"{path} cannot be decoded as an image: replace or remove this file") from error
        if array.shape != (32, 32, 3):
            raise DataError(f"{path} must be 32x32 pixels, got {array.shape[1]}x{array.shape[0]}")
        pixels[i] = torch.from_numpy(array)
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
        with tempfile.TemporaryDirectory(dir=cache.parent, prefix=f".{cache.stem}-") as folder:
            part = Path(folder) / cache.name
            np.savez(part, pixels=images.pixels.numpy(), labels=images.labels.numpy(), fingerprint=fingerprint)
            part.replace(cache)
    except OSError as error:
        warnings.warn(f"cannot cache the decoded images for the next run: {error}", stacklevel=2)
