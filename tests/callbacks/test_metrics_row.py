from __future__ import annotations

import json
from pathlib import Path

from helpers import INTERRUPT, Command, equal_weights, metrics_without_times, read_rows, read_summary, read_weights


def test_row_that_was_not_written_before_the_run_was_killed_is_restored(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    whole, cut = (tmp_path / "lightning_logs" / f"version_{n}" for n in (0, 1))
    assert optimcifar("fit", *small).status == 0
    assert optimcifar("fit", *small, INTERRUPT).status == 130
    # The state between an epoch's checkpoint and its row.
    (cut / "metrics.csv").unlink()
    assert optimcifar("resume", cut).status == 0
    assert metrics_without_times(cut) == metrics_without_times(whole)
    assert all(float(row["seconds"]) > 0 for row in read_rows(cut / "metrics.csv"))


def test_run_that_was_killed_after_its_last_checkpoint_is_completed(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    averages = ("--trainer.callbacks+=WeightAverages", "--trainer.callbacks.swa_epoch_start=1")
    assert optimcifar("fit", *small, *averages).status == 0
    run = tmp_path / "lightning_logs" / "version_0"
    rows, summary = read_rows(run / "metrics.csv"), read_summary(run)
    weights = {name: read_weights(run / "checkpoints" / f"{name}.ckpt") for name in ("swa", "ema")}
    lines = (run / "metrics.csv").read_text().splitlines(keepends=True)
    (run / "metrics.csv").write_text("".join(lines[:-1]))
    (run / "summary.json").write_text(json.dumps(summary | {"status": "running", "val_acc": None}))
    for name in weights:
        (run / "checkpoints" / f"{name}.ckpt").unlink()
    outcome = optimcifar("resume", run)
    assert outcome.status == 0
    assert "finished after 2 epochs" in outcome.out
    assert read_rows(run / "metrics.csv") == rows
    times = ("optimizer_step_ms", "train_seconds", "images_per_second")
    completed = read_summary(run)
    assert {k: v for k, v in completed.items() if k not in times} == {
        k: v for k, v in summary.items() if k not in times
    }
    for name, saved in weights.items():
        assert equal_weights(read_weights(run / "checkpoints" / f"{name}.ckpt"), saved)
