"""Muon for whole networks, with another optimizer for what is no matrix."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim import AdamW, Muon, Optimizer

from optimcifar.optim.types import OptimizerCallable


class MuonWithAux(Optimizer):
    """Muon on matrices and on convolution kernels, flattened to (out, in * height * width); another one on the rest.

    PyTorch's ``Muon`` refuses parameters that are no matrices. Here one optimizer object has them all, with one list
    of parameter groups, first Muon's and then the other's, and one state, so that schedules, checkpoints and
    Lightning's automatic optimization treat it like any other.

    Args:
        params: parameters or parameter groups.
        lr: Muon's rate.
        weight_decay: Muon's decoupled weight decay.
        momentum: Muon's momentum, from 0.
        nesterov: whether the momentum is Nesterov's.
        ns_steps: iterations of the orthogonalization.
        adjust_lr_fn: how the rate depends on a matrix's shape: ``"original"`` (as None), ``"match_rms_adamw"``, with
            which AdamW's rates fit, or ``"spectral_unclamped"``.
        aux: called with the other parameters, returns their optimizer; None for ``AdamW(lr=0.001)``.

    Raises:
        ValueError: no parameter has two dimensions or more, or an argument is out of its range.

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
        matrices, others = _split(params)
        if not matrices:
            raise ValueError("Muon needs parameters of two dimensions or more, and there are none")
        self._flattened: list[tuple[Tensor, Tensor]] = []  # (kernel, its flattened copy)
        flat_groups = [group | {"params": [self._flat(p) for p in group["params"]]} for group in matrices]
        self._parts: list[Optimizer] = [
            Muon(flat_groups, lr, weight_decay, momentum, nesterov, ns_steps=ns_steps, adjust_lr_fn=adjust_lr_fn)
        ]
        if others:
            self._parts.append(aux(others) if aux else AdamW(others, lr=1e-3))
        groups = [group for part in self._parts for group in part.param_groups]
        originals = [group["params"] for group in (*matrices, *others)]
        mine = [group | {"params": params} for group, params in zip(groups, originals, strict=True)]
        super().__init__(mine, self._parts[0].defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Make a step, after evaluating the closure, and return what it returned."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        inner_groups = [group for part in self._parts for group in part.param_groups]
        for group, inner in zip(self.param_groups, inner_groups, strict=True):
            # Schedules change the rates and momenta of the groups that they know.
            inner.update({name: value for name, value in group.items() if name != "params"})
        for kernel, flat in self._flattened:
            flat.copy_(kernel.flatten(1))
            flat.grad = None if kernel.grad is None else kernel.grad.flatten(1)
        for part in self._parts:
            part.step()
        for kernel, flat in self._flattened:
            kernel.copy_(flat.view_as(kernel))
            flat.grad = None
        for parameter, part, own in self._owners():
            if own in part.state:
                self.state[parameter] = part.state[own]
        return loss

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over a state that ``state_dict`` returned."""
        super().load_state_dict(state_dict)
        for parameter, part, own in self._owners():
            if parameter in self.state:
                part.state[own] = self.state[parameter]

    def _flat(self, parameter: Tensor) -> Tensor:
        if parameter.ndim == 2:
            return parameter
        self._flattened.append((parameter, parameter.detach().flatten(1).clone()))
        return self._flattened[-1][1]

    def _owners(self) -> Iterable[tuple[Tensor, Optimizer, Tensor]]:
        """Yield every parameter, the optimizer that has it, and the tensor that it is there."""
        inner = [(part, group) for part in self._parts for group in part.param_groups]
        for mine, (part, group) in zip(self.param_groups, inner, strict=True):
            for parameter, own in zip(mine["params"], group["params"], strict=True):
                yield parameter, part, own


def _split(params: Iterable[Any]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Return the parameter groups of what has two dimensions or more, and those of the rest."""
    given = list(params)
    groups = given if given and isinstance(given[0], dict) else [{"params": given}]
    matrices = [{**group, "params": [p for p in group["params"] if p.ndim >= 2]} for group in groups]
    others = [{**group, "params": [p for p in group["params"] if p.ndim < 2]} for group in groups]
    return [group for group in matrices if group["params"]], [group for group in others if group["params"]]
