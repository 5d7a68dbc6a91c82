"""How long the runs of a comparison take: from earlier runs on this machine, or from a first epoch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from optimcifar.engine.settings import settings_of_an_epoch
from optimcifar.errors import UsageError
from optimcifar.runs.folder import RunFolder
from optimcifar.training.config_file import read_config

# The runs of all comparisons and all single runs are below it.
_USUAL_FOLDER = Path("lightning_logs")

# So many of the last runs are looked at: reading a configuration takes milliseconds.
_MOST_RUNS = 500


@dataclass(frozen=True)
class EpochTime:
    """How long an epoch of a configuration takes.

    Attributes:
        seconds: seconds of an epoch.
        steps: its steps.
        runs: number of earlier runs that it was measured in; 0 for a single epoch.
    """

    seconds: float
    steps: float
    runs: int = 0

    def of_run(self, configuration: dict[str, Any]) -> float:
        """Return the seconds of a whole run; infinity for a run without an end.

        Args:
            configuration: the resolved configuration, which says how many epochs or steps there are.
        """
        limits = configuration["trainer"]
        epochs = limits["max_epochs"] if limits["max_epochs"] not in (None, -1) else math.inf
        if limits["max_steps"] != -1:
            epochs = min(epochs, limits["max_steps"] / self.steps)
        return self.seconds * epochs


def earlier_times(configurations: dict[str, str], out: Path) -> dict[str, EpochTime]:
    """Return the times of the configurations that were trained before, with other seeds or more or fewer epochs.

    The time of a run is that from its start to the end of training, so validation is in it, and the pause of one that
    was interrupted. The median over runs counts.

    Args:
        configurations: resolved configurations by name, as YAML.
        out: the folder of the comparison; single runs and other comparisons are looked for in ``lightning_logs``.
    """
    wanted = {name: settings_of_an_epoch(yaml.safe_load(text)) for name, text in configurations.items()}
    found: dict[str, list[EpochTime]] = {}
    for run in islice(_last_runs(out), _MOST_RUNS):
        if (time := _time(run)) and (settings := _settings(run)):
            for name in (name for name in wanted if wanted[name] == settings):
                found.setdefault(name, []).append(time)
    return {
        name: EpochTime(
            statistics.median(time.seconds for time in times),
            statistics.median(time.steps for time in times),
            len(times),
        )
        for name, times in found.items()
    }


def _last_runs(out: Path) -> Iterable[RunFolder]:
    """Return the folders of runs, the last one first."""
    summaries = {path.absolute() for folder in (out, _USUAL_FOLDER) for path in folder.rglob("summary.json")}
    return (RunFolder(path.parent) for path in sorted(summaries, key=lambda path: -path.stat().st_mtime))


def _settings(run: RunFolder) -> dict[str, Any] | None:
    try:
        return settings_of_an_epoch(read_config(run.config)[1])
    except UsageError:
        return None  # it is missing or damaged, and other runs say as much


def _time(run: RunFolder) -> EpochTime | None:
    """Return the time of an epoch in a run; None for one that is not finished, or has no whole epoch."""
    summary = run.read_summary()
    if summary.get("status") != "finished" or not summary.get("epochs") or not run.config.exists():
        return None
    # The configuration is written first. A copied folder may have lost these times.
    seconds = max(run.summary.stat().st_mtime - run.config.stat().st_mtime, summary["train_seconds"])
    return EpochTime(seconds / summary["epochs"], summary["steps"] / summary["epochs"])
