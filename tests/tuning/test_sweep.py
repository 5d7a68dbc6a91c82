"""Sweeps: their points and runs, on a cluster that trains nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_cluster import FakeCluster

from optimcifar.engine.runs import parse_entries
from optimcifar.errors import UsageError
from optimcifar.report.sweep.design import SweepDesign
from optimcifar.spaces.dimensions import parse_dimension
from optimcifar.tuning.sweep import SweepPlan, train

OUT = Path("sweep")
LR = "model.optimizer.lr"


def design(
    *configs: str, over: dict[str, str], points: int = 3, seeds: int = 1, options: tuple[str, ...] = ()
) -> SweepDesign:
    dimensions = {key: parse_dimension(key, text) for key, text in over.items()}
    entries = tuple(parse_entries(configs or ("sgd.yaml",)))
    train(SweepPlan(entries, dimensions, points, tuple(range(seeds)), OUT, options))
    found = SweepDesign.read(OUT)
    assert found is not None
    return found


def tried(found: SweepDesign, key: str = LR) -> list[Any]:
    return [point.setting[key] for point in found.points]


def test_points_are_evenly_spaced_with_the_configurations_own_among_them(cluster: FakeCluster) -> None:
    found = design(over={LR: "1e-3..1"}, points=4, seeds=2)
    assert tried(found) == [0.001, 0.01, 0.1, 1.0]  # 0.01 is the configuration's own
    assert [point.setting[LR] for point in found.points if point.is_own] == [0.01]
    names = ["sgd-lr=0.001", "sgd", "sgd-lr=0.1", "sgd-lr=1.0"]
    assert [point.entry for point in found.points] == names
    assert [(run.name, run.seed) for run in cluster.trained] == [(name, seed) for seed in (0, 1) for name in names]
    assert not any(run.is_tested for run in cluster.trained)  # a sweep decides nothing
    assert not list(OUT.rglob("*.test.json"))


def test_own_value_is_a_point_of_its_own_where_the_range_misses_it(cluster: FakeCluster) -> None:
    found = design(over={LR: "0.1..0.3:linear"}, points=2)
    assert tried(found) == [0.01, 0.1, 0.3]
    found = design(over={"model.optimizer.weight_decay": "1e-4,1e-3"})
    assert tried(found, "model.optimizer.weight_decay") == [0, 0.0001, 0.001]


def test_a_value_for_all_runs_is_the_own_one(cluster: FakeCluster) -> None:
    found = design(over={LR: "1e-3,1"}, options=("--model.optimizer.lr", "0.5"))
    assert [point.setting[LR] for point in found.points if point.is_own] == [0.5]
    rates = [point.setting[LR] for point in found.points]
    assert rates == [0.001, 0.5, 1.0]


def test_two_hyperparameters_give_a_grid(cluster: FakeCluster) -> None:
    found = design(over={LR: "0.1,1", "model.optimizer.weight_decay": "0,1e-3"})
    assert [(point.entry, point.is_own) for point in found.points] == [
        ("sgd", True),
        ("sgd-weight_decay=0.001", False),
        ("sgd-lr=0.1", False),
        ("sgd-lr=0.1-weight_decay=0.001", False),
        ("sgd-lr=1", False),
        ("sgd-lr=1-weight_decay=0.001", False),
    ]


def test_several_configurations_have_their_own_points(cluster: FakeCluster) -> None:
    found = design("sgd.yaml", "adam.yaml:model.optimizer.lr=0.003", over={LR: "0.1,1"})
    assert found.configurations == ("sgd", "adam-lr=0.003")
    assert tried(found) == [0.01, 0.1, 1.0, 0.003, 0.1, 1.0]


def test_whole_numbers_words_and_null(cluster: FakeCluster) -> None:
    assert tried(design(over={"data.batch_size": "16..64"}, points=3), "data.batch_size") == [16, 40, 64]
    found = design(over={"trainer.devices": "1,auto,null"})
    assert tried(found, "trainer.devices") == ["auto", 1, None]
    assert [point.entry for point in found.points] == ["sgd", "sgd-devices=1", "sgd-devices=null"]


def test_sweep_goes_on_and_refuses_to_mix(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    cluster.stop_after = 2
    with pytest.raises(KeyboardInterrupt, match="run the same command to go on"):
        design(over={LR: "0.1,1"})
    cluster.stop_after = None
    design(over={LR: "0.1,1"})
    assert len(cluster.trained) == 3
    assert "1 configuration over model.optimizer.lr 0.1, 1: 3 points x 1 seed = 3 runs" in capsys.readouterr().out
    with pytest.raises(UsageError, match=r"was made with other settings: trainer.max_epochs was 10, and is now 5"):
        design(over={LR: "0.1,1"}, options=("--trainer.max_epochs", "5"))


def test_sweep_without_validation_images_is_refused(cluster: FakeCluster) -> None:
    with pytest.raises(UsageError, match=r"sgd: data.val_size is 0, but settings are"):
        design(over={LR: "0.1,1"}, options=("--data.val_size", "0"))
    assert not OUT.exists()


def test_a_key_that_is_no_option_is_refused_before_any_run(cluster: FakeCluster) -> None:
    with pytest.raises(UsageError, match="has no argument 'lrr'"):
        design(over={"model.optimizer.lrr": "0.1,1"})
    assert not OUT.exists()


def test_points_that_would_share_a_folder_are_refused(cluster: FakeCluster) -> None:
    with pytest.raises(UsageError, match="two points would have the same folder, sgd-devices=a_b"):
        design(over={"trainer.devices": "a/b,a_b"})
    assert not OUT.exists()


def test_rates_that_a_schedule_ties_together_change_together(cluster: FakeCluster) -> None:
    schedule = {"class_path": "torch.optim.lr_scheduler.OneCycleLR", "init_args": {"max_lr": 0.05}}
    optimizer = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01}}
    Path("cycle.yaml").write_text(yaml.safe_dump({"model": {"optimizer": optimizer, "lr_scheduler": schedule}}))
    found = design("cycle.yaml", over={LR: "0.01,0.1"})
    assert found.follows == {"model.lr_scheduler.max_lr": LR}
    rates = [
        (run.name, option) for run in cluster.trained for option in run.options if option.startswith("--model.lr_sch")
    ]
    assert rates == [("cycle-lr=0.1-max_lr=0.5", "--model.lr_scheduler.max_lr=0.5")]
