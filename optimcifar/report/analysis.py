"""The analysis of runs: what is compared, the verdicts, and the figures of every configuration."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from optimcifar.report.configurations import differing_hyperparameters
from optimcifar.report.design import Design
from optimcifar.runs.folder import AVERAGES, ENDED, WEIGHTS
from optimcifar.runs.results import RunResult
from optimcifar.statistics.best_set import BestSet, best_set
from optimcifar.statistics.estimates import Estimate, estimate, is_at_chance
from optimcifar.statistics.on_demand import seeds_for_verdicts
from optimcifar.statistics.power import seeds_needed, smallest_difference, typical_spread
from optimcifar.statistics.samples import Pairs
from optimcifar.statistics.stages import FALSE_VERDICTS, Stage
from optimcifar.statistics.verdicts import Difference, judge

#: The metrics whose mean and interval a configuration has.
METRICS = (
    *("train_loss", "val_acc", "test_acc"),
    *(f"{metric}_{average}" for average in AVERAGES for metric in ("val_acc", "test_acc")),
)

#: The figures whose mean a configuration has.
COSTS = ("best_val_acc", "train_seconds", "images_per_second", "optimizer_step_ms", "optimizer_state_bytes")


@dataclass(frozen=True)
class Analysis:
    """Runs, and the baseline that their configurations are compared with. All results are computed once.

    Attributes:
        runs: all runs, with the names of their configurations.
        baseline: the name of the configuration that the others are compared with.
        target_acc: a validation accuracy, 0 to 1, to which steps and seconds are counted; None for none.
        design: how the comparison was planned; a single look at all seeds if it was not.
    """

    runs: list[RunResult] = field(repr=False)
    baseline: str
    target_acc: float | None = None
    design: Design = field(default_factory=Design)

    @cached_property
    def names(self) -> list[str]:
        """The configurations, in the order of the runs."""
        return list(dict.fromkeys(run.name for run in self.runs))

    @cached_property
    def measure(self) -> str:
        """What is compared: the validation accuracy, or the test accuracy if there are no validation images."""
        with_validation = any(math.isfinite(run.final("val_acc")) for run in self.runs)
        return "val_acc" if with_validation else "test_acc"

    @cached_property
    def validates_within_epochs(self) -> bool:
        """Whether any run that is over has validations elsewhere than at the ends of epochs."""
        return any(run.validates_within_epochs for name in self.names for run in self.ended(name))

    @cached_property
    def differing(self) -> list[str]:
        """The hyperparameters in which the runs differ."""
        return differing_hyperparameters(self.runs)

    @cached_property
    def averaged(self) -> list[tuple[str, str]]:
        """The averages that runs have, as pairs of configuration and average."""
        pairs = ((name, average) for name in self.names for average in AVERAGES)
        return [
            (name, average)
            for name, average in pairs
            if any(math.isfinite(self._last_value(run, average)) for run in self.ended(name))
        ]

    @cached_property
    def stages(self) -> list[Stage]:
        """The looks at the verdicts."""
        return self.design.planned_stages({run.seed for run in self.runs if run.seed is not None})

    @cached_property
    def differences(self) -> list[Difference]:
        """The difference of each other configuration from the baseline, paired by seed."""
        # The baseline may have no run yet.
        values = {name: self.values(name) for name in (*self.names, self.baseline)}
        others = [name for name in self.names if name != self.baseline]
        pairs = [Pairs.of(name, self.baseline, values, self.collapsed) for name in others]
        return judge(pairs, self.stages, planned=self.comparisons)

    @cached_property
    def absent(self) -> list[str]:
        """The planned configurations that have no run."""
        present = {run.entry for run in self.runs}
        return [name for name in self.design.configurations if name not in present]

    @property
    def comparisons(self) -> int:
        """The number of planned comparisons with the baseline."""
        return len(self.names) + len(self.absent) - 1

    @cached_property
    def gains(self) -> dict[tuple[str, str], Difference]:
        """The difference of each average in ``averaged`` from the final weights of the same runs."""
        pairs = []
        for name, average in self.averaged:
            averages = f"{name}, {average}"
            values = {averages: self.values(name, average), name: self.values(name)}
            pairs.append(Pairs.of(averages, name, values, self.collapsed))
        return dict(zip(self.averaged, judge(pairs, self.stages), strict=True))

    @cached_property
    def best(self) -> BestSet:
        """The configurations among which the best one is."""
        values = {name: self.values(name) for name in self.names} | {name: {} for name in self.absent}
        return best_set(values, self.collapsed, self.stages)

    @cached_property
    def spread(self) -> float:
        """The typical standard deviation of paired differences; NaN if nothing was compared."""
        return typical_spread((found.sd, found.n) for found in self.differences if math.isfinite(found.low))

    @cached_property
    def seeds_shown(self) -> int:
        """The number of pairs that decides what could have been shown; 0 if nothing was compared.

        That of a middling comparison; or that of the last stage, where every undecided configuration got its seeds
        unless they would hardly have brought a verdict.
        """
        pairs = [found.n for found in self.differences if math.isfinite(found.low)]
        if not pairs:
            return 0
        last = len(self.stages[-1].seeds)
        if self.design.stages and self.design.until == "verdicts" and self.is_finished:
            open_ones = seeds_for_verdicts(self.differences, self.comparisons, self.stages).names
            if max(pairs) == last or not open_ones:
                return last
        return statistics.median_low(pairs)

    @cached_property
    def is_finished(self) -> bool:
        """Whether every run is over, and every configuration has all seeds of a stage."""
        seeds = (sum(run.name == name and run.seed is not None for run in self.runs) for name in self.names)
        in_stages = not self.design.stages or all(number in self.design.stages for number in seeds)
        return in_stages and not any(run.status in ("running", "interrupted") for run in self.runs)

    @cached_property
    def smallest_difference(self) -> float:
        """The smallest true difference that would have been shown with 80 % power; NaN if nothing was compared."""
        if not self.seeds_shown or self.spread == 0:
            return math.nan
        level = next(stage.level for stage in self.stages if len(stage.seeds) >= self.seeds_shown)
        return smallest_difference(self.spread, self.seeds_shown, self.comparisons * FALSE_VERDICTS / level)

    def seeds_needed(self, found: Difference) -> float:
        """Return how many seeds a comparison would need at the difference measured, for a power of 80 %.

        They are more than it has, and infinity if there is no difference or no spread.
        """
        spread = typical_spread([(found.sd, found.n)])
        needed = seeds_needed(found.mean, spread, FALSE_VERDICTS / found.level) if spread else math.inf
        return max(needed, found.n + 1)

    @cached_property
    def collapsed(self) -> dict[str, frozenset[int]]:
        """By configuration, the seeds whose runs diverged or ended at chance level."""
        found = {name: [run for run in self.ended(name) if self.is_collapsed(run)] for name in self.names}
        return {name: frozenset(run.seed for run in runs if run.seed is not None) for name, runs in found.items()}

    @cached_property
    def configurations(self) -> list[Configuration]:
        """The figures of every configuration, the highest mean first; those without a mean come last."""
        found = [_configuration(self, name) for name in self.names]

        def order(configuration: Configuration) -> float:
            mean = configuration.metrics[self.measure].mean
            return math.inf if math.isnan(mean) else -mean

        return sorted(found, key=order)

    def ended(self, name: str) -> list[RunResult]:
        """Return the runs of a configuration that finished or diverged."""
        return [run for run in self.runs if run.name == name and run.status in ENDED]

    def difference(self, name: str) -> Difference | None:
        """Return the difference of a configuration from the baseline; None for the baseline itself."""
        return next((found for found in self.differences if found.configuration == name), None)

    def measured(self, run: RunResult, weights: str = "last") -> float:
        """Return what is compared, of a run's final weights or of an average, see ``WEIGHTS``.

        A run that diverged before it was measured is at chance level: its weights give every image the same class.
        """
        value = self._last_value(run, weights)
        return run.chance_level if math.isnan(value) and run.status == "diverged" else value

    def _last_value(self, run: RunResult, weights: str) -> float:
        if self.measure == "test_acc":
            return run.tests.get(weights, math.nan)
        return run.final(f"val_acc{WEIGHTS[weights]}")

    def values(self, name: str, weights: str = "last") -> dict[int, float]:
        """Return what is compared by seed; runs without a seed are never paired."""
        return {run.seed: self.measured(run, weights) for run in self.ended(name) if run.seed is not None}

    def is_at_chance(self, run: RunResult) -> bool:
        """Return whether a run ended with what guessing gives; False where the number of classes is not known."""
        classes = run.summary.get("classes")
        images = run.test_images if self.measure == "test_acc" else run.summary.get("val_images")
        return is_at_chance(self.measured(run), classes, images) if classes and images else False

    def is_collapsed(self, run: RunResult) -> bool:
        """Return whether a run diverged or ended at chance level."""
        return run.status == "diverged" or self.is_at_chance(run)


@dataclass(frozen=True)
class Target:
    """How many runs of a configuration reached the target accuracy, and when.

    Attributes:
        reached: number of runs that reached it.
        n: number of runs that are over, and whose validations are known.
        epochs: median of the epochs of those that reached it; NaN if none did.
        steps: median of their optimizer steps.
        seconds: median of their seconds of training.
    """

    reached: int
    n: int
    epochs: float
    steps: float
    seconds: float


@dataclass(frozen=True)
class Configuration:
    """The figures of a configuration.

    Means and intervals are over its seeded runs that finished or diverged. If none of its runs is seeded, means are
    over those, without intervals.

    Attributes:
        name: its name.
        seeds: number of seeds.
        runs: number of runs that are counted.
        diverged: number of them that diverged.
        at_chance: number of them that finished at chance level.
        not_finished: number of runs that neither finished nor diverged.
        metrics: means and intervals of ``METRICS``.
        costs: means of ``COSTS``; NaN for what was not measured.
        target: how many runs reached the target accuracy, and when; None without a target.
        difference: the difference from the baseline; None for the baseline.
        among_the_best: whether the best may be this one; None if it cannot be compared.
        gains: the difference of each of its averages from the final weights.
        hyperparameters: its settings.
    """

    name: str
    seeds: int
    runs: int
    diverged: int
    at_chance: int
    not_finished: int
    metrics: dict[str, Estimate]
    costs: dict[str, float]
    target: Target | None
    difference: Difference | None
    among_the_best: bool | None
    gains: dict[str, Difference]
    hyperparameters: dict[str, Any]


def metric_of(run: RunResult, name: str) -> float:
    """Return one of ``METRICS`` of a run."""
    prefix, _, average = name.partition("test_acc")
    return run.final(name) if prefix else run.tests.get(average.lstrip("_") or "last", math.nan)


def cost_of(run: RunResult, name: str) -> float | None:
    """Return one of ``COSTS`` of a run."""
    value: float | None = run.best()[0] if name == "best_val_acc" else run.summary.get(name)
    return value


def _configuration(analysis: Analysis, name: str) -> Configuration:
    own = [run for run in analysis.runs if run.name == name]
    ended = analysis.ended(name)
    seeded = [run for run in ended if run.seed is not None]
    counted = seeded or ended
    best = analysis.best
    return Configuration(
        name,
        seeds=len(seeded),
        runs=len(counted),
        diverged=sum(run.status == "diverged" for run in counted),
        at_chance=sum(run.status == "finished" and analysis.is_at_chance(run) for run in counted),
        not_finished=len(own) - len(ended),
        metrics={metric: _metric(analysis, metric, counted, bool(seeded)) for metric in METRICS},
        costs={cost: _mean_of_known([cost_of(run, cost) for run in counted]) for cost in COSTS},
        target=None if analysis.target_acc is None else _target(counted, analysis.target_acc),
        difference=analysis.difference(name),
        among_the_best=None if name in best.not_comparable else name in best.members,
        gains={average: gain for (of, average), gain in analysis.gains.items() if of == name},
        hyperparameters=next((run.hyperparameters for run in own if run.hyperparameters), {}),
    )


def _metric(analysis: Analysis, metric: str, runs: list[RunResult], seeded: bool) -> Estimate:
    values = [analysis.measured(run) if metric == analysis.measure else metric_of(run, metric) for run in runs]
    found = estimate(values) if metric == "train_loss" else estimate(values, least=0, most=1)
    return found if seeded else Estimate(found.mean, math.nan, math.nan, found.n, found.missing)


def _mean_of_known(values: Sequence[float | None]) -> float:
    known = [value for value in values if value is not None and math.isfinite(value)]
    return statistics.fmean(known) if known else math.nan


def _target(runs: Sequence[RunResult], accuracy: float) -> Target:
    known = [found for run in runs if not math.isnan((found := run.to_target(accuracy)).steps)]
    reached = [found for found in known if math.isfinite(found.steps)]

    def median(values: Iterable[float]) -> float:
        return statistics.median(values) if reached else math.nan

    return Target(
        len(reached),
        len(known),
        epochs=median(found.epochs for found in reached),
        steps=median(found.steps for found in reached),
        seconds=median(found.seconds for found in reached),
    )
