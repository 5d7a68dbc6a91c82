from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import Outcome, make_comparison, make_run, unwrapped

PICTURES = [
    *("train_loss_by_epoch", "val_acc_by_epoch", "train_loss_by_seconds", "val_acc_by_seconds"),
    *("learning_rate", "final_accuracy", "differences"),
]

Command = Callable[..., Outcome]


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_report_writes_tables_pictures_and_a_page(optimcifar: Command, tmp_path: Path) -> None:
    make_comparison(tmp_path / "out", ["sgd", "adam"])
    outcome = optimcifar("report", tmp_path / "out")
    assert (outcome.status, outcome.err) == (0, "")
    assert len(table(tmp_path / "out" / "results.csv")) == 6
    rows = table(tmp_path / "out" / "summary.csv")
    assert [(row["configuration"], row["verdict"]) for row in rows] == [("adam", "better"), ("sgd", "baseline")]
    assert float(rows[0]["test_acc"]) == pytest.approx(float(rows[0]["val_acc"]) + 0.01)
    for name in PICTURES:
        assert (tmp_path / "out" / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        assert "<svg" in (tmp_path / "out" / f"{name}.svg").read_text()
    page = (tmp_path / "out" / "report.html").read_text()
    assert "paired t-test" in page
    assert not re.search(r'<(script|link|img)[^>]+(src|href)="?http', page)
    assert "Network optimcifar.ConvNet; data Shapes10; training images 800; device cpu; 4 epochs" in unwrapped(
        outcome.out
    )
    assert "With 95 % confidence the best is adam, which is told from all others." in unwrapped(outcome.out)


def test_a_run_that_failed_before_it_started_does_not_differ_in_its_start(optimcifar: Command, tmp_path: Path) -> None:
    make_comparison(tmp_path / "out", ["sgd"], seeds=1)
    failed = tmp_path / "out" / "runs" / "adam" / "seed-0"
    failed.mkdir(parents=True)
    (failed / "summary.json").write_text(json.dumps({"status": "failed", "seed": 0, "error": "no images"}))
    outcome = optimcifar("report", tmp_path / "out")
    assert outcome.status == 0
    assert "differ in their" not in outcome.out
    only = optimcifar("report", failed, "--out", tmp_path / "only")
    assert (only.status, only.err) == (0, "")
    assert "nan" not in only.out
    assert "network" not in only.out.lower()  # unknown


@pytest.mark.usefixtures("without_charts")
def test_configurations_stand_in_order_of_accuracy_and_runs_as_they_were_named(
    optimcifar: Command, tmp_path: Path
) -> None:
    make_comparison(tmp_path / "out", ["sgd", "adam", "rmsprop"], seeds=1)
    optimcifar("report", tmp_path / "out")
    assert [row["configuration"] for row in table(tmp_path / "out" / "summary.csv")] == ["rmsprop", "adam", "sgd"]
    assert [row["configuration"] for row in table(tmp_path / "out" / "results.csv")] == ["sgd", "adam", "rmsprop"]


def test_one_configuration_is_described_and_compared_with_nothing(optimcifar: Command, tmp_path: Path) -> None:
    make_comparison(tmp_path / "out", ["sgd"])
    outcome = optimcifar("report", tmp_path / "out")
    assert outcome.status == 0
    assert not (tmp_path / "out" / "differences.png").exists()
    assert "paired by seed" not in outcome.out


@pytest.mark.usefixtures("without_charts")
def test_runs_that_started_differently_are_named(optimcifar: Command, tmp_path: Path) -> None:
    make_comparison(tmp_path / "out", ["sgd", "adam"])
    path = tmp_path / "out" / "runs" / "adam" / "seed-1" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"first_epoch_order_sha256": "another"}))
    line = "Runs with seed 1 differ in their images, their split or their order"
    assert line in unwrapped(optimcifar("report", tmp_path / "out").out)
    assert line in (tmp_path / "out" / "report.html").read_text()


def test_diverged_runs_say_when(optimcifar: Command, tmp_path: Path) -> None:
    make_comparison(tmp_path / "out", ["sgd"])
    for seed in range(3):
        folder = tmp_path / "out" / "runs" / "wild" / f"seed-{seed}"
        make_run(folder, seed, [0.1], status="diverged", diverged_step=7)
    assert optimcifar("report", tmp_path / "out", "--target_acc", "0.22").status == 0
    wild = table(tmp_path / "out" / "summary.csv")[1]
    assert (wild["configuration"], wild["diverged"], wild["seeds"]) == ("wild", "3", "3")
    rows = table(tmp_path / "out" / "results.csv")
    assert [(row["diverged_step"], row["epochs_to_target"]) for row in rows] == [("", "3")] * 3 + [("7", "inf")] * 3


@pytest.mark.usefixtures("without_charts")
def test_runs_that_did_not_finish_are_counted_and_not_averaged(optimcifar: Command, tmp_path: Path) -> None:
    make_comparison(tmp_path / "out", ["sgd", "adam"])
    path = tmp_path / "out" / "runs" / "adam" / "seed-1" / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"status": "failed"}))
    outcome = optimcifar("report", tmp_path / "out")
    adam = table(tmp_path / "out" / "summary.csv")[0]
    assert (adam["configuration"], adam["seeds"], adam["not_finished"]) == ("adam", "2", "1")
    assert adam["verdict"] == "withheld: fewer than 3 seeds in common"
    assert outcome.status == 0


@pytest.mark.usefixtures("without_charts")
def test_single_runs_are_compared_by_their_folders_names(optimcifar: Command, tmp_path: Path) -> None:
    make_run(tmp_path / "first", 0, [0.1, 0.2])
    make_run(tmp_path / "<script>alert(1)</script>", 0, [0.1, 0.3])
    outcome = optimcifar("report", tmp_path / "first", tmp_path / "<script>alert(1)<" / "script>", "--out", "both")
    assert outcome.status == 0
    assert [row["configuration"] for row in table(Path("both/results.csv"))] == ["first", "script>"]


def test_names_are_text_on_the_page(optimcifar: Command, tmp_path: Path) -> None:
    make_comparison(tmp_path / "out", ["sgd", "<script>alert(1)<b>"])
    optimcifar("report", tmp_path / "out")
    assert "<script>alert" not in (tmp_path / "out" / "report.html").read_text()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (None, "holds no run"),
        ("{", "summary.json is damaged: JSONDecodeError"),
        ("[]", "is damaged"),
        ('{"seed": 0}', "is damaged"),
    ],
)
def test_folder_without_a_whole_run_is_refused(
    optimcifar: Command, tmp_path: Path, damage: str | None, message: str
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    if damage is not None:
        (folder / "summary.json").write_text(damage)
    outcome = optimcifar("report", folder)
    assert outcome.status == 1
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (folder / "report.html").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["compare"], "name the configurations to compare"),
        (["compare", "--seeds", "2"], "name the configurations to compare"),
        (["compare", "--seeds", "2", "--model.optimizer", "Adam"], "name the configurations to compare"),
        (["compare", "--seeds", "2", "none.yaml", "a.yaml"], "there is no configuration none.yaml"),
        (["compare", "a.yaml", "--seeds", "2", "--trainer.max_epochs", "1", "none.yaml"], "no configuration none.yaml"),
        (["compare", "none.yaml"], "there is no configuration none.yaml"),
        (["compare", "a.yaml", "--seeds", "x"], "--seeds must be a number of seeds"),
        (["compare", "a.yaml", "--jobs", "0"], "--jobs must be at least 1, got 0"),
        (["compare", "a.yaml", "--target_acc", "60"], "--target_acc must be greater than 0 and at most 1, got 60.0"),
        (["compare", "a.yaml", "--baseline", "b"], "--baseline must be one of a; got 'b'"),
        (["compare", "a.yaml", "--seed_everything", "3"], "--seed_everything cannot be given here: use --seeds"),
        (["report"], "the following arguments are required: FOLDER"),
        (["report", "a", "--target_acc", "x"], "--target_acc must be an accuracy such as 0.6, or one for each"),
    ],
)
def test_bad_options_are_refused_in_a_line(optimcifar: Command, arguments: list[str], message: str) -> None:
    Path("a.yaml").write_text("{}\n")
    outcome = optimcifar(*arguments)
    assert (outcome.status, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1


def test_averages_are_compared_with_the_weights_of_the_same_runs(optimcifar: Command, tmp_path: Path) -> None:
    # The average is better in every run by about 0.05, though runs differ by far more; the other is no better.
    for seed, (last, noise) in enumerate([(0.3, 0.001), (0.5, 0.0), (0.7, -0.001)]):
        columns = {"val_acc_swa": [float("nan"), last + 0.05 + noise], "val_acc_ema": [0.1, last + noise]}
        make_run(tmp_path / "out/runs/sgd" / f"seed-{seed}", seed, [0.1, last], columns)
        make_run(tmp_path / "out/runs/adam" / f"seed-{seed}", seed, [0.1, last])
    outcome = optimcifar("report", tmp_path / "out")
    assert (outcome.status, outcome.err) == (0, "")
    rows = {row["configuration"]: row for row in table(tmp_path / "out" / "summary.csv")}
    sgd = rows["sgd"]
    assert [float(sgd[name]) for name in ("val_acc_swa", "swa_gain")] == pytest.approx([0.55, 0.05])
    assert (sgd["swa_verdict"], sgd["ema_verdict"], rows["adam"]["swa_verdict"]) == (
        "better",
        "no difference shown",
        "",
    )
    # Two averages, two comparisons: scipy.stats.t.ppf(1 - 0.025 / 2, 2) * 0.001 / sqrt(3), worked out beforehand
    assert float(sgd["swa_gain_low"]) == pytest.approx(0.05 - 6.2053 * 0.001 / 3**0.5, abs=1e-5)
    assert "+0.050 [+0.046, +0.054] better" in (tmp_path / "out" / "summary.md").read_text()
    assert "a second family of 2 verdicts, with 5 % (Holm) of its own." in (tmp_path / "out" / "summary.md").read_text()
    assert "swa" in (tmp_path / "out" / "averages.svg").read_text()


DAMAGE = [b"-", b"{", b"[]", b"3", b"null", b'{"a": 1}', '{"seed": 0}'.encode("utf-16"), bytes(20), b"PK\x03\x04\xff"]


@pytest.mark.parametrize("name", ["summary.json", "metrics.csv", "checkpoints/last.test.json", "comparison.json"])
@pytest.mark.parametrize("content", DAMAGE)
def test_damaged_file_is_named(optimcifar: Command, tmp_path: Path, name: str, content: bytes) -> None:
    make_comparison(tmp_path / "out", ["sgd"], seeds=1)
    folder = tmp_path / "out" if name == "comparison.json" else tmp_path / "out" / "runs" / "sgd" / "seed-0"
    # A table needs a row to be damaged.
    (folder / name).write_bytes(content + (b"\n1\n" if name == "metrics.csv" else b""))
    outcome = optimcifar("report", tmp_path / "out")
    assert (outcome.status, outcome.out) == (1, "")
    assert f"{folder / name} is damaged" in outcome.err
    assert outcome.err.count("\n") == 1
    assert not (tmp_path / "out" / "report.html").exists()


@pytest.mark.usefixtures("without_charts")
def test_folders_and_options_of_a_report_come_in_any_order(optimcifar: Command, tmp_path: Path) -> None:
    for number in range(2):
        make_run(tmp_path / f"run{number}", 0, [0.1, 0.2], hyperparameters={"optimizer": f"my.Optimizer{number}"})
    outcome = optimcifar("report", "run0", "--out", "both", "run1")
    assert (outcome.status, outcome.err) == (0, "")
    rows = table(tmp_path / "both" / "summary.csv")
    assert [row["configuration"] for row in rows] == ["Optimizer0", "Optimizer1"]


@pytest.mark.usefixtures("without_charts")
def test_runs_without_a_table_are_reported_from_their_summaries(optimcifar: Command, tmp_path: Path) -> None:
    make_comparison(tmp_path / "out", ["sgd", "adam"])
    for number, run in enumerate(sorted(tmp_path.glob("out/runs/adam/seed-[12]"))):
        (run / "metrics.csv").unlink()
        summary = json.loads((run / "summary.json").read_text())
        final = {"epochs": 4, "val_acc": 0.5 + number / 100, "train_loss": 1.5}
        (run / "summary.json").write_text(json.dumps(summary | final))
    outcome = optimcifar("report", tmp_path / "out", "--target_acc", "0.25")
    assert (outcome.status, outcome.err) == (0, "")
    assert "device cpu; 4 epochs" in unwrapped(outcome.out)
    assert "No metrics.csv of RunLogger in adam: the last epoch's figures are those of summary.json" in unwrapped(
        outcome.out
    )
    first, *others = [row for row in table(tmp_path / "out" / "results.csv") if row["configuration"] == "adam"]
    assert [(row["epochs"], row["val_acc"], row["train_loss"]) for row in others] == [
        *(("4", "0.5", "1.5"), ("4", "0.51", "1.5")),
    ]
    assert [(row["best_val_acc"], row["best_epoch"], row["epochs_to_target"]) for row in others] == [("", "", "")] * 2
    # What is known of one seed alone.
    (adam,) = [row for row in table(tmp_path / "out" / "summary.csv") if row["configuration"] == "adam"]
    assert float(adam["val_acc"]) == pytest.approx((float(first["val_acc"]) + 0.5 + 0.51) / 3)
    assert adam["epochs_to_target"] == first["epochs_to_target"] == "3"
