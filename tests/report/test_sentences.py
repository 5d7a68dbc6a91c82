"""What a report says of made-up results, read as a user reads it: from `optimcifar report`."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from helpers import Command, make_run, read_rows

from optimcifar import read_comparison
from optimcifar.report.charts.gallery import chart_context

NAN = math.nan


@dataclass(frozen=True)
class Seeds:
    """The final accuracies of a configuration, from seed ``first`` on, and the seeds whose runs diverged or failed."""

    accuracies: Sequence[float]
    first: int = 0
    diverged: Sequence[int] = ()
    failed: Sequence[int] = ()
    running: Sequence[int] = ()


@dataclass(frozen=True)
class Report:
    """What `optimcifar report` says: all of summary.md, and the rows of summary.csv by configuration."""

    text: str
    rows: Mapping[str, dict[str, str]] = field(repr=False)


Reporter = Callable[..., Report]


@pytest.fixture
def report(optimcifar: Command, tmp_path: Path, without_charts: None) -> Reporter:
    """Report made-up runs."""

    def write(configurations: Mapping[str, Seeds | Sequence[float]], *options: object, **design: Any) -> Report:
        out = tmp_path / "out"
        for name, given in configurations.items():
            of = given if isinstance(given, Seeds) else Seeds(given)
            for seed, accuracy in enumerate(of.accuracies, start=of.first):
                status = "diverged" if seed in of.diverged else "failed" if seed in of.failed else "finished"
                course = [] if math.isnan(accuracy) else [0.1 + (accuracy - 0.1) / 2, accuracy]
                make_run(out / "runs" / name / f"seed-{seed}", seed, course, status=status)
            for seed in of.running:
                make_run(out / "runs" / name / f"seed-{seed}", seed, [0.11, 0.12], status="running")
        (out / "comparison.json").write_text(json.dumps({"configurations": list(configurations), **design}))
        outcome = optimcifar("report", out, *options)
        assert (outcome.status, outcome.err) == (0, "")
        rows = {row["configuration"]: row for row in read_rows(out / "summary.csv")}
        return Report((out / "summary.md").read_text(encoding="utf-8"), rows)

    return write


BASE = [0.610, 0.615, 0.605, 0.612, 0.608]


def shifted(shift: float, noise: Sequence[float] = (0.001, -0.001, 0.002, 0.0, -0.002)) -> list[float]:
    """Return accuracies that lie above those of BASE by a shift, with some noise."""
    return [base + shift + other for base, other in zip(BASE, noise, strict=True)]


def test_the_answer_comes_first_and_names_what_differs_the_best_and_what_is_undecided(report: Reporter) -> None:
    adam = shifted(0.001, (-0.001, 0.002, 0.0, 0.001, -0.001))
    rmsprop = shifted(-0.2, (0.01, 0.002, -0.02, 0.0, -0.005))
    found = report({"sgd": BASE, "muon": shifted(0.06), "adam": adam, "rmsprop": rmsprop})
    lines = found.text.splitlines()
    # Half widths: scipy.stats.t.isf(0.05 / 3 / 2, 4) * sem = 0.0028, and t.isf(0.05 / 2 / 2, 4) * sem = 0.0177
    assert lines[0] == (
        "muon (+0.060 [+0.057, +0.063]) is better than sgd; rmsprop (-0.203 [-0.220, -0.185]) is worse."
    )
    assert lines[1] == "With 95 % confidence the best is muon, which is told from all others."
    assert lines[2].startswith("1 of 3 comparisons is undecided: at the differences measured, it would need about ")
    assert "Holm, 5 % for all 3 verdicts together; each interval at the level of its step" in found.text
    assert "A true difference of 0.00" in found.text
    assert {name: row["difference_pairs"] for name, row in found.rows.items()} == {
        "muon": "5", "sgd": "", "adam": "5", "rmsprop": "5",
    }  # fmt: skip


# The accuracies of configurations, and sentences of the report.
CASES: dict[str, tuple[dict[str, Seeds | Sequence[float]], list[str]]] = {
    "no difference": (
        {"a": BASE, "b": shifted(0.0)},
        ["No configuration is shown to differ from a.", "With 95 % confidence the best is among: a, b."],
    ),
    "diverged in its first epoch, too few seeds": (
        {"a": BASE[:3], "b": Seeds([0.9, NAN, 0.91], diverged=[1])},
        ["withheld: a run collapsed, and there are fewer than 5 seeds; diverged in 1 of 3 seeds"],
    ),
    "always diverged, enough seeds": (
        {"a": BASE, "b": Seeds([NAN] * 5, diverged=range(5))},
        ["b (-0.510 [", "; diverged in 5 of 5 seeds) is worse than a.", "| worse; diverged in 5 of 5 seeds |"],
    ),
    "at chance": (
        {"a": BASE, "b": [0.1, 0.1, 0.11, 0.09, 0.1]},
        ["| worse; at chance in 5 of 5 seeds |", "A run at chance ended no better than guessing."],
    ),
    "no common seeds": (
        {"a": BASE, "b": shifted(0.1), "c": Seeds(BASE, first=7)},
        [
            "b (+0.100 [",
            "With 95 % confidence the best of those that can be compared is b; "
            "not comparable: c (fewer than 3 seeds in common).",
        ],
    ),
    "failed everywhere": (
        {"a": BASE, "b": shifted(0.1), "c": Seeds([NAN] * 5, failed=range(5))},
        [
            "With 95 % confidence the best of those that can be compared is b; "
            "not comparable: c (no run has a result).",
            "1 of 2 comparisons is undecided: no verdict on c (fewer than 3 seeds in common).",
        ],
    ),
    "better where both have seeds": (
        {"a": [*BASE, 0.9, 0.9, 0.9], "b": shifted(0.1)},
        ["b (+0.100 [", "With 95 % confidence the best is among: a, b."],
    ),
    "one without validation": (
        {"a": BASE, "b": shifted(0.1), "c": Seeds([NAN] * 5)},
        ["the best of those that can be compared is b; not comparable: c (a value is missing).", "no verdict on c ("],
    ),
    "the highest collapsed in few seeds": (
        {"a": BASE[:3], "b": Seeds([0.95, 0.95, 0.1]), "c": [0.65, 0.66, 0.64]},
        [
            "the best of those that can be compared is c; "
            "not comparable: b (a run collapsed, and there are fewer than 5 seeds).",
        ],
    ),
    "the same difference": (
        {"a": [0.25, 0.5, 0.625], "b": [0.375, 0.625, 0.75]},
        [
            "| withheld: the same difference for every seed |",
            "The best cannot be told: a, b (the same difference for every seed).",
        ],
    ),
    "no difference at all": (
        {"a": BASE, "b": BASE},
        [
            "| no difference shown |",
            "With 95 % confidence the best is among: a, b.",
            "at the differences measured, it would need more than 10,000 seeds.",
        ],
    ),
    "two seeds": (
        {"a": BASE[:2], "b": shifted(0.1)[:2]},
        ["withheld: fewer than 3 seeds in common", "There is no verdict with fewer than 3 seeds."],
    ),
    "runs that are not over": (
        {"a": BASE, "b": Seeds(shifted(0.1), running=[5, 6])},
        ["2 runs are not over, and left out: verdicts may change when they are."],
    ),
    "nothing measured": (
        {"a": Seeds([NAN] * 3), "b": Seeds([NAN] * 3)},
        ["Nothing is compared: no test accuracy was measured in a run that ended and has a seed."],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_report_says(case: str, report: Reporter) -> None:
    configurations, sentences = CASES[case]
    found = report(configurations)
    for sentence in sentences:
        assert sentence in found.text
    assert "nan" not in found.text.lower()
    tested_against_all = case in ("always diverged, enough seeds", "at chance", "runs that are not over")
    assert ("told from all others" in found.text) == tested_against_all


def test_a_verdict_is_withheld_only_where_a_collapse_meets_few_seeds(report: Reporter) -> None:
    few = report({"a": BASE[:4], "b": Seeds([*shifted(0.2)[:3], 0.3], diverged=[3])})
    assert few.rows["b"]["verdict"] == (
        "withheld: a run collapsed, and there are fewer than 5 seeds; diverged in 1 of 4 seeds"
    )


def test_planned_configurations_without_a_run_are_named(report: Reporter) -> None:
    found = report({"a": BASE, "b": shifted(0.1), "c": Seeds([]), "d": Seeds([])}).text
    assert "the best of those that can be compared is b; not comparable: c, d (no run has a result)." in found
    assert "2 of 3 comparisons are undecided: no verdict on c, d (no run has a result)." in found


def test_a_one_sided_test_that_needs_less_than_a_verdict_is_called_so(report: Reporter) -> None:
    found = report({"a": [0.600, 0.601, 0.602], "b": [0.609, 0.605, 0.614]}).text
    assert "No configuration is shown to differ from a." in found
    assert "which is told from all others, by one-sided tests, which need less than a verdict." in found
    assert "The comparison is undecided: at the differences measured, it would need about " in found


def test_the_pairs_are_those_of_both(report: Reporter) -> None:
    found = report({"a": BASE, "b": Seeds(shifted(0.1)[:4], first=1, failed=[4])})
    assert (found.rows["b"]["difference_pairs"], found.rows["b"]["seeds"]) == ("3", "3")


def test_intervals_of_accuracies_end_at_0_and_1(report: Reporter) -> None:
    found = report({"a": [0.99, 0.80, 0.98, 0.97, 0.99], "b": [0.01, 0.2, 0.02, 0.03, 0.01]})
    assert found.rows["a"]["val_acc_high"] == found.rows["a"]["test_acc_high"] == "1"
    assert found.rows["b"]["val_acc_low"] == "0"
    assert "0.946 [0.844, 1.000]" in found.text


def test_looking_again_with_more_seeds_is_said(report: Reporter) -> None:
    found = report({"a": BASE, "b": shifted(0.1)}, looks=2)
    assert "Looked at 2 times, the seeds planned anew each time: false verdicts up to 10 %." in found.text


def test_results_within_a_stage_are_preliminary(report: Reporter) -> None:
    caution = "A stage is not finished: verdicts may change when it is."
    assert caution not in report({"a": BASE, "b": shifted(0.1)}, stages=[5, 10]).text
    shutil.rmtree("out")
    within = report({"a": [*BASE, 0.61], "b": shifted(0.1)}, stages=[5, 10]).text
    assert caution in within
    assert "looked at after 5 seeds (1.67 %) and 10 seeds (3.33 %); one that is found is final." in within


def test_time_to_target_counts_the_misses(report: Reporter) -> None:
    runs = {
        "two": Seeds([0.2, 0.6, 0.62], running=[5]),
        "none": [0.2, 0.2, 0.2],
        "all": [0.9, 0.9, 0.9],
        "out": Seeds([0.6, 0.6, NAN], diverged=[2]),
    }
    found = report(runs, "--target_acc", "0.45")
    assert {name: row["reached_target"] for name, row in found.rows.items()} == {
        "two": "2", "none": "0", "all": "3", "out": "2",
    }  # fmt: skip
    assert "2 of 3, median 2 epochs" in found.text
    assert "3 of 3, median 1 epoch" in found.text
    assert found.text.count("never") == 1


def test_seeds_share_the_test_images(report: Reporter) -> None:
    assert "it gives a difference another standard deviation of about 0.005" in report({"a": BASE, "b": BASE}).text


def test_augmented_images_are_named_beside_the_data(optimcifar: Command, without_charts: None, tmp_path: Path) -> None:
    for number, augmentation in enumerate(("crop_flip", "")):
        make_run(tmp_path / f"version_{number}", 0, [0.5], augmentation=augmentation)
    for folder, shown in (("version_0", "; augmentation crop_flip;"), (".", "; augmentation crop_flip and none;")):
        assert optimcifar("report", folder).status == 0
        assert shown in Path(folder, "summary.md").read_text()
        context = chart_context(read_comparison(folder))
        assert context.startswith(f"Shapes10 · {shown.strip('; ')} · ")
    assert optimcifar("report", "version_1").status == 0
    assert "augmentation" not in Path("version_1/summary.md").read_text()
