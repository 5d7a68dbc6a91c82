"""Hashes that show whether two runs started alike."""

from __future__ import annotations

import hashlib

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor
from torch.nn.parameter import is_lazy

from optimcifar.data.datamodule import image_data


def start_hashes(trainer: Trainer, pl_module: LightningModule) -> dict[str, str]:
    """Return SHA-256 hashes of the initial weights, and of the first epoch's image order for this package's data."""
    # A lazy parameter has no values yet, and a module may keep other things than tensors.
    values = (value for value in pl_module.state_dict().values() if isinstance(value, Tensor))
    hashes = {"initial_weights_sha256": _sha256(*(value for value in values if not is_lazy(value)))}
    if data := image_data(trainer):
        hashes["first_epoch_order_sha256"] = _sha256(data.train_order(0))
    return hashes


def _sha256(*tensors: Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        # As bytes, because numpy has no bfloat16.
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
