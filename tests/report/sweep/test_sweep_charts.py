"""What the pictures of made-up sweeps draw: their rows, axes and words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import vl_convert
from made_up_sweeps import BETAS, LR, MOMENTUM, course, make_sweep

from optimcifar.report.charts.style import DIVERGED, VEGA_LITE
from optimcifar.report.sweep.charts.gallery import draw_charts
from optimcifar.report.sweep.results import read_sweep

Spec = dict[str, Any]


def charts_of(folder: Path) -> dict[str, Spec]:
    """Return the specifications of all charts, by name."""
    return {name: chart.to_dict() for name, chart in draw_charts(read_sweep(folder)).items()}


def rows(spec: Spec, data: str, *columns: str) -> list[tuple[Any, ...]]:
    """Return columns of the rows that a chart draws."""
    return [tuple(row[name] for name in columns) for row in spec["datasets"][data]]


def channel(spec: Spec, name: str, data: str) -> Spec:
    """Return a channel of the first layer that draws these rows."""
    # Altair gives data that all layers share to their chart.
    layers = ((part | layer) for part in spec.get("concat", [spec]) for layer in part["layer"])
    found: Spec = next(layer["encoding"][name] for layer in layers if layer["data"] == {"name": data})
    return found


def one(_: str, values: tuple[Any, ...], seed: int) -> Any:
    """Return 0.4 to 0.6, a collapse of one seed at 0.3, and of all at 1 without a single epoch."""
    lr = values[0]
    if lr == 1.0:
        return {"accuracies": [], "status": "diverged"}
    if lr == 0.3 and seed == 1:
        return {"accuracies": [0.5, 0.1]}
    return {"accuracies": course({0.001: 0.4, 0.01: 0.6, 0.05: 0.58, 0.3: 0.5}[lr] + 0.01 * seed)}


def make_one(folder: Path) -> None:
    values = [(0.001,), (0.01,), (0.3,), (1.0,)]
    make_sweep(folder, {LR: "1e-3..1"}, values, one, {"sgd": (0.05,)})


def two(name: str, values: tuple[Any, ...], seed: int) -> Any:
    """Return 0.6 at best, a cell whose runs diverged before their first epoch, and one that failed."""
    lr, momentum = values
    if (lr, momentum) == (1, 0.9):
        return {"accuracies": [], "status": "diverged"}
    if (lr, momentum) == (1, 0) and name == "adam":
        return {"accuracies": [], "status": "failed"}
    return {0.01: 0.3, 0.05: 0.35, 0.1: 0.6, 1: 0.5}[lr] + 0.01 * seed + momentum / 100


def make_two(folder: Path) -> None:
    points = [(lr, momentum) for lr in (0.01, 0.1, 1) for momentum in (0, 0.9)]
    own: dict[str, tuple[Any, ...]] = {"sgd": (0.05, 0.9), "adam": (0.1, 0)}
    make_sweep(folder, {LR: "0.01,0.1,1", MOMENTUM: "0,0.9"}, points, two, own)


def make_words(folder: Path) -> None:
    points: list[tuple[Any, ...]] = [([0.9, 0.999],), ([0.5, 0.999],)]
    own: dict[str, tuple[Any, ...]] = {"adam": ([0.9, 0.999],), "adamw": ([0.8, 0.9],)}
    text = "[0.9,0.999],[0.5,0.999]"
    make_sweep(folder, {BETAS: text}, points, lambda _, v, seed: v[0][0] / 2 + 0.01 * seed, own)


def test_metrics_over_a_hyperparameter_of_numbers(tmp_path: Path) -> None:
    make_one(tmp_path)
    charts = charts_of(tmp_path)
    assert list(charts) == [
        *("val_acc_over_lr", "train_loss_over_lr", "train_seconds_over_lr", "optimizer_step_ms_over_lr"),
        *("val_acc_by_epoch", "train_loss_by_epoch"),
    ]
    accuracy = charts["val_acc_over_lr"]
    runs = rows(accuracy, "val_acc_runs", "value", "seed", "y", "collapsed")
    found = {(value, seed): (y, cross) for value, seed, y, cross in runs}
    assert len(found) == 5 * 3
    assert found[0.001, 2] == (pytest.approx(0.42), False)
    assert found[0.3, 1] == (0.1, True)
    assert {found[1.0, seed] for seed in range(3)} == {(0.1, True)}
    means = dict(rows(accuracy, "val_acc_means", "value", "mean"))
    assert means == pytest.approx(
        {0.001: 0.41, 0.01: 0.61, 0.05: 0.59, 0.3: (0.5 + 0.1 + 0.52) / 3, 1.0: 0.1}, abs=1e-5
    )
    assert rows(accuracy, "marks", "row", "value", "words", "left") == [
        ("best", 0.01, "0.01", False),
        ("own", 0.05, "0.05", False),
    ]
    # A run that diverged before its first epoch has no loss, and no time of a whole run.
    assert max(value for (value,) in rows(charts["train_loss_over_lr"], "train_loss_runs", "value")) == 0.3
    assert 1.0 not in dict(rows(charts["train_seconds_over_lr"], "train_seconds_means", "value", "mean"))
    for name in list(charts)[:4]:
        data = f"{name.removesuffix('_over_lr')}_runs"
        axis = channel(charts[name], "x", data)
        assert (axis["type"], axis["scale"]["type"], axis["scale"]["domain"]) == ("quantitative", "log", [0.001, 1.0])
        assert "3 seeds" in charts[name]["title"]["subtitle"][0]
        assert "Shapes10" in charts[name]["title"]["subtitle"][0]
        assert any(line.startswith(f"{DIVERGED}: diverged or at chance;") for line in charts[name]["title"]["subtitle"])


def test_curves_over_epochs_have_sequential_colours(tmp_path: Path) -> None:
    make_one(tmp_path)
    chart = charts_of(tmp_path)["val_acc_by_epoch"]
    colour = channel(chart, "color", "curves")
    assert (colour["scale"]["type"], colour["scale"]["scheme"]["name"]) == ("log", "viridis")
    found = rows(chart, "curves", "value", "epoch", "val_acc", "best", "own")
    assert (0.01, 4, pytest.approx(0.61), True, False) in found
    assert [own for own in found if own[4]] == [own for own in found if own[0] == 0.05]
    # Runs that diverged stay at chance level up to the last epoch.
    assert [own[2] for own in found if own[0] == 1.0] == [0.1] * 4


@pytest.mark.parametrize(
    ("own", "text", "values", "kind", "ticks"),
    [
        (0.5, "0..0.9", (0.0, 0.9), None, None),
        (0.0, "1e-4..0.1", (0.0001, 0.1), "symlog", [0.0, 0.0001, 0.001, 0.01, 0.1]),
        (2, "1..50", (1, 50), "log", [1, 2, 5, 10, 20, 50]),
    ],
)
def test_scale_of_the_axis(
    tmp_path: Path, own: float, text: str, values: tuple[float, float], kind: str | None, ticks: list[float] | None
) -> None:
    make_sweep(tmp_path, {LR: text}, [(value,) for value in values], lambda *_: 0.5, {"sgd": (own,)}, seeds=1)
    chart = charts_of(tmp_path)["val_acc_over_lr"]
    axis = channel(chart, "x", "val_acc_runs")
    assert (axis["scale"].get("type"), axis["axis"].get("values")) == (kind, ticks)
    assert axis["scale"]["domain"] == [min(own, *values), max(own, *values)]


def test_values_that_are_no_numbers_have_an_axis_of_words_in_their_order(tmp_path: Path) -> None:
    make_words(tmp_path)
    charts = charts_of(tmp_path)
    axis = channel(charts["val_acc_over_betas"], "x", "val_acc_runs")
    assert axis["scale"]["domain"] == ["[0.9, 0.999]", "[0.5, 0.999]", "[0.8, 0.9]"]
    # Configurations stand side by side.
    assert channel(charts["val_acc_over_betas"], "xOffset", "val_acc_means")["scale"]["domain"] == ["adam", "adamw"]
    assert list(channel(charts["val_acc_by_epoch"], "color", "curves")["scale"]["domain"]) == axis["scale"]["domain"]
    assert [part["title"]["text"] for part in charts["val_acc_by_epoch"]["concat"]] == ["adam", "adamw"]


def test_marks_of_several_configurations_do_not_cover_each_other(tmp_path: Path) -> None:
    own: dict[str, tuple[Any, ...]] = {"a": (0.1,), "b": (0.1,), "c": (1.0,)}
    best = {"a": 0.1, "b": 0.01, "c": 1.0}
    make_sweep(
        tmp_path, {LR: "0.01,0.1,1"}, [(0.01,), (0.1,), (1.0,)], lambda c, v, _: 0.5 + (v[0] == best[c]) / 9, own
    )
    chart = charts_of(tmp_path)["val_acc_over_lr"]
    assert rows(chart, "marks", "row", "configuration", "value", "shift") == [
        *[("best", "a", 0.1, 0), ("best", "b", 0.01, 0), ("best", "c", 1.0, 0)],
        *[("own", "a", 0.1, -5), ("own", "b", 0.1, 5), ("own", "c", 1.0, 0)],
    ]
    assert {words for (words,) in rows(chart, "marks", "words")} == {""}


def test_heat_maps_of_two_hyperparameters(tmp_path: Path) -> None:
    make_two(tmp_path)
    charts = charts_of(tmp_path)
    assert list(charts)[:2] == ["val_acc_heat_map", "train_loss_heat_map"]
    chart = charts["val_acc_heat_map"]
    assert [part["title"]["text"] for part in chart["concat"]] == ["sgd", "adam"]
    # The one with more values goes down.
    assert channel(chart, "y", "val_acc_cells_0")["scale"]["domain"] == ["1", "0.1", "0.05", "0.01"]
    cells = {own[:2]: own[2:] for own in rows(chart, "val_acc_cells_0", "down", "across", "text", "words", "marked")}
    assert len(cells) == 7
    assert cells["0.1", "0.9"] == ("0.619", "best", True)
    assert cells["0.05", "0.9"] == ("0.369", "own", True)
    assert cells["1", "0.9"] == ("0.100", f"3/3 {DIVERGED}", False)
    assert cells["0.01", "0"] == ("0.310", "", False)
    others = {own[:2]: own[2:] for own in rows(chart, "val_acc_cells_1", "down", "across", "text", "words", "marked")}
    assert others["1", "0"] == ("", "failed", False)
    assert others["0.1", "0"] == ("0.610", "own", True)
    panels = [part["title"]["text"] for part in charts["val_acc_by_epoch"]["concat"]]
    assert panels == ["sgd, momentum 0", "sgd, momentum 0.9", "adam, momentum 0", "adam, momentum 0.9"]


def test_wide_intervals_do_not_give_losses_a_scale_of_powers(tmp_path: Path) -> None:
    # Losses of 1.4775 and 1.7225: with two seeds their interval is 1.6 ± 12.706 * 0.1225, from 0.04 to 3.16.
    make_sweep(tmp_path, {LR: "1,2"}, [(1,), (2,)], lambda *of: (0.8225, 0.5775)[of[2]], {"sgd": (1,)}, seeds=2)
    scale = channel(charts_of(tmp_path)["train_loss_over_lr"], "y", "train_loss_runs")["scale"]
    assert "type" not in scale
    assert scale["domain"] == pytest.approx([0.0435, 3.1565], abs=1e-4)


def test_values_on_axes_and_legends_are_written_in_full(tmp_path: Path) -> None:
    values: list[tuple[Any, ...]] = [(16,), (40,), (64,)]
    make_sweep(tmp_path, {"data.batch_size": "16..64"}, values, lambda *_: 0.5, {"sgd": (64,)}, seeds=2)
    curves = charts_of(tmp_path)["val_acc_by_epoch"]
    svg = vl_convert.vegalite_to_svg(curves, vl_version=VEGA_LITE)
    assert [label for label in ("20", "40", "60") if f">{label}<" not in svg] == []  # not 2e+1


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "chart", "words"),
    [
        (make_one, "val_acc_over_lr", ["best", "own", "0.05", "final validation accuracy", "lr", "0.001"]),
        (make_two, "val_acc_heat_map", ["best", "own", f"3/3 {DIVERGED}", "failed", "0.619", "momentum", "adam"]),
        (make_words, "train_loss_over_betas", ["best", "own", "[0.5, 0.999]", "adamw", "train loss"]),
    ],
)
def test_every_chart_can_be_drawn(tmp_path: Path, make: Any, chart: str, words: list[str]) -> None:
    make(tmp_path)
    drawn = {name: vl_convert.vegalite_to_svg(spec, vl_version=VEGA_LITE) for name, spec in charts_of(tmp_path).items()}
    assert all(svg.count("<path") > 20 for svg in drawn.values())
    assert [word for word in words if f">{word}<" not in drawn[chart]] == []
