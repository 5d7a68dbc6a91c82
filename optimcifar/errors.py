"""Errors in what the user typed, and one-line messages for any error."""

from __future__ import annotations

import argparse
from importlib.metadata import version
from typing import NoReturn

from optimcifar.text import first_lines


class UsageError(ValueError):
    """Options that cannot be understood, or that contradict each other."""


class UsageParser(argparse.ArgumentParser):
    """An argparse parser that raises its errors instead of printing the usage and exiting."""

    def error(self, message: str) -> NoReturn:
        """Raise the error.

        Raises:
            UsageError: always.
        """
        raise UsageError(message)


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
