"""What to beware of in a comparison."""

from __future__ import annotations

from optimcifar.report.analysis import Analysis
from optimcifar.runs.results import RunResult
from optimcifar.text import count, listing, percent

#: The hashes in a run's summary that show whether two runs started alike, and what differs if they are not equal.
START_HASHES = {
    "initial_weights_sha256": "initial weights",
    "first_epoch_order_sha256": "images, their split or their order",
}


def cautions(analysis: Analysis) -> list[str]:
    """Return a sentence for everything that makes the verdicts weaker than they look."""
    return [
        *_looks(analysis),
        *_not_over(analysis.runs),
        *_unfinished_stage(analysis),
        *_at_chance(analysis),
        *_unequal_starts(analysis.runs),
        *_without_courses(analysis.runs),
    ]


def _looks(analysis: Analysis) -> list[str]:
    looks, most = analysis.design.looks, percent(analysis.design.false_verdicts)
    if looks == 1:
        return []
    return [f"Looked at {looks} times, the seeds planned anew each time: false verdicts up to {most}."]


def _not_over(runs: list[RunResult]) -> list[str]:
    going_on = [run for run in runs if run.status in ("running", "interrupted")]
    if not going_on:
        return []
    are = "is" if len(going_on) == 1 else "are"
    return [f"{count(len(going_on), 'run')} {are} not over, and left out: verdicts may change when they are."]


def _unfinished_stage(analysis: Analysis) -> list[str]:
    """Warn of verdicts between two stages: they were not planned, and may vanish."""
    if not analysis.design.stages or analysis.is_finished:
        return []
    return ["A stage is not finished: verdicts may change when it is."]


def _at_chance(analysis: Analysis) -> list[str]:
    if not any(configuration.at_chance for configuration in analysis.configurations):
        return []
    return ["A run at chance ended no better than guessing."]


def _unequal_starts(runs: list[RunResult]) -> list[str]:
    lines = []
    for seed in sorted({run.seed for run in runs if run.seed is not None}):
        of_seed = [run for run in runs if run.seed == seed]
        for key, what in START_HASHES.items():
            if len({run.summary[key] for run in of_seed if run.summary.get(key) is not None}) > 1:
                lines.append(
                    f"Runs with seed {seed} differ in their {what}: the differences between them are not due to the "
                    "optimizer alone."
                )
    return lines


def _without_courses(runs: list[RunResult]) -> list[str]:
    found = [run.name for run in runs if run.epochs and not run.rows]
    if not found:
        return []
    return [
        f"No metrics.csv of RunLogger in {listing(dict.fromkeys(found))}: the last epoch's figures are those of "
        "summary.json, and those of the other epochs are not known."
    ]
