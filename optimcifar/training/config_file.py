"""Read configuration files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from optimcifar.errors import UsageError
from optimcifar.text import first_lines


def read_config(path: Path) -> tuple[str, dict[str, Any]]:
    """Return a configuration as text and as a tree.

    Raises:
        UsageError: it cannot be read, is not YAML, has a key twice, or is not a mapping of names to values.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors begin a file in UTF-8 with a byte order mark
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not text in UTF-8: {_likely_content(path.read_bytes())}") from error
    if "\0" in text:
        raise UsageError(f"{path} is not text in UTF-8: it contains zero bytes, as UTF-16 and binary files do")
    try:
        tree = _load(text)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    return text, tree


def parse_yaml(text: str) -> Any:
    """Parse YAML as jsonargparse does.

    Raises:
        yaml.YAMLError, ValueError: it is not YAML.
    """
    return yaml.load(text, _SafeLoader)  # noqa: S506  a safe loader


def _likely_content(content: bytes) -> str:
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "it is UTF-16; save it as UTF-8"
    if content.startswith((b"PK", b"\x80")):
        return "it looks like a checkpoint, which --ckpt_path takes"
    return "save it as UTF-8, if it is text"


def _load(text: str) -> dict[str, Any]:
    try:
        tree = yaml.load(text, _UniqueKeyLoader)  # noqa: S506  a subclass of the safe loader
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}" if error.problem_mark else "not YAML"
        raise UsageError(f"{line}: {error.problem}") from error
    except UsageError:
        raise
    except RecursionError as error:
        raise UsageError("its values are nested too deeply") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(first_lines(str(error))) from error
    if tree is None:
        raise UsageError("the configuration is empty")
    if not isinstance(tree, dict):
        raise UsageError(f"a configuration must be a mapping, such as 'trainer: ...', got a {type(tree).__name__}")
    if tree and all(value is None for value in tree.values()):
        raise UsageError(f"nothing stands below {' or '.join(map(repr, tree))}")
    return tree


# libyaml's loader if there is one, as in jsonargparse: PyYAML's own refuses some valid texts, such as {names: conv?.x}.
_SafeLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _UniqueKeyLoader(_SafeLoader):  # type: ignore[misc, valid-type]  # a choice made at run time
    """Refuses a mapping that has a key twice; YAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise UsageError(f"{key.value!r} stands a second time in line {key.start_mark.line + 1}")
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping
