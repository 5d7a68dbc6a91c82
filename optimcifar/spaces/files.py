"""Files of spaces: what may be tried of each configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from optimcifar.errors import UsageError
from optimcifar.spaces.dimensions import Dimension, choices, parse_dimension


def space_of_section(name: str, section: Any) -> dict[str, Dimension]:
    """Return the space in a section of a file.

    Args:
        name: the name of the section, for messages.
        section: a mapping of options to ranges (``1e-3..1``) or lists of choices.

    Raises:
        UsageError: it is none, or has a range or a choice that cannot be tried.
    """
    if not isinstance(section, Mapping) or not section:
        raise UsageError(f"{name} must be a mapping of options to ranges, such as 'model.optimizer.lr: 1e-3..1'")
    return {str(key): _dimension(f"{name}: {key}", value) for key, value in section.items()}


def _dimension(name: str, value: Any) -> Dimension:
    if isinstance(value, list):
        return choices(name, value)
    if isinstance(value, str):
        return parse_dimension(name, value)
    raise UsageError(f"{name} must be a range such as 1e-3..1, or a list; got {value!r}")
