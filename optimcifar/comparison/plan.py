"""What is to be compared: configurations, seeds, and the folder and options of each of their runs."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from optimcifar.errors import UsageError

# What compare decides for every run itself, and what it has instead.
_DECIDED = {
    "--config": "name configurations before the options",
    "-c": "name configurations before the options",
    "--seed_everything": "use --seeds",
    "--ckpt_path": "an interrupted run is continued by the same command",
    "--trainer.logger": "use --out",
    "--trainer.default_root_dir": "use --out",
}


@dataclass(frozen=True)
class Entry:
    """A configuration that is compared.

    Attributes:
        name: what it is called in tables and folders.
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
        folder: where the run is written.
        options: all options of its ``fit``.
    """

    name: str
    seed: int
    folder: Path
    options: tuple[str, ...]


def parse_entries(texts: list[str]) -> list[Entry]:
    """Read ``FILE`` or ``FILE:KEY=VALUE:KEY=VALUE``, keys being options of ``fit`` without their dashes.

    An entry is named after its file, and after the last part of each key: ``sgd-lr=0.03``. Where that would give two
    entries the same name, whole paths and keys are used.

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
            raise UsageError(f"{name} is named twice: a configuration can be compared with others only")
    return entries


def _split(text: str) -> tuple[Path, list[tuple[str, str]]]:
    file, *overrides = re.split(r":(?=[a-z_][\w.+]*=)", text)
    path = Path(file)
    if not path.is_file():
        raise UsageError(f"there is no configuration {file}")
    pairs = [override.partition("=")[::2] for override in overrides]
    return path, pairs


def _name(stem: str, keys: list[str], pairs: list[tuple[str, str]]) -> str:
    text = "-".join([stem, *(f"{key}={value}" for key, (_, value) in zip(keys, pairs, strict=True))])
    # It becomes a folder's name.
    return re.sub(r"[^\w=.+-]", "_", text).lstrip(".")


def parse_seeds(text: str) -> list[int]:
    """Read ``5``, the seeds 0 to 4, or a list: ``0,1,7``, or ``7,`` for that one.

    Raises:
        UsageError: it is neither, or a seed comes twice.
    """
    try:
        numbers = [int(number) for number in text.removesuffix(",").split(",")]
    except ValueError:
        numbers = []
    seeds = numbers if "," in text or not numbers else list(range(numbers[0]))
    if not seeds or min(seeds) < 0 or len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds must be a number of seeds, or different seeds such as 0,1,2; got {text!r}")
    return seeds


def plan_runs(entries: list[Entry], seeds: list[int], options: list[str], out: Path) -> list[Run]:
    """Return the runs, all configurations of the first seed before those of the next.

    Args:
        entries: the configurations.
        seeds: their seeds.
        options: options of ``fit`` that hold for all runs.
        out: the comparison's folder.

    Raises:
        UsageError: an option is none of ``fit``'s that can hold for all runs.
    """
    for option in options:
        name = option.partition("=")[0]
        decided = next((key for key in _DECIDED if name == key or name.startswith(f"{key}.")), None)
        if decided:
            raise UsageError(f"{name} can't be given to compare: {_DECIDED[decided]}")
    runs = []
    for seed in seeds:
        for entry in entries:
            folder = out / "runs" / entry.name / f"seed-{seed}"
            own = ["--seed_everything", str(seed), "--trainer.enable_progress_bar", "false"]
            own += ["--trainer.logger", "optimcifar.RunLogger", "--trainer.logger.save_dir", str(out / "runs")]
            own += ["--trainer.logger.name", entry.name, "--trainer.logger.version", f"seed-{seed}"]
            runs.append(Run(entry.name, seed, folder, (*entry.options, *options, *own)))
    return runs
