"""Values of hyperparameters: read, write and compare them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Any

from jsonargparse import get_loader


def parse_values(text: str) -> list[Any]:
    """Parse values with commas between them as ``fit`` parses each: numbers, booleans, null, lists, mappings, words.

    Raises:
        yaml.YAMLError, ValueError: a bracket or a quote is not closed, or nothing stands between two commas.
    """
    values: list[Any] = get_loader("yaml")(f"[{text}]")
    return values


def option_text(value: Any) -> str:
    """Return a value as an option of ``fit`` takes it."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number; a boolean is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def are_equal(first: Any, second: Any) -> bool:
    """Return whether two values are the same setting: 1 and 1.0 are, true and 1 are not."""
    if isinstance(first, list) and isinstance(second, list):
        return len(first) == len(second) and all(map(are_equal, first, second))
    return isinstance(first, bool) == isinstance(second, bool) and bool(first == second)


def distinct(values: Iterable[Any]) -> list[Any]:
    """Return values in their order, without those equal to an earlier one."""
    kept: list[Any] = []
    for value in values:
        if not any(are_equal(value, other) for other in kept):
            kept.append(value)
    return kept
