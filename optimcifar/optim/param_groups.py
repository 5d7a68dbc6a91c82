"""Parameter groups by rule: no weight decay on biases, another rate for a layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


@dataclass
class ParamRule:
    """Which parameters get options of their own from the optimizer.

    Attributes:
        names: a pattern of names as ``named_parameters()`` has them, with ``*`` and ``?``: ``"net.conv*"``.
        max_ndim: the most dimensions that a parameter may have: 1 means biases and the weights of norms.
        options: the optimizer's options for them, such as ``{"weight_decay": 0.0}`` or ``{"lr": 0.001}``.
    """

    names: str = "*"
    max_ndim: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def applies(self, name: str, parameter: Tensor) -> bool:
        """Return whether a parameter is one of those."""
        return fnmatchcase(name, self.names) and (self.max_ndim is None or parameter.ndim <= self.max_ndim)


def grouped_parameters(named: Iterable[tuple[str, Tensor]], rules: Sequence[ParamRule]) -> list[dict[str, Any]]:
    """Return the parameters as an optimizer's groups, those without options of their own first.

    All rules that apply to a parameter count; where two set the same option, the later one does.

    Raises:
        ValueError: a rule applies to no parameter.
    """
    parameters = list(named)
    for rule in rules:
        if not any(rule.applies(name, parameter) for name, parameter in parameters):
            dimensions = "" if rule.max_ndim is None else f" with at most {rule.max_ndim} dimensions"
            known = ", ".join(name for name, _ in parameters[:4])
            raise ValueError(f"param_groups: no parameter{dimensions} has a name like {rule.names!r}: {known}, ...")
    groups: list[dict[str, Any]] = [{"params": []}]
    for name, parameter in parameters:
        options = {key: value for rule in rules if rule.applies(name, parameter) for key, value in rule.options.items()}
        group = next((group for group in groups if group == {"params": group["params"], **options}), None)
        if group is None:
            group = {"params": [], **options}
            groups.append(group)
        group["params"].append(parameter)
    return [group for group in groups if group["params"]]


def check_options(optimizer: Optimizer, rules: Sequence[ParamRule]) -> None:
    """Refuse options that an optimizer does not have, which PyTorch takes without a word.

    Raises:
        ValueError: there is one.
    """
    for name in (name for rule in rules for name in rule.options):
        if name not in optimizer.defaults:
            known = ", ".join(optimizer.defaults)
            raise ValueError(f"param_groups: {type(optimizer).__name__} has no option {name!r}; it has {known}")
