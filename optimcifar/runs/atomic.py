"""Atomic file writes."""

from __future__ import annotations

import os
from pathlib import Path


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file under a temporary name, then rename it: a reader finds the old content or the new, never a part.

    Args:
        path: the file; missing parent folders are created.
        content: text is encoded as UTF-8.

    Raises:
        OSError: the file cannot be written; the old one stays.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_bytes(content.encode() if isinstance(content, str) else content)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def remove_partial_files(folder: Path) -> None:
    """Remove what ``write_atomically`` left below a folder in processes that were killed."""
    for part in folder.rglob(".*.*[0-9]"):
        part.unlink()
