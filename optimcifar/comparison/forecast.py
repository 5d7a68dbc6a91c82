"""What a comparison would cost and what it could show: ``optimcifar compare --plan``."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Self

import yaml
from distributed import Client

from optimcifar.comparison.compare import check_plan, with_looks
from optimcifar.comparison.plan import Plan
from optimcifar.comparison.seeds import DEFAULT_SEEDS
from optimcifar.engine.cluster import connect, first_epoch_times, places
from optimcifar.engine.run_times import EpochTime, earlier_times
from optimcifar.errors import UsageError
from optimcifar.report.comparison import read_comparison
from optimcifar.report.design import Design
from optimcifar.runs.folder import ENDED, RunFolder
from optimcifar.statistics.power import MEASURED_SD, MOST_SEEDS, seeds_needed, smallest_difference
from optimcifar.statistics.samples import FEWEST_SEEDS
from optimcifar.text import conjunction, count, duration, listing, percent

# The differences whose seeds are listed.
_DIFFERENCES = (0.005, 0.01, 0.02, 0.05)

# With more configurations, so many comparisons share the 5 % that the default number of seeds shows little.
_FEW_CONFIGURATIONS = 4
_SEEDS_FOR_MANY = 10


def forecast(plan: Plan, spread_of: Path | None = None) -> Iterator[str]:
    """Yield lines on what a comparison would cost and what it could show; write nothing.

    One epoch of each configuration without earlier runs is trained, to see how long it takes.

    Args:
        plan: the comparison.
        spread_of: a comparison that says how much paired differences scatter; None for the spread of the default
            network.

    Raises:
        UsageError: a run's options are wrong, or the folder has runs with other settings.
        RuntimeError: the cluster cannot be reached, or training failed.
    """
    sd, source = spread(spread_of)
    yield plan.describe()
    with connect(plan.cluster, plan.out, plan.entries) as client:
        yield from time_rows(client, plan, check_plan(client, plan))
    yield from power_rows(plan.design, sd, source)
    yield from look_rows(plan)


@dataclass(frozen=True)
class TimeLeft:
    """The time for the runs that have not ended yet.

    Attributes:
        fewest: seconds, if there will be as few runs as possible; infinity for a run without an end.
        most: seconds, if there will be as many as possible.
        left: number of runs left, at most.
        ended: number of runs that ended before.
        workers: number of workers that share the runs.
    """

    fewest: float
    most: float
    left: int
    ended: int
    workers: int

    def __add__(self, other: Self) -> Self:
        """Return the time for both sets of runs, one after the other on the same workers."""
        fewest, most, left = self.fewest + other.fewest, self.most + other.most, self.left + other.left
        return type(self)(fewest, most, left, self.ended + other.ended, self.workers)

    def describe(self) -> str:
        """Write ``about 12 minutes on 2 workers``."""
        if math.isinf(self.most):
            return "no end: a configuration has neither max_epochs nor max_steps"
        ended = f"{count(self.ended, 'run')} ended before"
        if not self.left:
            return f"none: {ended}"
        text = " to ".join(dict.fromkeys((duration(self.fewest), duration(self.most))))
        return f"about {text} on {count(self.workers, 'worker')}{f' for the rest ({ended})' if self.ended else ''}"


def time_rows(client: Client, plan: Plan, resolved: Sequence[str]) -> Generator[str, None, TimeLeft]:
    """Yield lines on how long the runs take, and return their time.

    Args:
        client: the cluster's client.
        plan: the comparison.
        resolved: its resolved configurations as YAML.
    """
    configurations = dict(zip(plan.design.configurations, resolved, strict=True))
    times = earlier_times(configurations, plan.out)
    if unknown := [name for name in configurations if name not in times]:
        yield row("measuring", f"one epoch of {listing(unknown)}, without earlier runs")
        times |= first_epoch_times(client, plan.runs(plan.design.new_seeds[0][:1], unknown))
    seconds = {name: times[name].of_run(yaml.safe_load(text)) for name, text in configurations.items()}
    left = _time_left(plan, seconds, places(client))
    yield row("time", f"{left.describe()}, {_source(times)}")
    return left


def power_rows(design: Design, sd: float, source: str) -> Iterator[str]:
    """Yield lines on what a comparison could show; nothing if it compares nothing.

    Args:
        design: the comparison's design.
        sd: the standard deviation of paired differences in accuracy, 0 to 1.
        source: where it comes from.
    """
    if len(design.configurations) > 1:
        yield row("could show", f"{_shown(design, sd)}, {source}")
        yield row("needed", _needed(design, sd))
        yield row("recommended", recommendation(design, sd) or "no more seeds")


def look_rows(plan: Plan) -> Iterator[str]:
    """Yield a caution if this is not the first look at the runs of a comparison."""
    design = with_looks(plan)
    if design.looks > 1 and len(design.configurations) > 1:
        most = percent(design.false_verdicts)
        yield row("caution", f"this is look {design.looks} at these runs: false verdicts up to {most}")


def recommendation(design: Design, sd: float = MEASURED_SD) -> str | None:
    """Recommend more seeds than are planned, and say what they would show; None if enough are planned.

    Args:
        design: the comparison's design.
        sd: the standard deviation of paired differences in accuracy, 0 to 1.
    """
    configurations, planned = len(design.configurations), design.most_seeds
    enough = DEFAULT_SEEDS if configurations <= _FEW_CONFIGURATIONS else _SEEDS_FOR_MANY
    if planned >= enough or configurations == 1:
        return None
    option = f"--max_seeds {enough}" if design.stages else f"--seeds {enough} (or auto)"
    least = smallest_difference(sd, enough, design.tests)
    than = f"{smallest_difference(sd, planned, design.tests):.3f}" if planned >= FEWEST_SEEDS else "nothing"
    return (
        f"{option} for {configurations} configurations: it shows differences of {least:.3f} or more, instead of {than} "
        f"with {count(planned, 'seed')}"
    )


def spread(folder: Path | None) -> tuple[float, str]:
    """Return the standard deviation of paired differences, and where it comes from.

    Raises:
        UsageError: nothing was compared in the folder.
        RuntimeError: it holds no run, or a damaged one.
    """
    if folder is None:
        return MEASURED_SD, "as on the default network after 10 epochs (--from FOLDER uses that of a comparison)"
    sd = read_comparison(folder).spread
    if math.isnan(sd):
        raise UsageError(f"--from {folder}: no two configurations have {FEWEST_SEEDS} seeds in common")
    if sd == 0:
        raise UsageError(f"--from {folder}: the differences have no spread")
    return sd, f"as in {folder}"


def _time_left(plan: Plan, seconds: Mapping[str, float], workers: int) -> TimeLeft:
    left = [
        [run for run in plan.runs(seeds) if RunFolder(run.folder).status() not in ENDED]
        for seeds in plan.design.new_seeds
    ]
    times = [[seconds[run.name] for run in runs] for runs in (left[0], chain.from_iterable(left))]
    fewest, most = (max(sum(own) / workers, max(own, default=0)) for own in times)
    return TimeLeft(fewest, most, len(times[1]), plan.run_numbers[1] - len(times[1]), workers)


def _source(times: dict[str, EpochTime]) -> str:
    earlier, new = sum(time.runs for time in times.values()), sum(not time.runs for time in times.values())
    parts = [f"{count(earlier, 'earlier run')}"] if earlier else []
    parts += [f"one epoch of {count(new, 'configuration')}"] if new else []
    return f"from {conjunction(parts)}; validation included; tests and the start of the workers not"


def _shown(design: Design, sd: float) -> str:
    if design.most_seeds < FEWEST_SEEDS:
        return f"nothing: a verdict needs {FEWEST_SEEDS} seeds"
    least = smallest_difference(sd, design.most_seeds, design.tests)
    when = " in the last stage" if design.stages else ""
    return f"a difference of {least:.3f} or more{when}, with 80 % power; paired differences have an SD of {sd:.3f}"


def _needed(design: Design, sd: float) -> str:
    numbers = [(difference, seeds_needed(difference, sd, design.tests)) for difference in _DIFFERENCES]
    known = [
        (difference, f"{seeds}" if seeds <= MOST_SEEDS else f"over {MOST_SEEDS:,}") for difference, seeds in numbers
    ]
    return f"seeds to show a difference: {', '.join(f'{seeds} for {difference:g}' for difference, seeds in known)}"


def row(label: str, text: str) -> str:
    """Write a label and its text in 80 columns."""
    return textwrap.fill(text, 80, initial_indent=f"{label:<13}", subsequent_indent=" " * 13, break_on_hyphens=False)
