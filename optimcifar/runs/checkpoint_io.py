"""Atomic checkpoint writes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.plugins import TorchCheckpointIO

from optimcifar.runs.atomic import write_atomically


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes checkpoints atomically, so that there is always a last good one.

    Lightning writes to the folder for temporary files and moves the file from there, which is a copy, and not atomic,
    where that folder is on another disk.
    """

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any | None = None) -> None:
        """Write a checkpoint."""
        content = io.BytesIO()
        torch.save(checkpoint, content)
        write_atomically(Path(path), content.getvalue())
