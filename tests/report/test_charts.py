"""What the pictures of made-up comparisons draw: their data, marks and words, without rendering them."""

from __future__ import annotations

import csv
import itertools
import json
import math
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from helpers import make_run

from optimcifar.report.charts.gallery import draw_charts
from optimcifar.report.charts.rates import learning_rates
from optimcifar.report.charts.step_losses import step_loss_curve
from optimcifar.report.charts.style import VEGA_LITE, Style
from optimcifar.report.columns import cost_columns
from optimcifar.report.comparison import Comparison, read_comparison
from optimcifar.report.comparison_page import comparison_page

Spec = dict[str, Any]


def charts_of(comparison: Comparison) -> dict[str, Spec]:
    """Return the specifications of all charts, by name."""
    return {name: chart.to_dict() for name, chart in draw_charts(comparison).items()}


def marks(spec: Any, kind: str, **properties: Any) -> Iterator[Spec]:
    """Yield the layers that draw this kind of mark."""
    found = [layer for part in spec.get("concat", [spec]) for layer in part["layer"]]
    return (layer for layer in found if layer["mark"].items() >= {"type": kind, **properties}.items())


def column(spec: Spec, data: str, name: str, **where: Any) -> list[Any]:
    """Return a column of the rows that a chart draws, of those with these values."""
    return [row[name] for row in spec["datasets"][data] if row.items() >= where.items()]


def set_rates(run: Path, rates: Sequence[float]) -> None:
    """Change the learning rates in a run's metrics."""
    with (run / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    with (run / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(row | {"lr": str(rate)} for row, rate in zip(rows, rates, strict=True))


@pytest.fixture(scope="module")
def with_divergence(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Spec]:
    """Return the charts of a comparison in which adam diverges in two of three seeds, and two runs are not over."""
    out = tmp_path_factory.mktemp("out")
    for seed in range(3):
        make_run(out / "runs/sgd" / f"seed-{seed}", seed, [0.2, 0.3, 0.4 + 0.1 * seed])
    make_run(out / "runs/adam/seed-0", 0, [0.2, 0.4, 0.6])
    make_run(out / "runs/adam/seed-1", 1, [0.3], status="diverged")
    make_run(out / "runs/adam/seed-2", 2, [], status="diverged")
    make_run(out / "runs/adam/seed-3", 3, [0.9, 0.9], status="running")
    make_run(out / "runs/sgd/seed-3", 3, [0.9], status="interrupted")
    return charts_of(read_comparison(out, baseline="sgd", target_acc=0.4))


def test_curves_carry_diverged_runs_on_and_never_show_survivors_only(with_divergence: dict[str, Spec]) -> None:
    accuracy, loss = with_divergence["val_acc_by_epoch"], with_divergence["train_loss_by_epoch"]
    runs = [column(accuracy, "seeds", "val_acc", configuration="adam", run=number) for number in range(3)]
    # The last value, or chance level of ten classes before the first; nothing of the runs that are not over.
    assert runs == [[0.2, 0.4, 0.6], [0.3, 0.3, 0.3], [0.1, 0.1, 0.1]]
    assert 0.9 not in column(accuracy, "seeds", "val_acc")
    assert column(accuracy, "means", "val_acc", configuration="adam") == pytest.approx([0.2, 0.8 / 3, 1 / 3], abs=1e-5)
    assert column(accuracy, "means", "seconds", configuration="adam") == [2, 4, 6]
    assert column(loss, "seeds", "train_loss", configuration="adam", run=1) == [2.0, 2.0, 2.0]
    # One seed has no loss at all.
    assert column(loss, "means", "train_loss", configuration="adam") == [None] * 3
    assert "No mean where a seed has no value." in loss["title"]["subtitle"]
    assert column(loss, "means", "train_loss", configuration="sgd") == pytest.approx([2.1, 2.0, 1.8])
    ends = [
        (row["configuration"], row["seed"], row["epoch"], row["val_acc"]) for row in accuracy["datasets"]["divergences"]
    ]
    assert ends == [("adam", 1, 1, 0.3), ("adam", 2, 1, 0.1)]
    assert [layer["data"]["name"] for layer in marks(accuracy, "point", filled=True)] == ["means"]
    crosses = [layer for layer in marks(accuracy, "point") if layer["data"]["name"] == "divergences"]
    assert crosses[0]["mark"]["shape"] == "M-1,-1L1,1M-1,1L1,-1"
    thin, thick = marks(accuracy, "line")
    assert (thin["data"]["name"], thick["data"]["name"]) == ("seeds", "means")
    assert thin["mark"]["strokeWidth"] < 1 < thick["mark"]["strokeWidth"]


def test_final_accuracy_joins_seeds_and_crosses_out_diverged_runs(with_divergence: dict[str, Spec]) -> None:
    final = with_divergence["final_accuracy"]
    found = {(row["row"], row["seed"]): (row["value"], row["diverged"]) for row in final["datasets"]["final_runs"]}
    assert found == {
        ("sgd", 0): (0.4, False),
        ("sgd", 1): (0.5, False),
        ("sgd", 2): (0.6, False),
        ("adam", 0): (0.6, False),
        ("adam", 1): (0.3, True),
        ("adam", 2): (0.1, True),
    }
    (joined,) = marks(final, "line")
    assert (joined["encoding"]["detail"]["field"], joined["encoding"]["order"]["field"]) == ("seed", "position")
    crossed = [layer for layer in marks(final, "point") if layer["mark"].get("shape")]
    assert [layer["transform"] for layer in crossed] == [[{"filter": "datum.diverged"}]]
    assert column(final, "final_means", "mean") == pytest.approx([0.5, 1 / 3], abs=1e-5)


def test_share_of_seeds_that_reached_the_target_counts_every_run_that_is_over(with_divergence: dict[str, Spec]) -> None:
    by_epoch, by_seconds = with_divergence["target_by_epoch"], with_divergence["target_by_seconds"]

    def steps(name: str) -> list[tuple[float, float]]:
        rows = [row for row in by_epoch["datasets"]["target_by_epoch"] if row["configuration"] == name]
        return [(row["epoch"], row["share"]) for row in rows]

    assert steps("sgd") == [(0, 0), (3, 1), (3, 1)]
    assert steps("adam") == [(0, 0), (2, 0.3333), (3, 0.3333)]
    assert column(by_epoch, "target_by_epoch", "reached", configuration="adam")[-1] == "1 of 3"
    assert column(by_seconds, "target_by_seconds", "seconds", configuration="adam") == [0, 4, 6]
    assert "2 runs not finished, left out" in by_epoch["title"]["subtitle"][0]
    assert [layer["mark"]["interpolate"] for layer in marks(by_epoch, "line")] == ["step-after"]
    # Equal shares lie side by side, but not so far apart that they could be taken for others.
    drawn = [column(by_epoch, "target_by_epoch", "drawn", configuration=name, epoch=0)[0] for name in ("sgd", "adam")]
    assert 0 < abs(drawn[0] - drawn[1]) < 0.02


def test_runs_that_all_diverged_are_carried_on_with_the_others(tmp_path: Path) -> None:
    for seed in range(2):
        make_run(tmp_path / f"runs/sgd/seed-{seed}", seed, [0.2, 0.3, 0.4])
        make_run(tmp_path / f"runs/wild/seed-{seed}", seed, [0.3][: 1 - seed], status="diverged")
    charts = charts_of(read_comparison(tmp_path, target_acc=0.25))
    assert column(charts["val_acc_by_epoch"], "means", "val_acc", configuration="wild") == [0.2] * 3
    assert column(charts["val_acc_by_epoch"], "means", "seconds", configuration="wild") == [2, 4, 6]
    shares = column(charts["target_by_epoch"], "target_by_epoch", "share", configuration="wild")
    assert shares == [0, 0.5, 0.5]
    assert column(charts["target_by_epoch"], "target_by_epoch", "epoch", configuration="wild") == [0, 1, 3]
    assert column(charts["target_by_seconds"], "target_by_seconds", "seconds", configuration="wild") == [0, 2, 6]


def test_differences_have_their_intervals_seeds_verdicts_and_what_could_not_be_shown(tmp_path: Path) -> None:
    finals = {
        "sgd": [0.50, 0.52, 0.48, 0.51, 0.49],
        "adam": [0.60, 0.63, 0.57, 0.61, 0.60],
        "muon": [0.505, 0.515, 0.485, 0.505, 0.49],
        "lbfgs": [0.48, 0.90, 0.20],
    }
    for name, accuracies in finals.items():
        for seed, accuracy in enumerate(accuracies):
            make_run(tmp_path / "runs" / name / f"seed-{seed}", seed, [0.1, accuracy])
    comparison = read_comparison(tmp_path, baseline="sgd")
    forest = charts_of(comparison)["differences"]
    dots = {name: column(forest, "differences_seeds", "difference", row=name) for name in ("adam", "muon", "lbfgs")}
    assert dots["adam"] == pytest.approx([0.10, 0.11, 0.09, 0.10, 0.11])
    assert dots["muon"] == pytest.approx([0.005, -0.005, 0.005, -0.005, 0.0])
    # From the highest mean to the lowest.
    rows = [(row["row"], row["verdict"], row["mean"]) for row in forest["datasets"]["differences"]]
    assert [name for name, _, _ in rows] == ["adam", "lbfgs", "muon"]
    assert [mean for _, _, mean in rows] == pytest.approx([0.102, 0.08 / 3, 0.0], abs=1e-5)
    assert [verdict for _, verdict, _ in rows] == ["better", "no difference shown", "no difference shown"]
    assert len(set(column(forest, "differences", "colour"))) == 2
    words = [layer["encoding"]["y"]["axis"] for layer in marks(forest, "point") if layer["encoding"]["y"].get("axis")]
    (right,) = [axis for axis in words if axis.get("orient") == "right"]
    assert json.loads(right["labelExpr"].removesuffix("[datum.label]")) == {
        "adam": "better",
        **dict.fromkeys(("muon", "lbfgs"), "no difference shown"),
    }
    for found in comparison.differences:
        ends = column(forest, "differences", "low", row=found.configuration), found.low
        assert ends[0][0] == pytest.approx(ends[1], abs=1e-4)
    (band,) = marks(forest, "rect")
    smallest = comparison.smallest_difference
    assert forest["datasets"][band["data"]["name"]] == [{"low": -smallest, "high": smallest}]
    assert f"below {smallest:.3f}" in " ".join(forest["title"]["subtitle"])
    # An interval that would squeeze all others is cut, and says so by an arrow at either end.
    assert column(forest, "differences", "from", row="lbfgs")[0] > column(forest, "differences", "low", row="lbfgs")[0]
    for name in ("adam", "muon"):
        assert column(forest, "differences", "to", row=name) == column(forest, "differences", "high", row=name)
    arrows = [layer for layer in marks(forest, "point") if "triangle" in layer["mark"].get("shape", "")]
    assert [(arrow["encoding"]["x"]["field"], arrow["transform"]) for arrow in arrows] == [
        ("from", [{"filter": "datum.low < datum.from"}]),
        ("to", [{"filter": "datum.high > datum.to"}]),
    ]


def test_every_chart_says_what_it_draws_of_which_data_and_has_a_legend(tmp_path: Path) -> None:
    columns = {
        "grad_norm_conv1": [0.1, 0.0, 0.1],
        "grad_norm_fc1": [1.0, float("nan"), 0.1],
        "val_acc_ema": [0.1, 0.2, 0.4],
    }
    for number, name in enumerate(("sgd", "adam")):
        for seed in range(3):
            course = [0.1, 0.2, 0.3 + 0.1 * number + 0.01 * seed**2]
            make_run(tmp_path / "runs" / name / f"seed-{seed}", seed, course, columns)
    charts = charts_of(read_comparison(tmp_path, target_acc=0.3))
    titles = {name: " ".join(spec["title"]["text"]) for name, spec in charts.items()}
    assert titles == {
        "differences": "Validation accuracy: difference from adam",
        "final_accuracy": "Final validation accuracy",
        "val_acc_by_epoch": "Validation accuracy by epoch",
        "train_loss_by_epoch": "Train loss by epoch",
        "val_acc_by_seconds": "Validation accuracy by seconds",
        "train_loss_by_seconds": "Train loss by seconds",
        "target_by_epoch": "Seeds that reached a validation accuracy of 0.3, by epoch",
        "target_by_seconds": "Seeds that reached a validation accuracy of 0.3, by seconds",
        "learning_rate": "Learning rate by epoch",
        "averages": "Validation accuracy of averages: difference from the final weights",
        "gradients": "Norm of the gradient by layer",
    }
    for spec in charts.values():
        assert spec["title"]["subtitle"][0] == "Shapes10 · ConvNet · 3 seeds · cpu · torch 2.15.0"
    without_names = [name for name in charts if name not in ("differences", "final_accuracy", "averages")]
    for name in without_names:
        line = next(marks(charts[name], "line", strokeWidth=2 if name.startswith("target") else 2.2))
        assert line["encoding"]["color"]["legend"]["columns"] == 1
    scales = [
        layer["encoding"]["color"]["scale"]
        for spec in charts.values()
        for kind in ("line", "point", "tick")
        for layer in marks(spec, kind)
        if layer["encoding"].get("color", {}).get("field") == "configuration"
    ]
    assert len(scales) > 15
    assert all(scale == scales[0] for scale in scales)
    # Vega writes a tick at 1.5 as 2.
    drawn = vl_convert.vegalite_to_svg(charts["val_acc_by_epoch"], vl_version=VEGA_LITE)
    assert re.findall(r">(\d)<", drawn) == ["1", "2", "3"]
    # A layer without a value for an epoch has a line through the others, and zero is drawn too.
    assert [part["title"]["text"] for part in charts["gradients"]["concat"]] == ["conv1", "fc1"]
    assert column(charts["gradients"], "gradients", "grad_norm_fc1", configuration="sgd") == [1.0, None, 0.1]
    first = next(marks(charts["gradients"], "line"))
    assert first["encoding"]["y"]["scale"]["type"] == "symlog"


def test_equal_learning_rates_are_one_line_that_names_all(tmp_path: Path) -> None:
    rates = {"sgd": [0.01] * 3, "adam": [0.001] * 3, "radam": [0.001] * 3, "cosine": [0.01, 0.005, 0.0]}
    for name, course in rates.items():
        make_run(tmp_path / "runs" / name / "seed-0", 0, [0.1, 0.2, 0.3])
        set_rates(tmp_path / "runs" / name / "seed-0", course)
    style = Style(list(rates))
    figure = learning_rates(style, read_comparison(tmp_path))
    assert figure is not None
    chart = figure.panels[""].to_dict()
    (line,) = marks(chart, "line")
    expected = ["adam, radam (constant 0.001)", "cosine", "sgd (constant 0.01)"]
    assert line["encoding"]["color"]["scale"]["domain"] == expected
    assert figure.key == dict(zip(expected, (style.looks[name] for name in ("adam", "cosine", "sgd")), strict=True))
    assert [row["rate"] for row in figure.data["rates"] if row["configuration"] == "radam"] == [0.001] * 3
    (tmp_path / "runs/cosine").rename(tmp_path / "cosine")
    constant = learning_rates(style, read_comparison(tmp_path))
    assert constant is not None
    assert constant.panels[""].to_dict()["height"] < chart["height"] / 2


def test_twenty_configurations_look_different() -> None:
    looks = Style([f"configuration-{number}" for number in range(20)]).looks
    assert len({(look.colour, tuple(look.dash)) for look in looks.values()}) == 20
    assert len({(look.colour, look.shape) for look in looks.values()}) == 20


def test_nothing_measured_draws_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("sgd", "adam"):
        make_run(tmp_path / "runs" / name / "seed-0", 0, [], status="failed")
    nothing = read_comparison(tmp_path)
    assert draw_charts(nothing) == {}
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda *arguments, **options: "")  # takes seconds
    assert "<figure" not in comparison_page(nothing)


@pytest.mark.slow
def test_page_of_many_runs_is_small(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    norms = {f"{kind}_fc{layer}": [0.1 + layer] * 10 for kind in ("grad_norm", "update_ratio") for layer in range(5)}
    for number in range(20):
        for seed in range(10):
            course = [(1 + epoch + number / 7 + seed / 9) / 30 for epoch in range(10)]
            columns = norms | {f"val_acc_{average}": course for average in ("swa", "ema")}
            make_run(tmp_path / f"runs/configuration-{number}" / f"seed-{seed}", seed, course, columns)
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda *arguments, **options: "")
    assert 200_000 < len(comparison_page(read_comparison(tmp_path, target_acc=0.3))) < 1_000_000


def test_target_is_counted_in_steps_where_validations_lie_within_epochs(tmp_path: Path) -> None:
    for seed, accuracy in enumerate((0.45, 0.35)):
        folder = tmp_path / f"runs/sgd/seed-{seed}"
        make_run(folder, seed, [0.2, 0.5])  # in steps 13 and 26, two seconds each
        (folder / "validations.csv").write_text(
            f"epoch,step,seconds,val_loss,val_acc\n1,13,2,2.2,0.2\n2,20,3.25,2.1,{accuracy}\n2,26,4,2.0,0.5\n"
        )
    make_run(tmp_path / "runs/wild/seed-0", 0, [0.1], status="diverged")
    comparison = read_comparison(tmp_path, target_acc=0.4)
    charts = charts_of(comparison)
    assert "target_by_epoch" not in charts
    by_step, by_seconds = charts["target_by_step"], charts["target_by_seconds"]
    assert column(by_step, "target_by_step", "step", configuration="sgd") == [0, 20, 26, 26]
    assert column(by_step, "target_by_step", "reached", configuration="sgd")[1:3] == ["1 of 2", "2 of 2"]
    assert column(by_seconds, "target_by_seconds", "seconds", configuration="sgd") == [0, 3.25, 4, 4]
    # A run that diverged goes on as long as the others, at as many steps an epoch as it had.
    assert column(by_step, "target_by_step", "step", configuration="wild") == [0, 26]
    rows = {row.name: row for row in comparison.configurations}
    (reached,) = [found for found in cost_columns(comparison) if found.title == "reached val acc 0.4"]
    assert (reached.text(rows["sgd"]), reached.value(rows["sgd"])) == ("2 of 2, median 23 steps, 3.6 s", 23)
    assert reached.text(rows["wild"]) == "never"
    times = [[row[f"{unit}_to_target"] for unit in ("epochs", "steps", "seconds")] for row in comparison.to_records()]
    assert times == [[2, 20, 3.25], [2, 26, 4], [math.inf] * 3]
    (sgd,) = [row for row in comparison.to_records("configurations") if row["configuration"] == "sgd"]
    assert (sgd["epochs_to_target"], sgd["steps_to_target"], sgd["seconds_to_target"]) == (2, 23, 3.625)


def write_losses(run: Path, losses: Sequence[float]) -> None:
    rows = [f"{step // 500 + 1},{step},{loss}\n" for step, loss in enumerate(losses, 1)]
    (run / "steps.csv").write_text("".join(["epoch,step,train_loss\n", *rows]))


def test_losses_by_step_show_the_first_steps_and_thin_out_the_others(tmp_path: Path) -> None:
    for seed in range(2):
        make_run(tmp_path / f"runs/rmsprop/seed-{seed}", seed, [0.2])
        write_losses(tmp_path / f"runs/rmsprop/seed-{seed}", [2.3, 500.0 + 100 * seed, *([2.5 - seed] * 698)])
    make_run(tmp_path / "runs/wild/seed-0", 0, [], status="diverged")
    write_losses(tmp_path / "runs/wild/seed-0", [2.0, 4.0, math.inf])
    make_run(tmp_path / "runs/wild/seed-1", 1, [0.2])
    write_losses(tmp_path / "runs/wild/seed-1", [2.0, 6.0, 3.0])
    make_run(tmp_path / "runs/sgd/seed-0", 0, [0.3])
    make_run(tmp_path / "runs/rmsprop/seed-2", 2, [0.2], status="running")
    write_losses(tmp_path / "runs/rmsprop/seed-2", [9.0])
    chart = charts_of(read_comparison(tmp_path))["train_loss_by_step"]
    steps = column(chart, "step_losses", "step", configuration="rmsprop", run=0)
    assert steps[:10] == [*range(1, 11)]
    assert (steps[-1], len(steps) < 60) == (700, True)
    assert all(later / earlier < 1.2 for earlier, later in itertools.pairwise(steps[10:]))
    # Every step is in one mean: the loss of a step is its number.
    write_losses(tmp_path / "runs/sgd/seed-0", [*map(float, range(1, 101))])
    again = charts_of(read_comparison(tmp_path))["train_loss_by_step"]
    ends = [0, *column(again, "step_losses", "step", configuration="sgd")]
    means = column(again, "step_losses", "train_loss", configuration="sgd")
    assert means == pytest.approx([(first + 1 + last) / 2 for first, last in itertools.pairwise(ends)], rel=1e-4)
    assert column(chart, "step_loss_means", "train_loss", configuration="rmsprop")[:3] == [2.3, 550.0, 2.0]
    assert column(chart, "step_loss_means", "seeds", configuration="rmsprop")[0] == 2
    assert column(chart, "step_losses", "train_loss", configuration="wild", run=0) == [2.0, 4.0]
    # Never a mean of the survivors.
    assert column(chart, "step_loss_means", "train_loss", configuration="wild") == [2.0, 5.0]
    (cross,) = marks(chart, "point", shape="M-1,-1L1,1M-1,1L1,-1")
    (end,) = chart["datasets"][cross["data"]["name"]]
    assert (end["configuration"], end["step"], end["train_loss"]) == ("wild", 2, 4.0)
    axes = next(marks(chart, "line"))["encoding"]
    assert (axes["x"]["scale"]["type"], axes["y"]["scale"]["type"]) == ("log", "log")
    assert "a point is the mean over several steps" in " ".join(chart["title"]["subtitle"])


def test_axis_of_steps_begins_with_the_first_that_was_written(tmp_path: Path) -> None:
    def ticks() -> Any:
        figure = step_loss_curve(Style(["run"]), read_comparison(tmp_path))
        assert figure is not None
        return next(marks(figure.panels[""].to_dict(), "line"))["encoding"]["x"]["axis"]["values"]

    make_run(tmp_path / "run", 0, [0.2])
    (tmp_path / "run" / "steps.csv").write_text("epoch,step,train_loss\n1,3000,2.0\n2,6000,1.0\n")
    assert ticks() == [5000]
    (tmp_path / "run" / "steps.csv").write_text("epoch,step,train_loss\n1,1,2.0\n2,6000,1.0\n")
    assert ticks() == [1, 10, 100, 1000]
