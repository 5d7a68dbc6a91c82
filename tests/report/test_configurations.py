"""Runs belong together by their configuration and seed, whatever their folders are called."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
from helpers import Command, make_comparison, make_run, unwrapped

pytestmark = pytest.mark.usefixtures("without_charts")

SGD: dict[str, Any] = {"optimizer": "torch.optim.SGD", "optimizer.lr": 0.01, "optimizer.momentum": 0.9}
ADAM: dict[str, Any] = {"optimizer": "torch.optim.Adam", "optimizer.lr": 0.001}
FAST = SGD | {"optimizer.lr": 0.03}


def results(folder: Path) -> list[dict[str, str]]:
    with (folder / "results.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def configurations(folder: Path) -> list[dict[str, str]]:
    with (folder / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_folders_with_the_same_name_are_told_apart(optimcifar: Command, tmp_path: Path) -> None:
    folders = [tmp_path / name / "version_0" for name in ("a", "b", "c")]
    for folder, settings in zip(folders, (SGD, FAST, ADAM), strict=True):
        make_run(folder, 0, [0.1, 0.2], hyperparameters=settings)
    for typed in (folders, ["?/version_*"]):  # a pattern that no shell has expanded
        outcome = optimcifar("report", *typed, "--out", "out")
        assert (outcome.status, outcome.err) == (0, "")
        assert [row["configuration"] for row in results(Path("out"))] == ["SGD-lr=0.01", "SGD-lr=0.03", "Adam"]


def test_single_runs_of_a_configuration_are_its_seeds(optimcifar: Command, tmp_path: Path) -> None:
    for version, (seed, settings) in enumerate([(0, SGD), (1, SGD), (2, SGD), (0, ADAM), (1, ADAM), (2, ADAM)]):
        run = tmp_path / "lightning_logs" / f"version_{version + 5}"
        make_run(run, seed, [0.1, 0.2 + 0.3 * (settings is ADAM) + 0.001 * version**2], hyperparameters=settings)
    # A comparison beside them is none of them.
    make_comparison(tmp_path / "lightning_logs" / "comparison", ["sgd"])
    outcome = optimcifar("report", "lightning_logs")
    assert (outcome.status, outcome.err) == (0, "")
    # version_10 comes after version_9.
    assert [row["configuration"] for row in results(Path("lightning_logs"))] == ["SGD"] * 3 + ["Adam"] * 3
    assert [(row["configuration"], row["seeds"], row["verdict"]) for row in configurations(Path("lightning_logs"))] == [
        ("Adam", "3", "better"),
        ("SGD", "3", "baseline"),
    ]


def test_schedules_are_part_of_a_single_runs_name(optimcifar: Command, tmp_path: Path) -> None:
    schedule = {"lr_scheduler": "torch.optim.lr_scheduler.StepLR", "lr_scheduler.step_size": 2}
    make_run(tmp_path / "a", 0, [0.1], hyperparameters=SGD)
    make_run(tmp_path / "b", 0, [0.1], hyperparameters=SGD | schedule)
    optimcifar("report", "a", "b", "--out", "out")
    assert [row["configuration"] for row in results(Path("out"))] == ["SGD", "SGD-StepLR"]


def test_callbacks_that_differ_are_part_of_the_name_by_their_classes_alone(optimcifar: Command, tmp_path: Path) -> None:
    averages = {"trainer.callbacks.0": "optimcifar.WeightAverages", "trainer.callbacks.0.ema_decay": 0.999}
    other = {"trainer.callbacks.0": "optimcifar.EpochEndWeightAveraging", "trainer.callbacks.0.swa_lrs": 0.05}
    make_run(tmp_path / "a", 0, [0.1], hyperparameters=SGD | averages)
    make_run(tmp_path / "b", 0, [0.1], hyperparameters=SGD | other)
    make_run(tmp_path / "c", 0, [0.1], hyperparameters=SGD)
    optimcifar("report", "a", "b", "c", "--out", "out")
    names = [row["configuration"] for row in results(Path("out"))]
    assert names == ["SGD-WeightAverages", "SGD-EpochEndWeightAveraging", "SGD"]


def test_names_that_settings_do_not_tell_apart_have_the_folder(optimcifar: Command, tmp_path: Path) -> None:
    for name in ("a", "b"):  # as runs of a version that did not record hyperparameters
        make_run(tmp_path / name / "run", 0, [0.1])
    optimcifar("report", "a/run", "b/run", "--out", "out")
    assert [row["configuration"] for row in results(Path("out"))] == ["run (a/run)", "run (b/run)"]


def make_entry(out: str, name: str, seeds: list[int], settings: dict[str, Any]) -> None:
    for seed in seeds:
        make_run(Path(out) / "runs" / name / f"seed-{seed}", seed, [0.1, 0.2], hyperparameters=settings)


def test_equal_configurations_of_two_comparisons_are_one_with_more_seeds(optimcifar: Command) -> None:
    make_entry("first", "sgd", [0, 1], SGD)
    make_entry("second", "sgd", [2], SGD | {"data.root": "elsewhere"})  # where the images are does not count
    assert optimcifar("report", "first", "second", "--out", "out").status == 0
    (row,) = configurations(Path("out"))
    assert (row["configuration"], row["seeds"]) == ("sgd", "3")


def test_different_configurations_with_one_name_stay_two(optimcifar: Command) -> None:
    make_entry("first", "sgd", [0, 1, 2], SGD)
    make_entry("second", "sgd", [0, 1, 2], FAST)
    (Path("first") / "comparison.json").write_text('{"configurations": ["sgd"], "baseline": "sgd"}')
    outcome = optimcifar("report", "first", "second", "--out", "out")
    assert (outcome.status, outcome.err) == (0, "")
    rows = configurations(Path("out"))
    assert [(row["configuration"], row["seeds"]) for row in rows] == [("sgd-lr=0.01", "3"), ("sgd-lr=0.03", "3")]
    assert rows[0]["verdict"] == "baseline"
    assert optimcifar("report", "first", "second", "--out", "out", "--baseline", "sgd-lr=0.03").status == 0
    assert configurations(Path("out"))[1]["verdict"] == "baseline"


def test_same_run_twice_is_refused_with_both_folders(optimcifar: Command, tmp_path: Path) -> None:
    for name in ("one", "two"):
        make_run(tmp_path / name, 3, [0.1], hyperparameters=SGD)
    outcome = optimcifar("report", "one", "two", "--out", "out")
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err == (
        "optimcifar: one and two have the same configuration and the same seed, 3: leave one of them out\n"
    )
    assert not Path("out").exists()


def test_runs_of_equal_settings_on_other_images_are_two_configurations(optimcifar: Command, tmp_path: Path) -> None:
    for name in ("flowers", "pets"):
        make_run(tmp_path / name / "version_0", 0, [0.5], hyperparameters=SGD, dataset=name)
    outcome = optimcifar("report", "flowers", "pets", "--out", "out")
    assert (outcome.status, outcome.err) == (0, "")
    assert len({row["configuration"] for row in results(Path("out"))}) == 2


def test_runs_without_a_seed_are_shown_and_never_paired(optimcifar: Command) -> None:
    make_entry("out", "sgd", [0, 1, 2], SGD)
    make_entry("out", "adam", [0, 1, 2], ADAM)
    for number in range(2):
        make_run(Path("out/runs/adam") / f"seed-none{number}", None, [0.1, 0.9], hyperparameters=ADAM)
    outcome = optimcifar("report", "out")
    assert (outcome.status, outcome.err) == (0, "")
    rows = {row["configuration"]: row for row in configurations(Path("out"))}
    # As without the two, which are far better.
    assert (rows["adam"]["seeds"], rows["adam"]["val_acc"]) == ("3", "0.2")
    assert (rows["sgd"]["difference"], rows["sgd"]["difference_pairs"]) == ("0", "3")
    assert sorted(row["seed"] for row in results(Path("out")) if row["configuration"] == "adam") == [
        *("", "", "0", "1", "2")
    ]
    assert "seeds 0 to 2; 2 runs without a seed, not paired" in unwrapped(outcome.out)


def test_configuration_without_any_seed_has_a_mean_and_no_interval(optimcifar: Command, tmp_path: Path) -> None:
    make_run(tmp_path / "a", None, [0.1, 0.3], hyperparameters=SGD)
    make_run(tmp_path / "b", None, [0.1, 0.5], hyperparameters=SGD)
    outcome = optimcifar("report", "a", "b", "--out", "out")
    (row,) = configurations(Path("out"))
    assert (row["seeds"], row["val_acc"], row["val_acc_low"]) == ("0", "0.4", "")
    assert "seeds none; 2 runs without a seed" in unwrapped(outcome.out)


def test_tables_have_a_column_for_each_hyperparameter_that_differs(optimcifar: Command) -> None:
    make_entry("out", "sgd", [0], SGD | {"data.batch_size": 64, "net": "optimcifar.ConvNet"})
    make_entry("out", "fast", [0], FAST | {"data.batch_size": 32, "net": "optimcifar.ConvNet"})
    make_entry("out", "adam", [0], ADAM | {"data.batch_size": 64, "net": "optimcifar.ConvNet"})
    optimcifar("report", "out")
    names = ["optimizer", "optimizer.lr", "optimizer.momentum", "data.batch_size"]
    expected = {
        "sgd": ["torch.optim.SGD", "0.01", "0.9", "64"],
        "fast": ["torch.optim.SGD", "0.03", "0.9", "32"],
        "adam": ["torch.optim.Adam", "0.001", "", "64"],
    }
    for rows in (results(Path("out")), configurations(Path("out"))):
        assert {row["configuration"]: [row[name] for name in names] for row in rows} == expected
        assert "net" not in rows[0]
    # The table for readers leaves out what only some configurations have.
    summary = Path("out/summary.md").read_text(encoding="utf-8")
    assert "| optimizer | optimizer.lr | data.batch_size | seeds |" in summary
    assert "| SGD | 0.03 | 32 | 1 |" in summary


def test_run_that_failed_before_it_started_belongs_to_its_entry(optimcifar: Command) -> None:
    make_entry("out", "sgd", [0, 1], SGD)
    failed = Path("out/runs/sgd/seed-2")
    failed.mkdir()
    (failed / "summary.json").write_text('{"status": "failed", "seed": 2, "error": "no more"}')
    assert optimcifar("report", "out").status == 0
    (row,) = configurations(Path("out"))
    assert (row["seeds"], row["not_finished"]) == ("2", "1")


@pytest.mark.slow
def test_compare_refuses_a_configuration_beside_itself(optimcifar: Command) -> None:
    Path("sgd.yaml").write_text("model: {optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.01}}}\n")
    outcome = optimcifar("compare", "sgd.yaml", "sgd.yaml:model.optimizer.lr=0.01", "--seeds", 1, "--out", "out")
    assert (outcome.status, outcome.err) == (
        2,
        "optimcifar: sgd and sgd-lr=0.01 are the same configuration: leave one of them out\n",
    )
    assert not Path("out").exists()
