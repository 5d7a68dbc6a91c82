"""The configurations in configs/: what they set, that they are comparable, and that they train."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import CONFIGS, Command, equal_weights, read_summary, read_weights, tracked_files

from optimcifar import ImageClassifier
from optimcifar.engine.worker import check_options
from optimcifar.spaces.dimensions import Range
from optimcifar.spaces.files import space_of_section
from optimcifar.spaces.values import are_equal, option_text
from optimcifar.training.config_file import read_config

SGD = {"lr": 0.01, "momentum": 0.9, "dampening": 0, "weight_decay": 0, "nesterov": False}

# The optimizer and its arguments, the schedule and its arguments, as the configuration's source gives them.
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

# The other configurations: optimizer, schedule, and how often the schedule sets the rate.
OTHERS: dict[str, tuple[str, str | None, str]] = {
    "adamw_cosine": ("torch.optim.AdamW", "torch.optim.lr_scheduler.CosineAnnealingLR", "step"),
    "sgd_onecycle": ("torch.optim.SGD", "torch.optim.lr_scheduler.OneCycleLR", "step"),
    "sgd_warmup_cosine": ("torch.optim.SGD", "optimcifar.SequentialSchedule", "step"),
    "muon": ("optimcifar.MuonWithAux", None, "epoch"),
    "nadam": ("torch.optim.NAdam", None, "epoch"),
    "radam": ("torch.optim.RAdam", None, "epoch"),
    "adamax": ("torch.optim.Adamax", None, "epoch"),
    "asgd": ("torch.optim.ASGD", None, "epoch"),
    "rprop": ("torch.optim.Rprop", None, "epoch"),
    "lbfgs": ("torch.optim.LBFGS", None, "epoch"),
    "adafactor": ("torch.optim.Adafactor", None, "epoch"),
    "schedulefree": ("schedulefree.AdamWScheduleFree", None, "epoch"),
    "resnet20_sgd": ("torch.optim.SGD", "optimcifar.SequentialSchedule", "step"),
    "resnet20_adamw": ("torch.optim.AdamW", "optimcifar.SequentialSchedule", "step"),
    "resnet20_muon": ("optimcifar.MuonWithAux", "optimcifar.SequentialSchedule", "step"),
}

NAMES = sorted([*EXPECTED, *OTHERS])

# A workload of its own: another network, augmented images, larger batches, more epochs.
RESNETS = [name for name in NAMES if name.startswith("resnet20_")]


def test_every_configuration_is_tested_here() -> None:
    assert sorted(path.stem for path in tracked_files() if path.match("configs/*.yaml")) == NAMES


@pytest.mark.parametrize("name", EXPECTED)
def test_configuration_has_all_arguments_of_its_source(name: str) -> None:
    model = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text())["model"]
    optimizer, arguments, scheduler, scheduler_arguments = EXPECTED[name]
    assert model["optimizer"] == {"class_path": f"torch.optim.{optimizer}", "init_args": arguments}
    if scheduler:
        assert model["lr_scheduler"] == {
            "class_path": f"torch.optim.lr_scheduler.{scheduler}",
            "init_args": scheduler_arguments,
        }
        assert model["lr_interval"] == "epoch"
    else:
        assert "lr_scheduler" not in model


@pytest.mark.parametrize("name", NAMES)
def test_configurations_are_comparable_and_say_what_they_show(name: str) -> None:
    text = (CONFIGS / f"{name}.yaml").read_text()
    config = yaml.safe_load(text)
    assert (config["seed_everything"], config["trainer"]["max_epochs"]) == (0, 30 if name in RESNETS else 10)
    data = {"root": "data", "batch_size": 64, "val_size": 5000, "mean": 0.5, "std": 0.5}
    if name in RESNETS:
        data |= {"batch_size": 128, "augment": "crop_flip"}
        assert config["model"]["net"] == {"class_path": "optimcifar.ResNet20"}
    assert config["data"] == {"class_path": "optimcifar.CIFAR10DataModule", "init_args": data}
    assert re.match(r"# \w[^\n]{20,}\n", text)


@pytest.mark.parametrize("name", NAMES)
def test_configuration_trains(name: str, optimcifar: Command, small: list[str], tmp_path: Path) -> None:
    config = CONFIGS / f"{name}.yaml"
    short = ["--trainer.max_epochs", 7, "--trainer.limit_train_batches", 3]
    if name in RESNETS:
        short += ["--data.batch_size", 4, "--data.val_size", 20]  # it takes 30 times as long
    outcome = optimcifar("fit", "--config", config, *small, *short)
    assert (outcome.status, outcome.err) == (0, "")
    summary = read_summary(tmp_path / "lightning_logs/version_0")
    assert (summary["status"], summary["steps"]) == ("finished", 21)
    if name in EXPECTED:
        optimizer, _, scheduler, _ = EXPECTED[name]
        assert summary["optimizer"] == f"torch.optim.{optimizer}"
        assert summary["lr_scheduler"] == (f"torch.optim.lr_scheduler.{scheduler}" if scheduler else None)
    else:
        optimizer, scheduler, interval = OTHERS[name]
        assert (summary["optimizer"], summary["lr_scheduler"]) == (optimizer, scheduler)
        assert (f", every {interval}" in outcome.out) == bool(scheduler)
    checkpoint = tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt"
    loaded = ImageClassifier.load_from_checkpoint(checkpoint, weights_only=True)
    assert equal_weights(loaded.state_dict(), read_weights(checkpoint))


SPACES = read_config(CONFIGS / "spaces/cifar10.yaml")[1]


def value_of(config: str, key: str) -> Any:
    """Return the value of an option without dashes in a configuration."""
    node = yaml.safe_load(config)
    for part in key.split("."):
        if isinstance(node, list):
            (node,) = (item for item in node if part in item.get("init_args", {}))
        node = node.get("init_args", node)[part]
    return node


def test_every_configuration_has_a_space() -> None:
    assert sorted(SPACES) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_space_holds_the_own_values_and_what_it_holds_can_be_built(name: str) -> None:
    path = CONFIGS / f"{name}.yaml"
    space = space_of_section(name, SPACES[name])
    assert next(iter(space)) == ("model.lr_scheduler.max_lr" if name == "sgd_onecycle" else "model.optimizer.lr")
    own = {key: value_of(path.read_text(), key) for key in space}
    values = {}
    for key, dimension in space.items():
        if isinstance(dimension, Range):
            assert 0 < dimension.position(own[key]) < 1
            assert dimension.edge(own[key]) is None
            values[key] = [dimension.low, dimension.high]
        else:
            assert any(are_equal(own[key], value) for value in dimension.values)
            values[key] = list(dimension.values)
    for number in range(max(map(len, values.values()))):
        setting = {key: some[min(number, len(some) - 1)] for key, some in values.items()}
        options = [f"--{key}={option_text(value)}" for key, value in setting.items()]
        resolved = check_options(None, ("--config", str(path), *options))
        assert {key: value_of(resolved, key) for key in space} == setting


def test_configuration_reads_images_from_folders(optimcifar: Command, image_folders: Path, tmp_path: Path) -> None:
    root = ("--data.root", image_folders, "--data.val_size", 20, "--trainer.max_epochs", 1)
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd.yaml", *root)
    assert (outcome.status, outcome.err) == (0, "")
    assert read_summary(tmp_path / "lightning_logs/version_0")["dataset"] == "CIFAR-10, PNG copy"
