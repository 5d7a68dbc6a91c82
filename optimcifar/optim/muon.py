"""Muon for whole networks, with a second optimizer for parameters that are not matrices."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer

from optimcifar.optim.types import OptimizerCallable


class MuonWithAux(Optimizer):
    """Muon for matrices and flattened convolution kernels, and an auxiliary optimizer for all other parameters.

    PyTorch's ``Muon`` accepts matrices only. This optimizer flattens kernels to (out, in * height * width). It has a
    single list of parameter groups, Muon's first, and a single state, so that schedules, checkpoints and Lightning's
    automatic optimization work with it.

    Args:
        params: parameters or parameter groups.
        lr: Muon's learning rate.
        weight_decay: Muon's decoupled weight decay.
        momentum: Muon's momentum, at least 0.
        nesterov: whether to use Nesterov momentum.
        ns_steps: iterations of the orthogonalization.
        adjust_lr_fn: how to scale the rate with a matrix's shape: ``"original"`` (same as None),
            ``"match_rms_adamw"``, which suits the rates of AdamW, or ``"spectral_unclamped"``.
        aux: called with the other parameters, returns their optimizer; None for ``AdamW(lr=0.001)``.

    Raises:
        ValueError: no parameter has at least two dimensions, or an argument is out of range.
        RuntimeError: this version of PyTorch has no ``Muon``.

    Source: K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        weight_decay: float = 0.1,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        adjust_lr_fn: str | None = None,
        aux: OptimizerCallable | None = None,
    ) -> None:
        if not hasattr(torch.optim, "Muon"):
            raise RuntimeError(
                f"MuonWithAux needs torch.optim.Muon of torch 2.9 or newer, got torch {torch.__version__}"
            )
        matrices, others = _split(params)
        if not matrices:
            raise ValueError("Muon needs a parameter with at least two dimensions, got none")
        self._flattened: list[tuple[Tensor, Tensor]] = []  # (kernel, its flattened copy)
        flat_groups = [group | {"params": [self._flatten(p) for p in group["params"]]} for group in matrices]
        self._parts: list[Optimizer] = [
            torch.optim.Muon(
                flat_groups, lr, weight_decay, momentum, nesterov, ns_steps=ns_steps, adjust_lr_fn=adjust_lr_fn
            )
        ]
        if others:
            self._parts.append(aux(others) if aux else AdamW(others, lr=1e-3))
        groups = [group for part in self._parts for group in part.param_groups]
        originals = [group["params"] for group in (*matrices, *others)]
        own_groups = [group | {"params": params} for group, params in zip(groups, originals, strict=True)]
        super().__init__(own_groups, self._parts[0].defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Evaluate the closure, if any, update the parameters and return the closure's loss."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        inner_groups = [group for part in self._parts for group in part.param_groups]
        for group, inner_group in zip(self.param_groups, inner_groups, strict=True):
            # Schedules set rates and momenta in this optimizer's groups, not in those of its parts.
            inner_group.update({name: value for name, value in group.items() if name != "params"})
        for kernel, flat in self._flattened:
            flat.copy_(kernel.flatten(1))
            flat.grad = None if kernel.grad is None else kernel.grad.flatten(1)
        for part in self._parts:
            part.step()
        for kernel, flat in self._flattened:
            kernel.copy_(flat.view_as(kernel))
            flat.grad = None
        for parameter, part, inner in self._inner_parameters():
            if inner in part.state:
                self.state[parameter] = part.state[inner]
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a state that ``state_dict`` returned."""
        super().load_state_dict(state_dict)
        for parameter, part, inner in self._inner_parameters():
            if parameter in self.state:
                part.state[inner] = self.state[parameter]

    def _flatten(self, parameter: Tensor) -> Tensor:
        """Return a matrix as it is, and a flattened copy of a kernel."""
        if parameter.ndim == 2:
            return parameter
        self._flattened.append((parameter, parameter.detach().flatten(1).clone()))
        return self._flattened[-1][1]

    def _inner_parameters(self) -> Iterable[tuple[Tensor, Optimizer, Tensor]]:
        """Yield every parameter, the optimizer that updates it, and its tensor in that optimizer."""
        inner_groups = [(part, group) for part in self._parts for group in part.param_groups]
        for group, (part, inner_group) in zip(self.param_groups, inner_groups, strict=True):
            for parameter, inner in zip(group["params"], inner_group["params"], strict=True):
                yield parameter, part, inner


def _split(params: Iterable[Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return groups of the parameters with at least two dimensions, and groups of the others."""
    given = list(params)
    groups = given if given and isinstance(given[0], dict) else [{"params": given}]
    matrices = [{**group, "params": [p for p in group["params"] if p.ndim >= 2]} for group in groups]
    others = [{**group, "params": [p for p in group["params"] if p.ndim < 2]} for group in groups]
    return [group for group in matrices if group["params"]], [group for group in others if group["params"]]
