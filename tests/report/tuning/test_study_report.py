"""What the report of a study says: its files, its page, its sentences and what is printed."""

from __future__ import annotations

import csv
import math
import re
from pathlib import Path

import pytest
from helpers import unwrapped
from made_up_studies import LR, Accuracies, final, make_study, rate_space

from optimcifar.report.tuning.columns import study_tables
from optimcifar.report.tuning.design import TuningSpace
from optimcifar.report.tuning.edges import edges
from optimcifar.report.tuning.files import write_study_report
from optimcifar.report.tuning.records import trial_records
from optimcifar.report.tuning.sentences import provenance, study_answer, study_cautions, study_methods
from optimcifar.report.tuning.study import Study
from optimcifar.report.tuning.terminal import print_study
from optimcifar.spaces.dimensions import parse_dimension

NAN = math.nan


@pytest.fixture
def without_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out what takes seconds: the charts, and the library of the page."""
    for module in ("page", "gallery"):
        monkeypatch.setattr(f"optimcifar.report.tuning.{module}.study_figures", lambda study, style: [])
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda *arguments, **options: "")


MOMENTUM, MOST = "model.optimizer.momentum", "model.lr_scheduler.max_lr"


def candidate(accuracy: float) -> dict[int, float]:
    return {1000: accuracy, 1001: accuracy + 0.01, 1002: accuracy - 0.01}


@pytest.fixture
def study(tmp_path: Path) -> Study:
    """Return a study of three configurations.

    sgd has two hyperparameters, and its tuned rate is at the upper end of its range; adam keeps its own setting;
    rmsprop has a rate that another one follows, and its trials diverge, fail, and are no better.
    """
    space = {LR: parse_dimension(LR, "0.001..0.1:log"), MOMENTUM: parse_dimension(MOMENTUM, "0.0..0.99")}
    rates = ((0.01, None), (0.09, 0.5), (0.001, 0.8), (0.02, 0.0))
    spaces = {
        "sgd": TuningSpace(space, "the command", tuple({LR: rate, MOMENTUM: momentum} for rate, momentum in rates), {}),
        "adam": rate_space(source="own.yaml", trials=4),
        "rmsprop": TuningSpace(
            {LR: parse_dimension(LR, "0.001..1:log")},
            "default",
            tuple({LR: rate, MOST: rate} for rate in (0.01, 0.03, 0.1, 1.0)),
            {MOST: LR},
        ),
    }
    own, better = final([0.50, 0.51, 0.52]), final([0.60, 0.612, 0.621])
    trials: dict[str, list[Accuracies]] = {
        "sgd": [candidate(0.5) | own, candidate(0.6) | better, {1000: 0.2}, candidate(0.4)],
        "adam": [candidate(0.7) | final([0.70, 0.71, 0.70]), candidate(0.6), candidate(0.5), {1000: 0.3}],
        "rmsprop": [
            candidate(0.5) | own,
            candidate(0.55) | final([0.50, 0.52, 0.51]),
            {1000: None},
            dict.fromkeys((1000, 1001, 1002), NAN),
        ],
    }
    return make_study(tmp_path / "study", trials, spaces)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.usefixtures("without_pictures")
def test_report_has_the_trials_the_comparison_and_a_page(study: Study, tmp_path: Path) -> None:
    out = tmp_path / "report"
    write_study_report(study, out)
    assert {path.name for path in out.iterdir()} == {
        *("trials.csv", "results.csv", "summary.csv", "summary.md", "report.html")
    }
    final = [row for row in rows(out / "trials.csv") if row["is_final"] == "True"]
    assert [(row["configuration"], row["trial"], row["val_acc"]) for row in final] == [
        *(("sgd", "0", accuracy) for accuracy in ("0.5", "0.51", "0.52")),
        *(("sgd", "1", accuracy) for accuracy in ("0.6", "0.612", "0.621")),
        *(("adam", "0", accuracy) for accuracy in ("0.7", "0.71", "0.7")),
        *(("rmsprop", "0", accuracy) for accuracy in ("0.5", "0.51", "0.52")),
        *(("rmsprop", "1", accuracy) for accuracy in ("0.5", "0.52", "0.51")),
    ]
    trials = [row for row in rows(out / "trials.csv") if row["is_final"] == "False"]
    of = [(row["configuration"], int(row["trial"]), int(row["seed"])) for row in trials]
    assert of == [
        *(("sgd", trial, seed) for trial in (0, 1) for seed in (1000, 1001, 1002)),
        ("sgd", 2, 1000),
        *(("sgd", 3, seed) for seed in (1000, 1001, 1002)),
        *(("adam", trial, seed) for trial in (0, 1, 2) for seed in (1000, 1001, 1002)),
        ("adam", 3, 1000),
        *(("rmsprop", trial, seed) for trial in (0, 1) for seed in (1000, 1001, 1002)),
        ("rmsprop", 2, 1000),
        *(("rmsprop", 3, seed) for seed in (1000, 1001, 1002)),
    ]
    assert trials[4] == {
        "configuration": "sgd",
        "trial": "1",
        "seed": "1001",
        "is_final": "False",
        "status": "finished",
        LR: "0.09",
        MOMENTUM: "0.5",
        MOST: "",
        "val_acc": "0.61",
        "test_acc": "0.62",
        "train_loss": "1.69",
        "train_seconds": "60",
        "optimizer_step_ms": "0.25",
        "is_candidate": "True",
        "is_chosen": "True",
    }
    # A configuration without momentum has an empty cell; one that sets it to nothing has null.
    assert [row[MOMENTUM] for row in trials[::10]] == ["null", "", ""]
    assert [(row["trial"], row["status"], row["val_acc"]) for row in trials[-4:-2]] == [
        ("2", "failed", ""),
        ("3", "diverged", "0.9"),
    ]
    # The comparison is of the tuned settings: tuned sgd reached 0.60 with seed 0, rmsprop 0.50.
    results = {(row["configuration"], row["seed"]): row["val_acc"] for row in rows(out / "results.csv")}
    assert len(results) == 9
    assert (results["sgd", "0"], results["adam", "2"], results["rmsprop", "0"]) == ("0.6", "0.7", "0.5")
    # sgd: the mean of 0.5, 0.51, 0.52 and its interval, t 4.303; gains of 0.1, 0.102, 0.101; 10 runs of a minute.
    summary = {row["configuration"]: row for row in rows(out / "summary.csv")}
    of_sgd = summary["sgd"]
    assert (of_sgd["trial"], of_sgd["tuning_verdict"], of_sgd["tuning_runs"]) == ("1", "better", "10")
    figures = {
        name: float(of_sgd[name]) for name in ("own_val_acc", "own_val_acc_low", "tuning_gain", "tuning_seconds")
    }
    assert figures == pytest.approx(
        {"own_val_acc": 0.51, "own_val_acc_low": 0.4852, "tuning_gain": 0.101, "tuning_seconds": 600}, abs=1e-4
    )
    assert (summary["adam"]["tuning_gain"], summary["adam"]["tuning_verdict"]) == ("", "own setting kept")
    page = (out / "report.html").read_text()
    assert "0.01\N{NO-BREAK SPACE}→\N{NO-BREAK SPACE}0.09" in page
    page = page.replace("\N{NO-BREAK SPACE}", " ")
    markdown = (out / "summary.md").read_text()
    assert "3 configurations tuned, 30 tuning runs, 15 final runs" in page
    for words in (
        "Tuning brought sgd +0.101 [",
        "Methods",
        "lr: try 0.009..0.9:log",
    ):
        assert words in page
        assert words in markdown
    assert re.findall(r'<table id="([\w-]+)"', page) == [
        "verdicts",
        "tuned",
        "spaces",
        "tuning-cost",
        "costs",
        "metrics",
    ]


def test_sentences_say_what_tuning_brought(study: Study) -> None:
    *compared, brought, undecided, kept, edge = study_answer(study)
    assert compared[0].startswith("adam (+0.0")
    # By hand: the differences are 0.1, 0.102 and 0.101, with a standard error of 0.00058; Student's t is 6.21 at
    # 0.05 / 2.
    assert brought == "Tuning brought sgd +0.101 [+0.097, +0.105] (better)."
    assert undecided.startswith(
        "The tuned setting is not shown to differ from the configuration's own for rmsprop (+0.000 ["
    )
    assert kept == "adam keeps its own setting."
    assert edge == (
        "sgd: the tuned lr, 0.09, is in the highest tenth of its range 0.001 to 0.1 (log); try 0.009..0.9:log next."
    )


def test_withheld_verdicts_on_tuning_say_why(tmp_path: Path) -> None:
    trials: list[Accuracies] = [candidate(0.5) | {0: 0.5, 1: 0.6}, candidate(0.6) | {0: 0.6, 1: 0.7}]
    study = make_study(tmp_path, {"sgd": trials}, seeds=(0, 1))
    reason = "fewer than 3 seeds in common"
    assert study_answer(study) == [f"No verdict on what tuning brought for sgd ({reason})."]


def cells(study: Study, name: str) -> dict[str, dict[str, str]]:
    """Return the texts of a table by row and column."""
    (table,) = (table for table in study_tables(study) if table.name == name)
    first = table.columns[0]
    return {first.text(row): {column.title: column.text(row) for column in table.columns[1:]} for row in table.rows}


def test_tables_show_own_and_tuned_values_and_what_they_are_worth(study: Study) -> None:
    tuned = cells(study, "tuned")
    assert tuned["sgd"] == {
        "verdict on tuning": "better",
        "Δ val acc, tuned vs own": "+0.101 [+0.097, +0.105]",
        "lr": "0.01 → 0.09",
        "momentum": "null → 0.5",
        "max_lr": "",
        "trial": "1",
        "val acc, tuning seeds": "0.600",
        "val acc, own": "0.510 ± 0.025",
        "val acc, tuned": "0.611 ± 0.026",
        "at an edge": "lr: try 0.009..0.9:log",
    }
    assert (tuned["adam"]["verdict on tuning"], tuned["adam"]["lr"], tuned["adam"]["at an edge"]) == (
        "own setting kept",
        "0.01",
        "",
    )
    assert tuned["rmsprop"]["max_lr"] == "0.01 → 0.03"
    cost = cells(study, "tuning-cost")
    # 10 runs of 60 s; a run that diverged has the 2 s of its epoch, and one that failed none.
    assert cost["sgd"] == {
        "trials": "4",
        "tuning runs": "10",
        "diverged trials": "",
        "failed trials": "",
        "minutes of training": "10.0",
    }
    assert (cost["rmsprop"]["diverged trials"], cost["rmsprop"]["failed trials"]) == ("1", "1")
    assert cost["rmsprop"]["minutes of training"] == "6.1"
    (spaces,) = (table for table in study_tables(study) if table.name == "spaces")
    assert [[column.text(row) for column in spaces.columns] for row in spaces.rows] == [
        ["sgd", LR, "0.001 to 0.1 (log)", "0.01", "4", "the command"],
        ["sgd", MOMENTUM, "0 to 0.99 (linear)", "null", "4", "the command"],
        ["adam", LR, "0.001 to 1 (log)", "0.01", "4", "own.yaml"],
        ["rmsprop", LR, "0.001 to 1 (log)", "0.01", "4", "default"],
        ["rmsprop", MOST, f"follows {LR}", "0.01", "4", "default"],
    ]


@pytest.mark.parametrize(
    ("own", "place"),
    [
        (0.0012, "in the lowest tenth of"),
        (0.0009, "below"),
        (1.0, "in the highest tenth of"),
        (1.5, "above"),
        (0.01, None),
    ],
)
def test_edges_are_the_outer_tenths_of_a_range_and_beyond(tmp_path: Path, own: float, place: str | None) -> None:
    space = TuningSpace({LR: parse_dimension(LR, "0.001..1:log")}, "default", ({LR: own}, {LR: 0.1}), {})
    study = make_study(tmp_path, {"sgd": [{1000: 0.5}, {1000: 0.4}]}, {"sgd": space})
    assert [edge.place for edge in edges(study)] == ([place] if place else [])


def test_methods_name_the_protocol_and_what_the_expected_best_would_take(study: Study, tmp_path: Path) -> None:
    text = " ".join(study_methods(study))
    for words in (
        "4 full-length trials with tuning seed 1000.",
        "The 3 trials with the highest final validation accuracy were trained again with tuning seeds 1001 and 1002, "
        "and the one with the highest mean over tuning seeds 1000, 1001 and 1002 was chosen.",
        "a family of 2 verdicts",
        "--tuning_seeds 2, about 3 more runs.",
    ):
        assert words in text
    two = make_study(tmp_path / "two", {"sgd": [{1000: 0.5, 1001: 0.6}, {1000: 0.4, 1001: 0.3}]}, tuning_seeds=2)
    assert "expected best" not in " ".join(study_methods(two))
    failed = make_study(tmp_path / "failed", {"sgd": [{1000: 0.5, 1001: 0.6}, {1000: 0.4, 1001: None}]}, tuning_seeds=2)
    assert "is not drawn: some trials have no result for some seed." in " ".join(study_methods(failed))


def test_cautions_count_failed_runs(study: Study, tmp_path: Path) -> None:
    assert study_cautions(study) == ["Tuning runs failed, and have no result: 1 of rmsprop."]
    nothing = make_study(tmp_path / "nothing", {"sgd": [{1000: 0.5}, {}], "adam": [{1000: None}, {1000: None}]})
    assert "No trial of adam has a result: nothing was chosen." in study_cautions(nothing)


def test_provenance_says_where_a_setting_comes_from_and_no_folder(study: Study, tmp_path: Path) -> None:
    lines = provenance(study, "sgd")
    assert lines == [
        "Tuned to lr 0.09, momentum 0.5.",
        "The setting of sgd chosen by optimcifar tune: trial 1 of 4, counted from 0. Trial 0 is the configuration's "
        "own setting.",
        f"{LR}: 0.09, its own value 0.01",
        f"{MOMENTUM}: 0.5, its own value null",
        f"Space (the command): {LR} 0.001..0.1:log; {MOMENTUM} 0.0..0.99:linear",
        "Mean final validation accuracy 0.6000 over tuning seeds 1000, 1001 and 1002. It was chosen by this value, so "
        "new seeds will likely give a lower one.",
        f"sgd: the tuned {LR}, 0.09, is in the highest tenth of its range 0.001 to 0.1 (log); try 0.009..0.9:log next.",
        "Network optimcifar.ConvNet; data Shapes10; training images 800; device cpu; 2 epochs; optimcifar 0.1.0; torch "
        "2.15.0; lightning 2.6.6; seeds 1000 to 1002.",
    ]
    assert f"Space (own.yaml): {LR} 0.001..1.0:log" in provenance(study, "adam")
    kept = make_study(tmp_path, {"sgd": [{1000: 0.6}, {1000: 0.5}]})
    assert provenance(kept, "sgd")[0] == "Kept its own lr 0.01."
    assert "/home" not in "".join(provenance(study, "adam"))


@pytest.mark.parametrize("columns", [80, 44])
def test_terminal_shows_the_comparison_and_what_tuning_brought(
    study: Study, columns: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)
    print_study(study, Path("out/report.html"))
    text = capsys.readouterr().out
    *lines, last = text.splitlines()
    assert last == "the report is out/report.html"
    assert max(map(len, lines)) <= columns
    assert "\x1b" not in text
    words = unwrapped(text)
    assert "Tuning brought sgd +0.101 [+0.097, +0.105] (better). " in words
    assert "is in the highest tenth of its range" in words
    assert "Tuning runs failed, and have no result: 1 of rmsprop." in words
    if columns == 80:
        assert re.search(r"^sgd +lr 0\.01 → 0\.09, +\+0\.101 \[\+0\.097, +better", text, re.MULTILINE)
        assert re.search(r"^adam +lr 0\.01 +own setting kept", text, re.MULTILINE)


@pytest.mark.usefixtures("without_pictures")
def test_an_unfinished_study_is_reported_with_a_caution(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    trials: dict[str, list[Accuracies]] = {"sgd": [{1000: 0.5}, {1000: 0.6}], "adam": [{1000: 0.4}, {}]}
    begun = make_study(tmp_path / "begun", trials)
    caution = "The study is not finished: 9 tuning runs are not over, and the chosen settings may change."
    assert study_answer(begun)[0] == caution
    assert cells(begun, "tuned")["sgd"]["verdict on tuning"] == "no final run yet"
    write_study_report(begun, tmp_path / "report")
    assert {path.name for path in (tmp_path / "report").iterdir()} == {"trials.csv", "summary.md", "report.html"}
    assert caution in (tmp_path / "report/report.html").read_text()
    print_study(begun, Path("report.html"))
    assert unwrapped(capsys.readouterr().out).startswith(caution)
    # The tuning is over, and the first final run is.
    of_seeds = candidate(0.5)
    almost = make_study(tmp_path / "almost", {"sgd": [of_seeds | {0: 0.5}, candidate(0.4)]})
    assert study_answer(almost)[0] == "The study is not finished: 2 final runs are not over, and verdicts may change."
    # Nothing has run at all.
    nothing = make_study(tmp_path / "nothing", {"sgd": [{}, {}]})
    assert trial_records(nothing) == []
    write_study_report(nothing, tmp_path / "empty")
    assert {path.name for path in (tmp_path / "empty").iterdir()} == {"summary.md", "report.html"}
    print_study(nothing, Path("report.html"))
    assert "nothing was chosen" in unwrapped(capsys.readouterr().out)
