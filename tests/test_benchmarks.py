from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path

import augmentation
import callback_cost
import comparison_speed
import crowded_machine
import pytest
import step_profile
import time_to_verdict
import training_cost
import training_speed
from contestants import CONTESTANTS

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(autouse=True)
def log_level() -> Iterator[None]:
    """Restore the level of Lightning's log, which the benchmarks, programs of their own, set for good."""
    logger = logging.getLogger("lightning.pytorch")
    before = logger.level
    yield
    logger.setLevel(before)


def test_training_speed_compares_and_draws_all_contestants(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    training_speed.main(["--images", "128", "--rounds", "2", "--threads", "1", "--out", str(tmp_path / "out")])
    result = json.loads((tmp_path / "out" / "training_speed.json").read_text())
    assert [row["contestant"] for row in result["rows"]] == list(CONTESTANTS)
    assert all(0 < row["ratio_least"] <= row["ratio"] <= row["ratio_most"] for row in result["rows"])
    assert result["rows"][0]["ratio"] == 1
    assert (result["dataset"], result["rounds"]) == ("Shapes10", 2)
    assert (tmp_path / "out" / "training_speed.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.count("ms/step") == len(CONTESTANTS)


def test_training_cost_measures_and_draws_every_size(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sizes = ["--batch_sizes", "32", "64", "--batch_images", "128", "--training_sizes", "64", "128"]
    training_cost.main([*sizes, "--rounds", "1", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "training_cost.json").read_text())["rows"]
    assert [(row["images"], row["batch_size"]) for row in rows] == [(128, 32), (128, 64), (64, 64), (128, 64)]
    assert all(row["us"] > 0 for row in rows)
    assert (tmp_path / "training_cost.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.count("us/image") == 4


def test_step_profile_accounts_for_the_whole_step(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    step_profile.main(["--images", "128", "--rounds", "1", "--out", str(tmp_path)])
    ms = json.loads((tmp_path / "step_profile.json").read_text())["ms"]
    own = sum(ms[name] for name in ("loading", "normalising", "network, all of it", "optimizer"))
    assert ms["step of optimcifar fit"] == pytest.approx(own + ms["of it Lightning and logging"])
    assert capsys.readouterr().out.count(" ms\n") == len(ms)


def test_augmentation_measures_every_kind_and_draws(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    augmentation.main(["--rounds", "3", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "augmentation.json").read_text())["rows"]
    assert [row["augment"] for row in rows] == ["flip", "crop_flip", "torchvision's transforms"]
    assert rows[2]["ms"] > rows[1]["ms"]  # by far: an image at a time
    assert (tmp_path / "augmentation.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.count("of a step") == 3


@pytest.mark.slow
def test_callback_cost_measures_every_callback(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    callback_cost.main(["--steps", "165", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "callback_cost.json").read_text())["rows"]
    assert [row["callback"] for row in rows] == list(callback_cost.CALLBACKS)
    assert all(row["ratio"] > 0 for row in rows)
    assert capsys.readouterr().out.count(" pairs\n") == len(rows)


@pytest.mark.slow
def test_comparison_speed_measures_fit_and_compare(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    comparison_speed.main(["--images", "700", "--epochs", "1", "--rounds", "1", "--out", str(tmp_path)])
    (row,) = json.loads((tmp_path / "comparison_speed.json").read_text())["rounds"]
    assert row["ratio"] == pytest.approx(row["fit_s"] / row["compare_s"], rel=1e-2)
    assert 0 < row["fit_without_start_s"] < row["fit_s"]
    assert "times as fast" in capsys.readouterr().out


@pytest.mark.slow
def test_crowded_machine_measures_every_case(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    crowded_machine.main(["--images", "200", "--rounds", "1", "--out", str(tmp_path)])
    rows = json.loads((tmp_path / "crowded_machine.json").read_text())["rows"]
    assert len({(row["threads"], row["busy"], row["short"]) for row in rows}) == 8
    assert capsys.readouterr().out.count("images/s") == 8


def test_time_to_verdict_simulates_every_way_for_every_truth(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    time_to_verdict.main(["--repetitions", "1", "--out", str(tmp_path)])
    result = json.loads((tmp_path / "time_to_verdict.json").read_text())
    ways = list(time_to_verdict.WAYS)
    assert [row["way"] for row in result["rows"]] == ways * 7  # the table's truth, five nulls, and one more
    assert [row["runs"] for row in result["rows"][:3]] == [100, 200, 400]
    assert 100 <= result["rows"][ways.index("auto")]["runs"] < 400
    assert all(0 <= row["wrong"] <= 1 and 1 <= row["best_set_size"] <= 20 for row in result["rows"])
    assert (result["dataset"], result["repetitions"]) == ("simulated", 1)
    assert capsys.readouterr().out.count(" verdicts, ") == len(result["rows"])
