"""One-line messages for options that jsonargparse refuses."""

from __future__ import annotations

import inspect
import pydoc
import re
from collections.abc import Collection, Mapping
from importlib import import_module
from typing import Any

from lightning.pytorch import Callback, LightningDataModule
from lightning.pytorch.loggers import Logger
from torch.nn import Module
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from optimcifar.errors import UsageError
from optimcifar.text import first_lines, nearest

# What to add to the option's name, by a pattern in jsonargparse's message.
_REASONS = {
    r"No module named '([^']+)'": (
        ": there is no module {!r}: install it, or run the command in the folder that contains it"
    ),
    r"(?:SequentialLR|ChainedScheduler)\b|required: schedulers": (
        ": PyTorch's class takes schedule objects, which no option can name; "
        "use optimcifar.SequentialSchedule or optimcifar.ChainedSchedule instead"
    ),
    r"Not of type Seed": ": expected a whole number from 0 to 4294967295",
    r"arguments are required: ([\w.]+)": ".{} is missing: it has no default",
}


# The classes that options take.
_BASES: dict[str, type] = {
    "--model.optimizer": Optimizer,
    "--model.lr_scheduler": LRScheduler,
    "--model.net": Module,
    "--data": LightningDataModule,
    "--trainer.callbacks": Callback,
    "--trainer.logger": Logger,
}

_NAME_A_CLASS = "name one of PyTorch's, or give the import path of your own, such as my_file.MyClass"


def check_keys(tree: Mapping[Any, Any], known: Collection[str]) -> None:
    """Check the names at the top of a configuration, and those in its groups.

    Args:
        tree: the configuration.
        known: the names of all options, such as ``seed_everything`` and ``trainer.max_epochs``.

    Raises:
        UsageError: there is no such option there, or a group holds no options.
    """
    groups = {name.partition(".")[0] for name in known if "." in name}
    top = sorted({name.partition(".")[0] for name in known})
    for key, value in tree.items():
        if key not in top:
            hint = _hint(str(key), known) or f": expected one of {', '.join(top)}"
            raise UsageError(f"there is no option {key!r}{hint}")
        if key in groups and not isinstance(value, dict):
            raise UsageError(f"{key} needs options below it, got {value!r}")
        for inner in value if key in groups else ():
            if f"{key}.{inner}" not in known:
                raise UsageError(f"{key} has no option {inner!r}{_hint(str(inner), known)}")


def _hint(name: str, known: Collection[str]) -> str:
    """Return what the user may have meant, to add to a message; nothing if there is nothing like it."""
    group, _, own = (_meant(name, known) or "").rpartition(".")
    below = f" below {group!r}" if group else ""
    return f": did you mean {own!r}{below}?" if own else ""


def _meant(name: str, known: Collection[str]) -> str | None:
    """Return the option whose last part is most like that of an unknown one."""
    by_last_part = {option.rpartition(".")[2]: option for option in sorted(known, reverse=True)}
    meant = nearest(name.rpartition(".")[2], by_last_part)
    return by_last_part[meant] if meant else None


def usage_message(message: str, known: Collection[str]) -> str:
    """Say what is wrong with an option, given jsonargparse's message.

    The message names the option in parts, outermost first, and says for each type that the option may have why the
    value does not fit.

    Args:
        message: jsonargparse's message.
        known: the names of all options.
    """
    if match := re.match(r"unrecognized arguments: --([\w.]+)", message):
        meant = _meant(match[1], known)
        return first_lines(message) + (f"; did you mean --{meant}?" if meant else "")
    option = "--" + ".".join(re.findall(r'Parser key "([^"]+)"', message))
    for reason_of in (_unknown_argument, _known_reason, _wrong_type, _unknown_class):
        if reason := reason_of(message, option):
            return reason
    if "Errors:" in message:
        return f"{option}: {first_lines(innermost_reason(message))}"
    return first_lines(re.sub(r'Parser key "([^"]+)":', r"--\1:", message))


def innermost_reason(message: str) -> str:
    """Return the first reason of the innermost of jsonargparse's lists: it is about the type that the user meant."""
    _, _, reasons = message.rpartition("Errors:")
    first = reasons.strip().splitlines()[0].strip()
    built = re.search(r"Problem with given class_path '([^']+)':\s+(.+)", reasons)
    if built and re.match("- (Problem with|Not a valid subclass)", first):
        return f"{built[1]}: {built[2]}"  # what the class says itself
    return re.sub(r"^- |Type .+ expects a function or a callable class: ", "", first)


def _unknown_argument(message: str, option: str) -> str | None:
    match = re.search(r"Option '([^']+)' is not accepted", message)
    # Where a class's argument has a wrong value, the base class, which is tried too, does not know the argument.
    if match and not option.endswith(f".{match[1]}"):
        owner = re.search(r"class_path[= ]'([^']+)'", message)
        meant = nearest(match[1], _arguments(owner[1])) if owner else None
        hint = f"; did you mean {meant}?" if meant else ""
        return f"{option}.{match[1]}: {owner[1] if owner else option[2:]} has no argument {match[1]!r}{hint}"
    if match := re.search(r"Group '([^']+)' does not accept option '([^']+)'", message):
        return f"--{match[1]}.{match[2]}: {match[1]} has no argument {match[2]!r}"
    return None


def _arguments(path: str) -> list[str]:
    """Return the arguments of a class or function by its import path; none if it cannot be found."""
    found = pydoc.locate(path)
    return list(inspect.signature(found).parameters) if callable(found) else []


def _unknown_class(message: str, option: str) -> str | None:
    """Say that there is no class or function of a name, and which one was probably meant."""
    if match := re.search(r"module '([\w.]+)' has no attribute '(\w+)'", message):
        meant = nearest(match[2], vars(import_module(match[1])))
        hint = f"; did you mean {match[1]}.{meant}?" if meant else ""
        return f"{option}: there is no {match[1]}.{match[2]}{hint}"
    if match := re.search(r"Expected a dot import path string: (.+)", message):
        meant = nearest(match[1], _class_names(option))
        hint = f"did you mean {meant}?" if meant else _NAME_A_CLASS
        return f"{option}: there is no class {match[1]!r} that fits here; {hint}"
    return None


def _class_names(option: str) -> set[str]:
    """Return the names of the classes that an option takes, of those that are imported."""
    found = [base for prefix, base in _BASES.items() if option.startswith(prefix)]
    for kind in found:  # which grows
        subclasses: list[type] = kind.__subclasses__()
        found += [inner for inner in subclasses if inner not in found]
    return {kind.__name__ for kind in found if not inspect.isabstract(kind) and not kind.__name__.startswith("_")}


def _known_reason(message: str, option: str) -> str | None:
    matches = ((re.search(pattern, message), reason) for pattern, reason in _REASONS.items())
    return next((option + reason.format(*match.groups()) for match, reason in matches if match), None)


def _wrong_type(message: str, option: str) -> str | None:
    if option in _BASES and "Expected a dot import path string" in message:
        return None  # a list of classes is expected too, but a person names one class
    names = re.findall(r"Expected an? (?:<class '(?:\w+\.)*(\w+)'>|typing\.Literal\[(.+?)\])", message)
    expected = list(dict.fromkeys(name or f"one of {choices}" for name, choices in names if name != "NoneType"))
    if not expected:
        return None
    got = re.search(r"Given value: (.+?)(?:\. Got value.*)?$|Got value: (.+)$", message, re.MULTILINE)
    return f"{option}: expected {' or '.join(expected)}" + (f", got {(got[1] or got[2])!r}" if got else "")
