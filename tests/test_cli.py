from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import CONFIGS, Outcome

import optimcifar as package
from optimcifar import CIFAR10DataModule, ImageClassifier, Shapes10DataModule

Run = Callable[..., Outcome]


def losses(run: Path) -> list[str]:
    """Return all figures of a run but its times."""
    return [",".join(line.split(",")[:7]) for line in (run / "metrics.csv").read_text().splitlines()]


def test_same_seed_gives_bitwise_equal_runs_and_another_seed_does_not(
    optimcifar: Run, small: list[str], tmp_path: Path
) -> None:
    for seed in (1, 1, 2):
        assert optimcifar("fit", *small, "--seed_everything", seed).status == 0
    first, again, other = (losses(tmp_path / "lightning_logs" / f"version_{n}") for n in range(3))
    assert first == again
    assert first != other


def test_validation_does_not_change_training(optimcifar: Run, small: list[str], tmp_path: Path) -> None:
    optimcifar("fit", *small)
    optimcifar("fit", *small, "--trainer.limit_val_batches", 0)
    with_validation, without = (losses(tmp_path / "lightning_logs" / f"version_{n}") for n in range(2))
    assert [line.split(",")[:5] for line in with_validation] == [line.split(",")[:5] for line in without]


def test_saved_config_repeats_the_run(optimcifar: Run, small: list[str], tmp_path: Path) -> None:
    config = CONFIGS / "sgd_cosine.yaml"
    assert optimcifar("fit", "--config", config, *small, "--seed_everything", 3).status == 0
    assert optimcifar("fit", "--config", "lightning_logs/version_0/config.yaml").status == 0
    assert losses(tmp_path / "lightning_logs/version_0") == losses(tmp_path / "lightning_logs/version_1")


def test_says_what_will_run_and_what_each_epoch_came_to(optimcifar: Run, small: list[str]) -> None:
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd_steplr.yaml", *small)
    lines = outcome.out.splitlines()
    assert lines[0] == ("ConvNet, 62,006 parameters, on Shapes10: 800 training images, 200 for validation, seed 0; cpu")
    assert lines[1].startswith(
        "optimizer  torch.optim.SGD(lr=0.01, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov="
    )
    assert lines[2] == "schedule   torch.optim.lr_scheduler.StepLR(step_size=2, gamma=0.1), every epoch"
    assert lines[3].startswith("epoch 1/2  lr 0.01      train loss 2.")
    assert "  val acc 0." in lines[4]
    assert lines[4].endswith(" s")
    assert outcome.err == ""


def test_chosen_class_starts_from_its_own_defaults(optimcifar: Run, small: list[str]) -> None:
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd.yaml", *small, "--model.optimizer", "Adadelta")
    assert "torch.optim.Adadelta(lr=1.0, rho=0.9, eps=1e-06, weight_decay=0" in outcome.out


def test_chosen_class_takes_the_arguments_that_follow_it(optimcifar: Run, small: list[str]) -> None:
    options = ("--model.optimizer", "torch.optim.RMSprop", "--model.optimizer.lr", "0.02")
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd.yaml", *small, *options)
    assert "torch.optim.RMSprop(lr=0.02, momentum=0.0, alpha=0.99, eps=1e-08, " in outcome.out


def test_configuration_starts_from_its_classes_own_defaults(optimcifar: Run, small: list[str], tmp_path: Path) -> None:
    (tmp_path / "adam.yaml").write_text("model:\n  optimizer: Adam\n")
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd.yaml", "--config", "adam.yaml", *small)
    assert "torch.optim.Adam(lr=0.001, betas=(0.9, 0.999)" in outcome.out


def test_one_argument_of_a_configuration_can_be_changed(optimcifar: Run, small: list[str]) -> None:
    outcome = optimcifar("fit", "--config", CONFIGS / "rmsprop.yaml", *small, "--model.optimizer.lr", "0.003")
    assert "torch.optim.RMSprop(lr=0.003, momentum=0.0, alpha=0.99" in outcome.out


def test_optimizer_and_schedule_of_ones_own(optimcifar: Run, small: list[str], tmp_path: Path) -> None:
    (tmp_path / "my_file.py").write_text(
        "import torch\n"
        "class MyOptimizer(torch.optim.SGD):\n"
        "    def __init__(self, params, lr: float = 0.5):\n"
        "        super().__init__(params, lr=lr)\n"
    )
    outcome = optimcifar("fit", "--model.optimizer", "my_file.MyOptimizer", "--model.optimizer.lr", "0.1", *small)
    assert (outcome.status, outcome.err) == (0, "")
    assert "my_file.MyOptimizer(lr=0.1, " in outcome.out


def test_network_by_import_path(optimcifar: Run, small: list[str]) -> None:
    options = ("--model.net", "torchvision.models.squeezenet1_1", "--model.net.num_classes", "10")
    outcome = optimcifar("fit", *small, *options, "--trainer.max_epochs", 1, "--trainer.limit_train_batches", 2)
    assert outcome.status == 0
    assert outcome.out.startswith("SqueezeNet, ")


def test_checkpoint_knows_its_data_and_its_model(optimcifar: Run, small: list[str], tmp_path: Path) -> None:
    optimcifar("fit", *small, "--model.optimizer", "Adam", "--seed_everything", 5)
    checkpoint = tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt"
    summary = json.loads((tmp_path / "lightning_logs/version_0/summary.json").read_text())
    outcome = optimcifar("validate", "--ckpt_path", checkpoint)
    assert outcome.out == (
        f"validation accuracy {summary['val_acc']:.4f}, validation loss {summary['val_loss']:.4f} "
        "(200 validation images of Shapes10)\n"
    )


def test_test_measures_and_keeps_the_figures_of_the_test_images(
    optimcifar: Run, small: list[str], tmp_path: Path
) -> None:
    optimcifar("fit", *small)
    checkpoint = tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt"
    outcome = optimcifar("test", "--ckpt_path", checkpoint)
    classifier = ImageClassifier.load_from_checkpoint(checkpoint, weights_only=True).eval()
    data = Shapes10DataModule(test_images=100)
    data.setup("test")
    images = data.read_test()
    with torch.no_grad():
        logits = classifier((images.pixels.permute(0, 3, 1, 2) / 255 - 0.5) / 0.5)
    accuracy = (logits.argmax(1) == images.labels).float().mean().item()
    result = json.loads(checkpoint.with_suffix(".test.json").read_text())
    assert result["test_acc"] == pytest.approx(accuracy)
    assert result["test_loss"] == pytest.approx(torch.nn.functional.cross_entropy(logits, images.labels).item(), 1e-4)
    assert (result["dataset"], result["test_images"], result["checkpoint"]) == ("Shapes10", 100, "last.ckpt")
    assert f"test accuracy {accuracy:.4f}, " in outcome.out
    assert not (tmp_path / "lightning_logs/version_1").exists()


def test_test_images_are_touched_by_test_only(
    optimcifar: Run, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Shapes10DataModule, "read_test", lambda self: pytest.fail("the test images were read"))
    checkpoint = tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt"
    assert optimcifar("fit", *small).status == 0
    assert optimcifar("validate", "--ckpt_path", checkpoint).status == 0
    assert optimcifar("predict", "--ckpt_path", checkpoint).status == 0


def test_predict_writes_the_class_of_every_validation_image(optimcifar: Run, small: list[str], tmp_path: Path) -> None:
    optimcifar("fit", *small, "--trainer.max_epochs", 4, "--model.optimizer", "Adam")
    run = tmp_path / "lightning_logs/version_0"
    outcome = optimcifar("predict", "--ckpt_path", run / "checkpoints/last.ckpt")
    lines = (run / "checkpoints/last.predictions.csv").read_text().splitlines()
    assert lines[0] == "image,label,predicted,probability"
    cells = [line.split(",") for line in lines[1:]]
    data = Shapes10DataModule(train_images=1000, val_size=200)
    data.setup("fit")
    assert [int(cell[0]) for cell in cells] == data.val_positions.tolist()
    right = sum(label == predicted for _, label, predicted, _ in cells) / 200
    assert right == pytest.approx(json.loads((run / "summary.json").read_text())["val_acc"])
    assert "200 validation images of Shapes10 predicted" in outcome.out


def test_checkpoint_of_the_command_line_loads_in_python(optimcifar: Run, small: list[str], tmp_path: Path) -> None:
    optimcifar("fit", "--config", CONFIGS / "sgd_cosine.yaml", *small)
    checkpoint = tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt"
    classifier = ImageClassifier.load_from_checkpoint(checkpoint, weights_only=True)
    saved = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, saved[name]) for name, value in classifier.state_dict().items())
    configured = classifier.configure_optimizers()
    assert isinstance(configured, dict)
    assert isinstance(configured["lr_scheduler"]["scheduler"], torch.optim.lr_scheduler.CosineAnnealingLR)  # type: ignore[typeddict-item]


def test_training_goes_on_from_a_checkpoint_as_if_it_had_not_stopped(
    optimcifar: Run, small: list[str], tmp_path: Path
) -> None:
    config = ("--config", CONFIGS / "sgd_steplr.yaml", *small)
    optimcifar("fit", *config, "--trainer.max_epochs", 5)
    optimcifar("fit", *config, "--trainer.max_epochs", 3)
    checkpoint = "lightning_logs/version_1/checkpoints/last.ckpt"
    assert optimcifar("fit", "--trainer.max_epochs", 5, "--ckpt_path", checkpoint).status == 0
    whole, _, rest = (losses(tmp_path / f"lightning_logs/version_{n}") for n in range(3))
    assert rest[1:] == whole[4:]


def test_training_does_not_go_on_with_other_settings(optimcifar: Run, small: list[str], tmp_path: Path) -> None:
    optimcifar("fit", *small)
    checkpoint = "lightning_logs/version_0/checkpoints/last.ckpt"
    outcome = optimcifar("fit", "--ckpt_path", checkpoint, "--model.optimizer.lr", "0.5")
    assert outcome.status == 2
    assert "--model.optimizer differs from what lightning_logs/version_0/checkpoints/last.ckpt was" in outcome.err
    assert not (tmp_path / "lightning_logs/version_1").exists()


BAD_INPUT = [
    ("fit --model.optimiser Adam", 2, "unrecognized arguments: --model.optimiser"),
    ("fit --model.optimizer Adamm", 2, "--model.optimizer: there is no class 'Adamm' that fits here"),
    ("fit --model.optimizer json.Missing", 2, "--model.optimizer: module 'json' has no attribute 'Missing'"),
    ("fit --model.optimizer.learning 3", 2, "--model.optimizer.learning: torch.optim.SGD has no argument 'learning'"),
    ("fit --model.optimizer.lr fast", 2, "--model.optimizer.lr: expected float, got 'fast'"),
    (
        "fit --model.optimizer.lr 0.1 --model.optimizer Adam",
        2,
        "--model.optimizer must come before --model.optimizer.lr",
    ),
    ("fit --model.optimizer.lr -1", 2, "Invalid learning rate: -1.0"),
    ("fit --model.lr_scheduler StepLR", 2, "--model.lr_scheduler.step_size is missing"),
    (
        "fit --model.lr_scheduler SequentialLR",
        2,
        "use optimcifar.SequentialSchedule or optimcifar.ChainedSchedule instead",
    ),
    ("fit --model.lr_scheduler ChainedScheduler", 2, "already built: use optimcifar.ChainedSchedule"),
    (
        "fit --model.optimizer not_there.Adam",
        2,
        "--model.optimizer: there is no module 'not_there': install it, or run",
    ),
    ("fit --model.lr_interval week", 2, "--model.lr_interval: expected one of 'epoch', 'step', got 'week'"),
    ("fit --data CIFAR11", 2, "--data: there is no class 'CIFAR11'"),
    ("fit --data Shapes10DataModule --data.batch_size 0", 2, "batch_size must be at least 1, got 0"),
    ("fit --data Shapes10DataModule --data.batch_size many", 2, "--data.batch_size: expected int, got 'many'"),
    ("fit --data Shapes10DataModule --data.val_size 10000", 2, "val_size must be from 0 to 9999"),
    ("fit --seed_everything -1", 2, "--seed_everything"),
    ("fit --trainer.max_epochs soon", 2, "--trainer.max_epochs: expected int, got 'soon'"),
    ("fit --trainer.accelerator abacus", 2, "invalid accelerator name"),
    ("fit --config missing.yaml", 2, "missing.yaml"),
    ("fit --config tab.yaml", 2, "tab.yaml, line 2: found character '\\t' that cannot start any token"),
    ("fit --config key.yaml", 2, "--model.foo: model has no argument 'foo'"),
    ("train", 2, "invalid choice: 'train'"),
    ("test", 2, "test needs --ckpt_path FILE"),
    ("test --ckpt_path missing.ckpt", 1, "there is no checkpoint missing.ckpt"),
    ("test --ckpt_path damaged.ckpt", 1, "damaged.ckpt is damaged, or not a checkpoint"),
    ("fit --data.root empty", 1, "--data Shapes10DataModule"),
    ("fit --data Shapes10DataModule --trainer.default_root_dir /proc/nowhere", 1, "/proc/nowhere"),
]


@pytest.mark.parametrize(("command", "status", "message"), BAD_INPUT)
def test_bad_input_gets_a_line_or_two_and_writes_nothing(
    optimcifar: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, status: int, message: str
) -> None:
    monkeypatch.setattr("optimcifar.data.cifar10_archive.MIRRORS", ((tmp_path / "no-mirror").as_uri(),))
    (tmp_path / "tab.yaml").write_text("model:\n\toptimizer: Adam\n")
    (tmp_path / "key.yaml").write_text("model:\n  foo: 3\n")
    (tmp_path / "damaged.ckpt").write_bytes(b"PK\x03\x04 and then nothing")
    before = sorted(tmp_path.rglob("*"))
    outcome = optimcifar(*command.split())
    assert outcome.status == status
    assert message in outcome.err
    assert 1 <= len(outcome.err.splitlines()) <= 2
    assert "Traceback" not in outcome.err
    assert sorted(path for path in tmp_path.rglob("*") if path.name not in ("lightning_logs", "empty")) == before


@pytest.mark.skipif(torch.accelerator.is_available(), reason="there is a GPU here")
def test_gpu_that_is_not_there_is_said_so(optimcifar: Run, small: list[str]) -> None:
    outcome = optimcifar("fit", *small, "--trainer.accelerator", "gpu")
    assert (outcome.status, outcome.out) == (1, "")
    assert "PyTorch finds no GPU on this machine; leave the option out or use --trainer.accelerator cpu" in outcome.err


def test_truncated_checkpoint_and_one_that_executes_code_are_refused(
    optimcifar: Run, small: list[str], tmp_path: Path
) -> None:
    optimcifar("fit", *small)
    checkpoint = tmp_path / "lightning_logs/version_0/checkpoints/last.ckpt"
    content = checkpoint.read_bytes()
    for damaged in (content[: len(content) // 2], b"cos\nmkdir\n(S'executed'\ntR.", b""):
        (tmp_path / "damaged.ckpt").write_bytes(damaged)
        outcome = optimcifar("test", "--ckpt_path", "damaged.ckpt")
        assert outcome.status == 1
        assert "damaged.ckpt is damaged, or not a checkpoint of Lightning" in outcome.err
    assert not (tmp_path / "executed").exists()


def test_checkpoint_of_another_network_is_refused_in_two_lines(
    optimcifar: Run, small: list[str], tmp_path: Path
) -> None:
    optimcifar("fit", *small, "--trainer.max_epochs", 1)
    checkpoint = "lightning_logs/version_0/checkpoints/last.ckpt"
    outcome = optimcifar("test", "--ckpt_path", checkpoint, "--model.net", "torchvision.models.squeezenet1_1")
    assert outcome.status == 1
    first, second = outcome.err.splitlines()
    assert "Error(s) in loading state_dict for ImageClassifier" in first
    assert max(len(first), len(second)) < 350


def test_earlier_run_in_the_same_folder_is_not_overwritten(optimcifar: Run, small: list[str], tmp_path: Path) -> None:
    settings = (*small, "--trainer.logger", "optimcifar.RunLogger", "--trainer.logger.version", "mine")
    assert optimcifar("fit", *settings).status == 0
    run = tmp_path / "lightning_logs" / "mine"
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    outcome = optimcifar("fit", *settings)
    assert outcome.status == 1
    assert len(outcome.err.splitlines()) <= 2
    assert {path: path.read_bytes() for path in run.rglob("*") if path.is_file()} == before


def test_debug_shows_the_traceback(optimcifar: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTIMCIFAR_DEBUG", "1")
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        optimcifar("test", "--ckpt_path", "missing.ckpt")


def test_version_and_help_import_no_torch() -> None:
    program = (
        "import sys, optimcifar\n"
        "from optimcifar.cli import main\n"
        "try: status = main({!r})\n"
        "except SystemExit as end: status = end.code\n"
        "assert not {{'torch', 'lightning', 'numpy', 'distributed', 'altair'}} & set(sys.modules)\n"
        "sys.exit(status)"
    )
    outputs = [
        subprocess.run(
            [sys.executable, "-c", program.format(options)], capture_output=True, text=True, check=True
        ).stdout
        for options in (["--version"], ["--help"], ["compare", "--help"], ["report", "--help"])
    ]
    assert outputs[0] == f"optimcifar {package.__version__}\n"
    assert "usage: optimcifar COMMAND" in outputs[1]
    assert "usage: optimcifar compare CONFIG[:KEY=VALUE...] ..." in outputs[2]
    assert "usage: optimcifar report" in outputs[3]


def test_package_has_what_it_lists() -> None:
    assert package.CIFAR10DataModule is CIFAR10DataModule
    assert all(hasattr(package, name) for name in dir(package))
    with pytest.raises(AttributeError, match="no attribute 'ResNet'"):
        package.ResNet  # noqa: B018  asking is the test


def test_threads_do_not_try_for_long_unless_the_user_says_so(optimcifar: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT"):
        monkeypatch.delenv(variable, raising=False)
    optimcifar("--version")
    assert os.environ["GOMP_SPINCOUNT"] == "1000"
    monkeypatch.setenv("GOMP_SPINCOUNT", "5")
    optimcifar("--version")
    assert os.environ["GOMP_SPINCOUNT"] == "5"
    monkeypatch.delenv("GOMP_SPINCOUNT")
    monkeypatch.setenv("OMP_WAIT_POLICY", "ACTIVE")
    optimcifar("--version")
    assert "GOMP_SPINCOUNT" not in os.environ
