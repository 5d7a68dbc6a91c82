"""The trials of a study, the settings that they choose, and the comparison of those on other seeds."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from optimcifar.report.analysis import Analysis
from optimcifar.report.comparison import Comparison
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

    def value(self, seed: int) -> float:
        """Return the final validation accuracy with a seed; chance level for a run that diverged before it had one.

        It is NaN for a run that failed or is not over.
        """
        run = self.runs.get(seed)
        if run is None or run.status not in ENDED:
            return math.nan
        return Analysis([run], run.name).measured(run)

    def mean(self, seeds: Sequence[int]) -> float:
        """Return the mean value over those of the seeds that have one; NaN without any."""
        values = [value for seed in seeds if math.isfinite(value := self.value(seed))]
        return statistics.fmean(values) if values else math.nan


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
        """The best trials of each configuration on the seeds that all trials have, the best first.

        Trials without a value are none; of equal ones the earlier comes first.
        """
        return {name: self._best(trials) for name, trials in self.trials.items()}

    @cached_property
    def chosen(self) -> dict[str, Trial]:
        """The candidate of each configuration with the highest mean over the candidates' seeds.

        A configuration without any result has none.
        """
        seeds = self.design.candidate_seeds
        return {name: max(own, key=lambda trial: trial.mean(seeds)) for name, own in self.candidates.items() if own}

    @cached_property
    def comparison(self) -> Comparison:
        """The comparison of the chosen settings, named after their configurations, on the final seeds."""
        return self._comparison({name: trial.number for name, trial in self.chosen.items()})

    @cached_property
    def own_comparison(self) -> Comparison:
        """The same of the configurations' own settings."""
        return self._comparison(dict.fromkeys(self.chosen, 0))

    @cached_property
    def gains(self) -> dict[str, Difference]:
        """The difference of the chosen setting from the configuration's own; none where its own was chosen.

        They are a family of verdicts beside the comparison's.
        """
        tuned, own = self.comparison, self.own_comparison
        names = [name for name, trial in self.chosen.items() if trial.number]
        pairs = []
        for name in names:
            first, second = f"{name}, tuned", f"{name}, own"
            values = {first: tuned.values(name), second: own.values(name)}
            collapsed = {first: tuned.collapsed.get(name, ()), second: own.collapsed.get(name, ())}
            pairs.append(Pairs.of(first, second, values, {key: frozenset(seeds) for key, seeds in collapsed.items()}))
        return dict(zip(names, judge(pairs, tuned.stages), strict=True))

    def _trial(self, name: str, number: int) -> Trial:
        entry = trial_entry(name, number)
        runs = {seed: run for (of, seed), run in self.runs.items() if of == entry}
        return Trial(name, number, self.design.spaces[name].trials[number], runs)

    def _best(self, trials: Sequence[Trial]) -> list[Trial]:
        seeds = self.design.trial_seeds
        measured = [trial for trial in trials if math.isfinite(trial.mean(seeds))]
        return sorted(measured, key=lambda trial: (-trial.mean(seeds), trial.number))[: self.design.candidates]

    def _comparison(self, numbers: dict[str, int]) -> Comparison:
        runs = [
            replace(run, name=name, entry=name)
            for name, number in numbers.items()
            for seed, run in sorted(self.trials[name][number].runs.items())
            if seed < FIRST_TUNING_SEED
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
