"""What a comparison prints while it runs."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from helpers import make_run

from optimcifar.comparison.plan import Run
from optimcifar.comparison.progress import RunTable
from optimcifar.comparison.worker import RunEnd


def shown(
    run: Run, ends: dict[Run, RunEnd], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> str:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("COLUMNS", "120")
    with RunTable([run]) as table:
        table.show(ends)
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("accuracies", "max_epochs", "texts"),
    [
        ([0.25, 0.5], 5, ["2/5", "1.8000", "0.5000", "6 s"]),  # epochs of two seconds, three of them left
        ([math.nan, math.nan], 5, ["2/5", "6 s"]),  # nothing measured
        ([0.25, 0.5], -1, ["2/?", "1.8000", "0.5000"]),  # a run without an end
    ],
)
def test_a_current_run_shows_what_was_measured(
    accuracies: list[float],
    max_epochs: int,
    texts: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = Run("sgd", 0, Path("out/runs/sgd/seed-0"), ())
    make_run(run.folder, 0, accuracies, status="running", max_epochs=max_epochs)
    out = shown(run, {}, monkeypatch, capsys)
    assert all(text in out for text in texts), out
    assert "nan" not in out
    assert "-3 s" not in out


def test_an_ended_run_shows_what_was_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Run("sgd", 0, Path("out/runs/sgd/seed-0"), ())
    make_run(run.folder, 0, [0.25, math.nan], status="diverged")
    out = shown(run, {run: RunEnd("diverged")}, monkeypatch, capsys)
    assert "sgd seed 0: diverged, 4.0 s of training" in out
