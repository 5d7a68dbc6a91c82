"""The arguments of the commands that train and evaluate: configurations, checkpoints, and the classes they name."""

from __future__ import annotations

import inspect
import pickle
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LightningArgumentParser
from torch.optim.lr_scheduler import LRScheduler

from optimcifar.errors import UsageError
from optimcifar.optim.horizons import HORIZONS
from optimcifar.text import first_lines
from optimcifar.training.usage_messages import usage_message

# The options that name a class, whose arguments are options below them.
_CLASS_OPTIONS = ("--data", "--model.net", "--model.optimizer", "--model.lr_scheduler")

#: The arguments of ``ImageClassifier`` that a checkpoint of the command line holds.
MODEL_ARGUMENTS = ("net", "optimizer", "lr_scheduler", "lr_interval", "param_groups")


class Parser(LightningArgumentParser):
    """A parser that reports errors in a line or two instead of fifty lines of usage."""

    def add_class_arguments(self, theclass: type, *args: Any, **kwargs: Any) -> list[str]:
        """Add a class's arguments; those that set a schedule's length become optional."""
        added: list[str] = super().add_class_arguments(theclass, *args, **kwargs)
        is_schedule = inspect.isclass(theclass) and issubclass(theclass, LRScheduler)
        for action in self._actions if is_schedule else ():
            if action.dest in HORIZONS:
                # None stands for the run's length; in PyTorch they are required, or default to five.
                action.required, action.default = False, None
        return added

    def error(self, message: str, ex: Exception | None = None) -> Any:
        """Raise the error.

        Raises:
            UsageError: always, except while jsonargparse tries several types in turn.
        """
        if not self.exit_on_error:
            super().error(message, ex)
        raise UsageError(usage_message(message)) from ex


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
        checkpoint: the checkpoint that they name, or None.
    """

    options: list[str]
    checkpoint: Path | None


def read_arguments(typed: Sequence[str]) -> Arguments:
    """Read the configurations, and make each named class start from its own defaults.

    When a class replaces another, jsonargparse keeps the arguments that both have: Adadelta would run with SGD's rate.
    Choosing none first leaves nothing to keep.

    Raises:
        UsageError: a configuration cannot be read, or an argument of a class comes before the class.
    """
    options: list[str] = []
    checkpoint: str | None = None
    words = iter(enumerate(typed))
    for position, word in words:
        name, equals, value = word.partition("=")
        if name in ("--config", "-c", "--ckpt_path") and not equals:
            _, value = next(words, (position, ""))
        if name in ("--config", "-c") and value:
            text, tree = read_config(Path(value))
            named = [option for option in _CLASS_OPTIONS if _names_class(tree, option)]
            checkpoint = tree.get("ckpt_path") or checkpoint
            word = f"--config={text}"  # noqa: PLW2901  the same option, with the text for the file's name
        elif name == "--ckpt_path" and value:
            named, checkpoint, word = [], value, f"--ckpt_path={value}"  # noqa: PLW2901
        else:
            named = [name] if name in _CLASS_OPTIONS else []
            for option in named:
                if early := next((w for w in typed[:position] if w.startswith(f"{option}.")), None):
                    raise UsageError(f"{option} must come before {early.partition('=')[0]}, which it would undo")
        for option in named:
            options += [option, "null"]
        options.append(word)
    return Arguments(options, None if checkpoint in (None, "null") else Path(checkpoint))


def read_config(path: Path) -> tuple[str, dict[str, Any]]:
    """Return a configuration as text and as a tree.

    Raises:
        UsageError: it cannot be read, is not YAML, has a key twice, or is not a mapping.
    """
    try:
        text = path.read_text(encoding="utf-8")
        tree = yaml.load(text, _UniqueKeyLoader)  # noqa: S506  a subclass of the safe loader
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror or error}") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is not a text in UTF-8") from error
    except yaml.MarkedYAMLError as error:
        line = f", line {error.problem_mark.line + 1}" if error.problem_mark else ""
        raise UsageError(f"{path}{line}: {error.problem}") from error
    except (ValueError, yaml.YAMLError) as error:
        raise UsageError(f"{path}: {first_lines(str(error))}") from error
    if not isinstance(tree, dict):
        raise UsageError(f"{path}: a configuration is a mapping of keys to values, this is not")
    return text, tree


# libyaml's loader if there is one, as in jsonargparse: PyYAML's own refuses some valid texts, such as {names: conv?.x}.
_SafeLoader: type[yaml.SafeLoader] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class _UniqueKeyLoader(_SafeLoader):  # type: ignore[misc, valid-type]  # a choice made at run time
    """Refuses a mapping that has a key twice; YAML silently takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise UsageError(f"{key.value!r} stands a second time in line {key.start_mark.line + 1}")
            seen.add(key.value)
        mapping: dict[Any, Any] = super().construct_mapping(node, deep)
        return mapping


def _names_class(tree: dict[str, Any], option: str) -> bool:
    """Return whether a configuration names a class for an option, rather than only arguments of the class."""
    node: Any = tree
    for key in option.removeprefix("--").split("."):
        node = node.get(key) if isinstance(node, dict) else None
    return node is not None and not (isinstance(node, dict) and "class_path" not in node)


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
