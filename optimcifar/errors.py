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


# The options of `optimcifar fit` without a dot.
_OPTIONS_OF_FIT = {
    *("-c", "--config", "--print_config", "--seed_everything", "--data", "--model", "--trainer"),
    *("--ckpt_path", "--weights_only"),
}


class UsageParser(argparse.ArgumentParser):
    """An argparse parser that raises its errors instead of printing the usage and exiting.

    Args:
        args: those of the base class.
        kwargs: those of the base class.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._names: list[str] = []
        # An option that is cut short would be taken for another one.
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
        meant = nearest(unknown[1], self._names) if unknown else None
        raise UsageError(f"{message}; did you mean {meant}?" if meant else message)

    def refuse_unknown(self, words: Iterable[str]) -> None:
        """Refuse options that are neither this parser's nor those of ``optimcifar fit``, which are checked later.

        Args:
            words: what the parser left.

        Raises:
            UsageError: there is such an option.
        """
        for word in words:
            name = word.partition("=")[0].removesuffix("+")
            if name.startswith("--") and "." not in name and name not in _OPTIONS_OF_FIT:
                meant = nearest(name, {*self._names, *_OPTIONS_OF_FIT})
                raise UsageError(f"unrecognized arguments: {word}" + (f"; did you mean {meant}?" if meant else ""))


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
