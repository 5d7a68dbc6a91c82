"""Workloads: which settings a run gets, and which files are refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from optimcifar.comparison.plan import make_plan
from optimcifar.comparison.workload_plan import WorkloadsPlan, parse_workloads, plan_workloads
from optimcifar.errors import UsageError
from optimcifar.training.lightning_cli import TrainingCLI
from optimcifar.training.process import command_line_settings

NETS = """
from torch import nn
class Small(nn.Module):
    def __init__(self, width: int = 8):
        super().__init__()
class Deep(nn.Module):
    def __init__(self, width: int = 8, depth: int = 2):
        super().__init__()
"""

CONFIGURATION = """
seed_everything: 0
trainer: {max_epochs: 10, gradient_clip_val: 0.5}
model:
  net: {class_path: nets.Small, init_args: {width: 4}}
  optimizer: {class_path: torch.optim.SGD, init_args: {lr: 0.01}}
data: {class_path: optimcifar.CIFAR10DataModule, init_args: {root: images, batch_size: 32, val_size: 100}}
"""

WORKLOAD = """
trainer: {max_epochs: 3}
model: {net: {class_path: nets.Deep, init_args: {depth: 5}}}
data: {class_path: optimcifar.Shapes10DataModule, init_args: {train_images: 1000}}
"""


def plan(
    configs: list[str], workloads: list[str], options: list[str], targets: tuple[float, ...] = ()
) -> WorkloadsPlan:
    return plan_workloads(make_plan(configs, 2, out="out", options=options), parse_workloads(workloads), targets)


def resolved(options: tuple[str, ...]) -> dict[str, Any]:
    with command_line_settings():
        tree: dict[str, Any] = yaml.safe_load(TrainingCLI("fit", options, only=[]).resolved())
    return tree


@pytest.fixture
def files() -> None:
    for name, text in {
        "nets.py": NETS,
        "sgd.yaml": CONFIGURATION,
        "deep.yaml": WORKLOAD,
        "long.yaml": WORKLOAD,
    }.items():
        Path(name).write_text(text)


@pytest.mark.usefixtures("files")
def test_a_workload_takes_the_place_of_network_data_and_epochs() -> None:
    configs = ["sgd.yaml", "sgd.yaml:data.batch_size=16:trainer.max_epochs=20"]
    options = ["--trainer.max_epochs", "7", "--trainer.gradient_clip_val", "1"]
    planned = plan(configs, ["deep.yaml", "long.yaml:trainer.max_epochs=9"], options)
    assert list(planned.plans) == ["deep", "long-max_epochs=9"]
    runs = {workload: own.runs([1]) for workload, own in planned.plans.items()}
    assert [str(run.folder) for run in runs["deep"]] == [
        "out/deep/runs/sgd/seed-1",
        "out/deep/runs/sgd-batch_size=16-max_epochs=20/seed-1",
    ]
    first, second = (resolved(run.options) for run in runs["deep"])
    assert first["model"]["optimizer"]["class_path"] == "torch.optim.SGD"
    assert first["model"]["optimizer"]["init_args"]["lr"] == 0.01
    # The workload's classes start from their own defaults: nothing is left of width, root and batch_size.
    assert first["model"]["net"] == {"class_path": "nets.Deep", "init_args": {"width": 8, "depth": 5}}
    data = first["data"]["init_args"]
    assert first["data"]["class_path"] == "optimcifar.Shapes10DataModule"
    assert "root" not in data
    assert (data["train_images"], data["batch_size"], second["data"]["init_args"]["batch_size"]) == (1000, 64, 16)
    # By rank: the configuration, the workload, all runs' options, the workload's overrides, the configuration's.
    third, fourth = (resolved(run.options) for run in runs["long-max_epochs=9"])
    assert [tree["trainer"]["max_epochs"] for tree in (first, second, third, fourth)] == [7, 20, 9, 20]
    assert [tree["trainer"]["gradient_clip_val"] for tree in (first, third)] == [1, 1]
    assert resolved(plan(["sgd.yaml"], ["deep.yaml"], []).first.runs([0])[0].options)["trainer"]["max_epochs"] == 3


@pytest.mark.usefixtures("files")
def test_each_workload_has_its_target() -> None:
    def targets(*given: float) -> list[float | None]:
        planned = plan(["sgd.yaml"], ["deep.yaml", "long.yaml"], [], given)
        return [own.design.target_acc for own in planned.plans.values()]

    assert [targets(), targets(0.6), targets(0.6, 0.8)] == [[None, None], [0.6, 0.6], [0.6, 0.8]]
    with pytest.raises(UsageError, match="one accuracy for all workloads, or one for each of deep, long; got 3"):
        targets(0.1, 0.2, 0.3)


@pytest.mark.parametrize(
    ("text", "override", "message"),
    [
        ("seed_everything: 3", "", "--workload own sets seed_everything: a workload may set model.net, data, trainer,"),
        ("model: {optimizer: Adam}", "", "--workload own sets model.optimizer: "),
        ("model: {net: nets.Deep, lr_scheduler: StepLR}", "", "--workload own sets model.lr_scheduler: "),
        ("model: Adam", "", "--workload own sets model: "),
        ("trainer: {max_epochs: 3, callbacks: [WeightAverages]}", "", "--workload own sets trainer.callbacks: "),
        ("trainer: {callbacks+: [WeightAverages]}", "", r"--workload own sets trainer.callbacks\+: "),
        ("trainer: {max_epochs: 3}", ":model.optimizer.lr=1", "sets model.optimizer.lr: "),
        ("trainer: {max_epochs: 3}", ":trainer.logger.save_dir=a", "sets trainer.logger.save_dir: "),
        ("", "", "own.yaml: the configuration is empty"),
    ],
)
def test_a_workload_has_network_data_and_epochs_only(text: str, override: str, message: str) -> None:
    Path("own.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        parse_workloads([f"own.yaml{override}"])


def test_workloads_are_files_that_differ_by_name() -> None:
    for name in ("a.yaml", "b.yaml"):
        Path(name).write_text(WORKLOAD)
    assert [workload.name for workload in parse_workloads(["*.yaml"])] == ["a", "b"]
    for texts, message in {
        ("a.yaml", "a.yaml"): "--workload: a is named twice",
        ("c.yaml",): "--workload: there is no configuration c.yaml",
    }.items():
        with pytest.raises(UsageError, match=message):
            parse_workloads(texts)
