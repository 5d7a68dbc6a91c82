"""A comparison in Python and in a notebook."""

from __future__ import annotations

import math
import statistics
from dataclasses import asdict, fields
from html.parser import HTMLParser
from pathlib import Path

import pytest
from helpers import make_comparison, make_run

import optimcifar
from optimcifar import read_comparison
from optimcifar.errors import UsageError


class Page(HTMLParser):
    """Collects the texts of a page by tag, and the tags that are open."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.texts: list[tuple[str, str]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert not attrs
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1], data))


def test_a_notebook_shows_the_answer_and_the_table(tmp_path: Path) -> None:
    make_comparison(tmp_path, ["sgd", "a<b>&c"])
    shown = read_comparison(tmp_path)._repr_html_()
    page = Page(shown)
    assert page.open == []
    assert page.texts[0][0] == "p"
    assert page.texts[0][1].startswith("a<b>&c (+0.0")
    assert [text for tag, text in page.texts if tag == "th"][:3] == ["configuration", "seeds", "val acc"]
    cells = [text for tag, text in page.texts if tag == "td"]
    assert cells[:3] == ["a<b>&c", "3", "0.350"]
    assert "better" in cells
    assert page.texts[-1][1].startswith("Network optimcifar.ConvNet; data Shapes10;")
    # Colours that suit a light notebook cannot be read in a dark one.
    assert "color" not in shown


def test_lists_and_records_hold_the_figures(tmp_path: Path) -> None:
    make_comparison(tmp_path, ["sgd", "adam", "muon"])
    comparison = read_comparison(tmp_path)
    assert repr(comparison) == "<Comparison: 3 configurations, 9 runs, baseline sgd>"
    assert [row.name for row in comparison.configurations] == ["muon", "adam", "sgd"]
    assert [found.configuration for found in comparison.differences] == ["adam", "muon"]
    assert [(run.name, run.seed) for run in comparison.runs][:4] == [("sgd", 0), ("sgd", 1), ("sgd", 2), ("adam", 0)]

    runs, configurations = comparison.to_records(), comparison.to_records("configurations")
    assert [(row["configuration"], row["seed"]) for row in runs] == [(run.name, run.seed) for run in comparison.runs]
    of_muon = [row["val_acc"] for row in runs if row["configuration"] == "muon"]
    assert of_muon == [run.rows[-1]["val_acc"] for run in comparison.runs if run.name == "muon"]
    assert configurations[0]["configuration"] == "muon"
    assert configurations[0]["val_acc"] == pytest.approx(statistics.fmean(of_muon))
    assert comparison.to_records("differences") == [asdict(found) for found in comparison.differences]
    for records in (runs, configurations):
        assert len({tuple(record) for record in records}) == 1  # the columns of a table
        assert not any(isinstance(value, dict) for record in records for value in record.values())


def test_figures_of_a_comparison_cannot_be_changed_by_mistake(tmp_path: Path) -> None:
    make_comparison(tmp_path, ["sgd", "adam"])
    comparison = read_comparison(tmp_path)
    for item in (comparison, comparison.runs[0], comparison.configurations[0], comparison.differences[0]):
        with pytest.raises(AttributeError):
            setattr(item, fields(item)[0].name, None)


def test_charts_are_found_by_name_and_shown_by_altair(tmp_path: Path) -> None:
    make_comparison(tmp_path, ["sgd", "adam"])
    charts = read_comparison(tmp_path).charts
    assert {"differences", "final_accuracy"} <= charts.keys()
    assert "vega" in str(charts["differences"]._repr_mimebundle_())
    with pytest.raises(KeyError, match=r"no chart 'averages', or nothing to draw in it; there are .*differences"):
        charts["averages"]


def test_wrong_arguments_are_named(tmp_path: Path) -> None:
    make_comparison(tmp_path, ["sgd", "adam"])
    with pytest.raises(UsageError, match=r"target_acc must be greater than 0 and at most 1, got 55"):
        read_comparison(tmp_path, target_acc=55)
    with pytest.raises(UsageError, match=r"baseline must be one of sgd, adam; got 'muon'"):
        read_comparison(tmp_path, baseline="muon")
    with pytest.raises(UsageError, match=r"rows must be one of runs, configurations, differences; got 'run'"):
        read_comparison(tmp_path).to_records("run")  # type: ignore[arg-type]
    with pytest.raises(RuntimeError, match="nothing holds no run"):
        read_comparison("nothing")


def test_single_runs_are_read_as_a_comparison(tmp_path: Path) -> None:
    for number, rate in enumerate((0.01, 0.1)):
        make_run(tmp_path / f"version_{number}", 0, [0.5], hyperparameters={"optimizer": "SGD", "optimizer.lr": rate})
    found = read_comparison(tmp_path / "version_1", str(tmp_path / "version_0"), target_acc=0.4)
    assert found.baseline == "SGD-lr=0.1"
    assert [record["epochs_to_target"] for record in found.to_records()] == [1, 1]
    assert all(math.isnan(difference.low) for difference in found.differences)
    assert "read_comparison" in dir(optimcifar)
