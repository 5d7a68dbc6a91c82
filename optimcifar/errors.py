"""Errors in what the user typed, and one-line messages for any error."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterable
from importlib.metadata import version
from typing import Any, NoReturn

from optimcifar.text import first_lines, nearest


class UsageError(ValueError):
    """Options that cannot be understood, or that contradict each other."""


# How alike an unknown option and one of a command's own must be, 0 to 1, for the option not to be one of ``fit``.
_ALIKE = 0.7


class UsageParser(argparse.ArgumentParser):
    """An argparse parser that raises its errors instead of printing the usage and exiting.

    Args:
        args: those of the base class.
        kwargs: those of the base class.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._names: list[str] = []
        # An abbreviation could match another option.
        super().__init__(*args, **kwargs | {"allow_abbrev": False})

    def add_argument(self, *args: Any, **kwargs: Any) -> argparse.Action:
        """Add an argument, and remember the option's names."""
        action = super().add_argument(*args, **kwargs)
        self._names += action.option_strings
        return action

    def error(self, message: str) -> NoReturn:
        """Raise the error, with the option that was probably meant.

        Raises:
            UsageError: always.
        """
        unknown = re.match(r"unrecognized arguments: (--[^\s=]+)", message)
        meant = self._meant(unknown[1]) if unknown else None
        raise UsageError(f"{message}; did you mean {meant}?" if meant else message)

    def refuse_unknown(self, words: Iterable[str]) -> None:
        """Refuse options that are misspelled ones of this parser. The others are those of ``fit``, which checks them.

        Args:
            words: what the parser left.

        Raises:
            UsageError: there is such an option.
        """
        for word in words:
            name = word.partition("=")[0]
            if name.startswith("--") and "." not in name and (meant := self._meant(name, _ALIKE)):
                raise UsageError(f"unrecognized arguments: {word}; did you mean {meant}?")

    def _meant(self, name: str, alike: float = 0.6) -> str | None:
        names = {own.removeprefix("--"): own for own in self._names}
        found = nearest(name.removeprefix("--"), names, alike)
        return names[found] if found else None


def error_message(error: BaseException) -> str:
    """Describe an error in at most two lines."""
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    if str(error).startswith("operator torchvision::"):  # torchvision's import, which Lightning starts
        return (
            f"torchvision {version('torchvision')} does not fit torch {version('torch')} and cannot be imported; "
            "install both together: pip install --force-reinstall torch torchvision"
        )
    return first_lines(str(error)) or type(error).__name__
