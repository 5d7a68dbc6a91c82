"""Configurations that cannot be read, or that name what there is not: the file's name, and what is wrong."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
import torch
from helpers import Command, file_contents


def checkpoint() -> bytes:
    content = io.BytesIO()
    torch.save({"state_dict": {}}, content)
    return content.getvalue()


SGD = "model:\n  optimizer: SGD\n"

# Contents, and what the message says after the file's name.
UNREADABLE = [
    (b"", ": the configuration is empty"),
    (b"\n  \n", ": the configuration is empty"),
    (b"# model:\n#   optimizer: SGD\n", ": the configuration is empty"),
    (b"---\n", ": the configuration is empty"),
    (b"null\n", ": the configuration is empty"),
    (b"trainer:\n", ": nothing stands below 'trainer'"),
    (b"trainer:\n  # max_epochs: 3\ndata:\n", ": nothing stands below 'trainer' or 'data'"),
    (b"- model\n", ": a configuration must be a mapping, such as 'trainer: ...', got a list"),
    (b"sgd\n", ": a configuration must be a mapping, such as 'trainer: ...', got a str"),
    (b"3\n", ": a configuration must be a mapping, such as 'trainer: ...', got a int"),
    (SGD.encode("utf-16"), " is not text in UTF-8: it is UTF-16; save it as UTF-8"),
    (b"\xfe\xff" + SGD.encode("utf-16-be"), " is not text in UTF-8: it is UTF-16; save it as UTF-8"),
    (SGD.encode("utf-16-le"), " is not text in UTF-8: it contains zero bytes, as UTF-16 and binary files do"),
    (SGD.encode("utf-32"), " is not text in UTF-8"),
    ("model: é\n".encode("latin-1"), " is not text in UTF-8: save it as UTF-8, if it is text"),
    (bytes(100), " is not text in UTF-8: it contains zero bytes, as UTF-16 and binary files do"),
    (checkpoint(), " is not text in UTF-8: it looks like a checkpoint, which --ckpt_path takes"),
    (b"model:\n\toptimizer: SGD\n", ": line 2: found character that cannot start any token"),
    (b"model: {\n", ": line 2: "),
    (b"model: 1\nmodel: 2\n", ": 'model' stands a second time in line 2"),
    (b"model: {}\n---\nmodel: {}\n", ": line 2: "),
    (b"model: *nothing\n", ": line 1: "),
    (b"model: !!python/object:os.system {}\n", ": line 1: "),
    (b"seed_everything: 2024-13-45\n", ": month must be in 1..12"),
    (b"[" * 5000, ": line "),  # libyaml before 0.2.6 names the line after it
    (b"\x1b[31mmodel: {}\n", ": unacceptable character #x001b"),
]

# Texts, and what the message says after the file's name.
MISTAKES = [
    ("modle:\n  optimizer: SGD\n", "there is no option 'modle': did you mean 'model'?"),
    ("optimizer: Adam\n", "there is no option 'optimizer': did you mean 'optimizer' below 'model'?"),
    ("optimizer:\n  class_path: Adam\n", "there is no option 'optimizer': did you mean 'optimizer' below 'model'?"),
    ("max_epochs: 3\n", "there is no option 'max_epochs': did you mean 'max_epochs' below 'trainer'?"),
    ("trainer.max_epochs: 3\n", "there is no option 'trainer.max_epochs': did you mean 'max_epochs' below 'trainer'?"),
    ("momentum: 0.9\n", "there is no option 'momentum': expected one of ckpt_path, data, model, seed_everything, "),
    ("fit:\n  model: {}\n", "there is no option 'fit': expected one of "),
    ("config: more.yaml\n", "there is no option 'config': expected one of "),
    ("print_config: true\n", "there is no option 'print_config': expected one of "),
    ("1: 2\n", "there is no option 1: expected one of "),
    ("trainer:\n  max_epoch: 3\n", "trainer has no option 'max_epoch': did you mean 'max_epochs' below 'trainer'?"),
    ("model:\n  1: 2\n", "model has no option 1"),
    ("trainer: 3\n", "trainer needs options below it, got 3"),
    ("model: [SGD]\n", "model needs options below it, got ['SGD']"),
    ("seed_everything: 1\nmodel:\n", "model needs options below it, got None"),
    ("seed_everything: x\n", "seed_everything: expected a whole number from 0 to 4294967295"),
    ("trainer:\n  max_epochs: soon\n", "trainer.max_epochs: expected int, got 'soon'"),
    ("model:\n  optimizer: Adamm\n", "model.optimizer: there is no class 'Adamm' that fits here"),
    ("model:\n  optimizer: {class_path: Adamm}\n", "model.optimizer: there is no class 'Adamm' that fits here"),
    ("model:\n  optimizer: nowhere.Adam\n", "model.optimizer: there is no module 'nowhere'"),
    (
        "model:\n  optimizer: {class_path: Adam, init_args: {momentum: 1}}\n",
        "model.optimizer.momentum: torch.optim.Adam has no argument 'momentum'",
    ),
    ("model:\n  lr_scheduler: StepLRR\n", "model.lr_scheduler: there is no class 'StepLRR' that fits here"),
    ("model:\n  net: Convnet\n", "model.net: there is no class 'Convnet' that fits here"),
    ("data: Shapes\n", "data: there is no class 'Shapes' that fits here"),
    ("data: {class_path: Shapes10DataModule, init_args: {batch_size: x}}\n", "data.batch_size: expected int, got 'x'"),
    ("trainer:\n  callbacks: [{class_path: Nope}]\n", "trainer.callbacks: there is no class 'Nope' that fits here"),
]


def assert_refused(optimcifar: Command, path: Path, message: str, *before: object) -> None:
    contents = file_contents(path.parent)
    outcome = optimcifar("fit", "--data", "Shapes10DataModule", *before, "--config", path.name)
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"optimcifar: {path.name}{message}")
    assert outcome.err.count("\n") <= 2
    assert file_contents(path.parent) == contents


@pytest.mark.parametrize(("content", "message"), UNREADABLE)
def test_unreadable_file_is_named(content: bytes, message: str, optimcifar: Command, tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(content)
    assert_refused(optimcifar, path, message)


@pytest.mark.parametrize(("text", "message"), MISTAKES)
def test_mistake_in_a_file_names_file_and_option(text: str, message: str, optimcifar: Command, tmp_path: Path) -> None:
    (tmp_path / "good.yaml").write_text(SGD)
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    assert_refused(optimcifar, path, f": {message}", "--config", "good.yaml")


def test_folders_and_missing_files_are_named(optimcifar: Command, tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    assert_refused(optimcifar, tmp_path / "folder", " is a folder, not a configuration")
    for name in ("missing.yaml", 300 * "n"):
        outcome = optimcifar("fit", "--config", name)
        assert (outcome.status, outcome.err.count("\n")) == (2, 1)
        assert name in outcome.err


def test_a_groups_file_that_cannot_be_read_is_named(optimcifar: Command, tmp_path: Path) -> None:
    (tmp_path / "trainer.yaml").write_bytes("max_epochs: 3\n".encode("utf-16"))
    outcome = optimcifar("fit", "--trainer", "trainer.yaml")
    assert (outcome.status, outcome.err.count("\n")) == (2, 1)
    assert "trainer.yaml is not text in UTF-8: it is UTF-16" in outcome.err


@pytest.mark.parametrize(
    "content",
    [
        b"\xef\xbb\xbf" + SGD.encode(),  # a byte order mark
        SGD.replace("\n", "\r\n").encode(),
        b'{"model": {"optimizer": "SGD"}}',
        b"%YAML 1.1\n---\nmodel: {optimizer: &a SGD}\n...\n",
        "# größer\n".encode() + SGD.encode(),
    ],
)
def test_every_form_of_yaml_is_read(content: bytes, optimcifar: Command, tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_bytes(content)
    small = ("--data", "Shapes10DataModule", "--data.train_images", 100, "--data.val_size", 0)
    outcome = optimcifar("schedule", "--config", "mine.yaml", *small)
    assert (outcome.status, outcome.err) == (0, "")


S = "--model.lr_scheduler"
OUT_OF_RANGE = [
    (f"{S}=StepLR {S}.step_size=0", f"{S}: StepLR: step_size must be at least 1, got 0"),
    (f"{S}=StepLR {S}.step_size=-2", f"{S}: StepLR: step_size must be at least 1, got -2"),
    (f"{S}=CosineAnnealingLR {S}.T_max=0", f"{S}: CosineAnnealingLR: T_max must be at least 1, got 0"),
    (f"{S}=CosineAnnealingLR {S}.T_max=-1", f"{S}: CosineAnnealingLR: T_max must be at least 1, got -1"),
    (f"{S}=PolynomialLR {S}.total_iters=0", f"{S}: PolynomialLR: total_iters must be at least 1, got 0"),
    (f"{S}=LinearLR {S}.total_iters=-1", f"{S}: LinearLR: total_iters must be at least 1, got -1"),
    (f"{S}=OneCycleLR {S}.max_lr=1 {S}.total_steps=-3", f"{S}: OneCycleLR: total_steps must be at least 1, got -3"),
    (f"{S}=LinearLR {S}.start_factor=0", f"{S}: LinearLR: Starting multiplicative factor expected to be greater"),
    (
        f"{S}=lightning.pytorch.cli.ReduceLROnPlateau {S}.monitor=val_loss {S}.factor=2",
        f"{S}: ReduceLROnPlateau: Factor should be < 1.0.",
    ),
    (
        f'{S}=optimcifar.ChainedSchedule {S}.schedulers=[{{"class_path":"StepLR","init_args":{{"step_size":0}}}}]',
        f"{S}: StepLR: step_size must be at least 1, got 0",
    ),
    ("--model.optimizer=SGD --model.optimizer.momentum=-1", "--model.optimizer: Invalid momentum value: -1.0"),
    ("--model.optimizer=Adam --model.optimizer.lr=-1", "--model.optimizer: Invalid learning rate: -1.0"),
    (
        "--trainer.callbacks+=GradientAccumulationScheduler --trainer.callbacks.scheduling {0:2}",
        "--trainer.callbacks.scheduling: expected dict, got '{0:2}'",
    ),
    ("--trainer.callbacks+=EarlyStopping --trainer.callbacks.monitr x", "--trainer.callbacks.monitr: "),
    ("--trainer.val_check_interval=0", "--trainer.val_check_interval must be greater than 0, got 0"),
    ("--trainer.val_check_interval=0.0", "--trainer.val_check_interval must be greater than 0, got 0.0"),
    ("--trainer.gradient_clip_val=-1", "--trainer.gradient_clip_val must be at least 0, got -1"),
]


@pytest.mark.parametrize(("options", "message"), OUT_OF_RANGE)
def test_value_out_of_range_names_its_option(options: str, message: str, optimcifar: Command, tmp_path: Path) -> None:
    outcome = optimcifar("fit", "--data=Shapes10DataModule", *options.split())
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith(f"optimcifar: {message}")
    assert list(tmp_path.iterdir()) == []
