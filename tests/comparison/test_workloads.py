"""`optimcifar compare --workload`: what is trained, gone on with, refused and forecast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_cluster import FakeCluster
from helpers import CONFIGS, Command, file_contents, read_rows, read_summary, unwrapped

WORKLOADS = ["--workload", "small.yaml", "--workload", "wide.yaml"]
COMPARE = ["compare", "sgd.yaml", "adam.yaml", *WORKLOADS, "--seeds", "2", "--out", "out"]


def accuracy(tree: dict[str, Any], seed: int) -> float:
    """Return an accuracy that depends on optimizer, epochs and seed."""
    epochs: int = tree["trainer"]["max_epochs"]
    return 0.5 + 0.1 * ("Adam" in str(tree["model"])) + 0.01 * epochs + 0.001 * seed


@pytest.fixture
def workloads(cluster: FakeCluster, monkeypatch: pytest.MonkeyPatch) -> FakeCluster:
    """Write two workloads beside two configurations; return the cluster on which comparisons train."""
    for name, epochs in {"small": 2, "wide": 4}.items():
        Path(f"{name}.yaml").write_text(yaml.safe_dump({"trainer": {"max_epochs": epochs}}))
    # The settings of a made-up run are its rate alone.
    Path("adam.yaml").write_text(Path("adam.yaml").read_text().replace("0.01", "0.001"))
    for module, names in {
        "workloads": ("connect",),
        "compare": ("connect", "check_runs", "make_runs"),
        "forecast": ("connect", "first_epoch_times", "places"),
    }.items():
        for name in names:
            monkeypatch.setattr(f"optimcifar.comparison.{module}.{name}", getattr(cluster, name))
    cluster.accuracy = accuracy
    return cluster


@pytest.mark.usefixtures("without_charts")
def test_each_workload_is_trained_in_its_folder_and_not_again(workloads: FakeCluster, optimcifar: Command) -> None:
    outcome = optimcifar(*COMPARE, "--target_acc", "0.5,0.6")
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.startswith("2 workloads: 8 runs in all, in out\n")
    assert "\nwide: 2 configurations, 2 seeds: 4 runs, in out/wide\n" in outcome.out
    trained = [
        f"out/{name}/runs/{of}/seed-{seed}" for name in ("small", "wide") for seed in (0, 1) for of in ("sgd", "adam")
    ]
    assert [str(run.folder) for run in workloads.trained] == trained
    assert [
        json.loads(Path("out", name, "comparison.json").read_text())["target_acc"] for name in ("small", "wide")
    ] == [0.5, 0.6]
    assert [row["val_acc"] for row in read_rows(Path("out/results.csv"))][::2] == ["0.52", "0.62", "0.54", "0.64"]
    # Only the last of the two made-up epochs reaches a target; sgd never that of wide.
    assert "Fastest to the target: sgd on small; adam on small and wide." in unwrapped(outcome.out)

    assert optimcifar(*COMPARE, "--target_acc", "0.5,0.6").status == 0
    assert len(workloads.trained) == 8
    outcome = optimcifar(*COMPARE[:5], *COMPARE[7:])
    message = "out has the workload wide too: name it again, or choose another --out"
    assert (outcome.status, outcome.err) == (2, f"optimcifar: {message}\n")
    Path("tiny.yaml").write_text("trainer: {max_epochs: 1}\n")
    assert optimcifar(*COMPARE, "--workload", "tiny.yaml").status == 0
    assert [run.folder.parts[1] for run in workloads.trained[8:]] == ["tiny"] * 4


@pytest.mark.usefixtures("without_charts")
def test_interrupted_comparison_goes_on_where_it_stopped(workloads: FakeCluster, optimcifar: Command) -> None:
    workloads.stop_after = 3
    outcome = optimcifar(*COMPARE)
    assert outcome.status == 130
    assert outcome.err.endswith("see the results so far with optimcifar report out\n")
    outcome = optimcifar("report", "out")
    assert (outcome.status, outcome.err) == (0, "")
    assert "No run yet, and left out: wide." in unwrapped(outcome.out)
    workloads.stop_after = None
    assert optimcifar(*COMPARE).status == 0
    assert len({run.folder for run in workloads.trained}) == len(workloads.trained) == 8


def test_seeds_on_demand_are_decided_on_each_workload(
    workloads: FakeCluster, optimcifar: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    def near_on_wide(tree: dict[str, Any], seed: int) -> float:
        if "Adam" not in str(tree["model"]):
            return 0.5
        return (0.7 if tree["trainer"]["max_epochs"] == 2 else 0.51) + 0.01 * (7 * seed % 5 - 2)

    workloads.accuracy = near_on_wide
    monkeypatch.setattr("optimcifar.comparison.commands.show_workloads", lambda *_: None)
    outcome = optimcifar(*COMPARE[:7], "--seeds", "auto", "--max_seeds", "10", "--out", "out")
    assert outcome.status == 0
    assert outcome.out.startswith("2 workloads: 20 to 40 runs in all, in out\n")
    numbers = [sum(run.folder.parts[1] == name for run in workloads.trained) for name in ("small", "wide")]
    assert numbers == [2 * 5, 2 * 10]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--target_acc", "0.5,0.6,0.7"], "one accuracy for all workloads, or one for each of small, wide; got 3"),
        (["--workload", "small.yaml"], "--workload: small is named twice"),
        (["--workload", "none.yaml"], "--workload: there is no configuration none.yaml"),
        (
            ["--workload", "adam.yaml"],
            "--workload adam sets model.optimizer: a workload may set model.net, data, trainer",
        ),
        # An option for all runs can make two workloads the same.
        (
            ["--trainer.max_epochs", "3"],
            "sgd on small and sgd on wide are the same configuration: leave one of them out",
        ),
        (["--model.optimizer.momentom", "1"], "small: torch.optim.SGD has no argument 'momentom'"),
        (["--workloads", "small.yaml"], "unrecognized arguments: --workloads; did you mean --workload?"),
    ],
)
def test_wrong_usage_gets_a_line_and_writes_nothing(
    workloads: FakeCluster, optimcifar: Command, arguments: list[str], message: str
) -> None:
    before = file_contents(Path())
    outcome = optimcifar(*COMPARE, *arguments)
    assert outcome.status == 2
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert file_contents(Path()) == before
    assert not workloads.trained


def test_several_targets_need_workloads(workloads: FakeCluster, optimcifar: Command) -> None:
    outcome = optimcifar("compare", "sgd.yaml", "--target_acc", "0.5,0.6")
    message = "--target_acc has 2 accuracies, and only a comparison with --workload takes several"
    assert (outcome.status, outcome.err) == (2, f"optimcifar: {message}\n")


def test_plan_says_how_long_each_workload_takes_and_all(workloads: FakeCluster, optimcifar: Command) -> None:
    before = file_contents(Path())
    outcome = optimcifar(*COMPARE[:7], "--seeds", "10", "--out", "out", "--plan")
    assert (outcome.status, outcome.err) == (0, "")
    assert file_contents(Path()) == before
    # An epoch is 6 s: 20 runs of 2 and of 4 epochs on 2 workers are 2 and 4 minutes.
    small, wide = outcome.out.index("small: 2 configurations, 10 seeds"), outcome.out.index("wide: 2 configurations")
    assert outcome.out.startswith("2 workloads: 40 runs in all, in out\n")
    assert "time         about 2 minutes on 2 workers" in outcome.out[small:wide]
    assert "time         about 4 minutes on 2 workers" in outcome.out[wide:]
    assert outcome.out.endswith("time in all  about 6 minutes on 2 workers\n")
    assert outcome.out.count("could show   a difference of ") == 1


NET = """
from torch import nn
class Linear(nn.Sequential):
    def __init__(self, num_classes: int = 10):
        super().__init__(nn.Flatten(), nn.Linear(3 * 32 * 32, num_classes))
"""

SIZES = {"convnet": 500, "linear": 400}

SHAPES: dict[str, Any] = {
    "class_path": "optimcifar.Shapes10DataModule",
    "init_args": {"val_size": 100, "test_images": 100},
}


@pytest.mark.slow
def test_two_networks_are_compared_and_not_trained_again(optimcifar: Command) -> None:
    Path("my_net.py").write_text(NET)
    data = {name: {**SHAPES, "init_args": SHAPES["init_args"] | {"train_images": n}} for name, n in SIZES.items()}
    convnet = {"trainer": {"max_epochs": 2}, "data": data["convnet"]}
    linear = {"trainer": {"max_epochs": 1}, "data": data["linear"], "model": {"net": {"class_path": "my_net.Linear"}}}
    for name, workload in {"convnet": convnet, "linear": linear}.items():
        Path(f"{name}.yaml").write_text(yaml.safe_dump(workload))
    configs = [CONFIGS / "sgd.yaml", CONFIGS / "adam.yaml"]  # of CIFAR-10, which is not there
    workloads = ["--workload", "convnet.yaml", "--workload", "linear.yaml", "--target_acc", "0.05,1"]
    command = ["compare", *configs, *workloads, "--seeds", 2, "--jobs", 2, "--out", "out"]
    outcome = optimcifar(*command)
    assert (outcome.status, outcome.err) == (0, "")
    rows = read_rows(Path("out/results.csv"))
    assert [(row["workload"], row["configuration"], row["seed"]) for row in rows] == [
        (workload, name, seed) for workload in ("convnet", "linear") for name in ("sgd", "adam") for seed in "01"
    ]
    summaries = {
        name: [read_summary(path.parent) for path in Path("out", name).glob("runs/*/*/summary.json")] for name in SIZES
    }
    for name, net, epochs in (("convnet", "optimcifar.ConvNet", 2), ("linear", "my_net.Linear", 1)):
        found = {(s["net"], s["dataset"], s["train_images"], s["epochs"]) for s in summaries[name]}
        assert found == {(net, "Shapes10", SIZES[name] - 100, epochs)}
    # Equal seeds start alike on a workload, whatever the optimizer.
    for name, own in summaries.items():
        assert len({s["initial_weights_sha256"] for s in own}) == 2, name
    profile = read_rows(Path("out/profile.csv"))
    assert [row["seconds_to_target"] for row in profile if row["workload"] == "linear"] == ["inf"] * 2
    assert min(float(row["ratio"]) for row in profile if row["workload"] == "convnet") == 1
    times = {path: path.stat().st_mtime_ns for path in Path("out").glob("*/runs/*/*/summary.json")}
    assert len(times) == 8
    assert optimcifar(*command).status == 0
    assert {path: path.stat().st_mtime_ns for path in times} == times
