"""The trials of a study, the settings that they choose, and the comparison of those on other seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from optimcifar.report.comparison import Comparison
from optimcifar.report.labels import short_keys
from optimcifar.report.tuning.design import FIRST_TUNING_SEED, TuningDesign, trial_entry
from optimcifar.runs.folder import ENDED, comparison_runs
from optimcifar.runs.results import RunResult, read_run
from optimcifar.statistics.samples import Pairs
from optimcifar.statistics.verdicts import Difference, judge


@dataclass(frozen=True)
class Trial:
    """A setting of a configuration, and its runs.

    Attributes:
        configuration: the configuration's name.
        number: its number; 0 stands for the configuration's own setting.
        setting: the values of the hyperparameters.
        runs: its runs by seed, those of tuning and the final ones.
    """

    configuration: str
    number: int
    setting: dict[str, Any]
    runs: dict[int, RunResult]

    @property
    def tuning_runs(self) -> list[RunResult]:
        """Its runs with tuning seeds, in their order."""
        return [run for seed, run in sorted(self.runs.items()) if seed >= FIRST_TUNING_SEED]

    @property
    def final_runs(self) -> list[RunResult]:
        """Its runs with other seeds, in their order."""
        return [run for seed, run in sorted(self.runs.items()) if seed < FIRST_TUNING_SEED]

    def missing(self, seeds: Iterable[int]) -> int:
        """Return how many of the seeds have no run that is over; one that failed is over."""
        return sum(seed not in self.runs or self.runs[seed].status not in (*ENDED, "failed") for seed in seeds)

    def value(self, seed: int) -> float:
        """Return the final validation accuracy with a seed; chance level for a run that diverged.

        Its last accuracy would say nothing of its weights, which are not finite. The value is NaN for a run that failed
        or is not over.
        """
        run = self.runs.get(seed)
        if run is None or run.status not in ENDED:
            return math.nan
        if run.status == "diverged" and math.isfinite(run.chance_level):
            return run.chance_level
        return run.final("val_acc")

    def values(self, seeds: Sequence[int]) -> dict[int, float]:
        """Return the values by seed, without seeds that have none."""
        return {seed: value for seed in seeds if math.isfinite(value := self.value(seed))}

    def mean(self, seeds: Sequence[int]) -> float:
        """Return the mean value over the seeds that have one; NaN if none has."""
        values = self.values(seeds)
        return statistics.fmean(values.values()) if values else math.nan


@dataclass(frozen=True)
class Study:
    """The runs of a study. Nothing with a tuning seed is in its comparison.

    Attributes:
        design: how the configurations are tuned and compared.
        runs: all runs, by the name of their folder and by seed.
    """

    design: TuningDesign
    runs: dict[tuple[str, int], RunResult]

    @cached_property
    def trials(self) -> dict[str, list[Trial]]:
        """All trials of each configuration."""
        return {
            name: [self._trial(name, number) for number in range(self.design.trials)] for name in self.design.spaces
        }

    @cached_property
    def candidates(self) -> dict[str, list[Trial]]:
        """The best trials of each configuration on the seeds that all trials have, the best first; see ``ranked``."""
        seeds = self.design.trial_seeds
        return {name: ranked(trials, seeds)[: self.design.candidates] for name, trials in self.trials.items()}

    @cached_property
    def chosen(self) -> dict[str, Trial]:
        """The candidate of each configuration with the highest mean over the candidates' seeds; see ``ranked``.

        A configuration without any result has none. Before all runs with these seeds are over, the choice may change.
        """
        seeds = self.design.candidate_seeds
        return {name: ranked(own, seeds)[0] for name, own in self.candidates.items() if own}

    @cached_property
    def keys(self) -> list[str]:
        """The hyperparameters that any trial sets, those of the spaces and those that follow them."""
        return list(dict.fromkeys(key for own in self.design.spaces.values() for key in own.trials[0]))

    @cached_property
    def key_names(self) -> dict[str, str]:
        """How each of the hyperparameters is written for readers, such as ``lr``."""
        return short_keys(self.keys)

    @cached_property
    def tuning_runs(self) -> dict[str, list[RunResult]]:
        """The runs with tuning seeds, named after their configurations, in the order of trials and seeds."""
        return {
            name: [replace(run, name=name, entry=name) for trial in trials for run in trial.tuning_runs]
            for name, trials in self.trials.items()
        }

    @cached_property
    def finalists(self) -> list[Trial]:
        """The trials that have final runs: the chosen one of each configuration, and its own setting."""
        return [
            trial
            for name, chosen in self.chosen.items()
            for trial in ([chosen, self.trials[name][0]] if chosen.number else [chosen])
        ]

    @property
    def missing_tuning_runs(self) -> int:
        """The number of planned tuning runs that are not over."""
        return sum(map(self.missing_tuning_runs_of, self.trials))

    @property
    def missing_final_runs(self) -> int:
        """The number of planned final runs that are not over; with seeds on demand, of those of the first stage."""
        planned = self.design.comparison
        seeds = planned.seeds or range(planned.stages[0] if planned.stages else 0)
        return sum(trial.missing(seeds) for trial in self.finalists)

    @cached_property
    def comparison(self) -> Comparison:
        """The comparison of the chosen settings, named after their configurations, on the final seeds."""
        return self._comparison({name: trial.number for name, trial in self.chosen.items()})

    @cached_property
    def own_comparison(self) -> Comparison:
        """The same comparison of the configurations' own settings."""
        return self._comparison(dict.fromkeys(self.chosen, 0))

    @cached_property
    def gains(self) -> dict[str, Difference]:
        """The difference of the chosen setting from the configuration's own.

        Configurations that keep their own setting, or have no final run yet, are left out. The verdicts are a family
        of their own, beside the comparison's.
        """
        tuned, own = self.comparison, self.own_comparison
        planned = [name for name, trial in self.chosen.items() if trial.number]
        names, pairs = [name for name in planned if name in tuned.names], []
        for name in names:
            first, second = f"{name}, tuned", f"{name}, own"
            values = {first: tuned.values(name), second: own.values(name)}
            collapsed = {first: tuned.collapsed.get(name, ()), second: own.collapsed.get(name, ())}
            pairs.append(Pairs.of(first, second, values, {key: frozenset(seeds) for key, seeds in collapsed.items()}))
        return dict(zip(names, judge(pairs, tuned.stages, len(planned)), strict=True))

    def _trial(self, name: str, number: int) -> Trial:
        entry = trial_entry(name, number)
        runs = {seed: run for (of, seed), run in self.runs.items() if of == entry}
        return Trial(name, number, self.design.spaces[name].trials[number], runs)

    def missing_tuning_runs_of(self, name: str) -> int:
        """Return the number of a configuration's planned tuning runs that are not over."""
        design, candidates = self.design, self.candidates[name]
        missing = sum(trial.missing(design.trial_seeds) for trial in self.trials[name])
        more = design.candidate_seeds[len(design.trial_seeds) :]
        to_come = design.candidates - len(candidates) if missing else 0
        return missing + sum(trial.missing(more) for trial in candidates) + to_come * len(more)

    def tuning_seconds(self, name: str) -> float:
        """Return the seconds of training of all tuning runs of a configuration."""
        seconds = [run.summary.get("train_seconds") for run in self.tuning_runs[name]]
        return math.fsum(value for value in seconds if value is not None)

    def _comparison(self, numbers: dict[str, int]) -> Comparison:
        runs = [
            replace(run, name=name, entry=name)
            for name, number in numbers.items()
            for run in self.trials[name][number].final_runs
        ]
        design = self.design.comparison
        baseline = design.baseline or design.configurations[0]
        return Comparison(runs, baseline, design.target_acc, design)


def read_study(folder: Path, design: TuningDesign | None = None) -> Study:
    """Read the runs of a study.

    Args:
        folder: its folder.
        design: its design; None for that in the folder.

    Raises:
        RuntimeError: the folder holds no study, or it is damaged.
    """
    design = design or TuningDesign.read(folder)
    if design is None:
        raise RuntimeError(f"{folder} holds no study: optimcifar tune writes tuning.json there")
    found = [read_run(run, entry=run.path.parent.name) for run in comparison_runs(folder)]
    return Study(design, {(run.name, run.seed): run for run in found if run.seed is not None})


def ranked(trials: Sequence[Trial], seeds: Sequence[int]) -> list[Trial]:
    """Return the trials that have a value, the highest mean first; of equal ones the earlier.

    A trial that lacks a seed, because a run failed or is not over, comes after those that have more: means over
    different seeds cannot be compared.
    """
    measured = [trial for trial in trials if trial.values(seeds)]
    return sorted(measured, key=lambda trial: (-len(trial.values(seeds)), -trial.mean(seeds), trial.number))
