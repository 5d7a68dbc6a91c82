"""Write the checkpoint from which a run goes on."""

from __future__ import annotations

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint


class LastCheckpoint(ModelCheckpoint):
    """Writes ``checkpoints/last.ckpt`` after every epoch, and after validations within an epoch.

    Lightning would write it after validations alone where not every epoch has one, and leave out the last weights.

    It has a class of its own because Lightning refuses two of ``ModelCheckpoint`` that save by the same rule: users can
    add theirs.
    """

    def __init__(self) -> None:
        super().__init__(filename="last", enable_version_counter=False, save_on_train_epoch_end=True)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save a checkpoint within an epoch."""
        within = not trainer.fit_loop.epoch_loop.batch_progress.is_last_batch
        if within and trainer.state.fn == "fit" and not (trainer.sanity_checking or trainer.fast_dev_run):  # type: ignore[attr-defined]
            trainer.save_checkpoint(self.format_checkpoint_name({}))
