"""Write the tuned settings as configurations: ``tuned/<name>.yaml``."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import yaml
from distributed import Client
from jsonargparse import get_loader

from optimcifar.engine.cluster import check_runs
from optimcifar.engine.runs import Run, with_options
from optimcifar.report.tuning.sentences import provenance
from optimcifar.report.tuning.study import Study
from optimcifar.runs.atomic import write_atomically
from optimcifar.tuning.plan import TuningPlan

_WIDTH = 120  # characters of a comment


def write_tuned(client: Client, plan: TuningPlan, study: Study) -> None:
    """Write a complete configuration for each chosen setting, with a comment on where it comes from.

    Defaults are left out, and paths below the current folder are relative, as in the shipped configurations.
    """
    names = [entry.name for entry in plan.entries if entry.name in study.chosen]
    entries = {entry.name: entry for entry in plan.entries}
    tuned = [plan.trial(entries[name], study.design.spaces[name], study.chosen[name].number) for name in names]
    runs = [Run(entry.name, 0, plan.out, with_options(entry, plan.options)) for entry in tuned]
    default, *texts = check_runs(client, [Run("default", 0, plan.out, ()), *runs])
    load = get_loader("yaml")  # reads 1e-08 as a number
    for name, text in zip(names, texts, strict=True):
        comment = "".join(f"{_comment(line)}\n" for line in provenance(study, name))
        tree = _shortened(load(text), load(default))
        write_atomically(plan.out / "tuned" / f"{name}.yaml", comment + yaml.safe_dump(tree, sort_keys=False))


def _comment(line: str) -> str:
    return textwrap.fill(line, _WIDTH, initial_indent="# ", subsequent_indent="#   ", break_on_hyphens=False)


def _shortened(tree: dict[str, Any], default: dict[str, Any]) -> dict[str, Any]:
    """Return a configuration without options at their defaults; those of optimizer, schedule and data stay."""
    kept = {name: value for name, value in tree.items() if value is not None}
    for group in ("trainer", "model"):
        changed = {key: value for key, value in tree[group].items() if value != default[group][key]}
        always = {"trainer": "max_epochs", "model": "optimizer"}[group]
        kept[group] = {key: tree[group][key] for key in tree[group] if key in changed or key == always}
    relative: dict[str, Any] = _with_relative_paths(kept, f"{Path.cwd()}/")
    return relative


def _with_relative_paths(value: Any, folder: str) -> Any:
    if isinstance(value, dict):
        return {key: _with_relative_paths(item, folder) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_relative_paths(item, folder) for item in value]
    return value.removeprefix(folder) if isinstance(value, str) else value
