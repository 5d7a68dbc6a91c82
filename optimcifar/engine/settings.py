"""What a folder of runs must hold: one kind of results, unchanged settings, different configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from optimcifar.engine.runs import Run
from optimcifar.errors import UsageError
from optimcifar.runs.folder import DESIGNS, RunFolder
from optimcifar.training.config_file import read_config

# Where a run is written does not change its result. Loggers are one setting, a list of them several.
_PLACES = "trainer.logger"

# Nor does it change how long an epoch takes, and neither do these.
_NOT_OF_AN_EPOCH = {
    *("seed_everything", "trainer.max_epochs", "trainer.default_root_dir", "trainer.enable_progress_bar"),
    *("data.init_args.root", "ckpt_path", "weights_only"),
}


def refuse_other_purpose(out: Path, purpose: str) -> None:
    """Refuse a folder that holds another kind of results: a report would mix them.

    Args:
        out: the folder.
        purpose: what is planned now, one of ``DESIGNS``.

    Raises:
        UsageError: the folder holds something else.
    """
    for other, file in DESIGNS.items():
        if other != purpose and (out / file).exists():
            raise UsageError(f"{out} holds a {other}, and a {purpose} needs a folder of its own: choose another --out")


def refuse_changes(runs: list[Run], configurations: list[str]) -> None:
    """Refuse to reuse runs that were made with different settings.

    Args:
        runs: the planned runs.
        configurations: their resolved configurations as YAML.

    Raises:
        UsageError: an existing run was made with other settings.
    """
    for run, configuration in zip(runs, configurations, strict=True):
        path = RunFolder(run.folder).config
        if path.exists():
            before, now = _written_settings(path), _settings(yaml.safe_load(configuration))
            keys = (key for key in dict.fromkeys([*before, *now]) if before.get(key) != now.get(key))
            # An option that an earlier version did not have changes nothing while it is off.
            if key := next((key for key in keys if key in before or now[key]), None):
                change = f"{key} was {before.get(key)!r}, and is now {now.get(key)!r}"
                raise UsageError(f"{run.folder} was made with other settings: {change}; choose another --out")


def refuse_equal_configurations(runs: list[Run], configurations: list[str]) -> None:
    """Refuse to compare a configuration with itself.

    Args:
        runs: the planned runs.
        configurations: their resolved configurations as YAML.

    Raises:
        UsageError: two runs of the same seed have the same settings.
    """
    seen: list[tuple[Run, dict[str, Any]]] = []
    for run, configuration in zip(runs, configurations, strict=True):
        settings = _settings(yaml.safe_load(configuration))
        for other, others in seen:
            if other.seed == run.seed and others == settings:
                raise UsageError(f"{other.name} and {run.name} are the same configuration: leave one of them out")
        seen.append((run, settings))


def settings_of_an_epoch(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the settings that say how long an epoch takes, by flat name.

    Args:
        tree: a run's resolved configuration.
    """
    return {key: value for key, value in _settings(tree).items() if key not in _NOT_OF_AN_EPOCH}


def _written_settings(path: Path) -> dict[str, Any]:
    try:
        return _settings(read_config(path)[1])
    except UsageError as error:
        raise UsageError(f"{path} is damaged: remove {path.parent} to run it again") from error


def _settings(tree: dict[str, Any]) -> dict[str, Any]:
    """Return the settings by flat name, without places."""
    return {key: value for key, value in _flat(tree) if key != _PLACES and not key.startswith(f"{_PLACES}.")}


def _flat(tree: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(tree, dict) and tree:
        return [pair for key, value in tree.items() for pair in _flat(value, f"{prefix}.{key}" if prefix else str(key))]
    return [(prefix, tree)]
