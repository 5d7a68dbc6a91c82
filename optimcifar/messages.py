"""What goes wrong, said in a line or two."""

from __future__ import annotations

import argparse
import re
from typing import NoReturn

_LONGEST_LINE = 300


class UsageError(ValueError):
    """Options that can't be understood or don't go together."""


class BriefParser(argparse.ArgumentParser):
    """A parser of options whose errors are raised, to be said in a line."""

    def error(self, message: str) -> NoReturn:
        """Raise.

        Raises:
            UsageError: always.
        """
        raise UsageError(message)


# What follows the option's name, by what jsonargparse says.
_REASONS = {
    r"No module named '([^']+)'": (
        ": there is no module {!r}: install it, or run the command in the folder where it lies"
    ),
    r"(?:SequentialLR|ChainedScheduler)\b|required: schedulers": (
        ": PyTorch's class takes schedules that are made already; "
        "name optimcifar.SequentialSchedule or optimcifar.ChainedSchedule instead"
    ),
    r"arguments are required: ([\w.]+)": ".{} is missing: it has no default",
}


def usage_message(message: str) -> str:
    """Say what is wrong with an option, from jsonargparse's account of all that it tried.

    The account names the option in parts, from the outside in, and for each type that the option may have the reason
    why the value is none of that type.
    """
    option = "--" + ".".join(re.findall(r'Parser key "([^"]+)"', message))
    if match := re.search(r"Option '([^']+)' is not accepted", message):
        owner = re.search(r"class_path='([^']+)'", message)
        return f"{option}.{match[1]}: {owner[1] if owner else option[2:]} has no argument {match[1]!r}"
    for pattern, reason in _REASONS.items():
        if match := re.search(pattern, message):
            return option + reason.format(*match.groups())
    if expected := _expected_types(message):
        got = re.search(r"Given value: (.+?)(?:\. Got value.*)?$|Got value: (.+)$", message, re.MULTILINE)
        return f"{option}: expected {' or '.join(expected)}" + (f", got {(got[1] or got[2])!r}" if got else "")
    if match := re.search(r"Expected a dot import path string: (.+)", message):
        return (
            f"{option}: there is no class {match[1]!r} that fits here; "
            "name one that PyTorch has, or the path of your own, such as my_file.MyClass"
        )
    if "Errors:" in message:
        return f"{option}: {brief(message)}"
    return brief(re.sub(r'Parser key "([^"]+)":', r"--\1:", message))


def count(number: int, thing: str) -> str:
    """Say how many: ``1 run``, ``24 runs``."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def error_message(error: Exception) -> str:
    """Say what stopped a run."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}"
    return brief(str(error)) or type(error).__name__


def brief(message: str) -> str:
    """Return the first two lines that say something, each cut to a length that a terminal can show."""
    lines = [line.strip() for line in message.splitlines() if line.strip()]
    if "Errors:" in lines:
        # jsonargparse's list, or lists in lists, of the types that it tried: the innermost first reason is that of
        # the type that was meant
        innermost = len(lines) - 1 - lines[::-1].index("Errors:")
        lines = [re.sub(r"^- |Type .+ expects a function or a callable class: ", "", lines[innermost + 1])]
    if lines and lines[0].endswith(":"):
        lines = [" ".join(lines[:2]), *lines[2:]]
    return "\n".join(line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..." for line in lines[:2])


def _expected_types(message: str) -> list[str]:
    names = re.findall(r"Expected an? (?:<class '(?:\w+\.)*(\w+)'>|typing\.Literal\[(.+?)\])", message)
    return list(dict.fromkeys(name or f"one of {choices}" for name, choices in names if name != "NoneType"))
