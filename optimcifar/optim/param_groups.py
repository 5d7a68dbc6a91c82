"""Parameter groups by rule, such as no weight decay on biases or a different rate for one layer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from torch import Tensor
from torch.optim import Optimizer


@dataclass
class ParamRule:
    """Optimizer options for the parameters that match.

    Attributes:
        names: pattern for names from ``named_parameters()``, with ``*`` and ``?``, such as ``"net.conv*"``.
        max_ndim: largest number of dimensions; 1 selects biases and the weights of normalisation layers. None for any.
        options: the optimizer options to set, such as ``{"weight_decay": 0.0}`` or ``{"lr": 0.001}``.
    """

    names: str = "*"
    max_ndim: int | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def matches(self, name: str, parameter: Tensor) -> bool:
        """Return whether the rule covers a parameter."""
        return fnmatchcase(name, self.names) and (self.max_ndim is None or parameter.ndim <= self.max_ndim)


def grouped_parameters(named: Iterable[tuple[str, Tensor]], rules: Sequence[ParamRule]) -> list[dict[str, Any]]:
    """Return the parameters as groups for an optimizer, first those without options of their own.

    Parameters with the same options share a group. All matching rules apply; if two set the same option, the later
    one wins.

    Raises:
        ValueError: a rule matches no parameter.
    """
    parameters = list(named)
    for rule in rules:
        if not any(rule.matches(name, parameter) for name, parameter in parameters):
            dimensions = "" if rule.max_ndim is None else f" with at most {rule.max_ndim} dimensions"
            known = ", ".join(name for name, _ in parameters[:4])
            raise ValueError(
                f"param_groups: no parameter{dimensions} matches {rule.names!r}; the names are {known}, ..."
            )
    groups: list[dict[str, Any]] = [{"params": []}]
    for name, parameter in parameters:
        options = {key: value for rule in rules if rule.matches(name, parameter) for key, value in rule.options.items()}
        group = next((group for group in groups if group == {"params": group["params"], **options}), None)
        if group is None:
            group = {"params": [], **options}
            groups.append(group)
        group["params"].append(parameter)
    return [group for group in groups if group["params"]]


def check_options(optimizer: Optimizer, rules: Sequence[ParamRule]) -> None:
    """Refuse options that the optimizer does not have; PyTorch accepts them silently.

    Raises:
        ValueError: the optimizer lacks one of the options.
    """
    for name in (name for rule in rules for name in rule.options):
        if name not in optimizer.defaults:
            known = ", ".join(optimizer.defaults)
            raise ValueError(f"param_groups: {type(optimizer).__name__} has no option {name!r}; it has {known}")
