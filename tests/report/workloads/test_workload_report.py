"""The report of made-up comparisons over workloads: its profile, tables, chart, files and words."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
from helpers import Command, read_rows, unwrapped
from made_up_workloads import EPOCHS, TARGETS, Epochs, change_summary, make_workloads

from optimcifar.errors import UsageError
from optimcifar.report.comparison import read_comparison
from optimcifar.report.workloads.design import WorkloadsDesign
from optimcifar.report.workloads.profile_chart import draw_profile
from optimcifar.report.workloads.results import read_workloads
from optimcifar.report.workloads.sentences import profile_in_words, workload_cautions

NEVER = math.inf

# With two seeds there is no verdict, so that nothing has to be worked out for it.
TWO_SEEDS: Epochs = {"small": {"sgd": [3, 4], "adam": [2, 2]}, "wide": {"sgd": [1, 1], "adam": [None, None]}}


def test_times_and_ratios_are_those_worked_out_by_hand(tmp_path: Path) -> None:
    make_workloads(tmp_path)
    results = read_workloads(tmp_path)
    found = {(time.configuration, time.workload): (time.reached, time.time, time.ratio) for time in results.times}
    assert found == {
        ("sgd", "small"): (3, 6, 1.5),
        ("sgd", "wide"): (3, 2, 1),
        ("sgd", "hard"): (1, NEVER, NEVER),
        ("adam", "small"): (3, 4, 1),
        ("adam", "wide"): (3, 6, 3),
        ("adam", "hard"): (0, NEVER, NEVER),
        ("rmsprop", "small"): (1, NEVER, NEVER),
        ("rmsprop", "wide"): (2, 4, 2),
        ("rmsprop", "hard"): (0, NEVER, NEVER),
    }
    assert profile_in_words(results) == [
        "Fastest to the target: sgd on wide; adam on small.",
        "Within 2 times the fastest: sgd on 2 of 3 workloads, adam on 1, rmsprop on 1.",
        "Not reached by half of the seeds: rmsprop on small.",
        "On hard no configuration reached the target with half of its seeds; that counts against all.",
    ]


def test_chart_draws_the_share_of_all_workloads_over_the_factor(tmp_path: Path) -> None:
    make_workloads(tmp_path)
    spec = draw_profile(read_workloads(tmp_path))["profile"].to_dict()
    rows = spec["datasets"]["profile"]

    def curve(name: str) -> list[tuple[float, str, bool]]:
        return [(row["factor"], row["within"], row["event"]) for row in rows if row["configuration"] == name]

    # The axis ends 10 % behind the last step, at 3.
    assert curve("sgd") == [
        (1, "1 of 3 workloads", True),
        (1.5, "2 of 3 workloads", True),
        (3.3, "2 of 3 workloads", False),
    ]
    assert curve("adam") == [
        (1, "1 of 3 workloads", True),
        (3, "2 of 3 workloads", True),
        (3.3, "2 of 3 workloads", False),
    ]
    assert curve("rmsprop") == [
        (1, "0 of 3 workloads", False),
        (2, "1 of 3 workloads", True),
        (3.3, "1 of 3 workloads", False),
    ]
    line, _ = spec["layer"]
    assert line["mark"]["interpolate"] == "step-after"
    assert line["encoding"]["x"]["scale"].items() >= {"type": "log", "domain": [1, 3.3]}.items()
    # Equal shares lie side by side.
    assert len({row["drawn"] for row in rows if row["factor"] == 1 and row["share"] > 0}) == 2
    notes = " ".join(spec["title"]["subtitle"])
    assert "Targets: small 0.5, wide 0.6, hard 0.9." in notes
    assert "No configuration reached the target of these, which counts against all: hard." in notes
    assert "the same device" in notes


@pytest.mark.usefixtures("without_charts")
def test_report_writes_each_workload_and_all_of_them(optimcifar: Command, tmp_path: Path) -> None:
    out = tmp_path / "out"
    make_workloads(out, TWO_SEEDS)
    change_summary(out / "wide/runs/sgd/seed-0", net="my.WideNet", hyperparameters={"optimizer.lr": 0.1})
    change_summary(out / "wide/runs/adam/seed-0", hyperparameters={"optimizer.lr": 0.2})
    outcome = optimcifar("report", out)
    assert (outcome.status, outcome.err) == (0, "")
    for name in TWO_SEEDS:
        assert {"report.html", "results.csv", "summary.csv", "summary.md"} <= {p.name for p in (out / name).iterdir()}
    assert (out / "profile.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (out / "profile.svg").read_text()
    runs, configurations = read_rows(out / "results.csv"), read_rows(out / "summary.csv")
    assert next(iter(runs[0])) == next(iter(configurations[0])) == "workload"
    assert [row["workload"] for row in runs] == ["small"] * 4 + ["wide"] * 4
    # Nothing is pooled: the figures of a workload are those of its own comparison. The rate differs on wide only.
    empty = dict.fromkeys(configurations[0], "")
    alone = [empty | {"workload": name} | row for name in TWO_SEEDS for row in read_rows(out / name / "summary.csv")]
    assert configurations == alone
    assert [row["optimizer.lr"] for row in configurations] == ["", "", "0.1", "0.2"]
    profile = {(row["configuration"], row["workload"]): row for row in read_rows(out / "profile.csv")}
    assert profile["sgd", "small"] == {
        "configuration": "sgd",
        "workload": "small",
        "target_acc": "0.5",
        "seeds": "2",
        "reached_target": "2",
        "seconds_to_target": "6",
        "ratio": "1.5",
        "share_within_ratio": "1",
    }
    assert [profile["adam", "wide"][name] for name in ("seconds_to_target", "ratio", "share_within_ratio")] == [
        "inf",
        "inf",
        "",
    ]

    text = unwrapped(outcome.out)
    assert "small: ConvNet on Shapes10, 4 epochs" in text
    assert "wide: WideNet and ConvNet on Shapes10, 4 epochs" in text
    assert text.count("configuration seeds val acc difference verdict") == 2
    assert "Fastest to the target: sgd on wide; adam on small." in text
    assert text.endswith(f"the report is {out}/report.html")
    page, summary = (out / "report.html").read_text(), (out / "summary.md").read_text()
    for name in TWO_SEEDS:
        assert f'<a href="{name}/report.html">' in page
        assert f"## {name}: " in summary
    assert "| sgd | 6.0 s, 1.50x | 2.0 s, fastest |" in summary
    assert "| adam | 4.0 s, fastest | 0 of 2 seeds |" in summary
    assert "Verdicts are not pooled" in page


@pytest.mark.usefixtures("without_charts")
def test_without_a_target_a_line_says_how_to_get_a_profile(optimcifar: Command) -> None:
    make_workloads(Path("out"), TWO_SEEDS, dict.fromkeys(TWO_SEEDS))
    outcome = optimcifar("report", "out")
    assert outcome.status == 0
    assert "A performance profile needs a target: --target_acc 0.6" in unwrapped(outcome.out)
    assert not list(Path("out").glob("profile.*"))
    # The report takes targets for runs that exist: here wide's is lower than sgd's first epoch.
    outcome = optimcifar("report", "out", "--target_acc", "0.5,0.4", "--baseline", "adam", "--out", "again")
    assert "Fastest to the target: sgd on wide; adam on small and wide." in unwrapped(outcome.out)
    verdicts = {row["configuration"]: row["verdict"] for row in read_rows(Path("again/summary.csv"))}
    assert verdicts["adam"] == "baseline"
    assert Path("again/small/report.html").exists()


def test_runs_that_are_missing_are_named_and_do_not_count_as_slow(tmp_path: Path) -> None:
    make_workloads(tmp_path, {"small": {"sgd": [1, 1], "adam": [2, 2]}, "wide": {"sgd": [1, 1]}, "hard": {}})
    change_summary(tmp_path / "small/runs/sgd/seed-1", device="a GPU")
    change_summary(tmp_path / "small/runs/adam/seed-0", status="failed")
    results = read_workloads(tmp_path)
    assert [(time.workload, time.seeds, time.ratio) for time in results.times_of("adam")] == [
        ("small", 1, 2),
        ("wide", 0, NEVER),
    ]
    assert "Not reached by half of the seeds: adam on wide." in profile_in_words(results)
    assert workload_cautions(results) == [
        "No run yet, and left out: hard.",
        "Runs on small had different devices, cpu and a GPU: their times cannot be compared.",
    ]


def test_a_profile_needs_the_target_of_every_workload(tmp_path: Path) -> None:
    make_workloads(tmp_path, TWO_SEEDS, {"small": 0.5, "wide": None})
    assert read_workloads(tmp_path).times == []


def test_a_target_that_nobody_reaches_gives_no_profile(tmp_path: Path) -> None:
    make_workloads(tmp_path, {"hard": EPOCHS["hard"]})
    results = read_workloads(tmp_path)
    assert draw_profile(results) == {}
    assert profile_in_words(results) == [
        "There is no performance profile: no configuration reached a target with half of its seeds."
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["out", "--target_acc", "0.5,0.6"],
            "one accuracy for all workloads, or one for each of small, wide, hard; got 2",
        ),
        (["out", "--target_acc", "0.5,60"], "--target_acc must be greater than 0 and at most 1, got 60.0"),
        (["out", "--target_acc", "x"], "--target_acc must be an accuracy such as 0.6, or one for each workload"),
        (["out", "--baseline", "lion"], "the baseline must be one of sgd, adam, rmsprop; got 'lion'"),
        (
            ["out/small", "--target_acc", "0.5,0.6"],
            "--target_acc has 2 accuracies, and only a comparison with --workload",
        ),
        (["out/small", "out"], "out holds a comparison over workloads: read that of one workload, such as out/small"),
    ],
)
def test_wrong_usage_gets_a_line_and_writes_nothing(optimcifar: Command, arguments: list[str], message: str) -> None:
    make_workloads(Path("out"))
    before = sorted(Path().rglob("*"))
    outcome = optimcifar("report", *arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert sorted(Path().rglob("*")) == before


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", '{"workloads": []}', '{"workloads": ["../x"]}', '{"workloads": [1]}']
)
def test_damaged_design_is_named(optimcifar: Command, content: str) -> None:
    Path("out").mkdir()
    Path("out/workloads.json").write_text(content)
    outcome = optimcifar("report", "out")
    assert (outcome.status, outcome.err.count("\n")) == (1, 1)
    assert "out/workloads.json is damaged: run the same comparison again" in outcome.err


def test_folders_without_workloads_or_runs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="holds no comparison over workloads"):
        read_workloads(tmp_path)
    make_workloads(tmp_path, {"hard": {}})
    with pytest.raises(RuntimeError, match="holds no run"):
        read_workloads(tmp_path)


def test_a_workload_is_a_comparison_like_any_other(tmp_path: Path) -> None:
    make_workloads(tmp_path)
    assert read_comparison(tmp_path / "wide").target_acc == TARGETS["wide"]
    assert WorkloadsDesign.read(tmp_path) == WorkloadsDesign(("small", "wide", "hard"))
    assert json.loads((tmp_path / "workloads.json").read_text()) == {"workloads": ["small", "wide", "hard"]}
