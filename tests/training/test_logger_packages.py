"""TensorBoard, W&B and MLflow beside a run's own files: the same values, read by these packages' own readers."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import INTERRUPT, file_contents, read_rows, read_summary

from optimcifar.cli import main
from optimcifar.engine.runs import parse_entries, plan_runs
from optimcifar.engine.worker import train_and_test
from optimcifar.training.run import fit, resume

# MLflow's own use of a newer sqlalchemy.
pytestmark = pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning")

RUN = Path("lightning_logs/version_0")
OWN_FILES = {"config.yaml", "metrics.csv", "validations.csv", "summary.json", "checkpoints/last.ckpt"}


@dataclass
class Tracked:
    """A run as one of the packages has it.

    Attributes:
        group: the group, experiment or folder that holds it.
        name: its name.
        settings: its hyperparameters.
        values: steps, from 0, and values by the name of a metric.
    """

    group: str | None = None
    name: str | None = None
    settings: dict[str, Any] = field(default_factory=dict)
    values: defaultdict[str, list[tuple[int, float]]] = field(default_factory=lambda: defaultdict(list))


def from_tensorboard() -> list[Tracked]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams.metadata import SESSION_START_INFO_TAG
    from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

    runs = []
    for folder in sorted({path.parent for path in Path("tb").rglob("*tfevents*")}):
        events = EventAccumulator(str(folder)).Reload()
        run = Tracked(folder.parent.name, folder.name)
        info = HParamsPluginData.FromString(events.PluginTagToContent("hparams")[SESSION_START_INFO_TAG])
        for name, value in info.session_start_info.hparams.items():
            run.settings[name] = getattr(value, value.WhichOneof("kind"))
        for name in events.Tags()["scalars"]:
            run.values[name] = [(event.step, event.value) for event in events.Scalars(name)]
        runs.append(run)
    return runs


def from_wandb() -> list[Tracked]:
    runs: defaultdict[str, Tracked] = defaultdict(Tracked)
    for file in sorted(Path("wandb").glob("offline-run-*/*.wandb"), key=lambda path: path.stat().st_mtime_ns):
        command = [sys.executable, "-m", "wandb", "leet", "inspect", "--json", str(file)]
        lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
        records = [json.loads(line) for line in lines]
        (start,) = (record["run"] for record in records if record["type"] == "run")
        run = runs[start["run_id"]]
        run.group, run.name = start.get("run_group"), start.get("display_name")
        for record in records:
            if record["type"] == "config":
                run.settings |= record["config"]["update"]
            elif record["type"] == "history":
                item = record["history"]["item"]
                for name in item.keys() - {"trainer/global_step", "_runtime", "_step", "_timestamp"}:
                    run.values[name].append((item["trainer/global_step"], item[name]))
        assert records[-1]["type"] == "exit"
    return [*runs.values()]


def from_mlflow() -> list[Tracked]:
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db")
    runs = []
    for experiment in client.search_experiments():
        for found in client.search_runs([experiment.experiment_id]):
            run = Tracked(experiment.name, found.info.run_name, found.data.params)
            for name in found.data.metrics:
                history = client.get_metric_history(found.info.run_id, name)
                run.values[name] = [(metric.step, metric.value) for metric in history]
            assert found.info.status == "FINISHED"
            runs.append(run)
    return runs


@dataclass(frozen=True)
class Package:
    """A package that a logger writes with.

    Attributes:
        options: those that choose the logger; ``HERE`` stands for the current folder.
        read: returns the runs that it has.
        setting: returns a hyperparameter as the package holds it.
    """

    options: tuple[str, ...]
    read: Callable[[], list[Tracked]]
    setting: Callable[[Any], Any]


PACKAGES = {
    "tensorboard": Package(
        ("TensorBoardLogger", "--trainer.logger.save_dir", "HERE/tb"),
        from_tensorboard,
        lambda value: value if isinstance(value, (bool, int, float, str)) else str(value),
    ),
    "wandb": Package(("WandbLogger", "--trainer.logger.save_dir", "HERE"), from_wandb, lambda value: value),
    "mlflow": Package(("MLFlowLogger", "--trainer.logger.tracking_uri", "sqlite:///HERE/mlflow.db"), from_mlflow, str),
}


# The others take seconds to start.
@pytest.fixture(params=["tensorboard", *(pytest.param(name, marks=pytest.mark.slow) for name in ("wandb", "mlflow"))])
def package(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Package:
    pytest.importorskip(request.param)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    package = PACKAGES[request.param]
    return replace(package, options=tuple(option.replace("HERE", str(tmp_path)) for option in package.options))


@pytest.fixture
def quick(small: list[str]) -> list[str]:
    return [*small, "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1"]


def assert_same_values(tracked: Tracked, folder: Path, package: Package) -> None:
    rows, summary = read_rows(folder / "metrics.csv"), read_summary(folder)
    assert len(rows) == summary["max_epochs"]
    names = rows[0].keys() - {"epoch", "step"}
    assert names <= tracked.values.keys()
    for name in names - {"seconds"}:
        expected = [(int(row["step"]) - 1, float(row[name])) for row in rows]
        assert np.allclose(tracked.values[name], expected, rtol=1e-6, atol=0), name
    # Lightning counts epochs from 0, and logs them with every value.
    assert dict(tracked.values["epoch"]) == {int(row["step"]) - 1: int(row["epoch"]) - 1 for row in rows}
    settings = {"seed": summary["seed"]} | summary["hyperparameters"]
    assert settings["optimizer"] == "torch.optim.SGD"
    assert tracked.settings == {name: package.setting(value) for name, value in settings.items()}


def test_package_has_the_values_of_the_runs_own_files(package: Package, quick: list[str]) -> None:
    outcome = fit([*quick, "--trainer.logger", *package.options, INTERRUPT])
    assert outcome.status == "interrupted"
    outcome = resume(RUN)
    assert outcome.describe()[0].startswith("finished after 2 epochs: train loss ")
    assert set(file_contents(RUN)) == {RUN / name for name in OWN_FILES}
    # The resumed run goes on in the same folder, run of W&B or run of MLflow.
    (tracked,) = package.read()
    assert_same_values(tracked, RUN, package)


def test_runs_of_a_comparison_are_named_and_grouped(package: Package, quick: list[str]) -> None:
    Path("sgd.yaml").write_text("trainer: {max_epochs: 1}")
    options = (*quick, "--trainer.logger", *package.options)
    for run in plan_runs(parse_entries(["sgd.yaml"]), [0, 3], options, Path("out/mine"), are_tested=False):
        # A worker trains its runs in one process.
        assert train_and_test(None, run.options, run.folder, run.seed, run.is_tested).error is None
    runs = sorted(package.read(), key=lambda tracked: str(tracked.name))
    assert [(tracked.group, tracked.name) for tracked in runs] == [("mine", "sgd-seed-0"), ("mine", "sgd-seed-3")]
    for tracked, seed in zip(runs, (0, 3), strict=True):
        assert_same_values(tracked, Path(f"out/mine/runs/sgd/seed-{seed}"), package)


@pytest.fixture
def mlflow(tmp_path: Path) -> tuple[str, ...]:
    """Return the options of MLflow's logger."""
    pytest.importorskip("mlflow")
    return ("--trainer.logger", "MLFlowLogger", "--trainer.logger.tracking_uri", f"sqlite:///{tmp_path}/mlflow.db")


@pytest.mark.slow
def test_run_finds_the_experiment_that_another_has_just_created(
    mlflow: tuple[str, ...], quick: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlflow.tracking import MlflowClient

    assert fit([*quick, *mlflow]).status == "finished"
    look_up, calls = MlflowClient.get_experiment_by_name, []

    def miss_once(client: Any, name: str) -> Any:
        calls.append(name)
        return look_up(client, name) if len(calls) > 1 else None

    monkeypatch.setattr(MlflowClient, "get_experiment_by_name", miss_once)
    assert fit([*quick, *mlflow]).status == "finished"
    assert [tracked.group for tracked in from_mlflow()] == ["lightning_logs"] * 2


@pytest.mark.slow
def test_two_workers_create_one_database_of_mlflow(
    mlflow: tuple[str, ...], quick: list[str], two_configurations: None, capfd: pytest.CaptureFixture[str]
) -> None:
    options = ("--seeds", "2", "--jobs", "2", *quick, *mlflow)
    assert main(["compare", "sgd.yaml", "adam.yaml", *options]) == 0
    assert capfd.readouterr().err == ""
    names = sorted((tracked.group, tracked.name) for tracked in from_mlflow())
    assert names == [("comparison", f"{name}-seed-{seed}") for name in ("adam", "sgd") for seed in (0, 1)]
