"""The console that tables and lines of a comparison are printed on."""

from __future__ import annotations

import os
import sys

import pytest

from optimcifar.console import OutputConsole


def test_a_pipe_that_nobody_reads_is_left_to_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    stdout = os.fdopen(writer, "w")
    monkeypatch.setattr(sys, "stdout", stdout)
    with pytest.raises(BrokenPipeError):  # rich alone would end the process with status 1
        OutputConsole().print("nothing")
    with pytest.raises(BrokenPipeError):
        stdout.close()
