"""Options, configurations, and the settings that a checkpoint holds."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import CONFIGS, INTERRUPT, Command, equal_weights, quiet_trainer, read_summary, read_weights
from lightning.pytorch import LightningModule
from lightning.pytorch.cli import LightningCLI

from optimcifar import ConvNet, ImageClassifier, Shapes10DataModule
from optimcifar.errors import UsageError
from optimcifar.training.arguments import Parser
from optimcifar.training.lightning_cli import TrainingCLI
from optimcifar.training.process import command_line_settings
from optimcifar.training.run import fit, resume

RUN = Path("lightning_logs/version_0")
CHECKPOINT = RUN / "checkpoints" / "last.ckpt"


def test_chosen_class_starts_from_its_own_defaults(optimcifar: Command, small: list[str]) -> None:
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd.yaml", *small, "--model.optimizer", "Adadelta")
    assert "torch.optim.Adadelta(lr=1.0, rho=0.9, eps=1e-06, weight_decay=0" in outcome.out


def test_chosen_class_takes_the_arguments_that_follow_it(optimcifar: Command, small: list[str]) -> None:
    options = ("--model.optimizer", "torch.optim.RMSprop", "--model.optimizer.lr", "0.02")
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd.yaml", *small, *options)
    assert "torch.optim.RMSprop(lr=0.02, momentum=0.0, alpha=0.99, eps=1e-08, " in outcome.out


def test_class_in_a_configuration_starts_from_its_own_defaults(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    (tmp_path / "adam.yaml").write_text("model:\n  optimizer: Adam\n")
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd.yaml", "--config", "adam.yaml", *small)
    assert "torch.optim.Adam(lr=0.001, betas=(0.9, 0.999)" in outcome.out


def test_option_overrides_one_argument_of_a_configuration(optimcifar: Command, small: list[str]) -> None:
    outcome = optimcifar("fit", "--config", CONFIGS / "rmsprop.yaml", *small, "--model.optimizer.lr", "0.003")
    assert "torch.optim.RMSprop(lr=0.003, momentum=0.0, alpha=0.99" in outcome.out


def test_duplicate_key_is_refused(optimcifar: Command, small: list[str], tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("trainer:\n  max_epochs: 1\nmodel: {}\ntrainer:\n  max_epochs: 2\n")
    outcome = optimcifar("fit", "--config", "config.yaml", *small)
    assert (outcome.status, outcome.err) == (2, "optimcifar: config.yaml: 'trainer' stands a second time in line 4\n")


def test_data_and_model_of_a_checkpoint_are_defaults(optimcifar: Command, small: list[str]) -> None:
    optimcifar("fit", *small, "--model.optimizer", "Adam", "--seed_everything", 5)
    summary = read_summary(RUN)
    outcome = optimcifar("validate", "--ckpt_path", CHECKPOINT)
    assert outcome.out == (
        f"validation accuracy {summary['val_acc']:.4f}, validation loss {summary['val_loss']:.4f} "
        "(200 validation images of Shapes10)\n"
    )


NESTED = {
    "class_path": "optimcifar.SequentialSchedule",
    "init_args": {
        "schedulers": [
            {"class_path": "torch.optim.lr_scheduler.LinearLR"},
            {
                "class_path": "optimcifar.ChainedSchedule",
                "init_args": {
                    "schedulers": [
                        {"class_path": "torch.optim.lr_scheduler.CosineAnnealingLR"},
                        {"class_path": "own.Schedule", "init_args": {"gamma": 0.5}},
                    ]
                },
            },
        ],
        "milestones": [1],
    },
}


@pytest.mark.parametrize("weights_only", [True, False, None])
def test_checkpoint_with_open_lengths_loads_in_python(
    weights_only: bool | None, optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    (tmp_path / "own.py").write_text(
        "from torch import nn\nfrom torch.optim.lr_scheduler import ExponentialLR\n\n\n"
        "class Schedule(ExponentialLR):\n    pass\n\n\n"
        "class Net(nn.Sequential):\n    def __init__(self, width: int = 3):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(3072, width), nn.Linear(width, 10))\n"
    )
    model = {
        "net": {"class_path": "own.Net", "init_args": {"width": 5}},
        "optimizer": {"class_path": "torch.optim.Adam", "init_args": {"lr": 0.25}},
        "lr_scheduler": NESTED,
        "param_groups": [{"max_ndim": 1, "options": {"lr": 0.5}}],
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump({"model": model}))
    assert optimcifar("fit", "--config", "config.yaml", *small).status == 0
    sys.path.append(str(tmp_path))  # as for the command line
    try:
        loaded = ImageClassifier.load_from_checkpoint(CHECKPOINT, weights_only=weights_only)
    finally:
        sys.path.remove(str(tmp_path))
    assert equal_weights(loaded.state_dict(), read_weights(CHECKPOINT))
    assert str(loaded.net).count("Linear") == 2
    schedule: Any
    optimizer, schedule = loaded.make_optimizer(4)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.25 / 3, 0.5 / 3])
    assert [type(part).__name__ for part in schedule.parts[1].parts] == ["CosineAnnealingLR", "Schedule"]
    quiet_trainer(max_epochs=2, limit_train_batches=1).fit(loaded, Shapes10DataModule(train_images=128, val_size=32))


def test_arguments_replace_those_of_the_checkpoint(optimcifar: Command, small: list[str]) -> None:
    assert optimcifar("fit", *small, "--model.lr_scheduler", "PolynomialLR").status == 0
    net = ConvNet()
    loaded = ImageClassifier.load_from_checkpoint(CHECKPOINT, net=net, lr_interval="step", weights_only=True)
    assert loaded.net is net
    assert loaded.lr_interval == "step"
    assert vars(loaded.make_optimizer(8)[1])["total_iters"] == 8


class Derived(ImageClassifier):
    """A class of a user's own, with an argument more."""

    def __init__(self, extra: int = 1, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.extra = extra


@pytest.mark.parametrize("by_option", [False, True])
def test_checkpoint_of_a_derived_class_loads(by_option: bool, tmp_path: Path) -> None:
    settings = {"extra": 3, "lr_scheduler": {"class_path": "torch.optim.lr_scheduler.CosineAnnealingLR"}}
    if by_option:
        config: dict[str, Any] = {"model": {"class_path": "test_arguments.Derived", "init_args": settings}}
        kind: type[ImageClassifier] = ImageClassifier
    else:
        config, kind = {"model": settings}, Derived
    config["data"] = {"train_images": 128, "val_size": 32}
    quiet = {"max_epochs": 1, "logger": False, "enable_progress_bar": False, "accelerator": "cpu"}
    cli = LightningCLI(
        kind,
        Shapes10DataModule,
        subclass_mode_model=by_option,
        parser_class=Parser,
        args=config | {"trainer": quiet},
        run=False,
        save_config_callback=None,
        seed_everything_default=0,
        auto_configure_optimizers=False,
    )
    cli.trainer.fit(cli.model, cli.datamodule)
    cli.trainer.save_checkpoint("derived.ckpt")
    # Lightning finds a class that is named in the checkpoint through the base class of all modules only.
    loader = LightningModule if by_option else Derived
    loaded = loader.load_from_checkpoint("derived.ckpt", weights_only=True)
    assert isinstance(loaded, Derived)
    assert loaded.extra == 3
    assert vars(loaded.make_optimizer(7)[1])["T_max"] == 7


def test_training_does_not_continue_with_other_settings(optimcifar: Command, small: list[str]) -> None:
    optimcifar("fit", *small)
    outcome = optimcifar("fit", "--ckpt_path", CHECKPOINT, "--model.optimizer.lr", "0.5")
    assert outcome.status == 2
    assert f"--model.optimizer differs from what {CHECKPOINT} was" in outcome.err
    assert not RUN.with_name("version_1").exists()


def test_checkpoint_that_is_truncated_or_executes_code_is_refused(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    optimcifar("fit", *small)
    content = CHECKPOINT.read_bytes()
    for damaged in (content[: len(content) // 2], b"cos\nmkdir\n(S'executed'\ntR.", b""):
        (tmp_path / "damaged.ckpt").write_bytes(damaged)
        outcome = optimcifar("test", "--ckpt_path", "damaged.ckpt")
        assert outcome.status == 1
        assert "damaged.ckpt is damaged, or not a checkpoint of Lightning" in outcome.err
    assert not (tmp_path / "executed").exists()


# Functions, types, classes and objects of a user's own, as arguments of networks, optimizers and schedules.
OWN = """
from pathlib import Path

import torch
from torch import nn
from torch.optim import SGD


def slower(epoch: int) -> float:
    return 1 / (1 + epoch)


class Net(nn.Sequential):
    def __init__(self, activation: type[nn.Module] = nn.ReLU):
        super().__init__(nn.Flatten(), nn.Linear(3072, 10), activation())


class Optimizer(SGD):
    def __init__(self, params, path: Path, dtype: torch.dtype, betas: tuple[float, float], rate=None, lr: float = 0.1):
        super().__init__(params, lr=lr)
"""
LAMBDA = "{class_path: LambdaLR, init_args: {lr_lambda: own.slower}}"
GOES_ON = {
    "function": "--model.lr_scheduler=LambdaLR --model.lr_scheduler.lr_lambda=own.slower",
    "function that multiplies": "--model.lr_scheduler=MultiplicativeLR --model.lr_scheduler.lr_lambda=own.slower",
    "optional function": "--model.lr_scheduler=CyclicLR --model.lr_scheduler.base_lr=0.01 "
    "--model.lr_scheduler.max_lr=0.1 --model.lr_scheduler.scale_fn=own.slower",
    "function in a sequence": "--model.lr_scheduler=SequentialSchedule --model.lr_scheduler.milestones=[1] "
    f"--model.lr_scheduler.schedulers=[{LAMBDA},{{class_path: LinearLR}}]",
    "function in a chain": "--model.lr_scheduler=ChainedSchedule "
    f"--model.lr_scheduler.schedulers=[{LAMBDA},{{class_path: LinearLR}}]",
    "type": "--model.net=own.Net --model.net.activation=torch.nn.Tanh",
    "path, dtype and tuple": "--model.optimizer=own.Optimizer --model.optimizer.path=there "
    "--model.optimizer.dtype=torch.float16 --model.optimizer.betas=[0.5,1]",
}


@pytest.mark.parametrize("name", GOES_ON)
def test_training_goes_on_with_arguments_that_are_objects(name: str, small: list[str], tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    options = [*small, *re.split(r" (?=--)", GOES_ON[name])]
    interrupted = fit([*options, INTERRUPT]).folder
    assert interrupted
    checkpoint = ["--ckpt_path", str(interrupted.checkpoint())]
    with command_line_settings():
        TrainingCLI("fit", [*options, *checkpoint], only=[])
        with pytest.raises(UsageError, match=r"--model\.optimizer differs"):
            TrainingCLI("fit", [*options, "--model.optimizer.lr=0.5", *checkpoint], only=[])
    assert resume(interrupted.path).status == "finished"
