"""Look up the settings of a resolved configuration, and those that its schedule ties together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from jsonargparse import get_loader

from optimcifar.errors import UsageError
from optimcifar.spaces.points import Setting
from optimcifar.spaces.values import is_number

#: The option that is tuned by default.
LEARNING_RATE = "model.optimizer.lr"

# Schedules with a greatest rate set all rates themselves: the optimizer's alone would change nothing.
_GREATEST_RATE = "model.lr_scheduler.max_lr"
_RATES = (LEARNING_RATE, _GREATEST_RATE, "model.lr_scheduler.base_lr")


@dataclass(frozen=True)
class Follower:
    """A hyperparameter that a schedule ties to another one.

    Attributes:
        source: the other one.
        factor: how many times the other's value it has.
    """

    source: str
    factor: float


class ResolvedConfiguration:
    """The settings of a configuration after all defaults.

    Args:
        text: the configuration as YAML, as ``check_options`` returns it.
    """

    def __init__(self, text: str) -> None:
        self._tree = get_loader("yaml")(text)

    def get(self, key: str) -> Any:
        """Return an option's value, or None if there is no such option; of a class, its import path.

        Args:
            key: the option without dashes, such as ``model.optimizer.lr``.
        """
        node = self._tree
        try:
            for name in key.split("."):
                node = _child(node, name)
        except KeyError:
            return None
        return node["class_path"] if isinstance(node, dict) and "class_path" in node else node

    def own(self, keys: Collection[str]) -> Setting:
        """Return the values of some options."""
        return {key: self.get(key) for key in keys}

    @property
    def rate(self) -> str:
        """The option that sets the learning rate."""
        return _GREATEST_RATE if self._is_rate(_GREATEST_RATE) else LEARNING_RATE

    def followers(self, keys: Collection[str]) -> dict[str, Follower]:
        """Return what follows the options that are varied: rates that a schedule ties together keep their ratios.

        Args:
            keys: the options that are varied.
        """
        if not self._is_rate(_GREATEST_RATE):
            return {}
        tied = [key for key in _RATES if self._is_rate(key)]
        # fit takes model.optimizer.init_args.lr too.
        varied = {short: key for key in keys if (short := key.replace(".init_args.", ".")) in tied}
        if len(varied) != 1:
            return {}
        ((short, source),) = varied.items()
        return {key: Follower(source, self.get(key) / self.get(source)) for key in tied if key != short}

    def _is_rate(self, key: str) -> bool:
        """Return whether an option is a rate greater than zero; with parameter groups it may be a list."""
        value = self.get(key)
        return is_number(value) and value > 0


def refuse_without_validation(name: str, configuration: ResolvedConfiguration) -> None:
    """Refuse a configuration that would not be validated: its settings are told apart by validation accuracy.

    Raises:
        UsageError: it has no validation images.
    """
    for key in ("data.val_size", "trainer.limit_val_batches"):
        if configuration.get(key) == 0:
            raise UsageError(f"{name}: {key} is 0, but settings are compared by their validation accuracy")


def with_followers(setting: Setting, followers: Mapping[str, Follower]) -> Setting:
    """Return a setting with the values of those that follow one of it."""
    values = {key: float(f"{setting[of.source] * of.factor:.6g}") for key, of in followers.items()}
    return setting | values


def _child(node: Any, name: str) -> Any:
    """Return what a node holds by name: a class's argument, or that of the last item of a list which has one."""
    if isinstance(node, list):
        for item in reversed(node):
            try:
                return _child(item, name)
            except KeyError:
                continue
    if isinstance(node, dict):
        if name in node:
            return node[name]
        if isinstance(arguments := node.get("init_args"), dict):
            return arguments[name]
    raise KeyError(name)
