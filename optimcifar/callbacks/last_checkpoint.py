"""Write the checkpoint from which a run goes on."""

from __future__ import annotations

from lightning.pytorch.callbacks import ModelCheckpoint


class LastCheckpoint(ModelCheckpoint):
    """Writes ``checkpoints/last.ckpt`` after every epoch.

    It has a class of its own because Lightning refuses two of ``ModelCheckpoint`` that save by the same rule: users can
    add theirs.
    """

    def __init__(self) -> None:
        super().__init__(filename="last", enable_version_counter=False)
