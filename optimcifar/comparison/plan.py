"""The plan of a comparison: its configurations, its seeds, and the folder and options of each run."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from optimcifar.comparison.seeds import Seeds, with_seeds
from optimcifar.errors import UsageError
from optimcifar.paths import expand_home
from optimcifar.report.design import Design, Until, check_target
from optimcifar.runs.folder import comparison_run
from optimcifar.text import conjunction, count

# Options that compare sets for each run itself, and what to use instead.
_DECIDED = {
    "--config": "name configurations without it",
    "-c": "name configurations without it",
    "--seed_everything": "use --seeds",
    "--ckpt_path": "an interrupted run is continued by the same command",
    "--trainer.default_root_dir": "use --out",
}


@dataclass(frozen=True)
class Entry:
    """A configuration that is compared.

    Attributes:
        name: its name in tables and folders.
        options: the options of ``fit`` that select it.
    """

    name: str
    options: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One configuration with one seed.

    Attributes:
        name: the configuration's.
        seed: 0 or greater.
        folder: the run's folder.
        options: all options of its ``fit``.
    """

    name: str
    seed: int
    folder: Path
    options: tuple[str, ...]


@dataclass(frozen=True)
class Plan:
    """What a comparison trains, and where.

    Attributes:
        entries: the configurations.
        design: what is asked for: seeds or stages, baseline and target.
        out: the comparison's folder.
        options: options of ``fit`` that hold for all runs.
        jobs: number of local workers; None for one per GPU, or one per core without a GPU.
        scheduler: address of a running dask scheduler; None for local workers.
    """

    entries: tuple[Entry, ...]
    design: Design
    out: Path
    options: tuple[str, ...] = ()
    jobs: int | None = None
    scheduler: str | None = None

    @property
    def stages(self) -> list[Sequence[int]]:
        """The new seeds of each stage; those that were chosen beforehand are a single one."""
        sizes = (0, *self.design.stages)
        return [range(*ends) for ends in pairwise(sizes)] or [self.design.seeds]

    @property
    def run_numbers(self) -> tuple[int, int]:
        """The fewest and the most runs that there may be."""
        stages, entries = self.stages, len(self.entries)
        return len(stages[0]) * entries, sum(map(len, stages)) * entries

    def runs(self, seeds: Iterable[int], names: Collection[str] | None = None) -> list[Run]:
        """Return the runs with these seeds.

        Args:
            seeds: the seeds.
            names: the configurations; None for all.
        """
        entries = [entry for entry in self.entries if names is None or entry.name in names]
        return plan_runs(entries, seeds, self.options, self.out)

    def describe(self) -> str:
        """Describe configurations, seeds, number of runs, and folder in a line."""
        sizes, (fewest, most) = self.design.stages, self.run_numbers
        seeds = count(len(self.design.seeds), "seed")
        if sizes:
            seeds = f"seeds on demand in stages of {conjunction(list(map(str, sizes)))}"
        runs = count(most, "run") if fewest == most else f"{fewest} to {count(most, 'run')}"
        return f"{count(len(self.entries), 'configuration')}, {seeds}: {runs}, in {self.out}"


def make_plan(
    configs: Iterable[str | Path],
    seeds: Seeds,
    *,
    baseline: str | None = None,
    target_acc: float | None = None,
    out: str | Path,
    options: Sequence[str] = (),
    jobs: int | None = None,
    scheduler: str | None = None,
    max_seeds: int | None = None,
    until: Until | None = None,
) -> Plan:
    """Plan a comparison; see ``optimcifar.compare`` for the arguments.

    Raises:
        UsageError: an argument is wrong.
    """
    for name, given in (("configs", configs), ("options", options)):
        if isinstance(given, str):
            raise UsageError(f"{name} must be a list, got {given!r}")
    entries = tuple(parse_entries(map(str, configs)))
    if not entries:
        raise UsageError("name the configurations to compare: optimcifar compare configs/sgd.yaml ...")
    names = tuple(entry.name for entry in entries)
    if baseline is not None and baseline not in names:
        raise UsageError(f"--baseline must be one of {', '.join(names)}; got {baseline!r}")
    if jobs is not None and jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {jobs}")
    check_target(target_acc)
    design = with_seeds(Design(names, baseline or names[0], target_acc), seeds, max_seeds, until)
    plan = Plan(entries, design, expand_home(out), tuple(options), jobs, scheduler)
    plan.runs(plan.stages[0])  # refuses the options that a comparison sets itself
    return plan


def parse_entries(texts: Iterable[str]) -> list[Entry]:
    """Read ``FILE`` or ``FILE:KEY=VALUE:KEY=VALUE``; keys are options of ``fit`` without their dashes.

    An entry is named after its file and the last part of each key: ``sgd-lr=0.03``. If two entries would have the same
    name, they are named after the whole paths and keys.

    Raises:
        UsageError: a file does not exist, or two entries are the same.
    """
    parts = [_split(text) for text in texts]
    names = [_name(path.stem, [key.rpartition(".")[2] for key, _ in pairs], pairs) for path, pairs in parts]
    twice = {name for name, number in Counter(names).items() if number > 1}
    entries = []
    for name, (path, pairs) in zip(names, parts, strict=True):
        options = ["--config", str(path), *(f"--{key}={value}" for key, value in pairs)]
        if name in twice:
            whole = "_".join(path.with_suffix("").parts)
            name = _name(whole, [key for key, _ in pairs], pairs)  # noqa: PLW2901  the longer of its names
        entries.append(Entry(name, tuple(options)))
    for name, number in Counter(entry.name for entry in entries).items():
        if number > 1:
            raise UsageError(f"{name} is named twice: name each configuration once")
    return entries


def _split(text: str) -> tuple[Path, list[tuple[str, str]]]:
    file, *overrides = re.split(r":(?=[a-z_][\w.+]*=)", text)
    path = expand_home(file)
    if not path.is_file():
        raise UsageError(f"there is no configuration {file}")
    pairs = [override.partition("=")[::2] for override in overrides]
    return path, pairs


def _name(stem: str, keys: list[str], pairs: list[tuple[str, str]]) -> str:
    text = "-".join([stem, *(f"{key}={value}" for key, (_, value) in zip(keys, pairs, strict=True))])
    # The name is a folder's name too.
    return re.sub(r"[^\w=.+-]", "_", text).lstrip(".")


def plan_runs(entries: Sequence[Entry], seeds: Iterable[int], options: Sequence[str], out: Path) -> list[Run]:
    """Return the runs: all configurations with the first seed, then all with the next.

    Args:
        entries: the configurations.
        seeds: their seeds.
        options: options of ``fit`` that hold for all runs.
        out: the comparison's folder.

    Raises:
        UsageError: an option cannot be the same for all runs.
    """
    for option in (*options, *(option for entry in entries for option in entry.options[2:])):
        _refuse_decided(option)
    runs = []
    for seed in seeds:
        for entry in entries:
            folder = comparison_run(out, entry.name, seed).path
            own = ["--seed_everything", str(seed), "--trainer.enable_progress_bar", "false"]
            # Beside the loggers that the configuration names.
            own += ["--trainer.logger+", "optimcifar.RunLogger", "--trainer.logger.save_dir", str(folder.parents[1])]
            own += ["--trainer.logger.name", folder.parent.name, "--trainer.logger.version", folder.name]
            # An entry's own options come last, so that they hold for it and the others for the other entries.
            runs.append(Run(entry.name, seed, folder, (*options, *entry.options, *own)))
    return runs


def _refuse_decided(word: str) -> None:
    name = word.partition("=")[0].removesuffix("+")
    if name.startswith("-c") and not name.startswith("--"):
        name = "-c"
    for key, instead in _DECIDED.items():
        if name == key or name.startswith(f"{key}."):
            raise UsageError(f"{name} cannot be given to compare: {instead}")
