"""How many runs a study has, and how long they take."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import yaml
from distributed import Client

from optimcifar.engine.cluster import first_epoch_times, places
from optimcifar.engine.run_times import earlier_times
from optimcifar.report.tuning.design import TuningDesign
from optimcifar.report.tuning.study import Study, read_study
from optimcifar.runs.folder import ENDED
from optimcifar.text import count, duration
from optimcifar.tuning.plan import TuningPlan


def forecast(client: Client, plan: TuningPlan, design: TuningDesign, configurations: Mapping[str, str]) -> str:
    """Describe the numbers of runs, and the time that the remaining ones take, in a line.

    Args:
        client: the cluster's client. It trains the first epoch of configurations without earlier runs.
        plan: the plan of the study.
        design: its design.
        configurations: the untuned configurations by name, resolved, as YAML.

    Raises:
        RuntimeError: training failed.
    """
    names, seeds = len(design.spaces), len(design.trial_seeds)
    more = len(design.candidate_seeds) - seeds
    tuning = f"{design.trials} x {seeds}" if seeds > 1 else str(design.trials)
    tuning += f" + {more} x {design.candidates}" if more else ""
    stages = design.comparison.new_seeds
    finals = [stages[0], [seed for stage in stages for seed in stage]]
    totals = [names * (design.tuning_runs + 2 * len(seeds)) for seeds in finals]
    return (
        f"{count(names, 'configuration')} x ({tuning}) tuning runs + {names} x 2 x {_range(map(len, finals))} final "
        f"runs = {_range(totals)} runs, {_time(client, plan, design, configurations, finals)}"
    )


def _time(
    client: Client,
    plan: TuningPlan,
    design: TuningDesign,
    configurations: Mapping[str, str],
    finals: Sequence[Sequence[int]],
) -> str:
    """Write how long the remaining runs take, with the fewest and with the most final seeds."""
    seconds, workers, study = _seconds(client, plan, configurations), places(client), read_study(plan.out, design)
    left = [{name: _runs_left(study, name, seeds) for name in seconds} for seeds in finals]
    times = [sum(seconds[name] * number for name, number in own.items() if number) / workers for own in left]
    if math.isinf(max(times)):
        return "without an end: a configuration has neither max_epochs nor max_steps"
    before = sum(run.status in ENDED for run in study.runs.values())
    if not sum(left[-1].values()):
        return "all of which have ended"
    rest = f" for the rest ({count(before, 'run')} ended before)" if before else ""
    return f"about {_range([duration(time) for time in times])} on {count(workers, 'worker')}{rest}"


def _runs_left(study: Study, name: str, final_seeds: Sequence[int]) -> int:
    """Return how many runs of a configuration are left; before the choice, final runs count for two settings."""
    if missing := study.missing_tuning_runs_of(name):
        return missing + 2 * len(final_seeds)
    return sum(trial.missing(final_seeds) for trial in study.finalists if trial.configuration == name)


def _seconds(client: Client, plan: TuningPlan, configurations: Mapping[str, str]) -> dict[str, float]:
    """Return how long a run of each configuration takes, from earlier runs or from a first epoch."""
    times = earlier_times(dict(configurations), plan.out)
    unknown = [entry for entry in plan.entries if entry.name not in times]
    times |= first_epoch_times(client, plan.runs(unknown, [0]))
    return {name: times[name].of_run(yaml.safe_load(text)) for name, text in configurations.items()}


def _range(ends: Iterable[object]) -> str:
    """Write ``5``, or ``5 to 20``."""
    return " to ".join(dict.fromkeys(map(str, ends)))
