"""Values of hyperparameters as a person types them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from typing import Any

import yaml

from optimcifar.errors import UsageError

# Brackets in which a comma separates nothing.
_OPENING, _CLOSING, _QUOTES = "[{(", "]})", "\"'"


def parse_value(text: str) -> Any:
    """Return the value of a text: a number, a boolean, null, a list, a mapping, or the text itself."""
    try:
        # YAML takes 1e-3 for a text.
        return int(text) if text.strip().lstrip("+-").isdigit() else float(text)
    except ValueError:
        pass
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError:
        return text


def option_text(value: Any) -> str:
    """Return a value as an option of ``fit`` takes it."""
    return value if isinstance(value, str) else json.dumps(value)


def is_number(value: Any) -> bool:
    """Return whether a value is a finite number; a boolean is none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def are_equal(first: Any, second: Any) -> bool:
    """Return whether two values are the same setting: 1 and 1.0 are, true and 1 are not."""
    if is_number(first) and is_number(second):
        return math.isclose(first, second, rel_tol=1e-9, abs_tol=0.0)
    if isinstance(first, (list, tuple)) and isinstance(second, (list, tuple)):
        return len(first) == len(second) and all(map(are_equal, first, second))
    return type(first) is type(second) and bool(first == second)


def distinct(values: Iterable[Any]) -> list[Any]:
    """Return values in their order, without those that are equal to an earlier one."""
    kept: list[Any] = []
    for value in values:
        if not any(are_equal(value, other) for other in kept):
            kept.append(value)
    return kept


def split_list(text: str) -> list[str]:
    """Split a text at its commas, but for those in brackets or in quotes.

    Raises:
        UsageError: a bracket or a quote is not closed, or nothing stands between two commas.
    """
    parts, depth, quote = [""], 0, ""
    for sign in text:
        if quote:
            quote = "" if sign == quote else quote
        elif sign in _QUOTES:
            quote = sign
        elif sign in _OPENING:
            depth += 1
        elif sign in _CLOSING:
            depth -= 1
        if sign == "," and not depth and not quote:
            parts.append("")
        else:
            parts[-1] += sign
    if depth or quote:
        raise UsageError(f"a bracket or a quote is not closed in {text}")
    if not all(part.strip() for part in parts):
        raise UsageError(f"a value is missing in {text!r}")
    return [part.strip() for part in parts]
