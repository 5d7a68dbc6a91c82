"""Made-up comparisons over workloads: runs that reach a target in given epochs, of two seconds each."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers import make_run

from optimcifar.report.design import Design
from optimcifar.report.workloads.design import WorkloadsDesign

#: By workload and configuration.
Epochs = Mapping[str, Mapping[str, Sequence[int | None]]]

#: The epochs after which each seed of a configuration reaches the target of a workload; None for never.
EPOCHS: Epochs = {
    "small": {"sgd": [3, 3, 4], "adam": [2, 2, 1], "rmsprop": [None, None, 1]},
    "wide": {"sgd": [1, 1, 1], "adam": [3, 4, 3], "rmsprop": [2, None, 2]},
    "hard": {"sgd": [None, None, 2], "adam": [None, None, None], "rmsprop": [None, None, None]},
}

TARGETS = {"small": 0.5, "wide": 0.6, "hard": 0.9}

_EPOCHS = 4


def make_workloads(
    out: Path,
    epochs: Epochs = EPOCHS,
    targets: Mapping[str, float | None] = TARGETS,
    **summary: Any,
) -> None:
    """Write a comparison over workloads.

    Args:
        out: its folder.
        epochs: as ``EPOCHS``; a workload without configurations has no run.
        targets: the target of each workload.
        summary: more values of the summaries of all runs.
    """
    WorkloadsDesign(tuple(epochs)).write(out)
    for workload, configurations in epochs.items():
        names = tuple(configurations)
        Design(names, next(iter(names), None), targets[workload], seeds=(0, 1, 2)).write(out / workload)
        for name, own in configurations.items():
            for seed, epoch in enumerate(own):
                make_run(
                    out / workload / "runs" / name / f"seed-{seed}", seed, _course(epoch, targets[workload]), **summary
                )


def change_summary(run: Path, **values: Any) -> None:
    """Change values of a run's summary."""
    path = run / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def _course(epoch: int | None, target: float | None) -> list[float]:
    """Return accuracies that are at the target from an epoch on, and below it before."""
    high = target or 0.5
    return [high if epoch and number >= epoch else high - 0.1 + 0.01 * number for number in range(1, _EPOCHS + 1)]
