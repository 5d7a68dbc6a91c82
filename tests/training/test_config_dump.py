"""The configuration of a run reads back as it was, or the run is refused before it starts."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import lightning.pytorch
import pytest
import torch
from helpers import INTERRUPT, Command, metrics_without_times
from jsonargparse.typing import SecretStr, register_type
from lightning.pytorch import Callback

from optimcifar.training.lightning_cli import TrainingCLI
from optimcifar.training.run import fit, resume


class Parsed(TrainingCLI):
    """Options that are parsed and written, but not built: some classes need other packages or devices."""

    def instantiate_classes(self) -> None:
        self.datamodule = self.model = self.trainer = None  # type: ignore[assignment]


def settings(cli: TrainingCLI) -> dict[str, str]:
    """Return the texts of all settings: one that is not a number does not equal itself."""
    return {name: repr(value) for name, value in vars(cli.config).items() if name != "config"}


def count_images(batch: Any) -> int:
    return len(batch[0])


# Arguments of Lightning's classes that have no default, and some that are not plain.
ARGUMENTS = {
    "CSVLogger": ["save_dir=csv"],
    "EarlyStopping": ["monitor=val_loss"],
    "GradientAccumulationScheduler": ["scheduling={2: 4}"],
    "LearningRateFinder": ["mode=linear"],
    "LitLogger": None,  # needs a package of its own
    "ModelCheckpoint": ["train_time_interval=0:10:00", "monitor=val_loss"],
    "ModelPruning": ["pruning_fn=l1_unstructured", "amount=0.5"],
    "OnExceptionCheckpoint": ["dirpath=emergency"],
    "StochasticWeightAveraging": ["swa_lrs=[0.05]"],
    "TensorBoardLogger": ["save_dir=tb"],
    "ThroughputMonitor": ["batch_size_fn=test_config_dump.count_images"],
    "Timer": ["duration=00:00:01:00"],
    "DDPStrategy": ["timeout=0:00:30"],
    "BitsandbytesPrecision": ["mode=nf4", "dtype=torch.float16"],
    "DeepSpeedPrecision": ["precision=16-true"],
    "FSDPPrecision": ["precision=16-true"],
    "MixedPrecision": ["precision=bf16-mixed", "device=cpu"],
    "TransformerEnginePrecision": ["weights_dtype=torch.float16"],
}
# The modules of Lightning whose classes can be named, the option that names them, and whether it takes a list.
KINDS = {
    "callbacks": ("callbacks", True),
    "loggers": ("logger", True),
    "strategies": ("strategy", False),
    "profilers": ("profiler", False),
    "plugins": ("plugins", True),
}


def classes() -> Iterator[tuple[str, str]]:
    """Yield the option and the name of every class of Lightning that can be named, but for abstract ones."""
    for name in KINDS:
        module: ModuleType = getattr(lightning.pytorch, name)
        for member in module.__all__:
            cls = getattr(module, member)
            if inspect.isclass(cls) and not inspect.isabstract(cls) and ARGUMENTS.get(member, []) is not None:
                yield name, member


def options_of(kind: str) -> list[list[str]]:
    """Return the options of runs that name all classes of a kind: all in one run, where an option takes a list."""
    option, listed = KINDS[kind]
    named = []
    for name in (name for other, name in classes() if other == kind):
        arguments = [f"--trainer.{option}.{argument}" for argument in ARGUMENTS.get(name) or []]
        named.append([f"--trainer.{option}{'+' if listed else ''}=lightning.pytorch.{kind}.{name}", *arguments])
    return [[word for words in named for word in words]] if listed else named


@pytest.mark.parametrize("kind", KINDS)
def test_configuration_with_any_class_of_lightning_reads_back_equal(kind: str, tmp_path: Path) -> None:
    for options in options_of(kind):
        first = Parsed("fit", options)
        (tmp_path / "config.yaml").write_text(first.resolved())
        assert settings(Parsed("fit", ["--config", "config.yaml"])) == settings(first), options


def test_every_kind_has_classes() -> None:
    assert {kind for kind, _ in classes()} == set(KINDS)
    assert len(list(classes())) > 40


@pytest.mark.filterwarnings("default")  # as for a user: in other tests they are errors
@pytest.mark.parametrize("joined", [True, False])
def test_function_may_be_named_by_a_text(joined: bool, tmp_path: Path) -> None:
    name, text = "--trainer.callbacks.pruning_fn", "l1_unstructured"
    first = Parsed("fit", ["--trainer.callbacks+=ModelPruning", *([f"{name}={text}"] if joined else [name, text])])
    (tmp_path / "config.yaml").write_text(first.resolved())
    assert f"pruning_fn: {text}\n" in first.resolved()
    assert settings(Parsed("fit", ["--config", "config.yaml"])) == settings(first)


@pytest.mark.parametrize(
    "options",
    [
        ["--trainer.max_time", "00:00:01:00"],
        ["--trainer.max_time", "{minutes: 1}"],
        ["--trainer.val_check_interval", "00:00:00:10"],
        ["--trainer.devices", "[0]"],
        ["--trainer.limit_train_batches", "0.5"],
        ["--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.05"],
        ["--model.optimizer.lr", ".nan"],
        ["--model.optimizer", "Adam", "--model.optimizer.betas", "[0.8, 0.9]"],
        ["--model.net", "torchvision.models.squeezenet1_1"],
    ],
)
def test_configuration_with_unusual_values_reads_back_equal(options: list[str], tmp_path: Path) -> None:
    first = Parsed("fit", options)
    (tmp_path / "config.yaml").write_text(first.resolved())
    assert settings(Parsed("fit", ["--config", "config.yaml"])) == settings(first)


@pytest.mark.parametrize(
    "callback",
    [
        ["--trainer.callbacks+=StochasticWeightAveraging", "--trainer.callbacks.swa_lrs=0.05"],
        ["--trainer.callbacks+=Timer", "--trainer.callbacks.duration=00:01:00:00"],
        ["--trainer.callbacks+=test_config_dump.WithObjects"],
    ],
)
def test_run_with_defaults_that_yaml_cannot_hold_is_repeated_and_resumed(callback: list[str], small: list[str]) -> None:
    whole = fit([*small, *callback]).folder
    assert whole
    again = fit(["--config", str(whole.config)]).folder
    assert again
    interrupted = fit([*small, *callback, INTERRUPT]).folder
    assert interrupted
    assert resume(interrupted.path).status == "finished"
    metrics = [metrics_without_times(folder.path) for folder in (whole, again, interrupted)]
    assert metrics[0] == metrics[1] == metrics[2]


class Thing:
    """An object that nobody can name."""


THING, CPU = Thing(), torch.device("cpu")


class WithObjects(Callback):
    """A callback with defaults that YAML cannot hold."""

    def __init__(self, thing: Thing = THING, device: torch.device | str = CPU, size: int = 1) -> None:
        self.thing, self.device, self.size = thing, device, size


class Counting:
    """A type that is written in a form of which it makes another value."""

    def __init__(self, value: int) -> None:
        self.value = int(value)


register_type(Counting, serializer=lambda counting: counting.value + 1)


class WithAnArgument(Callback):
    """A callback with arguments that are written wrongly."""

    def __init__(self, secret: SecretStr | None = None, counting: Counting | None = None) -> None: ...


UNREADABLE = {
    "a secret, which is hidden": ("secret=mine", "config.yaml could not be read again"),
    "another value": ("counting=3", "config.yaml cannot hold --trainer.callbacks.0.counting"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_configuration_that_cannot_be_read_again_is_refused_before_the_run(
    name: str, optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    argument, message = UNREADABLE[name]
    callback = ("--trainer.callbacks+=test_config_dump.WithAnArgument", f"--trainer.callbacks.{argument}")
    outcome = optimcifar("fit", *small, *callback)
    assert outcome.status == 2
    assert message in outcome.err
    assert "--trainer.callbacks" in outcome.err
    assert outcome.err.count("\n") <= 2
    assert list(tmp_path.iterdir()) == []
