"""What a comparison prints while it runs."""

from __future__ import annotations

import contextlib
import math
import re
from pathlib import Path

import pytest
from helpers import make_run

from optimcifar.engine.progress import RunTable
from optimcifar.engine.runs import Run
from optimcifar.engine.worker import RunEnd

HEADS = ("epoch", "train loss", "val acc", "time left")


@pytest.fixture(autouse=True)
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")


def planned(name: str, seed: int = 0) -> Run:
    return Run(name, seed, Path(f"out/runs/{name}/seed-{seed}"), ())


def shown(run: Run, ends: dict[Run, RunEnd], capsys: pytest.CaptureFixture[str]) -> str:
    with RunTable([run]) as table:
        table.show(ends)
    return capsys.readouterr().out


def screen(out: str) -> str:
    """Return the text that a terminal shows in the end: it goes up, and erases lines."""
    lines, row = [""], 0
    for code, text in re.findall(r"(\x1b\[[?0-9;]*[a-zA-Z]|\r|\n)|([^\x1b\r\n]+)", out):
        if text:
            lines[row] += text
        elif code == "\n":
            row += 1
            lines += [""] * (row == len(lines))
        elif code == "\x1b[1A":
            row -= 1
        elif code == "\x1b[2K":
            lines[row] = ""
        else:
            assert code == "\r" or code[-1] in "mhl", code  # colours, and the cursor hidden or shown
    return "\n".join(line.rstrip() for line in lines).rstrip()


@pytest.mark.parametrize(
    ("accuracies", "max_epochs", "texts"),
    [
        ([0.25, 0.5], 5, ["2/5", "1.8000", "0.5000", "6 s"]),  # epochs of two seconds, three of them left
        ([math.nan, math.nan], 5, ["2/5", "6 s"]),  # nothing measured
        ([0.25, 0.5], -1, ["2/?", "1.8000", "0.5000"]),  # a run without an end
    ],
)
def test_a_current_run_shows_what_was_measured(
    accuracies: list[float], max_epochs: int, texts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    run = planned("sgd")
    make_run(run.folder, 0, accuracies, status="running", max_epochs=max_epochs)
    out = shown(run, {}, capsys)
    assert all(text in out for text in (*HEADS, *texts)), out
    assert "nan" not in out
    assert "-3 s" not in out


def test_an_ended_run_shows_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    run = planned("sgd")
    make_run(run.folder, 0, [0.25, math.nan], status="diverged")
    out = shown(run, {run: RunEnd("diverged")}, capsys)
    assert "sgd seed 0: diverged, 4.0 s of training" in out


def test_lines_are_broken_between_words(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    run = planned("sgd")
    make_run(run.folder, 0, [0.25, 0.5], status="diverged")
    assert "sgd seed 0: diverged, train\nloss 1.8000" in screen(shown(run, {run: RunEnd("diverged")}, capsys))


def test_an_error_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    run = planned("sgd")
    out = shown(run, {run: RunEnd("failed", "no [/dev/shm] left, got [1, 2] :boom:")}, capsys)
    assert "sgd seed 0: failed: no [/dev/shm] left, got [1, 2] :boom:\n" in out


@pytest.mark.parametrize("interrupted", [False, True])
def test_nothing_of_the_table_is_left_when_it_ends(interrupted: bool, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = runs = [planned("sgd"), planned("adam")]
    make_run(first.folder, 0, [0.5], status="running", max_epochs=5)
    with pytest.raises(KeyboardInterrupt) if interrupted else contextlib.nullcontext(), RunTable(runs) as table:
        table.show({})
        make_run(second.folder, 0, [0.5], status="running", max_epochs=5)
        table.show({})
        if interrupted:
            raise KeyboardInterrupt
        table.show({first: RunEnd("finished")})
        table.show({first: RunEnd("finished"), second: RunEnd("finished")})
    ends = [] if interrupted else [rf"{run.name} seed 0: finished, .*\n" for run in runs]
    bar = rf"runs \S+ {0 if interrupted else 2}/2 0:00:00"
    assert re.fullmatch("".join([*ends, bar]), screen(capsys.readouterr().out))


def test_no_table_is_shown_before_a_run_has_started(capsys: pytest.CaptureFixture[str]) -> None:
    out = shown(planned("sgd"), {}, capsys)
    assert "0/1" in out
    assert not any(head in out for head in HEADS)


@pytest.mark.parametrize("columns", [40, 80])
def test_no_line_is_wider_than_the_terminal(
    columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    run = planned("größer-lr=0.0003-weight_decay=0.0005-momentum=0.9-nesterov=True-dampening=0.0001")
    make_run(run.folder, 0, [0.25, 0.5], status="running", max_epochs=5)
    out = re.sub(r"\x1b\[[?0-9;]*[a-zA-Z]", "", shown(run, {}, capsys))
    assert max(map(len, re.split(r"\r|\n", out))) <= columns
    assert "0.5000" in out


@pytest.mark.parametrize(("name", "value"), [("FORCE_COLOR", ""), ("TERM", "dumb")])
def test_where_the_cursor_cannot_move_there_are_only_lines(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv(name, value)
    first, second = planned("sgd"), planned("adam")
    make_run(first.folder, 0, [0.5])
    make_run(second.folder, 0, [0.5], status="running", max_epochs=5)
    with RunTable([first, second]) as table:
        table.show({first: RunEnd("finished")})
    expected = "sgd seed 0: finished, train loss 1.8000, val acc 0.5000, 2.0 s of training (1 of 2 runs)\n"
    assert capsys.readouterr().out == expected


def test_lines_say_how_long_the_other_runs_take_at_the_pace_of_the_new_ones(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TERM", "dumb")
    now = [1000.0]
    monkeypatch.setattr("optimcifar.engine.progress.time.monotonic", lambda: now[0])
    runs = [planned("sgd", seed) for seed in range(3)]
    make_run(runs[0].folder, 0, [0.5])  # it ended before
    with RunTable(runs) as table:
        table.expect(5)
        make_run(runs[1].folder, 1, [0.5])
        now[0] += 120
        table.show({runs[0]: RunEnd("finished"), runs[1]: RunEnd("finished")})
        table.add([planned("adam", seed) for seed in range(3)])  # six in all, more than expected
        make_run(runs[2].folder, 2, [0.5])
        now[0] += 120
        table.show({runs[2]: RunEnd("finished")})
    ends = [line.rpartition(" (")[2] for line in capsys.readouterr().out.splitlines()]
    assert ends == [
        "1 of 5 runs)",
        "2 of 5 runs, about 6 minutes left)",  # three runs of two minutes each
        "3 of 6 runs, about 6 minutes left)",  # 240 s for two new runs, and three are left
    ]
