"""Give this package's networks the data's number of classes and image size, and check any other network."""

from __future__ import annotations

import inspect
from pydoc import locate
from typing import Any

import torch
from jsonargparse import Namespace, dict_to_namespace
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from optimcifar.callbacks.batch_norm import modes
from optimcifar.data.datamodule import ImageDataModule
from optimcifar.errors import UsageError
from optimcifar.text import first_lines

# The network of ``ImageClassifier`` if none is named.
_DEFAULT = "optimcifar.ConvNet"

# Only the package's own networks: in others the same names may mean something else.
_PACKAGE = "optimcifar.networks."


def network_for(data: ImageDataModule, settings: Namespace | None) -> Namespace | None:
    """Return a network's settings, with the data's number of classes and image size where they are left out.

    Args:
        data: the data.
        settings: ``class_path`` and ``init_args``; None for ``ConvNet``.
    """
    path = settings.class_path if settings else _DEFAULT
    kind = locate(path)
    if not inspect.isclass(kind) or not kind.__module__.startswith(_PACKAGE):
        return settings
    given: dict[str, Any] = vars(settings.init_args) if settings and "init_args" in settings else {}
    defaults = {name: parameter.default for name, parameter in inspect.signature(kind).parameters.items()}
    of_data = {"num_classes": data.num_classes, "image_size": data.image_size}
    # One that equals the default stays out, so that the settings of a run on CIFAR-10 are as short as they were.
    changed = {
        name: value
        for name, value in of_data.items()
        if name in defaults and given.get(name, defaults[name]) == defaults[name] != value
    }
    return dict_to_namespace({"class_path": path, "init_args": given | changed}) if changed else settings


def check_network(net: nn.Module, data: ImageDataModule) -> None:
    """Try a network on one black image, and refuse one that does not fit the data.

    Args:
        net: the network.
        data: the data.

    Raises:
        UsageError: the network cannot take the images, or has fewer outputs than the data have classes.
    """
    weights = [*net.parameters()]
    if any(map(is_lazy, weights)):
        return  # the first batch initialises it
    like = weights[0] if weights else torch.empty(0)
    image = torch.zeros(1, 3, data.image_size, data.image_size, dtype=like.dtype, device=like.device)
    try:
        logits = _evaluated(net, image)
    except RuntimeError as error:
        size = f"{data.image_size}x{data.image_size}"
        reason = first_lines(str(error)).splitlines()[0]
        raise UsageError(f"{type(net).__name__} cannot take the data's images of {size} pixels: {reason}") from error
    if isinstance(logits, Tensor) and logits.ndim == 2 and logits.shape[1] < data.num_classes:
        raise UsageError(
            f"the network has {logits.shape[1]} outputs, the data {data.num_classes} classes: "
            f"give it as many outputs, as --model.net.num_classes {data.num_classes} does"
        )


@torch.no_grad()
def _evaluated(net: nn.Module, images: Tensor) -> object:
    """Return what a network returns in evaluation mode; its modes stay."""
    before = modes(net)
    net.eval()
    try:
        return net(images)
    finally:
        for module, mode in zip(net.modules(), before, strict=True):
            module.training = mode
