"""The arguments of the commands that train and evaluate: configurations, checkpoints, and the classes they name."""

from __future__ import annotations

import inspect
import math
import pickle
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LightningArgumentParser
from torch.optim.lr_scheduler import LRScheduler

from optimcifar.configurations import find_configuration
from optimcifar.errors import UsageError
from optimcifar.optim.horizons import HORIZONS
from optimcifar.paths import expand_path
from optimcifar.training.config_file import parse_yaml, read_config
from optimcifar.training.option_order import Option, sorted_options
from optimcifar.training.option_trees import at, names_class, option_tree, option_value, replaced_by, without
from optimcifar.training.usage_messages import check_keys, usage_message

# The options that name a class, whose arguments are options below them.
_CLASS_OPTIONS = ("--data", "--model.net", "--model.optimizer", "--model.lr_scheduler")

# The options that only the command line has.
_NOT_IN_FILES = {"config", "print_config", "print_shtab"}

# The options that hold others, with an example of one.
_GROUPS = {"--model": "lr_interval: step", "--trainer": "max_epochs: 5"}

#: The arguments of ``ImageClassifier`` that a checkpoint of the command line holds.
MODEL_ARGUMENTS = ("net", "optimizer", "lr_scheduler", "lr_interval", "param_groups")


class Parser(LightningArgumentParser):
    """A parser that reports errors in a line or two instead of fifty lines of usage.

    Args:
        args: those of the base class.
        files: the files of the configurations that it will get as text, to name them in errors.
        kwargs: those of the base class.
    """

    def __init__(self, *args: Any, files: Mapping[str, Path] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._files = files or {}

    def add_class_arguments(self, theclass: type, *args: Any, **kwargs: Any) -> list[str]:
        """Add a class's arguments; those that set a schedule's length become optional."""
        added: list[str] = super().add_class_arguments(theclass, *args, **kwargs)
        is_schedule = inspect.isclass(theclass) and issubclass(theclass, LRScheduler)
        for action in self._actions if is_schedule else ():
            if action.dest in HORIZONS:
                # None stands for the run's length; in PyTorch they are required, or default to five.
                action.required, action.default = False, None
        return added

    def parse_string(self, cfg_str: str, *args: Any, **kwargs: Any) -> Namespace:
        """Parse a configuration.

        Raises:
            UsageError: it is wrong; the message names its file.
        """
        path = self._files.get(cfg_str)
        try:
            if path:
                check_keys(parse_yaml(cfg_str), self._option_names() - _NOT_IN_FILES)
            parsed: Namespace = super().parse_string(cfg_str, *args, **kwargs)
        except UsageError as error:
            raise UsageError(f"{path}: {str(error).removeprefix('--')}") if path else error from error
        return parsed

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raise the error.

        Raises:
            UsageError: always, except while jsonargparse tries several types in turn.
        """
        if not self.exit_on_error:
            super().error(message, ex)
        # jsonargparse wraps the error of a configuration, which is in plain words already.
        if ex and isinstance(ex.__cause__, UsageError):
            raise ex.__cause__
        # The argument of a class that people look for first; the parser lists those of no class.
        raise UsageError(usage_message(message, {*self._option_names(), "model.optimizer.lr"})) from ex

    def _option_names(self) -> set[str]:
        """Return the names of all options, without dashes."""
        return {name for action in self._actions for name in [action.dest] if not name.endswith(("help", "SUPPRESS=="))}


def build_from_settings(kind: type[LightningModule], settings: dict[str, Any]) -> LightningModule:
    """Build a module from a checkpoint's settings: ``lightning.pytorch.cli.instantiate_module`` with ``Parser``.

    Args:
        kind: the module's class, or the base of the class that ``_class_path`` in the settings names.
        settings: arguments of the module, as the command line takes them or already built.
    """
    parser = Parser(exit_on_error=False)
    arguments: dict[str, Any] = {name: value for name, value in settings.items() if name != "_class_path"}
    if "_class_path" in settings:
        parser.add_subclass_arguments(kind, "module", fail_untyped=False)
        arguments = {"class_path": settings["_class_path"], "dict_kwargs": arguments}
    else:
        parser.add_class_arguments(kind, "module", fail_untyped=False)
    built: LightningModule = parser.instantiate_classes(parser.parse_object({"module": arguments})).module
    return built


@dataclass(frozen=True)
class Arguments:
    """What was typed after a command.

    Attributes:
        options: the options for the parser: configurations as YAML text, and no class keeps another's arguments.
        files: the configurations' files by their text.
        checkpoint: the checkpoint that they name, or None.
    """

    options: list[str]
    files: dict[str, Path]
    checkpoint: Path | None


def read_arguments(typed: Sequence[str]) -> Arguments:
    """Read the configurations, sort the options, and make each named class start from its own defaults.

    All options override all configurations, see ``sorted_options``. When a class replaces another, jsonargparse keeps
    the arguments that both have: Adadelta would run with SGD's rate. So what a later option replaces is taken out of
    the earlier ones, and choosing none first leaves nothing of the parser's defaults either.

    Raises:
        UsageError: a configuration cannot be read, or an argument of a list's item comes before the list has one.
    """
    files: dict[str, Path] = {}
    checkpoint: Any = None
    settings: list[_Setting] = []
    for option in sorted_options(typed):
        setting = _read(option)
        if option.item_of and not any(earlier.has_items(option.item_of) for earlier in settings):
            raise UsageError(f"{option.name} must come after the {option.item_of}+=CLASS that it belongs to")
        checkpoint = setting.tree.get("ckpt_path", checkpoint)
        settings = [left for earlier in settings if (left := earlier.left_by(setting))]
        settings.append(setting)
    options: list[str] = []
    for setting in settings:
        if setting.file:
            files[str(setting.option.value)] = setting.file
        for named in _CLASS_OPTIONS:
            if names_class(setting.tree, named):
                options += [named, "null"]
        options += setting.option.words
    return Arguments(options, files, None if checkpoint is None else Path(str(checkpoint)))


@dataclass(frozen=True)
class _Setting:
    """An option that was read.

    Attributes:
        option: the option; a configuration has its text as value, and so has the option of a whole group.
        tree: what it sets, as a configuration would hold it.
        file: the file of a configuration.
    """

    option: Option
    tree: dict[str, Any]
    file: Path | None = None

    def has_items(self, name: str) -> bool:
        """Return whether a list gets an item by this option, or is set as a whole."""
        names = tuple(name.removeprefix("--").replace(".init_args", "").split("."))
        return self.option.name == f"{name}+" or names in replaced_by(self.tree)

    def left_by(self, later: _Setting) -> _Setting | None:
        """Return what a later setting leaves of this one: jsonargparse would merge what it replaces with the new."""
        if self.option.value is None or self.option.stray or later.option.item_of:
            return self
        tree = self.tree
        for names in replaced_by(later.tree):
            if "--" + ".".join(names) not in _CLASS_OPTIONS:  # choosing none first does it, and finds mistakes
                tree = without(tree, names)
        if tree == self.tree:
            return self
        left = tree if self.option.name == "--config" else at(tree, self.option.name)
        return replace(self, option=replace(self.option, value=_text(left)), tree=tree) if left else None


def _text(value: Any) -> str:
    """Return a value as YAML in a line, as an option takes it."""
    text: str = yaml.safe_dump(value, sort_keys=False, default_flow_style=True, width=math.inf)
    return text


def _read(option: Option) -> _Setting:
    """Read an option, and the file that it names, if it names one."""
    if option.name == "--config":
        if not option.value:
            raise UsageError("--config needs a file, or a name that optimcifar configs lists")
        path = find_configuration(option.value)
        text, tree = read_config(path)
        return _Setting(replace(option, value=text, joined=True), tree, path)
    if option.name in _GROUPS and option.value is not None:
        return _read_group(option, option.value)
    value = option_value(option.value or "")
    if option.name == "--ckpt_path":
        value = None if option.value == "null" else option.value
    return _Setting(option, option_tree(option.name, value))


def _read_group(option: Option, value: str) -> _Setting:
    """Return the options of a whole group, given in place or in a file, as a configuration, which adds to others."""
    group, file = option_value(value), None
    if not isinstance(group, dict):
        file = expand_path(value)
        if not file.is_file():
            raise UsageError(
                f"{option.name} needs options such as '{{{_GROUPS[option.name]}}}', or a file of them, got {value!r}"
            )
        group = read_config(file)[1]
    tree = option_tree(option.name, group)
    return _Setting(Option("--config", _text(tree), option.stray), tree, file)


_DAMAGED = (
    *(OSError, RuntimeError, EOFError, ValueError, AttributeError),
    *(pickle.UnpicklingError, zipfile.BadZipFile, NotImplementedError, zlib.error),
)


def read_checkpoint_defaults(path: Path) -> dict[str, Any]:
    """Return the settings of a checkpoint's model and data, as defaults of the options.

    Raises:
        FileNotFoundError: there is no such file.
        RuntimeError: it is not a checkpoint.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no checkpoint {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            if archive.testzip() is not None:  # PyTorch does not verify the checksums
                raise RuntimeError("a checksum does not hold")
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
        model, data = checkpoint.get("hyper_parameters", {}), checkpoint.get("datamodule_hyper_parameters", {})
    except _DAMAGED as error:
        raise RuntimeError(f"{path} is damaged, or not a checkpoint of Lightning") from error
    # A checkpoint made in Python does not hold the model's settings: the options decide.
    defaults = {f"model.{name}": model[name] for name in MODEL_ARGUMENTS if "_instantiator" in model}
    if "_class_path" in data:
        init_args = {name: value for name, value in data.items() if not name.startswith("_") and name != "seed"}
        defaults["data"] = {"class_path": data["_class_path"], "init_args": init_args}
        defaults["seed_everything"] = data.get("seed", 0)
    return defaults
