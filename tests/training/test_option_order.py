"""The same options mean the same in any order, or are refused."""

from __future__ import annotations

import random
from itertools import permutations
from pathlib import Path

import pytest
from helpers import Command

from optimcifar.errors import UsageError
from optimcifar.training.lightning_cli import TrainingCLI
from optimcifar.training.process import command_line_settings

# Permutations tried of each group: the first in the order of a person's choice, the last reversed, and some between.
SOME = 3

FILES = {
    "rmsprop.yaml": "seed_everything: 3\nmodel:\n  optimizer: {class_path: RMSprop, init_args: {lr: 0.02}}\n",
    "short.yaml": "trainer: {max_epochs: 1, limit_train_batches: 2}\ndata: {class_path: CIFAR10DataModule}\n",
    "stop.yaml": (
        "trainer:\n  callbacks:\n  - {class_path: EarlyStopping, init_args: {monitor: val_loss, patience: 5}}\n"
    ),
    "trainer.yaml": "max_epochs: 6\n",
    "adam.yaml": "model:\n  optimizer: {class_path: Adam, init_args: {lr: 0.02, eps: 1e-3}}\n",
    "muon.yaml": (
        "model:\n  optimizer:\n    class_path: optimcifar.MuonWithAux\n    init_args:\n      ns_steps: 4\n"
        "      aux: {class_path: AdamW, init_args: {lr: 0.07}}\n"
    ),
    "rules.yaml": "model: {param_groups: [{max_ndim: 1, options: {lr: 0.5}}]}\n",
    "other_rules.yaml": "model: {param_groups: [{names: '*.bias', options: {lr: 0.25}}]}\n",
    "sequence.yaml": (
        "model:\n  lr_scheduler:\n    class_path: optimcifar.SequentialSchedule\n"
        "    init_args:\n      milestones: [1]\n"
        "      schedulers:\n      - {class_path: LinearLR, init_args: {start_factor: 0.125}}\n"
        "      - {class_path: ExponentialLR, init_args: {gamma: 0.3}}\n"
    ),
    "logger.yaml": "trainer: {logger: {class_path: CSVLogger, init_args: {save_dir: x, name: mine}}}\n",
}


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    """Write the configurations into the current folder."""
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)


def resolved(options: tuple[str, ...]) -> str:
    with command_line_settings():
        return TrainingCLI("fit", [word for option in options for word in option.split(" ", 1)], only=[]).resolved()


# Options, and what the resolved configuration has, worked out by hand.
MEANINGS = [
    (
        ("--data Shapes10DataModule", "--seed_everything 7", "--model.optimizer.momentum 0.5", "--config rmsprop.yaml"),
        ["seed_everything: 7\n", "Shapes10DataModule\n", "momentum: 0.5\n", "RMSprop\n", "lr: 0.02\n"],
    ),
    (
        ("--config=short.yaml", "--data=Shapes10DataModule", "--data.batch_size=8", "--trainer.max_epochs=4"),
        ["Shapes10DataModule\n", "batch_size: 8\n", "max_epochs: 4\n", "limit_train_batches: 2\n"],
    ),
    (
        ("-c short.yaml", "--model.optimizer Adam", "--model.optimizer.lr 0.2", "--model.optimizer.eps 1e-3"),
        ["torch.optim.Adam\n", "lr: 0.2\n", "eps: 0.001\n", "max_epochs: 1\n"],
    ),
    (
        ("-cshort.yaml", "--model.optimizer.class_path Adam", "--model.optimizer.init_args.lr 0.2"),
        ["torch.optim.Adam\n", "lr: 0.2\n", "max_epochs: 1\n"],
    ),
    (
        (
            "--model {optimizer: Adagrad}",
            "--model.optimizer.lr 0.3",
            "--trainer {max_epochs: 9}",
            "--config short.yaml",
        ),
        ["torch.optim.Adagrad\n", "lr: 0.3\n", "max_epochs: 9\n", "limit_train_batches: 2\n"],
    ),
    (
        ("--trainer trainer.yaml", "--trainer.max_epochs 5", "--config short.yaml"),
        ["max_epochs: 5\n", "limit_train_batches: 2\n"],
    ),
    (
        (
            "--data {class_path: Shapes10DataModule, init_args: {batch_size: 5}}",
            "--data.val_size 50",
            "-c=short.yaml",
        ),
        ["Shapes10DataModule\n", "batch_size: 5\n", "val_size: 50\n"],
    ),
    (
        ("--trainer.callbacks+=LearningRateMonitor", "--config stop.yaml", "--trainer.max_epochs 3"),
        ["EarlyStopping\n", "patience: 5\n", "LearningRateMonitor\n", "max_epochs: 3\n"],
    ),
    (
        ("--trainer.callbacks.monitor val_acc", "--trainer.callbacks EarlyStopping", "--config stop.yaml"),
        ["EarlyStopping\n", "monitor: val_acc\n"],
    ),
    (
        ("--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.monitor val_acc", "--config short.yaml"),
        ["EarlyStopping\n", "monitor: val_acc\n", "max_epochs: 1\n"],
    ),
    (
        ("--model.lr_scheduler.gamma 0.5", "--model.lr_scheduler StepLR", "--model.lr_scheduler.step_size 2"),
        ["StepLR\n", "gamma: 0.5\n", "step_size: 2\n"],
    ),
    (
        ("--model.optimizer Adam", "--model.optimizer.init_args {lr: 0.5, eps: 0.1}", "--model.optimizer.lr 0.25"),
        ["torch.optim.Adam\n", "lr: 0.25\n", "eps: 0.1\n"],
    ),
    (
        ("--data Shapes10DataModule", "--data.init_args {batch_size: 5, val_size: 7}", "--data.val_size 50"),
        ["Shapes10DataModule\n", "batch_size: 5\n", "val_size: 50\n"],
    ),
    (
        ("--model {optimizer: {init_args: {lr: 0.5}}}", "--config adam.yaml"),
        ["torch.optim.Adam\n", "lr: 0.5\n", "eps: 0.001\n"],
    ),
    (
        ("--model {optimizer: {lr: 0.5}}", "--config adam.yaml", "--model.optimizer.eps 0.1"),
        ["torch.optim.Adam\n", "lr: 0.5\n", "eps: 0.1\n"],
    ),
    (
        ("--model.optimizer.aux.alpha 0.5", "--model.optimizer.aux RMSprop", "--config muon.yaml"),
        ["RMSprop\n", "alpha: 0.5\n", "ns_steps: 4\n"],
    ),
]


@pytest.mark.parametrize(("options", "expected"), MEANINGS)
def test_options_mean_the_same_in_any_order_or_are_refused(options: tuple[str, ...], expected: list[str]) -> None:
    orders = list(permutations(options))
    chosen = {*random.Random(0).sample(orders, min(SOME, len(orders))), orders[-1]}
    first = None
    for order in (orders[0], *chosen):
        try:
            text = resolved(order)
        except UsageError as error:
            assert "must come after" in str(error)  # noqa: PT017  the other orders are not refused
            continue
        first = first or text
        assert text == first, order
        assert all(f"{item}" in text for item in expected), text
    assert first


def test_of_two_configurations_and_of_two_equal_options_the_last_counts() -> None:
    assert "max_epochs: 1\n" in resolved(("--config short.yaml", "--config rmsprop.yaml"))
    (Path("long.yaml")).write_text("trainer: {max_epochs: 100}\n")
    assert "max_epochs: 100\n" in resolved(("--config short.yaml", "--config long.yaml"))
    assert "max_epochs: 1\n" in resolved(("--config long.yaml", "--config short.yaml"))
    assert "max_epochs: 3\n" in resolved(("--trainer.max_epochs 2", "--trainer.max_epochs=3", "--config long.yaml"))


def test_an_argument_belongs_to_the_callback_before_it() -> None:
    stop, wait = "--trainer.callbacks+=EarlyStopping", "--trainer.callbacks.patience 8"
    text = resolved((stop, "--trainer.callbacks.monitor val_acc", wait, "--trainer.callbacks+=LearningRateMonitor"))
    assert "patience: 8\n" in text
    with pytest.raises(UsageError, match=r"callbacks.patience must come after the --trainer.callbacks\+=CLASS"):
        resolved((wait, stop))


def test_an_argument_before_those_appended_belongs_to_the_configurations_last_callback() -> None:
    append, wait = "--trainer.callbacks+=LearningRateMonitor", "--trainer.callbacks.patience 8"
    for options in (("--config stop.yaml", wait, append), (wait, append, "--config stop.yaml")):
        text = resolved(options)
        assert text.index("EarlyStopping\n") < text.index("patience: 8\n") < text.index("LearningRateMonitor\n")
    with pytest.raises(UsageError, match="has no argument 'none'"):
        resolved(("--config stop.yaml", "--trainer.callbacks.none 8", append))
    with pytest.raises(UsageError, match=r"callbacks.patience must come after the --trainer.callbacks\+=CLASS"):
        resolved(("--config short.yaml", wait, append))


@pytest.mark.parametrize("value", ["-0.001", "-1e-3"])
def test_a_value_may_begin_with_a_dash(value: str) -> None:
    assert "weight_decay: -0.001\n" in resolved((f"--model.optimizer.weight_decay {value}",))


def test_a_class_named_within_a_group_starts_from_its_own_defaults() -> None:
    # SGD's rate, the default, is 0.01.
    assert "lr: 0.001\n" in resolved(("--model {optimizer: Adam}",))


# Options that replace a class or a list of a configuration, what the result has, and what must not be left in it.
# RMSprop's own rate is 0.01, LinearLR's own factor 1/3, and EarlyStopping's own patience 3.
REPLACEMENTS = [
    (("--config muon.yaml", "--model.optimizer.aux RMSprop"), ["RMSprop", "ns_steps: 4"], ["0.07", "AdamW"]),
    (
        ("--config muon.yaml", "--model {optimizer: {init_args: {aux: RMSprop}}}"),
        ["RMSprop", "ns_steps: 4"],
        ["0.07", "AdamW"],
    ),
    (
        ("--config muon.yaml", "--model.optimizer.aux.class_path RMSprop", "--model.optimizer.ns_steps 3"),
        ["RMSprop", "ns_steps: 3"],
        ["0.07", "AdamW"],
    ),
    (
        (
            "--model.optimizer {class_path: optimcifar.MuonWithAux, init_args: {aux: {class_path: AdamW, init_args: "
            "{lr: 0.07}}, ns_steps: 4}}",
            "--model.optimizer.aux RMSprop",
        ),
        ["RMSprop", "ns_steps: 4"],
        ["0.07", "AdamW"],
    ),
    (("--config rules.yaml", "--config other_rules.yaml"), ["names: '*.bias'", "max_ndim: null"], ["max_ndim: 1"]),
    (("--config rules.yaml", "--model.param_groups [{names: 'x'}]"), ["max_ndim: null"], ["max_ndim: 1", "lr: 0.5"]),
    (
        ("--config sequence.yaml", "--model.lr_scheduler.schedulers [{class_path: LinearLR}, {class_path: LinearLR}]"),
        ["start_factor: 0.3333"],
        ["0.125", "gamma"],
    ),
    (
        ("--config stop.yaml", "--trainer.callbacks [{class_path: EarlyStopping, init_args: {monitor: val_acc}}]"),
        ["monitor: val_acc", "patience: 3"],
        ["patience: 5"],
    ),
    (("--config stop.yaml", "--trainer.callbacks LearningRateMonitor"), ["LearningRateMonitor"], ["EarlyStopping"]),
    (
        ("--config logger.yaml", "--trainer.logger optimcifar.RunLogger", "--trainer.logger.save_dir y"),
        ["optimcifar.RunLogger", "save_dir: y", "name: lightning_logs"],
        ["mine"],
    ),
    (("--config logger.yaml", "--trainer {logger: false}"), ["logger: false"], ["mine"]),
]


@pytest.mark.parametrize(("options", "expected", "left"), REPLACEMENTS)
def test_what_replaces_a_class_or_a_list_starts_from_its_own_defaults(
    options: tuple[str, ...], expected: list[str], left: list[str]
) -> None:
    text = resolved(options)
    assert all(item in text for item in expected), text
    assert not any(item in text for item in left), text


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ('--trainer {"max_epochs":"x"}', "optimcifar: --trainer.max_epochs: expected int, got 'x'"),
        ("--conf short.yaml", "unrecognized arguments: --conf short.yaml; did you mean --config?"),
        ("--trainer.max_ep 3", "did you mean --trainer.max_epochs?"),
        ("--config --trainer.max_epochs 3", "--config needs a file, or a name that optimcifar configs lists"),
        ("--config=", "--config needs a file, or a name that optimcifar configs lists"),
        ("-- --config short.yaml", "unrecognized arguments: --"),
        ("short.yaml --trainer.max_epochs 1", "unrecognized arguments: short.yaml"),
        ("--trainer.max_epochs 1 2 --config short.yaml", "unrecognized arguments: 2"),
        ("--trainer 3", "--trainer needs options such as '{max_epochs: 5}', or a file of them, got '3'"),
        ("--model null", "--model needs options such as '{lr_interval: step}', or a file of them, got 'null'"),
    ],
)
def test_what_is_no_option_is_refused(options: str, message: str, optimcifar: Command) -> None:
    outcome = optimcifar("fit", *options.split())
    assert (outcome.status, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.count("\n") <= 2


@pytest.mark.parametrize("command", ["fit", "schedule"])
def test_options_may_come_before_the_configuration(command: str, optimcifar: Command) -> None:
    outcome = optimcifar(command, "--seed_everything", "x", "-c", "rmsprop.yaml")
    assert outcome.status == 2
    assert "--seed_everything: expected a whole number from 0 to 4294967295" in outcome.err
