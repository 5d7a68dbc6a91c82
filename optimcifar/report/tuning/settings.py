"""Settings in words: short names of hyperparameters, and values that were kept or changed."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from optimcifar.spaces.values import are_equal, option_text


def short_names(keys: Collection[str]) -> dict[str, str]:
    """Return the shortest ending of each option that no other one has: ``lr`` for ``model.optimizer.lr``."""
    return {key: _shortest(key, [other for other in keys if other != key]) for key in keys}


def changed(own: Any, tuned: Any) -> str:
    """Write ``0.01 → 0.0316``, or ``0.01`` where a value was kept."""
    return option_text(own) if are_equal(own, tuned) else f"{option_text(own)} → {option_text(tuned)}"


def _shortest(key: str, others: Collection[str]) -> str:
    parts = key.split(".")
    endings = (".".join(parts[-number:]) for number in range(1, len(parts)))
    return next((own for own in endings if not any(f".{other}".endswith(f".{own}") for other in others)), key)
