"""Download, verify, unpack and read the official archives of CIFAR-10 and CIFAR-100."""

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

from optimcifar.data.cifar_specs import CIFARSpec
from optimcifar.data.images import DataError, Images, blank_images

# Seconds without data after which to try the next mirror.
_TIMEOUT = 30.0


@dataclass(frozen=True)
class Batches:
    """The official batches.

    Args:
        spec: the archive that they are from.
        folder: the folder that holds them.
    """

    spec: CIFARSpec
    folder: Path

    @property
    def dataset_name(self) -> str:
        """Name of the data set."""
        return self.spec.name

    @property
    def found(self) -> bool:
        """Whether any batch is there; whether all are is checked when they are read."""
        return any((self.folder / name).is_file() for name in self.spec.files)

    def prepare(self) -> None:
        """Do nothing: the batches are there."""

    def read(self, part: str) -> Images:
        """Read the images of ``train`` or ``test``, after verifying the md5 of every batch that holds them.

        Raises:
            DataError: a batch is missing or damaged.
        """
        # Imported here because it takes half a second and is needed nowhere else.
        import torchvision.datasets

        known = getattr(torchvision.datasets, self.spec.name.replace("-", ""))

        class Part(known):  # type: ignore[misc, valid-type]  # torchvision has no types
            base_folder = ""  # the batches lie in the root itself, whatever it is called
            train_list = known.train_list if part == "train" else []
            test_list = known.test_list if part == "test" else []

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
        spec: what it is.
        folder: where the batches are, or will be.
        file: the archive.
    """

    file: Path

    def prepare(self) -> None:
        """Unpack the archive once. The folder appears atomically: it is never incomplete.

        Raises:
            DataError: the archive is damaged or another file, or cannot be unpacked beside itself.
        """
        spec = self.spec
        if (found := _md5(self.file)) != spec.archive_md5:
            raise DataError(
                f"{self.file} is not {spec.name}'s archive {spec.archive}, or is damaged: its md5 is {found}, "
                f"expected {spec.archive_md5}\nReplace it, or download the archive to an empty folder: --data.root DIR"
            )
        if self.folder.is_dir():
            return
        try:
            _unpack(self.file, spec.folder, self.folder)
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
            _download(self.spec, self.file)
        except BaseException:
            with suppress(OSError):  # another process downloads to it
                for folder in made:
                    folder.rmdir()
            raise
        _unpack(self.file, self.spec.folder, self.folder)


class Blank(Batches):
    """Black images in place of the official ones, for a run that is planned and trains nothing."""

    def prepare(self) -> None:
        """Download nothing."""

    def read(self, part: str) -> Images:
        """Return as many images of each class as ``train`` or ``test`` has."""
        number = {"train": 50_000, "test": 10_000}[part]
        return blank_images(torch.arange(number) % len(self.spec.class_names), 32)


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


def _download(spec: CIFARSpec, archive: Path) -> None:
    """Download the archive from the first mirror that provides it intact."""
    reasons = []
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".download-") as folder, _socket_timeout(_TIMEOUT):
        part = Path(folder) / spec.archive
        for url in spec.mirrors:
            print(f"Downloading {spec.name} ({spec.archive_mib} MiB) from {url}", flush=True)
            try:
                torch.hub.download_url_to_file(url, str(part), progress=sys.stderr is not None)
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                reasons.append(str(getattr(error, "reason", error)))
                continue
            if _md5(part) == spec.archive_md5:
                part.replace(archive)
                return
            reasons.append("its md5 is wrong")
    raise DataError(
        f"{spec.name} is not in {archive.parent}, and no mirror provided it ({'; '.join(dict.fromkeys(reasons))}).\n"
        "Without a network, use the built-in images (--data Shapes10DataModule) "
        f"or an existing copy of {spec.name} (--data.root DIR)"
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


def _unpack(archive: Path, name: str, batches: Path) -> None:
    """Unpack the folder of that name in an archive, which then becomes ``batches``."""
    with tempfile.TemporaryDirectory(dir=batches.parent, prefix=".unpack-") as folder:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        try:
            (Path(folder) / name).replace(batches)
        except OSError:
            if not batches.is_dir():
                raise
            # Another process was faster.
