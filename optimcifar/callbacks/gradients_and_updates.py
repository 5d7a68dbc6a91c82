"""Log the norms of each layer's gradients and updates."""

from __future__ import annotations

from typing import Any

import torch
from lightning.pytorch import LightningModule, Trainer
from torch import Tensor, nn
from torch.nn.utils import get_total_norm

from optimcifar.callbacks.base import HookCallback


class GradientsAndUpdates(HookCallback):
    """Logs two norms for each layer, as means over the epoch's optimizer steps.

    ``grad_norm_<layer>`` is the 2-norm of the gradient that the optimizer gets, after clipping.
    ``update_ratio_<layer>`` is the 2-norm of the change of the weights, divided by the 2-norm of the weights. A layer
    is a module with parameters of its own, by its name in the network: ``grad_norm_conv1``.

    It copies the weights in every step, so a run takes longer with it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._layers: dict[str, list[nn.Parameter]] = {}
        self._before: dict[str, list[Tensor]] = {}
        self._sums: Tensor | None = None  # (layers, 2), on the device
        self._steps = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Register hooks on the first optimizer's steps."""
        net = getattr(pl_module, "net", pl_module)
        for name, module in net.named_modules():
            if own := [p for p in module.parameters(recurse=False) if p.requires_grad]:
                self._layers[name or type(module).__name__] = own
        optimizer = trainer.optimizers[0]
        self.handles = [
            optimizer.register_step_pre_hook(self._copy_weights),
            optimizer.register_step_post_hook(self._measure),
        ]

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means over the epoch's steps."""
        if self._sums is None:
            return
        means = (self._sums / self._steps).tolist()
        for name, (gradient, update) in zip(self._layers, means, strict=True):
            pl_module.log_dict({f"grad_norm_{name}": gradient, f"update_ratio_{name}": update})
        self._sums, self._steps = None, 0

    @torch.no_grad()
    def _copy_weights(self, *args: Any) -> None:
        self._before = {name: [p.detach().clone() for p in layer] for name, layer in self._layers.items()}

    @torch.no_grad()
    def _measure(self, *args: Any) -> None:
        norms = []
        for name, layer in self._layers.items():
            before = self._before[name]
            gradient = get_total_norm([p.grad for p in layer if p.grad is not None])
            update = get_total_norm([p - old for p, old in zip(layer, before, strict=True)])
            norms.append(torch.stack([gradient.to(update.device), update / get_total_norm(before)]))
        measured = torch.stack(norms)
        self._sums = measured if self._sums is None else self._sums + measured
        self._steps += 1
