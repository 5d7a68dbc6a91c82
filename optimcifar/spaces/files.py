"""Sections of a file of spaces, such as configs/spaces/cifar10.yaml: one for each configuration."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from jsonargparse import get_loader

from optimcifar.errors import UsageError
from optimcifar.spaces.dimensions import Dimension, choices_of, parse_dimension


def space_of_section(name: str, section: Any) -> dict[str, Dimension]:
    """Return the space that a section describes.

    Args:
        name: the name of the section, for messages.
        section: a mapping of options to ranges (``1e-3..1``) or lists of choices, as PyYAML loads it.

    Raises:
        UsageError: it is no such mapping, or a range or a list in it is invalid.
    """
    if not isinstance(section, Mapping) or not section:
        raise UsageError(f"{name} must be a mapping of options to ranges, such as 'model.optimizer.lr: 1e-3..1'")
    # PyYAML loads 1e-3 as a word; fit takes it for a number.
    loaded = get_loader("yaml")(yaml.safe_dump(section, sort_keys=False))
    return {str(key): _dimension(f"{name}: {key}", value) for key, value in loaded.items()}


def _dimension(key: str, value: Any) -> Dimension:
    if isinstance(value, list):
        return choices_of(key, value)
    if isinstance(value, str):
        return parse_dimension(key, value)
    raise UsageError(f"{key} must be a range such as 1e-3..1, or a list; got {value!r}")
