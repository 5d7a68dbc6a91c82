from __future__ import annotations

from pathlib import Path

import pytest

from optimcifar.runs.folder import RunFolder, comparison_run, comparison_runs, names_in_comparison
from optimcifar.runs.folder import test_result as result_of_test  # another name, which pytest does not collect


@pytest.mark.parametrize(
    ("summary", "status"),
    [('{"status": "diverged"}', "diverged"), (None, None), ("", None), ("[]", None), ('{"seed": 1}', None)],
)
def test_status_is_none_without_a_readable_summary(summary: str | None, status: str | None, tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    if summary is not None:
        run.summary.write_text(summary)
    assert run.status() == status


def test_checkpoints_are_those_that_exist(tmp_path: Path) -> None:
    run = RunFolder(tmp_path)
    assert run.checkpoints() == []
    for weights in ("swa", "last"):
        run.checkpoint(weights).parent.mkdir(exist_ok=True)
        run.checkpoint(weights).touch()
    result_of_test(run.checkpoint()).touch()
    assert [path.name for path in run.checkpoints()] == ["last.ckpt", "swa.ckpt"]


def test_runs_of_a_comparison_are_those_with_a_summary(tmp_path: Path) -> None:
    ended, started = comparison_run(tmp_path, "sgd", 0), comparison_run(tmp_path, "sgd", 1)
    for run in (ended, started):
        run.path.mkdir(parents=True)
    ended.summary.touch()
    assert comparison_runs(tmp_path) == [ended]


def test_run_of_a_comparison_is_known_by_its_folder(tmp_path: Path) -> None:
    assert names_in_comparison(comparison_run(Path("out/mine"), "sgd-lr=0.1", 3).path) == ("mine", "sgd-lr=0.1-seed-3")
    assert names_in_comparison(comparison_run(Path(), "sgd", 0).path) == (tmp_path.name, "sgd-seed-0")
    assert names_in_comparison(Path("lightning_logs/version_0")) is None
    assert names_in_comparison(Path("runs/lightning_logs/version_0")) is None
