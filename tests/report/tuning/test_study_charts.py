"""What the pictures of a study draw: their data, marks and words."""

from __future__ import annotations

import math
import statistics
from pathlib import Path
from typing import Any

import pytest
import vl_convert
from made_up_studies import LR, Accuracies, final, make_study

from optimcifar.report.charts.style import CROSS, VEGA_LITE, Figure, Style
from optimcifar.report.tuning.design import TuningSpace
from optimcifar.report.tuning.gallery import draw_study_charts, study_figures
from optimcifar.report.tuning.study import Study
from optimcifar.spaces.dimensions import parse_dimension
from optimcifar.statistics.expected_best import expected_best

NAN = math.nan


def figure(study: Study, name: str) -> Figure:
    (found,) = (drawn for drawn in study_figures(study, Style(list(study.design.spaces))) if drawn.name == name)
    return found


def layers(drawn: Figure, panel: str, kind: str, **properties: Any) -> list[dict[str, Any]]:
    """Return the layers of a panel that draw this kind of mark."""
    every: list[dict[str, Any]] = drawn.panels[panel].to_dict()["layer"]
    return [layer for layer in every if layer["mark"].items() >= {"type": kind, **properties}.items()]


def space(text: str, key: str, *values: Any) -> TuningSpace:
    return TuningSpace({key: parse_dimension(key, text)}, "default", tuple({key: value} for value in values), {})


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Return a study in which sgd's tuned rate is at the upper edge, and adam keeps its own."""
    trials: dict[str, list[Accuracies]] = {
        "sgd": [
            {1000: 0.50, 1001: 0.52, 1002: 0.48} | final([0.5, 0.51, 0.52]),
            {1000: 0.60, 1001: 0.64, 1002: 0.62} | final([0.6, 0.61, 0.63]),
            {1000: 0.40},
            {1000: NAN},
            {1000: 0.45, 1001: 0.40, 1002: 0.41},
        ],
        "adam": [
            {1000: 0.7, 1001: 0.7, 1002: 0.7} | final([0.7, 0.71, 0.7]),
            {1000: 0.6, 1001: 0.6, 1002: 0.6},
            {1000: 0.5, 1001: 0.5, 1002: 0.5},
            {1000: 0.3},
            {1000: None},
        ],
    }
    rates = space("0.001..0.1:log", LR, 0.01, 0.09, 0.002, 0.07, 0.02)
    return make_study(tmp_path, trials, {"sgd": rates, "adam": space("0.001..1:log", LR, 0.01, 0.1, 0.3, 0.5, 0.9)})


def test_trials_are_dots_candidates_have_ranges_and_settings_their_names(study: Study) -> None:
    drawn = figure(study, "trials")
    assert list(drawn.panels) == ["sgd", "adam"]
    dots = [(row["configuration"], row["x"], row["value"], row["diverged"]) for row in drawn.data["trials"]]
    assert dots[:5] == [
        *(("sgd", 0.01, 0.5, False), ("sgd", 0.09, 0.6, False), ("sgd", 0.002, 0.4, False)),
        *(("sgd", 0.07, 0.1, True), ("sgd", 0.02, 0.45, False)),
    ]
    assert len(dots) == 9  # a trial that failed has none
    candidates = {(row["configuration"], row["x"]): row for row in drawn.data["candidates"]}
    assert len(candidates) == 6
    tuned = candidates["sgd", 0.09]
    assert (tuned["mean"], tuned["low"], tuned["high"], tuned["seeds"]) == (0.62, 0.6, 0.64, 3)
    named = [(row["configuration"], row["text"], row["x"], row["value"]) for row in drawn.data["named"]]
    assert named == [
        *(("sgd", "own 0.01", 0.01, 0.5), ("sgd", "tuned 0.09", 0.09, 0.62)),
        ("adam", "own, kept 0.01", 0.01, 0.7),
    ]
    # Names stay within their panel: 0.09 is at its right side.
    assert [row["side"] for row in drawn.data["named"]] == ["center", "right", "center"]
    assert "\N{MULTIPLICATION SIGN}: diverged, at chance level." in drawn.notes[1]
    assert layers(drawn, "sgd", "point", shape=CROSS)
    # A tenth of two decades below 0.1.
    (shaded,) = layers(drawn, "sgd", "rect")
    datasets = drawn.panels["sgd"].to_dict()["datasets"]
    assert datasets[shaded["data"]["name"]] == [{"from": pytest.approx(0.1 / 10**0.2, rel=0.01), "to": 0.1}]
    assert layers(drawn, "adam", "rect") == []
    (rings,) = layers(drawn, "sgd", "point", filled=False)
    assert rings["encoding"]["x"]["scale"]["type"] == "log"
    assert rings["encoding"]["x"]["scale"]["domain"] == [0.001, 0.1]
    assert drawn.context == "Shapes10 · ConvNet · 5 trials each · cpu · torch 2.15.0"


def test_axis_is_that_of_the_first_range_or_of_the_choices(tmp_path: Path) -> None:
    momentum, kind = "model.optimizer.momentum", "model.optimizer.nesterov"
    first = {kind: parse_dimension(kind, "true,false"), momentum: parse_dimension(momentum, "0.0..0.99")}
    # The own setting has no momentum, which lies on no axis of numbers.
    both = TuningSpace(first, "default", ({kind: True, momentum: None}, {kind: False, momentum: 0.5}), {})
    spaces = {"sgd": both, "adam": space("true,null", "model.optimizer.foreach", None, True)}
    runs: list[Accuracies] = [{1000: 0.5}, {1000: 0.6}]
    drawn = figure(make_study(tmp_path, {"sgd": runs, "adam": runs}, spaces), "trials")
    assert [(row["configuration"], row["x"]) for row in drawn.data["trials"]] == [
        *(("sgd", 0.5), ("adam", "null"), ("adam", "true"))
    ]
    (sgd, adam) = (layers(drawn, name, "point", filled=False)[0]["encoding"]["x"] for name in ("sgd", "adam"))
    assert (sgd["title"], sgd["type"], sgd["scale"]["domain"]) == ("momentum", "quantitative", [0.0, 0.99])
    assert (adam["title"], adam["type"], adam["scale"]["domain"]) == ("foreach", "nominal", ["true", "null"])
    assert "the others differ from dot to dot" in drawn.notes[2]


def test_gains_are_in_a_forest_plot_of_tuned_minus_own(study: Study) -> None:
    drawn = figure(study, "tuning_gain")
    (row,) = drawn.data["tuning_gain"]
    assert (row["row"], row["mean"], row["seeds"]) == ("sgd", pytest.approx(0.31 / 3, abs=1e-4), 3)
    assert [dot["difference"] for dot in drawn.data["tuning_gain_seeds"]] == pytest.approx([0.1, 0.1, 0.11])


def test_expected_best_ranks_by_one_seed_and_measures_by_the_other(tmp_path: Path) -> None:
    first, second = [0.5, 0.62, 0.4, 0.3, 0.6], [0.52, 0.55, 0.45, 0.2, 0.66]
    trials: list[Accuracies] = [{1000: a, 1001: b} for a, b in zip(first, second, strict=True)]
    drawn = figure(make_study(tmp_path, {"sgd": trials}, tuning_seeds=2), "expected_best")
    expected = [
        statistics.fmean(both) for both in zip(expected_best(first, second), expected_best(second, first), strict=True)
    ]
    rows = drawn.data["expected_best"]
    assert [row["accuracy"] for row in rows] == pytest.approx(expected, abs=1e-4)
    # A minute of training for each trial.
    assert [(row["trials"], row["minutes"]) for row in rows] == [(number, float(number)) for number in range(1, 6)]
    assert list(drawn.panels) == ["by trials", "by minutes"]


def test_pictures_come_with_the_answers_first_and_name_the_settings(study: Study) -> None:
    charts = draw_study_charts(study)
    assert list(charts)[:4] == ["differences", "tuning_gain", "trials", "final_accuracy"]
    svg = vl_convert.vegalite_to_svg(charts["trials"].to_dict(), vl_version=VEGA_LITE)
    for words in ("own 0.01", "tuned 0.09", "own, kept 0.01", "5 trials each"):
        assert words in svg


def test_unfinished_study_has_pictures_of_what_there_is(tmp_path: Path) -> None:
    begun = make_study(tmp_path / "begun", {"sgd": [{1000: 0.5}, {}], "adam": [{}, {}]})
    assert list(draw_study_charts(begun)) == ["trials"]
    assert list(figure(begun, "trials").panels) == ["sgd"]
    assert draw_study_charts(make_study(tmp_path / "nothing", {"sgd": [{}, {}]})) == {}
