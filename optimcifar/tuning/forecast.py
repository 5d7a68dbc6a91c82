"""How many runs a study has, and how long they take."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import yaml
from distributed import Client

from optimcifar.engine.cluster import first_epoch_times, places
from optimcifar.engine.run_times import earlier_times
from optimcifar.report.tuning.design import TuningDesign
from optimcifar.report.tuning.study import Trial, read_study
from optimcifar.runs.folder import ENDED
from optimcifar.text import count, duration
from optimcifar.tuning.plan import TuningPlan


def forecast(client: Client, plan: TuningPlan, design: TuningDesign, configurations: Mapping[str, str]) -> str:
    """Describe the numbers of runs, and the time of those that have not ended, in a line.

    Args:
        client: the cluster's client. It trains the first epoch of configurations without earlier runs.
        plan: the plan of the study.
        design: its design.
        configurations: the configurations as they are, by name, resolved, as YAML.

    Raises:
        RuntimeError: training failed.
    """
    names, seeds = len(design.spaces), len(design.trial_seeds)
    more = len(design.candidate_seeds) - seeds
    tuning = f"{design.trials} x {seeds}" if seeds > 1 else str(design.trials)
    tuning += f" + {more} x {design.candidates}" if more else ""
    finals = [len(design.comparison.new_seeds[0]), design.comparison.most_seeds]
    totals = [names * (design.tuning_runs + 2 * final) for final in finals]
    return (
        f"{count(names, 'configuration')} x ({tuning}) tuning runs + {names} x 2 x {_range(finals)} final runs = "
        f"{_range(totals)} runs, {_time(client, plan, design, configurations, finals)}"
    )


def _time(
    client: Client,
    plan: TuningPlan,
    design: TuningDesign,
    configurations: Mapping[str, str],
    finals: Sequence[int],
) -> str:
    """Write how long the runs take that have not ended, with the fewest and with the most final seeds."""
    seconds, workers = _seconds(client, plan, configurations), places(client)
    runs = {name: [run for trial in own for run in trial.runs.values()] for name, own in _trials(plan, design).items()}
    ended = {name: sum(run.status in ENDED for run in own) for name, own in runs.items()}
    times = []
    for final in finals:
        left = {name: max(design.tuning_runs + 2 * final - ended[name], 0) for name in seconds}
        times.append(sum(seconds[name] * left[name] for name in left if left[name]) / workers)
    if math.isinf(max(times)):
        return "without an end: a configuration has neither max_epochs nor max_steps"
    before = sum(ended.values())
    rest = f" for the rest ({count(before, 'run')} ended before)" if before else ""
    return f"about {_range([duration(time) for time in times])} on {count(workers, 'worker')}{rest}"


def _trials(plan: TuningPlan, design: TuningDesign) -> dict[str, list[Trial]]:
    return read_study(plan.out, design).trials


def _seconds(client: Client, plan: TuningPlan, configurations: Mapping[str, str]) -> dict[str, float]:
    """Return how long a run of each configuration takes, from earlier runs or from a first epoch."""
    times = earlier_times(dict(configurations), plan.out)
    unknown = [entry for entry in plan.entries if entry.name not in times]
    times |= first_epoch_times(client, plan.runs(unknown, [0]))
    return {name: times[name].of_run(yaml.safe_load(text)) for name, text in configurations.items()}


def _range(ends: Sequence[object]) -> str:
    """Write ``5``, or ``5 to 20``."""
    return " to ".join(dict.fromkeys(map(str, ends)))
