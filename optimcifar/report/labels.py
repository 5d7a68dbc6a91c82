"""How hyperparameters, values and settings are written for readers."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from optimcifar.spaces.values import are_equal, is_number


def short_keys(keys: Iterable[str]) -> dict[str, str]:
    """Return the last parts of each option: as few as tell it from the others.

    ``lr`` alone, but ``optimizer.lr`` beside ``aux.lr``.
    """
    endings = {key: [key.split(".", start)[-1] for start in range(key.count("."), -1, -1)] for key in keys}
    numbers = Counter(ending for own in endings.values() for ending in own)
    return {key: next((ending for ending in own if numbers[ending] == 1), key) for key, own in endings.items()}


def value_text(value: Any) -> str:
    """Write a value as short as it can be: ``0.00237``, ``[0.5, 0.999]``, ``null``, a class without its module."""
    if is_number(value):
        return f"{value:g}" if isinstance(value, float) else str(value)
    if isinstance(value, str):
        return value.rpartition(".")[2] if "/" not in value else value
    return json.dumps(value)


def setting_text(setting: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Write ``lr 0.01``, or ``lr 0.01, momentum 0.9``.

    Args:
        setting: the values by hyperparameter.
        names: how each hyperparameter is written, see ``short_keys``.
    """
    return ", ".join(f"{name} {value_text(setting.get(key))}" for key, name in names.items())


def change_text(own: Any, other: Any) -> str:
    """Write ``0.01 → 0.0316``, or ``0.01`` where a value was kept."""
    return value_text(own) if are_equal(own, other) else f"{value_text(own)} → {value_text(other)}"
