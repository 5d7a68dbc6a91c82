"""Group runs by configuration, and name the configurations.

A run's identity is its configuration and its seed, whatever its folder is called.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from optimcifar.errors import UsageError
from optimcifar.runs.results import RunResult

# Settings that say where files are, and nothing about the result.
_PLACES = ("data.root",)

# A name has at most so many settings.
_MOST_SETTINGS = 3


def name_configurations(runs: Sequence[RunResult]) -> list[RunResult]:
    """Return the runs with the names of their configurations, which are unique.

    A run of a comparison keeps the name that it has there. A single run is named after its optimizer and its schedule.
    Where several configurations would have the same name, the settings in which they differ are added:
    ``SGD-lr=0.01``; if these do not tell them apart, the folder of the first run.

    A run without hyperparameters, which failed before it started, belongs to the other runs of its name in its
    comparison.

    Raises:
        UsageError: two runs have the same configuration and the same seed.
    """
    keys = _keys(runs)
    _refuse_duplicates(runs, keys)
    first = {key: run for run, key in reversed(list(zip(runs, keys, strict=True)))}
    names = _unique_names({key: first[key] for key in dict.fromkeys(keys)})
    return [replace(run, name=names[key]) for run, key in zip(runs, keys, strict=True)]


def differing_hyperparameters(runs: Iterable[RunResult]) -> list[str]:
    """Return the names of the settings in which runs differ, one that some runs lack included."""
    settings = [_settings(run) for run in runs if run.hyperparameters]
    names = dict.fromkeys(name for own in settings for name in own)
    return [name for name in names if len({_text(own.get(name)) for own in settings}) > 1]


def short_value(value: Any) -> str:
    """Write a setting's value, a class without its module."""
    return value.rpartition(".")[2] if isinstance(value, str) else str(value)


def _settings(run: RunResult) -> dict[str, Any]:
    return {name: value for name, value in run.hyperparameters.items() if name not in _PLACES}


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _keys(runs: Sequence[RunResult]) -> list[str]:
    """Return a text for each run that is equal for runs of the same configuration."""
    # The runs of one entry of a comparison lie in one folder; a single run has siblings nowhere.
    groups = [str(run.folder.parent if run.entry else run.folder) for run in runs]
    known = {group: _key(run) for group, run in zip(groups, runs, strict=True) if run.hyperparameters}
    return [
        _key(run) if run.hyperparameters else known.get(group, group) for group, run in zip(groups, runs, strict=True)
    ]


def _key(run: RunResult) -> str:
    # The data set, because image folders differ in their place alone.
    return _text([run.summary.get("dataset"), _settings(run)])


def _refuse_duplicates(runs: Sequence[RunResult], keys: Sequence[str]) -> None:
    seen: dict[tuple[str, int], RunResult] = {}
    for run, key in zip(runs, keys, strict=True):
        if run.seed is None:
            continue
        other = seen.setdefault((key, run.seed), run)
        if other is not run:
            raise UsageError(
                f"{other.folder} and {run.folder} have the same configuration and the same seed, {run.seed}: "
                "leave one of them out"
            )


def _unique_names(first: dict[str, RunResult]) -> dict[str, str]:
    """Return a unique name for each configuration, given its first run."""
    names = {key: _short_name(run) for key, run in first.items()}
    for name in [name for name, number in Counter(names.values()).items() if number > 1]:
        alike = {key: first[key] for key in names if names[key] == name}
        differing = differing_hyperparameters(alike.values())
        # Where classes differ, so do their arguments: the classes are enough.
        chosen = [setting for setting in differing if setting.rpartition(".")[0] not in differing][:_MOST_SETTINGS]
        for key, run in alike.items():
            names[key] = "-".join([name, *_own_settings(run, chosen)])
    numbers = Counter(names.values())
    return {key: f"{name} ({first[key].folder})" if numbers[name] > 1 else name for key, name in names.items()}


def _short_name(run: RunResult) -> str:
    if run.entry or "optimizer" not in run.hyperparameters:
        return run.name
    classes = (run.hyperparameters[name] for name in ("optimizer", "lr_scheduler") if run.hyperparameters.get(name))
    return "-".join(str(path).rpartition(".")[2] for path in classes)


def _own_settings(run: RunResult, names: Sequence[str]) -> list[str]:
    """Write ``lr=0.01``, or the class alone for one in a list, which has a number in place of a name."""
    own = {name: run.hyperparameters[name] for name in names if run.hyperparameters.get(name) is not None}
    last = {name: name.rpartition(".")[2] for name in own}
    return [
        short_value(value) if last[name].isdecimal() else f"{last[name]}={short_value(value)}"
        for name, value in own.items()
    ]
