"""Options and configurations as trees, and what is left of an earlier one when a later one replaces parts of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from optimcifar.training.config_file import parse_yaml

#: The names of a setting, outermost first, without ``init_args``.
Names = tuple[str, ...]


def option_value(text: str) -> Any:
    """Return the value of an option; a text that is not YAML stands for itself."""
    try:
        return parse_yaml(text)
    except (ValueError, yaml.YAMLError):
        return text


def option_tree(name: str, value: Any) -> dict[str, Any]:
    """Return an option as a configuration would hold it."""
    node = value
    for key in reversed(name.removeprefix("--").split(".")):
        node = {key: node}
    tree: dict[str, Any] = node
    return tree


def at(tree: Any, name: str) -> Any:
    """Return what a tree holds for an option, or None."""
    for key in name.removeprefix("--").split("."):
        tree = tree.get(key) if isinstance(tree, dict) else None
    return tree


def names_class(tree: dict[str, Any], name: str) -> bool:
    """Return whether a tree names a class for an option, rather than only arguments of the class."""
    node = at(tree, name)
    return node is not None and not (isinstance(node, dict) and "class_path" not in node)


def replaced_by(tree: dict[Any, Any], names: Names = ()) -> Iterator[Names]:
    """Yield the settings that a tree sets as a whole.

    A mapping adds to what was there, unless it names a class; everything else takes its place.
    """
    for key, value in tree.items():
        inner = names if key == "init_args" else (*names, str(key))
        if isinstance(value, dict) and "class_path" not in value:
            yield from replaced_by(value, inner)
        elif not inner[-1].endswith("+"):
            yield inner


def without(tree: dict[Any, Any], names: Names) -> dict[Any, Any]:
    """Return a tree without a setting and without what was added to it as a list; it may be left empty."""
    kept: dict[Any, Any] = {}
    for key, value in tree.items():
        left = value
        if key == "init_args" and isinstance(value, dict):
            left = without(value, names)
        elif names == (str(key).removesuffix("+"),):
            continue
        elif names[0] == key and isinstance(value, dict):
            left = without(value, names[1:])
        if left or not value:
            kept[key] = left
    return kept
