"""Tune configurations with equal budgets, then compare them on fresh seeds."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from distributed import Client

from optimcifar.comparison.compare import train_in_stages
from optimcifar.engine.cluster import check_runs, connect, make_runs
from optimcifar.engine.progress import RunTable, resumable
from optimcifar.engine.runs import Entry, Run, with_values
from optimcifar.engine.settings import refuse_changes, refuse_equal_configurations, refuse_other_purpose
from optimcifar.engine.worker import RunEnd
from optimcifar.report.tuning.design import FIRST_TUNING_SEED, TuningDesign
from optimcifar.report.tuning.study import Study, read_study
from optimcifar.runs.folder import ENDED
from optimcifar.spaces.values import option_text
from optimcifar.tuning.forecast import forecast
from optimcifar.tuning.plan import TuningPlan, refuse_changed_spaces, tuning_space
from optimcifar.tuning.resolved import ResolvedConfiguration, refuse_without_validation
from optimcifar.tuning.tuned_files import write_tuned


def train(plan: TuningPlan) -> dict[Run, RunEnd]:
    """Train the runs of a study, and write ``tuned/<name>.yaml``; print what it does, and return how each run ended.

    Raises:
        UsageError: an option or a space is wrong, or the folder has runs with other settings.
        RuntimeError: the cluster cannot be reached, or no trial of the baseline has a result.
    """
    with _tuning(plan) as tuning:
        print(f"{tuning.describe()}, in {plan.out}", flush=True)
        tuning.design.write(plan.out)
        with resumable(plan.out):
            tuning.train()
        return tuning.ends


def describe(plan: TuningPlan) -> str:
    """Describe how many runs a study has and how long they take; write nothing.

    Raises:
        UsageError: an option or a space is wrong, or the folder has runs with other settings.
        RuntimeError: the cluster cannot be reached.
    """
    with _tuning(plan) as tuning:
        return tuning.describe()


@contextmanager
def _tuning(plan: TuningPlan) -> Iterator[_Tuning]:
    refuse_other_purpose(plan.out, "study")
    with connect(plan.cluster, plan.out, plan.entries) as client:
        own = check_runs(client, plan.runs(plan.entries, [0]))
        resolved = {entry.name: ResolvedConfiguration(text) for entry, text in zip(plan.entries, own, strict=True)}
        for name, configuration in resolved.items():
            refuse_without_validation(name, configuration)
        _refuse_unknown_options(client, plan, resolved)
        spaces = {name: tuning_space(plan, name, configuration) for name, configuration in resolved.items()}
        design = TuningDesign(spaces, plan.tuning_seeds, plan.comparison)
        texts = dict(zip(resolved, own, strict=True))
        tuning = _Tuning(client, plan, _after(design, plan), texts)
        tuning.check()
        yield tuning


def _refuse_unknown_options(client: Client, plan: TuningPlan, resolved: Mapping[str, ResolvedConfiguration]) -> None:
    """Refuse to tune an option that ``fit`` does not have, with the message of ``fit``."""
    entries = []
    for entry in plan.entries:
        tried, _ = plan.spaces.get(entry.name, ({}, ""))
        unknown = {key: option_text(of.at(0)) for key, of in tried.items() if resolved[entry.name].get(key) is None}
        entries += [with_values(entry, unknown, entry.name)] if unknown else []
    check_runs(client, plan.runs(entries, [0]))


def _after(design: TuningDesign, plan: TuningPlan) -> TuningDesign:
    """Return the design with its looks counted: earlier final results in the folder may have led to it.

    Raises:
        UsageError: a different space was tried in the same folder.
    """
    before = TuningDesign.read(plan.out)
    if before is None:
        return design
    refuse_changed_spaces(design, before, plan.out)
    runs = read_study(plan.out, before).runs
    seen = {seed for (_, seed), run in runs.items() if seed < FIRST_TUNING_SEED and run.status in ENDED}
    comparison = design.comparison.after(before.comparison, seen)
    chosen_anew = (design.trials, design.tuning_seeds) != (before.trials, before.tuning_seeds)
    if seen and chosen_anew and comparison.looks == before.comparison.looks:
        comparison = replace(comparison, looks=comparison.looks + 1)
    return replace(design, comparison=comparison)


@dataclass
class _Tuning:
    """A study in progress.

    Attributes:
        client: the cluster's client.
        plan: the plan.
        design: how the configurations are tuned and compared.
        configurations: the untuned configurations by name, resolved, as YAML.
        ends: how the runs ended.
    """

    client: Client
    plan: TuningPlan
    design: TuningDesign
    configurations: Mapping[str, str]
    ends: dict[Run, RunEnd] = field(default_factory=dict)

    @property
    def study(self) -> Study:
        """The results so far."""
        return read_study(self.plan.out, self.design)

    def check(self) -> None:
        """Refuse trials that cannot be built, and a folder that has runs with other settings.

        Raises:
            UsageError: something is refused.
        """
        trials = self.plan.runs(self._all_trials(), self.design.trial_seeds[:1])
        configurations = check_runs(self.client, trials)
        own = len(self.plan.entries)
        refuse_equal_configurations(trials[:own], configurations[:own])
        refuse_changes(trials, configurations)

    def describe(self) -> str:
        """Describe how many runs there are and how long they take."""
        return forecast(self.client, self.plan, self.design, self.configurations)

    def train(self) -> None:
        """Train the trials, then the candidates, then the chosen settings and the configurations' own."""
        design = self.design
        with RunTable() as table:
            table.expect(len(design.spaces) * (design.tuning_runs + 2 * design.comparison.most_seeds))
            self._train(self.plan.runs(self._all_trials(), design.trial_seeds), table)
            candidates = [
                self._trial_entry(trial.configuration, trial.number)
                for trials in self.study.candidates.values()
                for trial in trials
            ]
            self._train(self.plan.runs(candidates, design.candidate_seeds[len(design.trial_seeds) :]), table)
            study = self.study
            for line in self._choices(study):
                table.print(line)
            write_tuned(self.client, self.plan, study)
            final = len(self._final_entries(study, design.spaces)) * design.comparison.most_seeds
            table.expect(len(self.ends) + final)

            def train_final(seeds: Sequence[int], names: Collection[str]) -> bool:
                entries = self._final_entries(study, names)
                return self._train(self.plan.runs(entries, seeds, are_tested=True), table)

            train_in_stages(design.comparison, train_final, lambda: self.study.comparison, table.print)

    def _train(self, runs: list[Run], table: RunTable) -> bool:
        """Train runs; return whether any has a result."""
        table.add(runs)
        ends = make_runs(self.client, runs, table.show)
        self.ends |= ends
        return any(end.status in ENDED for end in ends.values())

    def _all_trials(self) -> list[Entry]:
        """Return the entries of the first trial of all configurations, then of the second, and so on."""
        numbers = range(self.design.trials)
        return [self._trial_entry(entry.name, number) for number in numbers for entry in self.plan.entries]

    def _trial_entry(self, name: str, number: int) -> Entry:
        entry = next(entry for entry in self.plan.entries if entry.name == name)
        return self.plan.trial(entry, self.design.spaces[name], number)

    def _final_entries(self, study: Study, names: Collection[str]) -> list[Entry]:
        """Return the entries of the chosen settings, and of the configurations' own where they differ."""
        numbers = {name: {study.chosen[name].number, 0} for name in names if name in study.chosen}
        return [self._trial_entry(name, number) for name, own in numbers.items() for number in sorted(own)]

    def _choices(self, study: Study) -> Iterator[str]:
        """Yield a line on the choice for each configuration.

        Raises:
            RuntimeError: nothing can be compared, because no trial of the baseline has a result.
        """
        for name in self.design.spaces:
            trial = study.chosen.get(name)
            if trial is None:
                yield f"{name}: no trial has a result"
            elif trial.number:
                values = ", ".join(f"{key}={option_text(value)}" for key, value in trial.setting.items())
                yield f"{name}: chose trial {trial.number}, {values}"
            else:
                yield f"{name}: kept its own setting"
        if (baseline := self.design.comparison.baseline) not in study.chosen:
            raise RuntimeError(f"no trial of {baseline} has a result, and all others are compared with it")
