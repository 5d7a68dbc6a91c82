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

    A mean leaves out the steps in which there is nothing to measure: those of a layer without a gradient, and the
    updates of weights that are all zero, which no ratio describes. An epoch without any other step logs nothing.

    It copies the weights in every step, so a run takes longer with it.
    """

    def __init__(self) -> None:
        super().__init__()
        self._layers: dict[str, list[nn.Parameter]] = {}
        self._before: dict[str, list[Tensor]] = {}
        self._sums: Tensor | None = None  # (layers, 2), on the device
        self._steps: Tensor | None = None  # (layers, 2), the number of steps in each sum

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Register hooks on the first optimizer's steps."""
        net = getattr(pl_module, "net", pl_module)
        self._layers = {}
        for name, module in net.named_modules():
            if own := [p for p in module.parameters(recurse=False) if p.requires_grad]:
                self._layers[name or type(module).__name__] = own
        optimizer = trainer.optimizers[0]
        self.handles = [
            optimizer.register_step_pre_hook(self._copy_weights),
            optimizer.register_step_post_hook(self._measure),
        ]

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin a new epoch; one that a resumed run is in the middle of goes on."""
        self._sums = self._steps = None

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the means over the epoch's steps."""
        if self._sums is None or self._steps is None:
            return
        for name, sums, steps in zip(self._layers, self._sums.tolist(), self._steps.tolist(), strict=True):
            for kind, total, number in zip(("grad_norm", "update_ratio"), sums, steps, strict=True):
                if number:
                    pl_module.log(f"{kind}_{name}", total / number)

    def state_dict(self) -> dict[str, Any]:
        """Return the sums of the epoch so far."""
        return {"sums": self._sums, "steps": self._steps}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on with the sums of a checkpoint."""
        self._sums, self._steps = state_dict["sums"], state_dict["steps"]

    @torch.no_grad()
    def _copy_weights(self, *args: Any) -> None:
        self._before = {name: [p.detach().clone() for p in layer] for name, layer in self._layers.items()}

    @torch.no_grad()
    def _measure(self, *args: Any) -> None:
        norms, counts = [], []
        for name, layer in self._layers.items():
            before = self._before[name]
            gradients = [p.grad for p in layer if p.grad is not None]
            update = get_total_norm([p - old for p, old in zip(layer, before, strict=True)])
            weights = get_total_norm(before)
            ratio = torch.where(weights == 0, 0, update / weights)
            norms.append(torch.stack([get_total_norm(gradients).to(update.device), ratio]))
            counts.append(torch.stack([torch.full_like(weights, bool(gradients)), weights != 0]))
        measured, counted = torch.stack(norms), torch.stack(counts)
        self._sums = measured if self._sums is None else self._sums + measured
        self._steps = counted if self._steps is None else self._steps + counted
