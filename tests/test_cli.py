"""The command line: dispatch, help, exit statuses, and one-line errors."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from helpers import FAIL, INTERRUPT, ROOT, Command, file_contents, use_mirrors

import optimcifar as package
from optimcifar import CIFAR10DataModule
from optimcifar.help import HELP_OF_COMMANDS


def test_failed_run_exits_with_1_and_its_error(optimcifar: Command, small: list[str]) -> None:
    outcome = optimcifar("fit", *small, FAIL)
    assert (outcome.status, outcome.err) == (1, "optimcifar: out of luck\n")


def test_interrupted_run_exits_with_130_and_names_its_folder(optimcifar: Command, small: list[str]) -> None:
    outcome = optimcifar("fit", *small, INTERRUPT)
    assert outcome.status == 130
    assert outcome.err == "optimcifar: interrupted; optimcifar resume lightning_logs/version_0 goes on\n"


@pytest.mark.parametrize("options", [[], ["a", "b"], ["--out", "a"]])
def test_resume_takes_one_folder(options: list[str], optimcifar: Command) -> None:
    outcome = optimcifar("resume", *options)
    assert outcome.status == 2
    assert outcome.err.startswith("optimcifar: resume needs the folder of one run, and nothing else")


BAD_INPUT = [
    ("fit --model.optimiser Adam", 2, "unrecognized arguments: --model.optimiser"),
    ("fit --model.optimizer Adamm", 2, "there is no class 'Adamm' that fits here; did you mean Adam?"),
    ("fit --model.optimizer adamw", 2, "there is no class 'adamw' that fits here; did you mean AdamW?"),
    (
        "fit --model.optimizer Zzyzx",
        2,
        "no class 'Zzyzx' that fits here; name one of PyTorch's, or give the import path",
    ),
    ("fit --model.optimizer torch.optim.Adm", 2, "there is no torch.optim.Adm; did you mean torch.optim.Adam?"),
    ("fit --model.optimizer json.Missing", 2, "--model.optimizer: there is no json.Missing\n"),
    ("fit --model.net torchvision.models.resnet19", 2, "did you mean torchvision.models.resnet18?"),
    ("fit --trainer.callbacks WeightAverage", 2, "did you mean WeightAverages?"),
    ("fit --trainer.callbacks+=EarlyStoping", 2, "did you mean EarlyStopping?"),
    ("fit --trainer.logger TensorBoard", 2, "did you mean TensorBoardLogger?"),
    ("fit --data.rot x", 2, "--data.rot: optimcifar.CIFAR10DataModule has no argument 'rot'; did you mean root?"),
    (
        "fit --model.optimizer.weight_decai 3",
        2,
        "torch.optim.SGD has no argument 'weight_decai'; did you mean weight_decay?",
    ),
    (
        "fit --data.root $NO_SUCH_VARIABLE/x",
        2,
        "$NO_SUCH_VARIABLE/x: there is no environment variable NO_SUCH_VARIABLE",
    ),
    ("fit --model.optimizer.learning 3", 2, "--model.optimizer.learning: torch.optim.SGD has no argument 'learning'"),
    ("fit --model.optimizer.lr fast", 2, "--model.optimizer.lr: expected float, got 'fast'"),
    ("fit --max_epochs 3", 2, "unrecognized arguments: --max_epochs 3; did you mean --trainer.max_epochs?"),
    ("fit --lr 0.1", 2, "unrecognized arguments: --lr 0.1; did you mean --model.optimizer.lr?"),
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
    ("fit --config missing.yaml", 2, "there is no configuration missing.yaml: optimcifar configs lists those"),
    ("fit --config rmsporp", 2, "there is no configuration rmsporp: did you mean rmsprop?"),
    ("compare sgd adan", 2, "there is no configuration adan: did you mean adam, "),
    ("tune sgd --space cifar", 2, "there is no space cifar: did you mean cifar10?"),
    ("configs sgd", 2, "unrecognized arguments: sgd"),
    ("configs --copy key.yaml", 2, "key.yaml is not a folder"),
    ("fit --config tab.yaml", 2, "tab.yaml: line 2: found character that cannot start any token"),
    ("fit --config key.yaml", 2, "key.yaml: model has no option 'foo'"),
    ("walk", 2, "there is no command 'walk': choose from fit, schedule, "),
    ("comapre a.yaml", 2, "there is no command 'comapre': did you mean compare?"),
    ("compare tab.yaml key.yaml --seed 5", 2, "unrecognized arguments: --seed; did you mean --seeds?"),
    ("compare tab.yaml key.yaml --seed=5", 2, "unrecognized arguments: --seed=5; did you mean --seeds?"),
    ("tune tab.yaml key.yaml --trail 5", 2, "unrecognized arguments: --trail; did you mean --trials?"),
    ("sweep tab.yaml --overr a=1,2", 2, "unrecognized arguments: --overr; did you mean --over?"),
    ("compare tab.yaml key.yaml --max_epochs 3", 2, "tab.yaml: line 2: found character that cannot start any token"),
    ("report x --basline sgd", 2, "unrecognized arguments: --basline sgd; did you mean --baseline?"),
    ("schedule --pngg x", 2, "unrecognized arguments: --pngg; did you mean --png?"),
    ("test", 2, "test needs --ckpt_path: the folder of a run, or one of its checkpoints"),
    ("test --ckpt_path folder", 1, "there is no checkpoint folder/checkpoints/last.ckpt"),
    ("test --ckpt_path missing.ckpt", 1, "there is no checkpoint missing.ckpt"),
    ("test --ckpt_path damaged.ckpt", 1, "damaged.ckpt is damaged, or not a checkpoint"),
    ("fit --data.root empty", 1, "--data Shapes10DataModule"),
    ("fit --data Shapes10DataModule --trainer.default_root_dir /proc/nowhere", 1, "/proc/nowhere"),
]


@pytest.mark.parametrize(("command", "status", "message"), BAD_INPUT)
def test_bad_input_is_refused_in_two_lines_and_nothing_is_written(
    optimcifar: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: str, status: int, message: str
) -> None:
    use_mirrors(monkeypatch, (tmp_path / "no-mirror").as_uri())
    (tmp_path / "tab.yaml").write_text("model:\n\toptimizer: Adam\n")
    (tmp_path / "key.yaml").write_text("model:\n  foo: 3\n")
    (tmp_path / "folder").mkdir()
    (tmp_path / "damaged.ckpt").write_bytes(b"PK\x03\x04 and then nothing")
    before = file_contents(tmp_path)
    outcome = optimcifar(*command.split())
    assert outcome.status == status
    assert message in outcome.err
    assert 1 <= len(outcome.err.splitlines()) <= 2
    assert "Traceback" not in outcome.err
    assert file_contents(tmp_path) == before
    assert not (tmp_path / "lightning_logs").exists()


def test_debug_shows_the_traceback(optimcifar: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPTIMCIFAR_DEBUG", "1")
    with pytest.raises(FileNotFoundError, match="there is no checkpoint"):
        optimcifar("test", "--ckpt_path", "missing.ckpt")


@pytest.mark.slow
def test_torchvision_that_does_not_fit_torch_is_named(tmp_path: Path) -> None:
    (tmp_path / "torchvision").mkdir()
    (tmp_path / "torchvision/__init__.py").write_text(
        "import torch\n@torch.library.register_fake('torchvision::nms')\ndef fake(boxes, scores, threshold): ...\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)])}
    program = [sys.executable, "-m", "optimcifar", "fit"]
    ended = subprocess.run(program, env=environment, capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        f"optimcifar: torchvision {version('torchvision')} does not fit torch {version('torch')} and cannot be "
        "imported; install both together: pip install --force-reinstall torch torchvision\n"
    )


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
        for options in (
            *(["--version"], ["--help"], ["compare", "--help"], ["report", "--help"], ["configs"], ["fit", "--help"]),
            *(["sweep", "--help"], ["tune", "-h"], ["schedule", "--help"], ["resume", "--help"], ["test", "--help"]),
        )
    ]
    assert outputs[0] == f"optimcifar {package.__version__}\n"
    assert "usage: optimcifar COMMAND" in outputs[1]
    assert "usage: optimcifar compare CONFIG[:KEY=VALUE...] ..." in outputs[2]
    assert "usage: optimcifar report" in outputs[3]
    assert "rmsprop" in outputs[4]
    assert [output.split()[2] for output in outputs[5:]] == ["fit", "sweep", "tune", "schedule", "resume", "test"]


def test_help_of_fit_is_short_and_true(optimcifar: Command) -> None:
    text = HELP_OF_COMMANDS["fit"]
    assert text.count("\n") < 60
    assert max(map(len, text.splitlines())) <= 90
    # Options without a dot after the class are the parser's own; the others are arguments of a class.
    everything = optimcifar("fit", "--help-all").out
    shown = re.findall(r"^  (?:-c, )?--([\w.]+)", text, re.MULTILINE)
    of_parser = [name for name in shown if name.count(".") <= 1 and not name.startswith("data.")]
    assert len(of_parser) > 20
    assert [name for name in of_parser if f"--{name} " not in everything] == []
    assert len(everything.splitlines()) > 500
    defaults = dict(re.findall(r"^  --([\w.]+) .*\[(-?\d[\d.]*)[\],]", text, re.MULTILINE))
    assert defaults["trainer.max_epochs"] == "10"
    resolved = yaml.safe_load(optimcifar("fit", "--print_config").out)
    for name, default in defaults.items():
        node = resolved
        for part in name.replace("data.", "data.init_args.").split("."):
            node = node[part]
        assert float(default) == (1.0 if node is None else node), name


def test_public_names_are_those_that_are_listed() -> None:
    assert package.CIFAR10DataModule is CIFAR10DataModule
    assert all(hasattr(package, name) for name in dir(package))
    with pytest.raises(AttributeError, match="no attribute 'ResNet'"):
        package.ResNet  # noqa: B018  the access raises


def test_idle_threads_sleep_soon_unless_the_user_says_otherwise(
    optimcifar: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
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


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--config x fit", "optimcifar fit ... --config ..."),
        ("-c x fit", "optimcifar fit ... -c ..."),
        ("--trainer.max_epochs 1 fit", "optimcifar fit ... --trainer.max_epochs ..."),
        ("--csv rates.csv schedule", "optimcifar schedule ... --csv ..."),
        ("--ckpt_path last.ckpt test", "optimcifar test ... --ckpt_path ..."),
        ("--ckpt_path last.ckpt validate", "optimcifar validate ... --ckpt_path ..."),
        ("--ckpt_path last.ckpt predict", "optimcifar predict ... --ckpt_path ..."),
        ("--seeds 3 compare a.yaml", "optimcifar compare ... --seeds ..."),
        ("--out a report b", "optimcifar report ... --out ..."),
        ("--trainer.max_epochs 1 resume a", "optimcifar resume ... --trainer.max_epochs ..."),
        ("--config x", "optimcifar fit ... --config ..."),
    ],
)
def test_options_before_the_command_are_refused(words: str, message: str, optimcifar: Command) -> None:
    outcome = optimcifar(*words.split())
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err == f"optimcifar: name the command before its options: {message}\n"
