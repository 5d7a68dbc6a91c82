"""What the command line's words mean: classes with their own defaults, checkpoints as defaults, brief errors."""

from __future__ import annotations

import inspect
import pickle
import zipfile
import zlib
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch.cli import LightningArgumentParser
from torch.optim.lr_scheduler import LRScheduler

from optimcifar.errors import UsageError
from optimcifar.optim.horizons import HORIZONS
from optimcifar.training.usage_messages import usage_message

# The options that name a class whose arguments are options below them.
_CLASS_OPTIONS = ("--data", "--model.net", "--model.optimizer", "--model.lr_scheduler")

#: The options of ``ImageClassifier`` that a checkpoint of the command line knows.
MODEL_ARGUMENTS = ("net", "optimizer", "lr_scheduler", "lr_interval", "param_groups")


class Parser(LightningArgumentParser):
    """A parser whose errors are a line or two, not fifty lines of usage."""

    def add_class_arguments(self, theclass: type, *args: Any, **kwargs: Any) -> list[str]:
        """Add a class's arguments, those of a schedule with a horizon that may be left out."""
        added: list[str] = super().add_class_arguments(theclass, *args, **kwargs)
        schedule = inspect.isclass(theclass) and issubclass(theclass, LRScheduler)
        for action in self._actions if schedule else ():
            if action.dest in HORIZONS:
                # None stands for the length of the run; PyTorch requires them or has a default of five.
                action.required, action.default = False, None
        return added

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raise.

        Raises:
            UsageError: always, except within a trial of several types, which jsonargparse handles.
        """
        if not self.exit_on_error:
            super().error(message, ex)
        raise UsageError(usage_message(message)) from ex


def start_from_own_defaults(args: list[str]) -> list[str]:
    """Make every class that is named on the command line or in a configuration start from its own defaults.

    Where a class takes another's place, jsonargparse keeps the arguments that both have: Adadelta would run with
    SGD's rate. Choosing none first leaves it nothing to keep.

    Raises:
        UsageError: an argument of a class comes before the class, and would be lost.
    """
    result: list[str] = []
    for position, arg in enumerate(args):
        name, _, value = arg.partition("=")
        if name in ("--config", "-c"):
            named = _classes_in(value or "".join(args[position + 1 : position + 2]))
        else:
            named = [name] if name in _CLASS_OPTIONS else []
            for option in named:
                if early := next((a for a in args[:position] if a.startswith(f"{option}.")), None):
                    raise UsageError(f"{option} must come before {early.partition('=')[0]}, which it would undo")
        for option in named:
            result += [option, "null"]
        result.append(arg)
    return result


class _OneOfEachKey(yaml.SafeLoader):
    """Refuses mappings in which a key stands twice, of which YAML takes the last without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise UsageError(f"{key.value!r} in line {key.start_mark.line + 1} is there already")
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _classes_in(config: str) -> list[str]:
    """Return the options for which a configuration file names a class.

    Raises:
        UsageError: a key stands in it twice.
    """
    try:
        tree = yaml.load(Path(config).read_text(encoding="utf-8"), _OneOfEachKey)  # noqa: S506  a safe one
    except UsageError as error:
        raise UsageError(f"{config}: {error}") from error
    except (OSError, ValueError, yaml.YAMLError):
        return []  # parsing says what is wrong with it
    named = []
    for option in _CLASS_OPTIONS:
        node = tree
        for key in option[2:].split("."):
            node = node.get(key) if isinstance(node, dict) else None
        if node is not None and not (isinstance(node, dict) and "class_path" not in node):
            named.append(option)
    return named


_DAMAGED = (
    *(OSError, RuntimeError, EOFError, ValueError, AttributeError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, NotImplementedError, zlib.error),
)


def read_hyperparameters(path: Path) -> dict[str, Any]:
    """Return what a checkpoint knows of its model and data, as defaults of the options.

    Raises:
        FileNotFoundError: there is no such file.
        RuntimeError: it is not a checkpoint.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # PyTorch takes what it reads for what was written
                raise RuntimeError("a checksum does not hold")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        model, data = checkpoint.get("hyper_parameters", {}), checkpoint.get("datamodule_hyper_parameters", {})
    except _DAMAGED as error:
        raise RuntimeError(f"{path} is damaged, or not a checkpoint of Lightning") from error
    # What was made in Python keeps only plain values: the options decide as if there were none.
    defaults = {f"model.{name}": model[name] for name in MODEL_ARGUMENTS if "_instantiator" in model}
    if "_class_path" in data:
        init_args = {name: value for name, value in data.items() if not name.startswith("_") and name != "seed"}
        defaults["data"] = {"class_path": data["_class_path"], "init_args": init_args}
        defaults["seed_everything"] = data.get("seed", 0)
    return defaults
