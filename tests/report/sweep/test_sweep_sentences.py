"""What a sweep says of a made-up response: the best value, its equals, collapses, edges and runs without a result."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
from made_up_sweeps import BETAS, LR, MOMENTUM, make_sweep

from optimcifar.report.sweep.results import read_sweep
from optimcifar.report.sweep.sentences import answer, methods

GRID = [(value,) for value in (0.001, 0.00316, 0.01, 0.0316, 0.1, 0.316, 1.0)]

# Differences between seeds that no value shares with another, so that t-tests have a spread.
NOISE = (0.0, 0.01, -0.01, 0.005, -0.005)


def response(best: float, fall: float = 0.1) -> Any:
    """Return an outcome that falls with the square of the distance from the best, in powers of ten."""

    def outcome(_: str, values: tuple[Any, ...], seed: int) -> float:
        lr = values[0]
        place = [value for (value,) in GRID].index(lr) if (lr,) in GRID else 7
        return 0.6 - fall * math.log10(lr / best) ** 2 + NOISE[(seed + place * (1 + seed % 2)) % 5] / 2

    return outcome


def says(tmp_path: Path, *args: Any, **options: Any) -> str:
    """Return the answer to a sweep of a single configuration."""
    make_sweep(tmp_path, *args, **options)
    (line,) = answer(read_sweep(tmp_path))
    return line


def test_best_value_and_the_range_that_cannot_be_told_from_it(tmp_path: Path) -> None:
    line = says(tmp_path, {LR: "1e-3..1"}, GRID, response(0.0316, 0.02), {"sgd": (0.001,)}, seeds=5)
    assert line.startswith("sgd: The best is lr 0.0316, with a validation accuracy of 0.598 [0.594, 0.602].")
    assert "The file's own value, lr 0.001, has 0.5" in line
    assert "shown to be below the best." in line
    assert "Cannot be told from the best: lr 0.01 to 0.1." in line
    assert "Caution" not in line


def test_best_value_that_stands_alone(tmp_path: Path) -> None:
    line = says(tmp_path, {LR: "1e-3..1"}, GRID, response(0.0316, 0.4), {"sgd": (0.0316,)}, seeds=5)
    assert "That is the file's own value. All other values" in line
    assert "are shown to be below it." in line


@pytest.mark.parametrize(
    ("best", "over", "edge", "further"),
    [
        (0.001, "1e-3..1", "lr 0.001 is the lowest value tried", "3e-05..0.03:log"),
        (1.0, "1e-3..1", "lr 1 is the highest value tried", "0.03..30.0:log"),
        (1.0, "0.001,0.00316,0.01,0.0316,0.1,0.316,1.0", "lr 1 is the highest value tried", "0.03..30.0:log"),
    ],
)
def test_caution_where_the_best_lies_at_an_edge(
    tmp_path: Path, best: float, over: str, edge: str, further: str
) -> None:
    line = says(tmp_path, {LR: over}, GRID, response(best), {"sgd": (0.01,)})
    assert f"Caution: {edge}, so the best may lie beyond it; try --over {LR}={further} next." in line


def test_no_range_is_named_beyond_zero_on_a_log_scale(tmp_path: Path) -> None:
    key = "model.optimizer.weight_decay"
    decays = [(0.001,), (0.1,)]
    line = says(tmp_path, {key: "1e-3..0.1"}, decays, lambda _, v, s: 0.6 - v[0] + NOISE[s] / 10, {"sgd": (0.0,)})
    assert "Caution: weight_decay 0 is the lowest value tried, so the best may lie beyond it." in line


def test_values_with_a_collapsed_run_are_not_said_to_be_below_the_best(tmp_path: Path) -> None:
    def outcome(_: str, values: tuple[Any, ...], seed: int) -> float:
        return 0.1 if (*values, seed) == (1.0, 0) else 0.5 - 0.2 * values[0] + NOISE[seed] / 10

    line = says(tmp_path, {LR: "0.1,0.5,1"}, [(0.1,), (0.5,), (1.0,)], outcome, {"sgd": (0.1,)})
    assert "All other values that can be compared are shown to be below it." in line


def test_where_runs_collapsed(tmp_path: Path) -> None:
    def outcome(_: str, values: tuple[Any, ...], seed: int) -> Any:
        lr = values[0]
        if lr > 0.2:
            return 0.1 if seed else {"accuracies": [0.5], "status": "diverged"}
        if lr > 0.05 and seed == 1:
            return {"accuracies": [], "status": "diverged"}
        return response(0.0316)(_, values, seed) if lr > 0.001 else 0.1

    line = says(tmp_path, {LR: "1e-3..1"}, GRID, outcome, {"sgd": (1.0,)})
    assert "The file's own value, lr 1, collapsed in every run." in line
    assert "Every run diverged or ended at chance with lr 0.316 and above." in line
    assert "Every run ended at chance with lr 0.001." in line
    assert "1 of 3 runs diverged with lr 0.1." in line
    assert "Not comparable" not in line  # the sentences above say why


def test_every_run_collapsed_or_none_has_a_result(tmp_path: Path) -> None:
    diverged = {"accuracies": [0.5], "status": "diverged"}
    make_sweep(tmp_path / "a", {LR: "1,10"}, [(1,), (10,)], lambda *_: diverged, {"sgd": (1,)})
    assert answer(read_sweep(tmp_path / "a")) == ["sgd: Every run diverged or ended at chance."]
    failed = {"accuracies": [], "status": "failed"}
    make_sweep(tmp_path / "b", {LR: "1,10"}, [(1,), (10,)], lambda *_: failed, {"sgd": (1,)})
    assert answer(read_sweep(tmp_path / "b")) == [
        "sgd: No run has a result. Runs without a result: lr 1 and 10 (3 of 3 failed)."
    ]
    unmeasured = {"accuracies": [math.nan], "val_images": 0}
    make_sweep(tmp_path / "c", {LR: "1,10"}, [(1,), (10,)], lambda *_: unmeasured, {"sgd": (1,)})
    assert answer(read_sweep(tmp_path / "c")) == ["sgd: Nothing is compared: no validation accuracy was measured."]


def test_one_seed_tells_nothing_apart_and_two_tell_what_differs_by_more_than_all_scatter(tmp_path: Path) -> None:
    line = says(tmp_path / "one", {LR: "1e-3..1"}, GRID, response(0.0316), {"sgd": (0.01,)}, seeds=1)
    assert "The best is lr 0.0316" in line
    assert "With 1 seed, no value can be told from another: that takes two or more." in line
    assert "below the best" not in line
    line = says(tmp_path / "two", {LR: "1e-3..1"}, GRID, response(0.0316), {"sgd": (0.001,)}, seeds=2)
    assert "The file's own value, lr 0.001, has 0.378 [0.346, 0.409], shown to be below the best." in line


def test_runs_that_failed_or_are_not_over_are_named_per_configuration(tmp_path: Path) -> None:
    def outcome(name: str, values: tuple[Any, ...], seed: int) -> Any:
        if name == "adam":
            return None
        if values == (0.2,) and seed == 2:
            return {"accuracies": [0.5], "status": "failed"}
        return {0.1: 0.5, 0.2: 0.52, 0.3: {"accuracies": [0.4], "status": "running"}}[values[0]]

    own: dict[str, tuple[Any, ...]] = {"sgd": (0.1,), "adam": (0.1,)}
    make_sweep(tmp_path, {LR: "0.1,0.2,0.3"}, [(0.1,), (0.2,), (0.3,)], outcome, own)
    sgd, adam = answer(read_sweep(tmp_path))
    assert "Runs without a result: lr 0.2 (1 of 3 failed); lr 0.3 (3 of 3 running)." in sgd
    assert "lr 0.3, " not in sgd
    assert adam == "adam: No run has a result. Runs without a result: lr 0.1 to 0.3 (3 of 3 not started)."


def test_values_that_are_no_numbers_make_no_range_and_have_no_edge(tmp_path: Path) -> None:
    betas: list[tuple[Any, ...]] = [([0.5, 0.999],), ([0.9, 0.999],), ([0.95, 0.999],), ([0.99, 0.999],)]
    means = {0.5: 0.45, 0.9: 0.6, 0.95: 0.6, 0.99: 0.601}

    def outcome(_: str, values: tuple[Any, ...], seed: int) -> float:
        return means[values[0][0]] + NOISE[(seed + int(100 * values[0][0])) % 5]

    text = "[0.5,0.999],[0.9,0.999],[0.95,0.999],[0.99,0.999]"
    line = says(tmp_path, {BETAS: text}, betas, outcome, {"adam": ([0.9, 0.999],)}, seeds=5)
    assert "The best is betas [0.99, 0.999]" in line
    assert "Cannot be told from the best: betas [0.9, 0.999] and [0.95, 0.999]." in line
    assert "Caution" not in line


def test_two_hyperparameters(tmp_path: Path) -> None:
    points = [(lr, momentum) for lr in (0.01, 0.1, 1.0) for momentum in (0.0, 0.9)]

    def outcome(_: str, values: tuple[Any, ...], seed: int) -> Any:
        lr, momentum = values
        step = lr / (1 - momentum)
        if step > 5:
            return {"accuracies": [0.2], "status": "diverged"}
        return 0.6 - 0.1 * math.log10(step) ** 2 - lr / 100 + NOISE[(seed + int(step * 7)) % 5] / 10

    over, follows = {LR: "0.01,0.1,1", MOMENTUM: "0,0.9"}, {"model.lr_scheduler.max_lr": LR}
    line = says(tmp_path, over, points, outcome, {"sgd": (0.01, 0.9)}, seeds=5, follows=follows)
    assert "sgd: The best is lr 0.1, momentum 0.9, with" in line
    assert "The file's own values, lr 0.01, momentum 0.9, have 0.5" in line
    assert "Every run diverged with lr 1, momentum 0.9." in line
    assert f"momentum 0.9 is the highest value tried, so the best may lie beyond it; try --over {MOMENTUM}=" in line
    text = " ".join(methods(read_sweep(tmp_path)))
    assert "max_lr follows lr: model.lr_scheduler.max_lr is tied to it." in text
    assert f"lr is {LR}; tried: 0.01, 0.1, 1, and each file's own value." in text
