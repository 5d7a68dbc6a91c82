"""Hashes that show whether two runs started alike."""

from __future__ import annotations

import hashlib

import torch
from lightning.pytorch import LightningModule, Trainer

from optimcifar.data.datamodule import image_data


def start_hashes(trainer: Trainer, pl_module: LightningModule) -> dict[str, str]:
    """Return SHA-256 hashes of the initial weights, and of the first epoch's image order for this package's data."""
    hashes = {"initial_weights_sha256": _sha256(*pl_module.state_dict().values())}
    if data := image_data(trainer):
        hashes["first_epoch_order_sha256"] = _sha256(data.train_order(0))
    return hashes


def _sha256(*tensors: torch.Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        # As bytes, because numpy has no bfloat16.
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()
