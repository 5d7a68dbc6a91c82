"""Check that workers can train a command's runs: with its versions, in its folder, one at a time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import TYPE_CHECKING

from optimcifar.paths import absolute_path
from optimcifar.runs.provenance import versions

if TYPE_CHECKING:
    from distributed import Client, Worker


class UnfitWorkerError(RuntimeError):
    """A worker that cannot train a command's runs.

    Attributes:
        address: the worker's address.
    """

    def __init__(self, address: str, complaint: str) -> None:
        super().__init__(address, complaint)
        self.address = address

    def __str__(self) -> str:
        return f"worker {self.address}: {self.args[1]}"


@dataclass(frozen=True)
class Origin:
    """Where a command was typed.

    Attributes:
        folder: its current folder, absolute.
        versions: the versions of the packages that a result depends on, by name.
    """

    folder: Path
    versions: dict[str, str]

    @classmethod
    def here(cls) -> Origin:
        """Return that of this process."""
        return cls(Path.cwd(), _versions())


@dataclass(frozen=True)
class SharedFile:
    """A file that every worker must see.

    Attributes:
        path: its absolute path.
        digest: SHA-256 of its content.
        shown: the path to name if a worker does not see it.
    """

    path: Path
    digest: str
    shown: Path

    @classmethod
    def here(cls, path: Path, shown: Path | None = None) -> SharedFile:
        """Return a file as this process sees it."""
        return cls(path, _digest([path]), shown or path)

    def complaint(self) -> str | None:
        """Return what is wrong with it in this process."""
        if not self.path.is_file():
            return f"cannot see {self.shown}"
        return None if _digest([self.path]) == self.digest else f"sees another {self.shown}"


def refuse_unfit_workers(client: Client, out: Path, configurations: Iterable[Path]) -> None:
    """Refuse to train on workers that would fail, or that would train something else. Check all that are there.

    Args:
        client: the client of a running scheduler with at least one worker.
        out: the folder of the runs, which may not exist yet.
        configurations: the files of the configurations.

    Raises:
        UnfitWorkerError: a worker has other versions, several threads, or does not see the folders and files.
    """
    with _marked(out) as marker:
        files = [marker, *(SharedFile.here(absolute_path(path)) for path in configurations)]
        found = client.run(complaint, Origin.here(), files, on_error="return")
    unfit = {address: text for address, text in found.items() if text is not None}
    for address, text in unfit.items():
        others = f" (and {len(unfit) - 1} more of {len(found)})" if len(unfit) > 1 else ""
        raise UnfitWorkerError(address, f"{_readable(text)}{others}")


def complaint(origin: Origin, files: Iterable[SharedFile] = (), *, dask_worker: Worker) -> str | None:
    """Return why this worker cannot train a command's runs; None if it can.

    Args:
        origin: where the command was typed.
        files: what the worker must see.
        dask_worker: the worker; dask fills it in by its name.
    """
    for name, version in _versions().items():
        if version != origin.versions[name]:
            return f"has {name} {version}, this machine has {origin.versions[name]}"
    if dask_worker.state.nthreads > 1:
        # Runs would share random numbers and the current folder.
        return f"has {dask_worker.state.nthreads} threads: start it with --nthreads 1"
    if not origin.folder.is_dir():
        return f"cannot see {origin.folder}"
    return next(filter(None, (file.complaint() for file in files)), None)


def _readable(found: str | Exception) -> str:
    """Return a worker's complaint, or what the error says that kept it from looking."""
    if isinstance(found, Exception) and "optimcifar" in str(found):
        return "has no optimcifar, or another version of it"  # this module could not be imported there
    return str(found)


@contextmanager
def _marked(out: Path) -> Iterator[SharedFile]:
    """Mark the folder of the runs, or the one in which it will be, by a temporary file."""
    folder = next(parent for parent in (absolute_path(out), *absolute_path(out).parents) if parent.is_dir())
    # Closed before anybody reads it: a network's file system may keep what is written until then.
    with NamedTemporaryFile(dir=folder, prefix=".optimcifar-", delete=False) as file:
        file.write(file.name.encode())
    marker = Path(file.name)
    try:
        yield SharedFile.here(marker, folder)
    finally:
        marker.unlink()


@cache
def _versions() -> dict[str, str]:
    """Return the versions of the packages by name; a checkout's version does not say which code it has."""
    folder = Path(__file__).parents[1]
    found = {name: version for name, version in versions().items() if name != "python"}
    return found | {"optimcifar": f"{found['optimcifar']} (code {_digest(sorted(folder.rglob('*.py')))[:8]})"}


def _digest(paths: Iterable[Path]) -> str:
    return hashlib.sha256(b"\0".join(path.read_bytes() for path in paths)).hexdigest()
