"""Whether runs that are there were made with the settings that are asked for now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from optimcifar.comparison.plan import Run
from optimcifar.errors import UsageError

# Where a comparison lies says nothing of what its runs are.
_PLACES = ("trainer.logger.",)


def refuse_changes(runs: list[Run], configurations: list[str]) -> None:
    """Refuse to mix runs of different settings in one folder.

    Args:
        runs: the runs that are planned.
        configurations: what their options come to, as YAML.

    Raises:
        UsageError: a run that is there was made with other settings.
    """
    for run, configuration in zip(runs, configurations, strict=True):
        path = run.folder / "config.yaml"
        if path.exists():
            change = _first_change(_settings(path.read_text(encoding="utf-8"), path), _settings(configuration, path))
            if change:
                raise UsageError(f"{run.folder} was made with other settings: {change}; choose another --out")


def _settings(text: str, path: Path) -> dict[str, Any]:
    try:
        return dict(_flat(yaml.safe_load(text)))
    except yaml.YAMLError as error:
        raise UsageError(f"{path} is damaged: remove {path.parent}, and it is made again") from error


def _flat(tree: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(tree, dict) and tree:
        return [pair for key, value in tree.items() for pair in _flat(value, f"{prefix}.{key}" if prefix else str(key))]
    return [(prefix, tree)]


def _first_change(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    for key in dict.fromkeys([*before, *now]):
        if before.get(key) != now.get(key) and not key.startswith(_PLACES):
            return f"{key} was {before.get(key)!r}, and is now {now.get(key)!r}"
    return None
