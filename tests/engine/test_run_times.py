"""How long runs take, from made-up earlier ones."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import make_run

from optimcifar.engine.run_times import EpochTime, earlier_times

OUT = Path("out")


def configuration(lr: float = 0.1, **other: Any) -> dict[str, Any]:
    """Return the settings of a run that matter here, and some that do not."""
    trainer = {"max_epochs": 10, "max_steps": -1, "logger": None} | other
    return {"seed_everything": 0, "trainer": trainer, "model": {"lr": lr}, "data": {"init_args": {"root": "data"}}}


def earlier_run(folder: str, seconds: float, settings: dict[str, Any], status: str = "finished") -> None:
    """Write a run of four epochs of two seconds each, in which so many seconds passed from start to end."""
    path = Path(folder)
    make_run(path, 0, [0.1, 0.2, 0.3, 0.4], status=status, epochs=4, steps=52)
    (path / "config.yaml").write_text(yaml.safe_dump(settings))
    os.utime(path / "config.yaml", (1000, 1000))
    os.utime(path / "summary.json", (1000 + seconds, 1000 + seconds))


def found(**configurations: dict[str, Any]) -> dict[str, EpochTime]:
    return earlier_times({name: yaml.safe_dump(tree) for name, tree in configurations.items()}, OUT)


def test_times_are_those_of_finished_runs_with_the_same_settings() -> None:
    # Of a comparison, alone, with other seeds and places, and of other lengths; the median counts.
    earlier_run("out/runs/sgd/seed-0", 12, configuration())
    others = configuration(max_epochs=4, logger=[{"class_path": "optimcifar.RunLogger"}], default_root_dir="x")
    others |= {"seed_everything": 5, "data": {"init_args": {"root": "/images"}}}
    earlier_run("lightning_logs/version_0", 16, others)
    earlier_run("lightning_logs/comparison/runs/sgd/seed-0", 4000, configuration())  # it was interrupted
    # Other settings, not finished, damaged.
    earlier_run("lightning_logs/version_1", 1000, configuration(lr=0.2, precision="bf16-mixed"))
    earlier_run("lightning_logs/version_2", 1000, configuration(), status="diverged")
    earlier_run("lightning_logs/version_3", 1000, configuration())
    Path("lightning_logs/version_3/config.yaml").write_text("{")
    assert found(sgd=configuration(), other=configuration(lr=0.2)) == {"sgd": EpochTime(4.0, 13.0, 3)}


def test_a_copied_run_took_at_least_its_time_of_training() -> None:
    earlier_run("out/runs/sgd/seed-0", 0, configuration())
    assert found(sgd=configuration()) == {"sgd": EpochTime(2.0, 13.0, 1)}


@pytest.mark.parametrize(
    ("limits", "seconds"),
    [
        ({"max_epochs": 10}, 20),
        ({"max_epochs": 10, "max_steps": 50}, 10),
        ({"max_epochs": -1, "max_steps": 500}, 100),
        ({"max_epochs": -1}, math.inf),
        ({"max_epochs": None}, math.inf),
    ],
)
def test_a_run_is_as_long_as_its_epochs_or_steps(limits: dict[str, Any], seconds: float) -> None:
    assert EpochTime(seconds=2.0, steps=10).of_run(configuration(**limits)) == seconds
