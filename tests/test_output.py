"""Terminals and pipes that cannot show a character, or that nobody reads."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest
from helpers import CONFIGS, make_comparison

from optimcifar.cli import main


def write_to(monkeypatch: pytest.MonkeyPatch, encoding: str) -> tuple[io.BytesIO, io.BytesIO]:
    """Let this process print in an encoding; return what it prints."""
    written = io.BytesIO(), io.BytesIO()
    for name, file in zip(("stdout", "stderr"), written, strict=True):
        monkeypatch.setattr(sys, name, io.TextIOWrapper(file, encoding=encoding, errors="strict"))
    return written


SMALL = [
    *("--data", "Shapes10DataModule", "--data.train_images", "150", "--data.val_size", "100"),
    *("--data.test_images", "20", "--trainer.max_epochs", "1"),
]


@pytest.mark.usefixtures("without_charts")
@pytest.mark.parametrize(
    ("encoding", "name", "plus_minus"),
    [("ascii", "gr\\xf6\\xdfer", "+-"), ("cp1252", "größer", "±"), ("utf-8", "größer", "±")],
)
def test_a_report_ends_in_any_encoding(
    encoding: str, name: str, plus_minus: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    make_comparison(tmp_path / "out", ["sgd", "größer"])
    out, err = write_to(monkeypatch, encoding)
    assert main(["report", "out"]) == 0
    head, first, second = out.getvalue().decode(encoding).split("\n\n")[1].splitlines()
    assert first.startswith(f"{name} ")
    assert f" {plus_minus} 0.0" in first
    # What replaces a character moves no column.
    assert first.index("better") == second.index("baseline") == head.index("verdict")
    assert err.getvalue() == b""
    assert (sys.stdout.errors, sys.stderr.errors) == ("strict", "strict")
    # Files are in UTF-8 wherever they are written.
    assert "| Δ val acc vs sgd |" in (tmp_path / "out" / "summary.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    "arguments",
    [
        ["--help"],
        ["fit", "--help"],
        ["fit", *SMALL, "--trainer.default_root_dir", "größer\udce9"],
        ["fit", "--config", "größer\udce9.yaml"],
        ["fit", *SMALL, "--config", str(CONFIGS / "sgd.yaml"), "--print_config"],
        ["schedule", *SMALL, "--png", "größer.png"],
        ["report", "größer"],
        ["größer"],
    ],
)
def test_every_command_ends_as_it_would_elsewhere(arguments: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    statuses = []
    for encoding in ("utf-8", "ascii"):
        out, err = write_to(monkeypatch, encoding)
        statuses.append(main(arguments))
        assert b"codec" not in err.getvalue()
        assert out.getvalue() or err.getvalue()
    assert statuses[0] == statuses[1]


@pytest.mark.parametrize("buffering", [-1, 1])
@pytest.mark.parametrize("arguments", [["--help"], ["fit", *SMALL]])
def test_a_command_whose_reader_is_gone_ends_in_silence(
    arguments: list[str],
    buffering: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w", buffering=buffering) as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(arguments) == 141
        assert capsys.readouterr().err == ""


def test_a_full_disk_is_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with Path("/dev/full").open("w") as stdout:
        monkeypatch.setattr(sys, "stdout", stdout)
        assert main(["--help"]) == 1
        assert capsys.readouterr().err == "optimcifar: standard output: No space left on device\n"


def test_a_command_runs_without_standard_output(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdout", None)
    assert main(["fit", *SMALL]) == 0
    assert sys.stdout is None
    assert capsys.readouterr().err == ""
