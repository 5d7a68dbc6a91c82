"""What an optimizer does to every layer: the size of its gradients, and of its updates."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.utils import get_total_norm


class GradientsAndUpdates(Callback):
    """Logs for every layer, as means over the epoch's optimizer steps, what arrives and what is made of it.

    ``grad_norm_<layer>`` is the 2-norm of the gradient as the optimizer sees it, after clipping, and
    ``update_ratio_<layer>`` the 2-norm of the change of the weights over that of the weights. A layer is a module with
    parameters of its own, by its name in the network: ``grad_norm_conv1``.

    It copies the weights in every step: a run takes longer with it.
    """

    def __init__(self) -> None:
        self._layers: dict[str, list[nn.Parameter]] = {}
        self._before: dict[str, list[Tensor]] = {}
        self._sums: Tensor | None = None  # (layers, 2), on the device
        self._steps = 0
        self._handles: list[Any] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Watch the first optimizer's steps."""
        net = getattr(pl_module, "net", pl_module)
        for name, module in net.named_modules():
            if own := [p for p in module.parameters(recurse=False) if p.requires_grad]:
                self._layers[name or type(module).__name__] = own
        optimizer = trainer.optimizers[0]
        self._handles = [
            optimizer.register_step_pre_hook(self._remember),
            optimizer.register_step_post_hook(self._measure),
        ]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means."""
        if self._sums is None:
            return
        means = (self._sums / self._steps).tolist()
        for name, (gradient, update) in zip(self._layers, means, strict=True):
            pl_module.log_dict({f"grad_norm_{name}": gradient, f"update_ratio_{name}": update})
        self._sums, self._steps = None, 0

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop watching."""
        self._remove_hooks()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Stop watching."""
        self._remove_hooks()

    @torch.no_grad()
    def _remember(self, *args: Any) -> None:
        self._before = {name: [p.detach().clone() for p in layer] for name, layer in self._layers.items()}

    @torch.no_grad()
    def _measure(self, *args: Any) -> None:
        measured = []
        for name, layer in self._layers.items():
            before = self._before[name]
            gradient = get_total_norm([p.grad for p in layer if p.grad is not None])
            update = get_total_norm([p - old for p, old in zip(layer, before, strict=True)])
            measured.append(torch.stack([gradient.to(update.device), update / get_total_norm(before)]))
        found = torch.stack(measured)
        self._sums = found if self._sums is None else self._sums + found
        self._steps += 1

    def _remove_hooks(self) -> None:
        for handle in self._handles:
            handle.remove()
        self._handles = []
