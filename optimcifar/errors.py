"""Errors in what the user typed, and one-line messages for any error."""

from __future__ import annotations

import argparse
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
    return first_lines(str(error)) or type(error).__name__
