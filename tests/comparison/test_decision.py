"""Decisions after a stage, from made-up runs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from helpers import make_run

from optimcifar.comparison.decision import decide
from optimcifar.report.comparison import Comparison, read_comparison
from optimcifar.report.design import Design, Until

# How far the runs of a configuration are from its mean, by seed. The baseline's are not.
STEPS = {
    "sgd": (0.0, 0.0, 0.0, 0.0, 0.0),
    "muon": (1.0, -1.0, -0.5, 0.0, 0.5),
    "other": (0.5, 1.0, -1.0, -0.5, 0.0),
}
NAMES = ("sgd", "muon", "adam", "rmsprop", "rprop", "broken")
OTHER_STEPS = (-1.0, -0.5, 0.0, 0.5, 1.0)


def write_runs(out: Path, names: dict[str, float], seeds: range, status: str = "finished") -> None:
    for name, final in names.items():
        for seed in seeds:
            step = 0.01 * STEPS.get(name, OTHER_STEPS)[seed % 5]
            hyperparameters = {"optimizer": f"my.{name}"}
            make_run(
                out / "runs" / name / f"seed-{seed}", seed, [0.1, final + step], None, hyperparameters, status=status
            )


def comparison(out: Path, until: Until = "verdicts", names: tuple[str, ...] = NAMES) -> Comparison:
    Design(names, "sgd", stages=(5, 8), until=until).write(out)
    return read_comparison(out)


@pytest.fixture
def first_stage(tmp_path: Path) -> Path:
    final = {"sgd": 0.5, "muon": 0.7, "adam": 0.512, "rmsprop": 0.5, "rprop": 0.3}
    write_runs(tmp_path / "out", final, range(5))
    write_runs(tmp_path / "out", {"broken": 0.6}, range(5), status="failed")
    return tmp_path / "out"


def test_line_says_what_is_decided_what_goes_on_and_why(first_stage: Path) -> None:
    decision = decide(comparison(first_stage), 0, NAMES)
    assert decision.names == ["sgd", "adam"]
    assert decision.line == (
        "stage 1 of 2, 5 seeds: 2 of 5 verdicts; more seeds for sgd, adam; no more seeds for muon (better), rmsprop "
        "(8 seeds would hardly bring a verdict), rprop (worse), broken (too few results in common with sgd)"
    )


def test_runs_of_later_stages_do_not_change_an_earlier_decision(first_stage: Path) -> None:
    before = decide(comparison(first_stage), 0, NAMES)
    write_runs(first_stage, {"sgd": 0.5, "adam": 0.512, "rmsprop": 0.8}, range(5, 8))
    assert decide(comparison(first_stage), 0, NAMES) == before
    last = decide(comparison(first_stage), 1, NAMES)
    assert last.names == []
    assert last.line == "stage 2 of 2, 8 seeds: 3 of 5 verdicts"


def test_what_got_no_more_seeds_before_gets_none_later(first_stage: Path) -> None:
    decision = decide(comparison(first_stage), 0, ["sgd", "rmsprop"])
    assert decision.names == []  # nothing is compared with the baseline alone
    assert decision.line == (
        "stage 1 of 2, 5 seeds: 2 of 5 verdicts; no more seeds for rmsprop (8 seeds would hardly bring a verdict)"
    )


def test_best_goes_on_without_what_is_below_it(first_stage: Path) -> None:
    write_runs(first_stage, {"other": 0.699}, range(5))
    decision = decide(comparison(first_stage, until="best"), 0, [*NAMES, "other"])
    assert decision.names == ["muon", "other"]
    assert decision.line == (
        "stage 1 of 2, 5 seeds: the best of those that can be compared is among muon, other; more seeds for muon, "
        "other; no more seeds for adam, sgd, rmsprop, rprop (below the best), broken (too few runs with a result)"
    )


def test_best_ends_when_one_is_left(first_stage: Path) -> None:
    for folder in first_stage.glob("runs/*"):
        if folder.name not in ("sgd", "muon"):
            shutil.rmtree(folder)
    decision = decide(comparison(first_stage, until="best", names=("sgd", "muon")), 0, NAMES)
    assert decision.names == []
    assert decision.line == "stage 1 of 2, 5 seeds: the best is muon; no more seeds for sgd (below the best)"
