"""A rich console on standard output."""

from __future__ import annotations

import errno
import os
import sys
from typing import NoReturn

from rich.console import Console
from rich.text import Text

from optimcifar.output import printable


class OutputConsole(Console):
    """A console that prints text as it is, without markup or emoji codes.

    A pipe gets no escape codes, and 80 columns unless the variable ``COLUMNS`` says otherwise.
    """

    def __init__(self) -> None:
        super().__init__(file=sys.stdout, highlight=False, markup=False, emoji=False)

    def text(self, text: str, style: str = "") -> Text:
        """Return a text to lay out: what cannot be shown is replaced, and a long word is folded."""
        return Text(printable(text, self.encoding), style, overflow="fold")

    def print_line(self, line: str) -> None:
        """Print a line: broken between words on a terminal, whole elsewhere."""
        self.print(line, soft_wrap=not self.is_terminal)

    def layout(self, line: Text, indent: int) -> str:
        """Return a line as it will be printed: broken between words on a terminal, whole elsewhere.

        Args:
            line: the line.
            indent: how far the lines after the first one are indented on a terminal.
        """
        if not self.is_terminal:
            return line.plain
        lines = line.wrap(self, self.width - indent)
        with self.capture() as captured:
            self.print(Text(f"\n{' ' * indent}").join(lines))
        return captured.get().removesuffix("\n")

    def on_broken_pipe(self) -> NoReturn:
        """Leave a pipe that nobody reads to the command, as ``print`` does.

        Raises:
            BrokenPipeError: always.
        """
        raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
