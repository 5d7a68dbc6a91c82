"""The runs to train: the folder and the options of each configuration with each seed."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from optimcifar.configurations import find_configuration, portable_name
from optimcifar.errors import UsageError
from optimcifar.paths import expand_path, expand_pattern
from optimcifar.runs.folder import comparison_run
from optimcifar.training.option_order import separate_appends

# Options that are set for each run, and what to use instead.
_DECIDED = {
    "--config": "name the configurations without it",
    "-c": "name the configurations without it",
    "--seed_everything": "use --seeds",
    "--ckpt_path": "an interrupted run is continued by the same command",
    "--trainer.default_root_dir": "use --out",
}

_LONGEST_NAME = 200  # bytes


@dataclass(frozen=True)
class Entry:
    """A configuration to train.

    Attributes:
        name: its name in tables and folders.
        config: its file, or the name of one that comes with the package.
        overrides: the options of ``fit`` that override its file.
        workload: the network, data and epochs that are laid over its file; None for its own.
    """

    name: str
    config: str
    overrides: tuple[str, ...] = ()
    workload: Entry | None = None

    @property
    def options(self) -> tuple[str, ...]:
        """The options of ``fit`` that select it; where several set the same, the last one counts."""
        laid_over = self.workload.options if self.workload else ()
        return ("--config", self.config, *laid_over, *self.overrides)

    @property
    def files(self) -> tuple[Path, ...]:
        """The files of the configuration and of its workload."""
        return (find_configuration(self.config), *(self.workload.files if self.workload else ()))


@dataclass(frozen=True)
class Run:
    """One configuration with one seed.

    Attributes:
        name: the configuration's.
        seed: 0 or greater.
        folder: the run's folder.
        options: all options of its ``fit``.
        is_tested: whether its weights are measured on the test images. Runs by which settings are chosen are not.
    """

    name: str
    seed: int
    folder: Path
    options: tuple[str, ...]
    is_tested: bool = True


def parse_entries(texts: Iterable[str]) -> list[Entry]:
    """Read ``CONFIG`` or ``CONFIG:KEY=VALUE:KEY=VALUE``; keys are options of ``fit`` without their dashes.

    An entry is named after its file and the last part of each key: ``sgd-lr=0.03``. If two entries would have the same
    name, they are named after the whole paths, as typed, and keys.

    Raises:
        UsageError: there is no such configuration, it is a pipe, or two entries are the same.
    """
    parts = [split_entry(text) for text in texts]
    paths = [_find_file(config) for config, _ in parts]
    names = [
        _name(path.stem, [key.rpartition(".")[2] for key, _ in pairs], pairs)
        for path, (_, pairs) in zip(paths, parts, strict=True)
    ]
    twice = {name for name, number in Counter(names).items() if number > 1}
    entries = []
    for name, path, (config, pairs) in zip(names, paths, parts, strict=True):
        overrides = tuple(f"--{key}={value}" for key, value in pairs)
        if name in twice:
            whole = "_".join([*expand_path(config).parent.parts, path.stem])
            name = _name(whole, [key for key, _ in pairs], pairs)  # noqa: PLW2901  the longer of its names
        entries.append(Entry(name, portable_name(config), overrides))
    for name, number in Counter(entry.name for entry in entries).items():
        if number > 1:
            raise UsageError(f"{name} is named twice: name each configuration once")
    return entries


def _find_file(config: str) -> Path:
    path = find_configuration(config)
    if not path.is_file():
        raise UsageError(f"{config} is a pipe, and every run reads its configuration again: name a file")
    return path


def split_entry(text: str) -> tuple[str, list[tuple[str, str]]]:
    """Return the configuration as typed, and the keys and values, of ``CONFIG:KEY=VALUE:KEY=VALUE``."""
    config, *overrides = re.split(r":(?=[a-z_][\w.+]*=)", text)
    return config, [override.partition("=")[::2] for override in overrides]


def expand_entry(text: str) -> list[str]:
    """Return the entries that one with a pattern stands for: ``configs/*.yaml:KEY=VALUE`` is one for each file.

    Raises:
        ValueError: no file matches.
    """
    config, pairs = split_entry(text)
    paths = expand_pattern(config)
    if paths == [expand_path(config)]:
        return [text]
    overrides = "".join(f":{key}={value}" for key, value in pairs)
    return [f"{path}{overrides}" for path in paths]


def with_values(entry: Entry, values: Mapping[str, str], name: str | None = None) -> Entry:
    """Return an entry with values of some options; they override its own.

    Args:
        entry: the entry.
        values: values by option, without dashes.
        name: its new name; None adds the values to its own: ``sgd-lr=0.03``.
    """
    last = [key.rpartition(".")[2] for key in values]
    keys = last if len(set(last)) == len(last) else list(values)
    new_name = _name(entry.name, keys, list(values.items())) if name is None else name
    overrides = (*entry.overrides, *(f"--{key}={value}" for key, value in values.items()))
    return replace(entry, name=new_name, overrides=overrides)


def _name(stem: str, keys: list[str], pairs: list[tuple[str, str]]) -> str:
    text = "-".join([stem, *(f"{key}={value}" for key, (_, value) in zip(keys, pairs, strict=True))])
    # The name is a folder's name too, which no system lets be longer than 255 bytes.
    name = re.sub(r"[^\w=.+-]", "_", text).lstrip(".")
    if len(name.encode()) > _LONGEST_NAME:
        name = f"{name[:60]}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    return name


def plan_runs(
    entries: Sequence[Entry], seeds: Iterable[int], options: Sequence[str], out: Path, are_tested: bool = True
) -> list[Run]:
    """Return the runs: all configurations with the first seed, then all with the next.

    Args:
        entries: the configurations.
        seeds: their seeds.
        options: options of ``fit`` that hold for all runs.
        out: the folder that holds all runs.
        are_tested: whether their weights are measured on the test images.

    Raises:
        UsageError: an option cannot be the same for all runs.
    """
    for option in (*options, *(option for entry in entries for option in entry.overrides)):
        _refuse_decided(option)
    runs = []
    for seed in seeds:
        for entry in entries:
            folder = comparison_run(out, entry.name, seed).path
            own = ["--seed_everything", str(seed), "--trainer.enable_progress_bar", "false"]
            # Beside the loggers that the configuration names.
            own += ["--trainer.logger+", "optimcifar.RunLogger", "--trainer.logger.save_dir", str(folder.parents[1])]
            own += ["--trainer.logger.name", folder.parent.name, "--trainer.logger.version", folder.name]
            runs.append(Run(entry.name, seed, folder, (*with_options(entry, options), *own), are_tested))
    return runs


def with_options(entry: Entry, options: Sequence[str]) -> tuple[str, ...]:
    """Return the options of an entry, and those that hold for all runs; where both set one, the entry's own counts."""
    # An entry's trainer.callbacks.swa_lrs belongs to its own callback, not to one that all runs add.
    common, to_lists = separate_appends(options)
    return (*common, *entry.options, *to_lists)


def _refuse_decided(word: str) -> None:
    name = word.partition("=")[0].removesuffix("+")
    if name.startswith("-c") and not name.startswith("--"):
        name = "-c"
    for key, instead in _DECIDED.items():
        if name == key or name.startswith(f"{key}."):
            raise UsageError(f"{name} cannot be given here: {instead}")
