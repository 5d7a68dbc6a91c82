"""What both callbacks for weight averaging share: when averages start, how they are validated, and their files."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from torch import nn

from optimcifar.callbacks.batch_norm import dtype_of, images_and_labels
from optimcifar.data.images import Batch
from optimcifar.optim.horizons import whole_epochs
from optimcifar.runs.logger import checkpoint_path

#: The warning where a run ended before averaging started.
NEVER_STARTED = "weight averaging had not started when training stopped: the weights are not averaged"


def refuse_late_start(start: float, trainer: Trainer) -> None:
    """Refuse a run that its number of epochs ends before averaging starts, before any image is read."""
    epochs = trainer.max_epochs or 0
    if isinstance(start, float) and epochs < 1 and trainer.max_steps == -1:
        raise ValueError(f"swa_epoch_start is the fraction {start} of max_epochs, and that is not set: name an epoch")
    if isinstance(start, int) and 0 < epochs < start and not trainer.fast_dev_run:  # type: ignore[attr-defined]
        raise ValueError(
            f"weight averaging starts in epoch {start}, but max_epochs is {epochs}: "
            "train longer, or lower swa_epoch_start"
        )


def first_averaged_epoch(start: float, trainer: Trainer) -> int:
    """Return the first epoch to average, from 1; refuse a run that ``max_steps`` ends before that epoch's end."""
    if trainer.max_steps != -1 and math.isinf(trainer.num_training_batches):
        raise ValueError(
            "weight averaging needs to know where epochs end, and the training loader has no length: "
            "set limit_train_batches, or max_epochs in place of max_steps"
        )
    epochs = whole_epochs(trainer)
    first = int(start * epochs) + 1 if isinstance(start, float) else start
    if first > epochs and not trainer.fast_dev_run:  # type: ignore[attr-defined]
        raise ValueError(
            f"weight averaging starts at the end of epoch {first}, but the run ends before, after {trainer.max_steps} "
            "steps: train longer, or lower swa_epoch_start"
        )
    return first


def dtype_of_averages(net: nn.Module, trainer: Trainer) -> torch.dtype:
    """Return float32, or float64 for such a network: 16 bits cannot hold the small steps of an average."""
    return torch.promote_types(torch.float64 if trainer.precision == "64-true" else torch.float32, dtype_of(net))


def log_metrics(name: str, average: nn.Module, batch: Batch, pl_module: LightningModule) -> None:
    """Log ``val_loss_<name>`` and ``val_acc_<name>`` of an average on a validation batch.

    Raises:
        TypeError: the batch is not a pair of images and labels.
    """
    images, labels = images_and_labels(batch)
    logits = average(images.to(dtype_of(average)))
    values = {
        f"val_loss_{name}": F.cross_entropy(logits, labels),
        f"val_acc_{name}": (logits.argmax(1) == labels).float().mean(),
    }
    pl_module.log_dict(values, on_epoch=True, batch_size=len(labels), sync_dist=True)


def save(name: str, trainer: Trainer) -> None:
    """Save the module's weights as ``checkpoints/<name>.ckpt``."""
    if not (trainer.fast_dev_run or trainer.barebones):  # type: ignore[attr-defined]  # Lightning writes nothing then
        trainer.save_checkpoint(checkpoint_path(trainer, name), weights_only=True)
