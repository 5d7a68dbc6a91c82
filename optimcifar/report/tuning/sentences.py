"""Tuning in words: what it brought, how it was done, what to beware of, and where a tuned configuration comes from."""

from __future__ import annotations

from collections.abc import Sequence

from optimcifar.report.analysis import Analysis
from optimcifar.report.cautions import cautions
from optimcifar.report.labels import setting_text, short_keys
from optimcifar.report.sentences import answer, circumstances, methods, signed_interval
from optimcifar.report.tuning.edges import edges
from optimcifar.report.tuning.expectation import is_expectable
from optimcifar.report.tuning.study import Study
from optimcifar.spaces.dimensions import Dimension
from optimcifar.spaces.values import option_text
from optimcifar.statistics.stages import FALSE_VERDICTS
from optimcifar.statistics.verdicts import NO_DIFFERENCE, WITHHELD, Difference
from optimcifar.text import conjunction, count, grouped, listing, percent


def study_answer(study: Study) -> list[str]:
    """Return the comparison's answer, and what tuning brought; first whether the study is over."""
    compared = answer(study.comparison) if study.comparison.runs else []
    return [*_unfinished(study), *compared, *tuning_answer(study)]


def tuning_answer(study: Study) -> list[str]:
    """Say what tuning brought to each configuration, and which tuned values lie at an edge."""
    names = study.key_names
    return [*_brought(study.gains), *_kept(study), *(edge.sentence(names[edge.key]) for edge in edges(study))]


def _brought(gains: dict[str, Difference]) -> list[str]:
    by_mean = sorted(gains.items(), key=lambda item: -item[1].mean)
    decided = [f"{name} {signed_interval(gain)} ({gain.verdict})" for name, gain in by_mean if gain.is_decided]
    open_ones = [f"{name} ({signed_interval(gain)})" for name, gain in by_mean if gain.verdict == NO_DIFFERENCE]
    withheld = {
        name: gain.verdict.removeprefix(WITHHELD) for name, gain in gains.items() if gain.verdict.startswith(WITHHELD)
    }
    lines = [f"Tuning brought {conjunction(decided)}."] if decided else []
    if open_ones:
        lines.append(
            f"The tuned setting is not shown to differ from the configuration's own for {conjunction(open_ones)}."
        )
    if withheld:
        lines.append(f"No verdict on what tuning brought for {'; '.join(grouped(withheld))}.")
    return lines


def _kept(study: Study) -> list[str]:
    kept = [name for name, trial in study.chosen.items() if not trial.number]
    if not kept:
        return []
    return [f"{conjunction(kept)} {'keeps its own setting' if len(kept) == 1 else 'keep their own settings'}."]


def study_methods(study: Study) -> list[str]:
    """Say how the configurations were tuned and compared, and what could have been shown."""
    compared = methods(study.comparison) if study.comparison.runs else []
    return [_trials(study), _choice(study), _final_runs(study), *compared, *_family(study), *_expected_best(study)]


def _trials(study: Study) -> str:
    design = study.design
    return (
        f"Every configuration had the same budget: {count(design.trials, 'full-length trial')} with "
        f"{_seeds(design.trial_seeds)}. Trial 0 is the configuration's own setting. The others are quasi-random points "
        "of its space (scipy.stats.qmc.Halton, scrambled), fixed before the first run; configurations with the same "
        "number of hyperparameters have the same points."
    )


def _choice(study: Study) -> str:
    design = study.design
    more = design.candidate_seeds[len(design.trial_seeds) :]
    again = f"were trained again with {_seeds(more)}" if more else "are the candidates"
    return (
        f"The {design.candidates} trials with the highest final validation accuracy {again}, and the one with the "
        f"highest mean over {_seeds(design.candidate_seeds)} was chosen. A run that diverged counts as chance level."
    )


def _final_runs(study: Study) -> str:
    return (
        "The tuned and the own setting of each configuration were then trained with other seeds, and tested once. "
        "Only these runs are in the verdicts: the accuracy by which a setting was chosen is partly luck."
    )


def _family(study: Study) -> list[str]:
    changed_ones = sum(trial.number > 0 for trial in study.chosen.values())
    if not changed_ones:
        return []
    return [
        f"Tuned settings are compared with the configurations' own by the same tests, paired by seed: a family of "
        f"{count(changed_ones, 'verdict')}, with {percent(FALSE_VERDICTS)} (Holm) of its own."
    ]


def _expected_best(study: Study) -> list[str]:
    what = "The expected best of B trials, which shows whether more trials would pay,"
    if is_expectable(study):
        return []
    if study.design.tuning_seeds > 1:
        return [f"{what} is not drawn: some trials have no result for some seed."]
    more = len(study.design.spaces) * (study.design.trials - study.design.candidates)
    cost = f", about {count(more, 'more run')}" if more else ""
    return [f"{what} needs a second seed for every trial: --tuning_seeds 2{cost}."]


def study_cautions(study: Study) -> list[str]:
    """Return a sentence for everything that makes the results weaker than they look."""
    compared = cautions(study.comparison) if study.comparison.runs else []
    return [*_failed(study), *compared]


def _unfinished(study: Study) -> list[str]:
    if missing := study.missing_tuning_runs:
        return [f"{_not_over(missing, 'tuning run')}, and the chosen settings may change."]
    if missing := study.missing_final_runs:
        return [f"{_not_over(missing, 'final run')}, and verdicts may change."]
    return []


def _not_over(number: int, noun: str) -> str:
    return f"The study is not finished: {count(number, noun)} {'is' if number == 1 else 'are'} not over"


def _failed(study: Study) -> list[str]:
    failed = {name: sum(run.status == "failed" for run in runs) for name, runs in study.tuning_runs.items()}
    lines = []
    if any(failed.values()):
        numbers = [f"{number} of {name}" for name, number in failed.items() if number]
        lines.append(f"Tuning runs failed, and have no result: {conjunction(numbers)}.")
    if absent := [name for name in study.trials if name not in study.chosen]:
        lines.append(f"No trial of {listing(absent)} has a result: nothing was chosen.")
    return lines


def tuning_circumstances(study: Study) -> str:
    """Describe what the trials were measured on, with, and over which seeds; nothing without any run."""
    runs = [run for own in study.tuning_runs.values() for run in own]
    return circumstances(Analysis(runs, runs[0].name)) if runs else ""


def provenance(study: Study, name: str) -> list[str]:
    """Return the comment at the head of a tuned configuration: where it comes from.

    Args:
        study: the study, in which the configuration has a chosen setting.
        name: the configuration's name.
    """
    trial, design = study.chosen[name], study.design
    seeds = design.candidate_seeds
    own = design.spaces[name]
    return [
        f"{'Tuned to' if trial.number else 'Kept its own'} {setting_text(trial.setting, short_keys(trial.setting))}.",
        f"The setting of {name} chosen by optimcifar tune: trial {trial.number} of {design.trials}, counted from 0. "
        "Trial 0 is the configuration's own setting.",
        *(
            f"{key}: {option_text(value)}, its own value {option_text(own.trials[0][key])}"
            for key, value in trial.setting.items()
        ),
        f"Space ({own.source}): {_space(own.space)}",
        f"Mean final validation accuracy {trial.mean(seeds):.4f} over {_seeds(sorted(trial.values(seeds)))}. It was "
        "chosen by this value, so new seeds will likely give a lower one.",
        *(edge.sentence(edge.key) for edge in edges(study) if edge.configuration == name),
        f"{circumstances(Analysis(trial.tuning_runs, name))}.",
    ]


def _space(space: dict[str, Dimension]) -> str:
    return "; ".join(f"{key} {tried}" for key, tried in space.items())


def _seeds(seeds: Sequence[int]) -> str:
    """Write ``tuning seed 1000``, or ``tuning seeds 1000 and 1001``."""
    return f"tuning seed{'' if len(seeds) == 1 else 's'} {conjunction(list(map(str, seeds)))}"
