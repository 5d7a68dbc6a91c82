"""Recompute the BatchNorm statistics of averaged weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any, cast

import torch
from lightning.pytorch import Trainer
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm


def modes(net: nn.Module) -> list[bool]:
    """Return which modules are in training mode, in the order of ``net.modules()``."""
    return [module.training for module in net.modules()]


def refresh_batch_norm(average: nn.Module, net: nn.Module, training: list[bool], trainer: Trainer) -> None:
    """Recompute the BatchNorm statistics of an average in a pass over the training images; no other side effects.

    Several processes share the images, and end with the same statistics, those of all images. Like
    ``torch.optim.swa_utils.update_bn``, but layers whose statistics training leaves alone keep theirs: those in
    evaluation mode, with ``track_running_stats`` off, or with momentum 0.

    Args:
        average: the averaged network; in evaluation mode afterwards.
        net: the network that is trained.
        training: ``modes(net)`` during training.
        trainer: its trainer.
    """
    layers: list[_BatchNorm] = []
    for copy, module, mode in zip(average.modules(), net.modules(), training, strict=True):
        copy.training = mode
        if isinstance(module, _BatchNorm) and isinstance(copy, _BatchNorm):
            copy.track_running_stats = module.track_running_stats
            if mode and module.track_running_stats and module.momentum != 0:
                layers.append(copy)
    if layers:
        _recompute(layers, average, trainer)
    average.eval()


@torch.no_grad()
def _recompute(layers: list[_BatchNorm], average: nn.Module, trainer: Trainer) -> None:
    device = trainer.strategy.root_device
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # the mean of all batches
    # Dropout draws random numbers, which must not change training's.
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        for images in _training_images(trainer):
            average(images.to(dtype_of(average)))
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
        # Every process has as many batches, so the mean of their means is that of all batches.
        for statistic in (layer.running_mean, layer.running_var):
            statistic.copy_(trainer.strategy.reduce(statistic, reduce_op="mean"))  # type: ignore[union-attr]  # tracked


def _training_images(trainer: Trainer) -> Iterator[Tensor]:
    """Yield the normalised images of a training epoch, a batch at a time."""
    limit = trainer.num_training_batches
    if math.isinf(limit):  # a loader without a length: as many as the epoch has had, because it may have no end
        limit = trainer.fit_loop.epoch_loop.batch_progress.current.ready
    for batch in islice(cast(Iterable[Any], trainer.train_dataloader), int(limit)):
        yield images_and_labels(trainer.strategy.batch_to_device(trainer.precision_plugin.convert_input(batch)))[0]


def dtype_of(net: nn.Module) -> torch.dtype:
    """Return the dtype of a network's weights."""
    return next(net.parameters()).dtype


def images_and_labels(batch: object) -> tuple[Tensor, Tensor]:
    """Return a batch's images and labels.

    Raises:
        TypeError: it is not a pair of tensors.
    """
    if isinstance(batch, (tuple, list)) and len(batch) == 2 and all(isinstance(part, Tensor) for part in batch):
        return batch[0], batch[1]
    raise TypeError(f"averages of the weights need batches of images and labels, got a {type(batch).__name__}")
