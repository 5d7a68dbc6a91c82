from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import CONFIGS, Outcome

SGD = {"lr": 0.01, "momentum": 0.9, "dampening": 0, "weight_decay": 0, "nesterov": False}

# optimizer and its arguments, schedule and its arguments
EXPECTED: dict[str, tuple[str, dict[str, Any], str | None, dict[str, Any]]] = {
    "sgd": ("SGD", SGD, None, {}),
    "adagrad": (
        "Adagrad",
        {"lr": 0.01, "lr_decay": 0, "weight_decay": 0, "initial_accumulator_value": 0, "eps": 1e-10},
        None,
        {},
    ),
    "rmsprop": (
        "RMSprop",
        {"lr": 0.01, "alpha": 0.99, "eps": 1e-8, "weight_decay": 0, "momentum": 0, "centered": False},
        None,
        {},
    ),
    "adam": ("Adam", {"lr": 0.001, "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0, "amsgrad": False}, None, {}),
    "adadelta": ("Adadelta", {"lr": 1.0, "rho": 0.9, "eps": 1e-6, "weight_decay": 0}, None, {}),
    "sgd_steplr": ("SGD", SGD, "StepLR", {"step_size": 2, "gamma": 0.1}),
    "sgd_cosine": ("SGD", SGD | {"lr": 0.1}, "CosineAnnealingLR", {"T_max": 2, "eta_min": 0}),
    "sgd_swa": ("SGD", SGD, "StepLR", {"step_size": 2, "gamma": 0.1}),
}

PATHS = sorted(CONFIGS.glob("*.yaml"))


def test_every_configuration_is_expected_here() -> None:
    assert {path.stem for path in PATHS} == EXPECTED.keys()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_configuration_spells_out_what_its_source_gave(path: Path) -> None:
    config = yaml.safe_load(path.read_text())
    optimizer, arguments, scheduler, scheduler_arguments = EXPECTED[path.stem]
    model = config["model"]
    assert model["optimizer"] == {"class_path": f"torch.optim.{optimizer}", "init_args": arguments}
    if scheduler:
        assert model["lr_scheduler"] == {
            "class_path": f"torch.optim.lr_scheduler.{scheduler}",
            "init_args": scheduler_arguments,
        }
        assert model["lr_interval"] == "epoch"
    else:
        assert "lr_scheduler" not in model
    assert (config["seed_everything"], config["trainer"]["max_epochs"]) == (0, 10)
    data = {"root": "data", "batch_size": 64, "val_size": 5000, "mean": 0.5, "std": 0.5}
    assert config["data"] == {"class_path": "optimcifar.CIFAR10DataModule", "init_args": data}
    assert path.read_text().startswith("# ")


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_configuration_trains(
    path: Path, optimcifar: Callable[..., Outcome], image_folders: Path, tmp_path: Path
) -> None:
    root = ("--data.root", image_folders, "--data.val_size", 20, "--trainer.max_epochs", 7)
    outcome = optimcifar("fit", "--config", path, *root)
    assert (outcome.status, outcome.err) == (0, "")
    summary = json.loads((tmp_path / "lightning_logs/version_0/summary.json").read_text())
    assert summary["status"] == "finished"
    assert summary["dataset"] == "CIFAR-10, PNG copy"
    assert summary["optimizer"] == f"torch.optim.{EXPECTED[path.stem][0]}"
