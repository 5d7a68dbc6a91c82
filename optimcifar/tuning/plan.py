"""The plan of a study: the configurations to tune, what is tried for each, and the runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from optimcifar.comparison.plan import make_design
from optimcifar.comparison.seeds import Seeds
from optimcifar.configurations import find_configuration, find_space, shipped_spaces
from optimcifar.engine.cluster_options import ClusterOptions
from optimcifar.engine.runs import Entry, Run, parse_entries, plan_runs, split_entry, with_values
from optimcifar.errors import UsageError
from optimcifar.paths import expand_path
from optimcifar.report.design import Design, Until
from optimcifar.report.tuning.design import FIRST_TUNING_SEED, TuningDesign, TuningSpace, trial_entry
from optimcifar.spaces.dimensions import Dimension, Range, for_option, is_dimension, parse_dimension
from optimcifar.spaces.files import space_of_section
from optimcifar.spaces.points import settings
from optimcifar.spaces.values import are_equal, is_number, option_text
from optimcifar.text import nearest
from optimcifar.training.config_file import read_config
from optimcifar.tuning.resolved import ResolvedConfiguration, with_followers

#: Default number of trials per configuration.
DEFAULT_TRIALS = 10

# The default space: learning rates from this many times lower to this many times higher, three decades in all.
_TIMES = 10**1.5


@dataclass(frozen=True)
class TuningPlan:
    """What a study trains, and where.

    Attributes:
        entries: the configurations.
        spaces: what is tried for each and where that comes from, by name; without those that take the default.
        trials: number of trials of each configuration.
        tuning_seeds: on how many seeds every trial runs.
        comparison: how the tuned settings are compared.
        out: the study's folder.
        options: options of ``fit`` that hold for all runs.
        cluster: which workers train the runs.
    """

    entries: tuple[Entry, ...]
    spaces: dict[str, tuple[dict[str, Dimension], str]]
    trials: int
    tuning_seeds: int
    comparison: Design
    out: Path
    options: tuple[str, ...] = ()
    cluster: ClusterOptions = field(default_factory=ClusterOptions)

    def runs(self, entries: Sequence[Entry], seeds: Iterable[int], are_tested: bool = False) -> list[Run]:
        """Return the runs of some entries."""
        return plan_runs(entries, seeds, self.options, self.out, are_tested)

    def trial(self, entry: Entry, space: TuningSpace, number: int) -> Entry:
        """Return the entry of a trial; trial 0 is the configuration as it is."""
        values = {key: option_text(value) for key, value in space.trials[number].items()} if number else {}
        return with_values(entry, values, trial_entry(entry.name, number))


def make_plan(
    configs: Iterable[str],
    seeds: Seeds,
    *,
    trials: int,
    tuning_seeds: int,
    space: str | None,
    baseline: str | None,
    target_acc: float | None,
    out: Path,
    options: Sequence[str],
    jobs: int | None,
    scheduler: str | None,
    dashboard: bool,
    max_seeds: int | None,
    until: Until | None,
) -> TuningPlan:
    """Plan a study from the command's arguments.

    Raises:
        UsageError: an argument is wrong.
    """
    texts, own = _without_ranges(configs)
    entries = tuple(parse_entries(texts))
    if not entries:
        raise UsageError("name the configurations to tune: optimcifar tune configs/sgd.yaml configs/adam.yaml ...")
    names = tuple(entry.name for entry in entries)
    cluster = ClusterOptions(jobs, scheduler, dashboard)
    for option, value, least in (("trials", trials, 2), ("tuning_seeds", tuning_seeds, 1)):
        if value < least:
            raise UsageError(f"--{option} must be at least {least}, got {value}")
    comparison = make_design(names, seeds, baseline, target_acc, max_seeds, until)
    if max((*comparison.seeds, comparison.most_seeds - 1)) >= FIRST_TUNING_SEED:
        raise UsageError(f"--seeds must be below {FIRST_TUNING_SEED}: the seeds from there on are for tuning")
    spaces = _file_spaces(space, texts, names) if space else {}
    spaces |= {name: (dimensions, "the command") for name, dimensions in zip(names, own, strict=True) if dimensions}
    return TuningPlan(entries, spaces, trials, tuning_seeds, comparison, expand_path(out), tuple(options), cluster)


def tuning_space(plan: TuningPlan, name: str, configuration: ResolvedConfiguration) -> TuningSpace:
    """Return a configuration's space, and its trials.

    Args:
        plan: the plan.
        name: the configuration's name.
        configuration: its own settings.

    Raises:
        UsageError: it has no learning rate to try by default, or its space has fewer settings than there are trials.
    """
    dimensions, source = plan.spaces.get(name) or (_default_space(name, configuration), "default")
    own = configuration.own(dimensions)
    space = {key: for_option(dimension, own[key]) for key, dimension in dimensions.items()}
    followers = configuration.followers(space)
    try:
        tried = settings(space, own, plan.trials)
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    trials = (own | configuration.own(followers), *(with_followers(setting, followers) for setting in tried[1:]))
    return TuningSpace(space, source, trials, {key: follower.source for key, follower in followers.items()})


def refuse_changed_spaces(design: TuningDesign, before: TuningDesign, out: Path) -> None:
    """Refuse to continue a study with another space; more trials and seeds only add runs.

    Args:
        design: what is to be tried.
        before: what was tried in the same folder.
        out: the folder.

    Raises:
        UsageError: a space, a configuration's own setting, or the number of trials or seeds has changed.
    """
    elsewhere = "choose another --out"
    for name, now in design.spaces.items():
        if name in before.spaces and (changed := _change(now, before.spaces[name])):
            raise UsageError(f"{name} was tuned in {out} before, and {changed}; {elsewhere}")
    for option, now_number, then in (
        ("trials", design.trials, before.trials),
        ("tuning_seeds", design.tuning_seeds, before.tuning_seeds),
    ):
        if now_number < then:
            raise UsageError(f"--{option} was {then} in {out} before, and is now {now_number}; {elsewhere}")


def _change(now: TuningSpace, then: TuningSpace) -> str | None:
    """Say what changed in a configuration's space, or return None."""
    for key in dict.fromkeys([*now.space, *then.space]):
        texts = [str(of.space.get(key, "not tried")) for of in (then, now)]
        if texts[0] != texts[1]:
            return f"{key} was {texts[0]}, and is now {texts[1]}"
    for key, value in then.trials[0].items():
        if not are_equal(value, now.trials[0].get(key)):
            return f"its own {key} was {value}, and is now {now.trials[0].get(key)}"
    return None


def _without_ranges(configs: Iterable[str]) -> tuple[list[str], list[dict[str, Dimension]]]:
    """Split entries into configurations and what to try for each.

    Raises:
        UsageError: a range is invalid, or a hyperparameter to try stands twice in an entry.
    """
    texts: list[str] = []
    found: list[dict[str, Dimension]] = []
    for config in configs:
        typed, pairs = split_entry(config)
        tried = {key: value for key, value in pairs if is_dimension(value)}
        if twice := [key for key, number in Counter(key for key, _ in pairs).items() if number > 1 and key in tried]:
            raise UsageError(f"{config}: {twice[0]} stands twice; say once what to try")
        kept = [f":{key}={value}" for key, value in pairs if key not in tried]
        texts.append("".join([typed, *kept]))
        found.append({key: parse_dimension(key, value) for key, value in tried.items()})
    return texts, found


def _file_spaces(typed: str, texts: Sequence[str], names: Sequence[str]) -> dict[str, tuple[dict[str, Dimension], str]]:
    """Return the spaces in a file; a section is named after a configuration, or after its file."""
    file = find_space(typed)
    sections = read_config(file)[1]
    paths = [find_configuration(split_entry(text)[0]) for text in texts]
    if file.resolve() not in [
        shipped.resolve() for shipped in shipped_spaces().values()
    ]:  # those have sections for all configurations of the package
        _refuse_unknown_sections(file, sections, names, paths)
    found = {}
    for name, path in zip(names, paths, strict=True):
        section = name if name in sections else path.stem
        if section in sections:
            found[name] = (space_of_section(f"{file}: {section}", sections[section]), file.name)
    return found


def _refuse_unknown_sections(
    file: Path, sections: Mapping[str, object], names: Sequence[str], paths: Sequence[Path]
) -> None:
    """Refuse sections for configurations that are neither tuned nor beside those that are."""
    known = [*names, *(beside.stem for path in paths for beside in path.parent.glob("*.yaml"))]
    for section in sections:
        if section not in known:
            meant = nearest(str(section), known)
            hint = f"; did you mean {meant}?" if meant else ""
            raise UsageError(f"{file}: section {section} is not the name of a configuration{hint}")


def _default_space(name: str, configuration: ResolvedConfiguration) -> dict[str, Dimension]:
    """Return the learning rate over three decades, with the configuration's own in the middle."""
    key = configuration.rate
    own = configuration.get(key)
    if not is_number(own) or own <= 0:
        raise UsageError(f"{name} has no {key} to tune: say what to try, such as {name}.yaml:KEY=LOW..HIGH")
    low, high = (float(f"{end:.3g}") for end in (own / _TIMES, own * _TIMES))
    return {key: Range(low, high, "log")}
