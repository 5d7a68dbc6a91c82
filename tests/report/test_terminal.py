"""What a comparison prints when its runs are over."""

from __future__ import annotations

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
from helpers import make_comparison, make_run, unwrapped

from optimcifar import read_comparison
from optimcifar.report.short_table import short_table
from optimcifar.report.terminal import print_results

LONG = "sgd-lr=0.0003-weight_decay=0.0005-momentum=0.9"


@pytest.fixture(autouse=True)
def pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def printed(out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    print_results(read_comparison(out), out / "report.html")
    return capsys.readouterr().out


def table(text: str) -> list[list[str]]:
    """Return the cells of the table's lines, which two spaces divide, its head first."""
    lines = text.split("\n\n")[1].splitlines()
    return [re.split(r"\s\s+", line.strip()) for line in lines]


def make_named_runs(out: Path, accuracies: dict[str, list[float]], **summary: Any) -> None:
    for name, of_seeds in accuracies.items():
        for seed, accuracy in enumerate(of_seeds):
            own: dict[str, Any] = summary if math.isnan(accuracy) else {}
            make_run(out / "runs" / name / f"seed-{seed}", seed, [0.1, accuracy], **own)
    (out / "comparison.json").write_text(json.dumps({"configurations": list(accuracies), "baseline": "sgd"}))


def test_answer_comes_first_and_configurations_in_order_of_accuracy(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_named_runs(tmp_path, {
        "sgd": [0.50, 0.51, 0.52, 0.53, 0.54],
        "worst": [0.41, 0.41, 0.42, 0.43, 0.43],
        "adam": [0.51, 0.50, 0.53, 0.52, 0.55],
        "muon": [0.60, 0.62, 0.62, 0.64, 0.64],
    })  # fmt: skip
    text = printed(tmp_path, capsys)
    assert text.startswith("muon (+0.104 [")
    # Half of an interval by hand: sd / sqrt(5) times Student's t, which is 3.96 at 0.05 / 3, 3.50 at 0.05 / 2 and 2.78
    # at 0.05; the standard deviations are 0.0055, 0.0071 and 0.0110.
    assert table(text) == [
        ["configuration", "seeds", "val acc", "difference", "verdict", "s/run"],
        ["muon", "5", "0.624", "+0.104 ± 0.010", "better", "4.0"],
        ["adam", "5", "0.522", "+0.002 ± 0.014", "no difference shown", "4.0"],
        ["sgd", "5", "0.520", "baseline", "4.0"],
        ["worst", "5", "0.420", "-0.100 ± 0.011", "worse", "4.0"],
    ]
    assert "Differences from sgd, paired by seed, ± half of their intervals.\nNetwork optimcifar.ConvNet; " in text
    assert text.endswith(f"summary.md beside it.\nthe report is {tmp_path}/report.html\n")


def test_runs_that_diverged_collapsed_or_are_not_over_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_named_runs(tmp_path, {"sgd": [0.5, 0.5, 0.5], "high": [0.6, math.nan, 0.6]}, status="diverged", classes=10)
    make_run(tmp_path / "runs/low/seed-0", 0, [0.1, 0.1], classes=10, val_images=1000)
    make_run(tmp_path / "runs/low/seed-1", 1, [0.1], status="running", train_seconds=None)
    text = printed(tmp_path, capsys)
    rows = {row[0]: row for row in table(text)}
    assert rows["configuration"][-1] == "diverged"
    assert (rows["high"][1], rows["high"][-1]) == ("3", "1")
    assert rows["sgd"] == ["sgd", "3", "0.500", "baseline", "4.0"]
    assert rows["low"][1:3] == ["1/2", "0.100"]
    assert short_table(read_comparison(tmp_path))["verdict"][-1].endswith("; 1 at chance")
    assert "1 run is not over, and left out" in text


def test_pairs_are_shown_where_one_side_has_other_seeds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_named_runs(
        tmp_path, {"sgd": [0.50, 0.52, 0.48, 0.90], "adam": [0.60, 0.63, 0.57], "muon": [0.4, 0.5, 0.6, 0.7]}
    )
    text = printed(tmp_path, capsys)
    cells = {row[0]: row[3] for row in table(text)}
    assert cells["adam"].endswith(" (3)")
    assert "(" not in cells["muon"]
    assert "with the number of pairs where one of the two has other seeds" in unwrapped(text)


@pytest.mark.parametrize("columns", [80, 44])
def test_a_pipe_gets_no_escape_codes_and_no_line_wider_than_asked(
    columns: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    make_comparison(tmp_path, ["sgd", "sgd_warmup_cosine", f"{LONG}1", f"{LONG}2"])
    make_run(tmp_path / "runs/sgd/seed-3", 3, [0.1, math.nan], status="diverged")
    text = printed(tmp_path, capsys)
    assert "\x1b" not in text
    *lines, _ = text.splitlines()  # the last has a path, to be copied
    assert max(map(len, lines)) <= columns
    names = "".join(first for first, *_ in table(text))
    assert all(f"{LONG}{number}" in names for number in (1, 2))


@pytest.mark.parametrize(("term", "coloured"), [("xterm", True), ("dumb", False)])
def test_verdicts_are_coloured_on_a_terminal_that_can(
    term: str, coloured: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as on a terminal
    monkeypatch.setenv("TERM", term)
    make_comparison(tmp_path, ["sgd", "adam"])
    text = printed(tmp_path, capsys)
    assert ("\x1b[32mbetter" in text) is coloured
    assert ("\x1b" in text) is coloured
    assert "better" in text


def test_one_configuration_has_no_empty_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_comparison(tmp_path, ["sgd"])
    text = printed(tmp_path, capsys)
    assert table(f"\n\n{text}")[0] == ["configuration", "seeds", "val acc", "s/run"]
    assert "Differences" not in text


def test_names_are_no_markup(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = {"optimizer": "torch.optim.Adam"}
    for number, betas in enumerate(([0.9, 0.99], [0.9, 0.999])):
        make_run(tmp_path / f"version_{number}", 0, [0.5], hyperparameters=settings | {"optimizer.betas": betas})
    text = printed(tmp_path, capsys)
    assert "Adam-betas=[0.9, 0.99]" in re.sub(r"\s+", " ", text)
