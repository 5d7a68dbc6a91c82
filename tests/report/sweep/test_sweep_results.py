"""What is read of a made-up sweep: its points in order, their figures, and which one is the best."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import make_run
from made_up_sweeps import BETAS, LR, MOMENTUM, course, make_sweep
from scipy import stats

from optimcifar.report.sweep.results import Response, Sweep, Tried, read_sweep


def texts(response: Response) -> list[str]:
    return [tried.name for tried in response.points]


def point(sweep: Sweep, name: str, configuration: str = "sgd") -> Tried:
    (response,) = (own for own in sweep.responses if own.name == configuration)
    return next(tried for tried in response.points if tried.name == name)


def test_folder_without_a_sweep_or_without_its_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"no sweep: there is no sweep\.json"):
        read_sweep(tmp_path)
    make_sweep(tmp_path, {LR: "0.1,0.2"}, [(0.1,), (0.2,)], lambda *_: None, {"sgd": (0.1,)})
    make_run(tmp_path / "runs/other/seed-0", 0, [0.5])
    with pytest.raises(RuntimeError, match="no run of its sweep yet"):
        read_sweep(tmp_path)


def test_only_the_runs_of_the_sweep_count(tmp_path: Path) -> None:
    make_sweep(tmp_path, {LR: "0.1,0.2"}, [(0.1,), (0.2,)], lambda *_: 0.5, {"sgd": (0.1,)}, seeds=2)
    make_run(tmp_path / "runs/sgd-0/seed-7", 7, [0.9])
    make_run(tmp_path / "runs/sgd-9/seed-0", 0, [0.9])
    found = read_sweep(tmp_path).runs
    assert [(run.name, run.seed) for run in found] == [("sgd-0", 0), ("sgd-0", 1), ("sgd-1", 0), ("sgd-1", 1)]


def test_points_are_in_the_order_of_their_values(tmp_path: Path) -> None:
    lr = [(1.0,), (0.001,), (0.0316,)]
    make_sweep(tmp_path / "a", {LR: "1e-3..1"}, lr, lambda *_: 0.5, {"sgd": (0.01,), "adam": (3,)}, seeds=1)
    numbers = read_sweep(tmp_path / "a")
    assert numbers.values == {LR: [0.001, 0.01, 0.0316, 1, 3]}
    assert [texts(own) for own in numbers.responses] == [
        ["lr 0.001", "lr 0.01", "lr 0.0316", "lr 1"],
        ["lr 0.001", "lr 0.0316", "lr 1", "lr 3"],
    ]
    assert numbers.scales == {LR: "log"}
    # Words and lists stay as they were named, and an own value that was not comes last.
    betas: list[tuple[Any, ...]] = [([0.9, 0.999],), ([0.5, 0.999],)]
    make_sweep(tmp_path / "b", {BETAS: "[0.9,0.999],[0.5,0.999]"}, betas, lambda *_: 0.5, {"adam": ([0.9, 0.99],)})
    words = read_sweep(tmp_path / "b")
    assert texts(words.responses[0]) == ["betas [0.9, 0.999]", "betas [0.5, 0.999]", "betas [0.9, 0.99]"]
    assert words.scales == {BETAS: None}
    # A configuration that has no such value: numbers first.
    make_sweep(tmp_path / "c", {MOMENTUM: "0..0.9"}, [(0.9,), (0.0,)], lambda *_: 0.5, {"sgd": (None,)})
    absent = read_sweep(tmp_path / "c")
    assert texts(absent.responses[0]) == ["momentum 0", "momentum 0.9", "momentum null"]
    assert absent.scales == {MOMENTUM: None}


def test_options_with_the_same_last_part_keep_the_part_before_it(tmp_path: Path) -> None:
    over = {"model.optimizer.gamma": "1,2", "model.lr_scheduler.gamma": "0.1,0.5"}
    make_sweep(tmp_path, over, [(1, 0.1), (2, 0.5)], lambda *_: 0.5, {"sgd": (1, 0.1)}, seeds=1)
    assert texts(read_sweep(tmp_path).responses[0])[0] == "optimizer.gamma 1, lr_scheduler.gamma 0.1"


def test_means_intervals_and_the_points_among_the_best_agree_with_scipy(tmp_path: Path) -> None:
    lrs = [(0.001,), (0.01,), (0.1,), (1.0,)]
    noise = 0.004 * np.random.default_rng(3).standard_normal((4, 6))
    accuracies = np.array([[0.4], [0.592], [0.6], [0.57]]) + noise

    def outcome(_: str, values: tuple[Any, ...], seed: int) -> float:
        return float(accuracies[lrs.index(values), seed])

    make_sweep(tmp_path, {LR: "1e-3..1"}, lrs, outcome, {"sgd": (0.01,)}, seeds=6)
    (response,) = read_sweep(tmp_path).responses
    for tried, own in zip(response.points, accuracies, strict=True):
        found = tried.estimate("val_acc")
        low, high = stats.t.interval(0.95, 5, own.mean(), stats.sem(own))
        assert (found.mean, found.low, found.high) == pytest.approx((own.mean(), low, high), abs=1e-6)
    best = int(accuracies.mean(axis=1).argmax())
    others = [number for number in range(4) if number != best]
    # The residuals of means over values and over seeds have 3 x 5 degrees of freedom.
    residuals = accuracies - accuracies.mean(axis=1, keepdims=True) - accuracies.mean(axis=0) + accuracies.mean()
    error = float(np.sqrt((residuals**2).sum() / 15 * 2 / 6))
    means = accuracies.mean(axis=1)
    p = {other: stats.t.sf((means[best] - means[other]) / error, 15) for other in others}
    expected = sorted([best, *(other for other in others if p[other] > 0.05 / 3)])
    assert response.best is response.points[best]
    assert response.members == [response.points[number] for number in expected]
    assert 1 < len(expected) < 4
    assert response.own is response.points[1]


def test_run_that_diverged_counts_as_at_chance_and_its_costs_do_not_count(tmp_path: Path) -> None:
    def outcome(_: str, values: tuple[Any, ...], seed: int) -> dict[str, Any]:
        if values == (1.0,) and seed:
            return {"accuracies": [0.9, 0.8], "status": "diverged", "optimizer_step_ms": 9.0}
        return {"accuracies": course(0.5), "train_seconds": 10.0 + seed}

    make_sweep(tmp_path, {LR: "0.1,1.0"}, [(0.1,), (1.0,)], outcome, {"sgd": (0.1,)})
    sweep = read_sweep(tmp_path)
    collapsed, whole = point(sweep, "lr 1"), point(sweep, "lr 0.1")
    assert collapsed.estimate("val_acc").mean == pytest.approx((0.5 + 0.1 + 0.1) / 3)
    assert (collapsed.diverged, collapsed.at_chance, whole.collapsed) == (2, 0, 0)
    # Its last whole epoch had an accuracy of 0.8, and so a loss of 1.5.
    assert collapsed.estimate("train_loss").mean == pytest.approx((1.8 + 1.5 + 1.5) / 3)
    assert collapsed.estimate("train_seconds").mean == 10
    assert collapsed.estimate("optimizer_step_ms").mean == 0.25
    assert whole.estimate("train_seconds").mean == 11
    assert sweep.responses[0].best is whole


def test_point_without_a_result_has_no_figures_and_is_not_the_best(tmp_path: Path) -> None:
    def outcome(_: str, values: tuple[Any, ...], __: int) -> Any:
        return {0.1: 0.5, 0.2: {"accuracies": [0.9], "status": "failed"}, 0.3: None}[values[0]]

    make_sweep(tmp_path, {LR: "0.1,0.2,0.3"}, [(0.1,), (0.2,), (0.3,)], outcome, {"sgd": (0.3,), "adam": (0.3,)})
    sweep = read_sweep(tmp_path)
    good, failed, absent = sweep.responses[0].points
    assert [tried.without_result for tried in (good, failed, absent)] == [{}, {"failed": 3}, {"not started": 3}]
    for tried in (failed, absent):
        assert math.isnan(tried.estimate("val_acc").mean)
        assert math.isnan(tried.estimate("train_seconds").mean)
    assert sweep.responses[0].best is good


def test_without_a_run_better_than_guessing_there_is_no_best(tmp_path: Path) -> None:
    make_sweep(tmp_path, {LR: "1,10"}, [(1,), (10,)], lambda *_: 0.1, {"sgd": (1,)})
    (response,) = read_sweep(tmp_path).responses
    assert response.best is None
    assert [tried.at_chance for tried in response.points] == [3, 3]
