"""Printing to a terminal or a pipe that cannot show every character, or that is closed early."""

from __future__ import annotations

import codecs
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout

# What to print where a character cannot be shown.
_PLAIN = {"±": "+-", "Δ": "delta"}

_ERRORS = "optimcifar.plain"


def _plain(error: UnicodeError) -> tuple[str | bytes, int]:
    if isinstance(error, UnicodeEncodeError) and (text := _PLAIN.get(error.object[error.start])):
        return text, error.start + 1
    return codecs.backslashreplace_errors(error)


codecs.register_error(_ERRORS, _plain)


def printable(text: str, encoding: str) -> str:
    """Return a text as it will be printed, for a layout that needs its width."""
    return text.encode(encoding, errors=_ERRORS).decode(encoding)


@contextmanager
def any_text() -> Iterator[None]:
    """Let standard output and error take any text for a while, whatever their encoding.

    What an encoding lacks is replaced: ``±`` by ``+-``, a letter by its number. An error would end a command after its
    work is done.
    """
    with ExitStack() as stack:
        if sys.stdout is None:  # closed by the shell's >&-
            stack.enter_context(redirect_stdout(stack.enter_context(open(os.devnull, "w", encoding="utf-8"))))
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # others, such as a notebook's, take any text
                stack.callback(stream.reconfigure, errors=stream.errors)
                stream.reconfigure(errors=_ERRORS)
        yield


def flush_output() -> OSError | None:
    """Write out what was printed to standard output, and return the error if that cannot be done."""
    try:
        sys.stdout.flush()
    except OSError as error:
        _discard_output()
        error.filename = "standard output"
        return error
    return None


def reader_is_gone() -> bool:
    """Return whether nobody reads standard output any more."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except BrokenPipeError:
        _discard_output()
        return True
    return False


def _discard_output() -> None:
    """Discard what is still to be written: Python would try again when it ends, and complain."""
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
