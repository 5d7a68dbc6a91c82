from __future__ import annotations

import os
from pathlib import Path

import pytest

from optimcifar.engine.runs import Run, expand_entry, parse_entries, plan_runs
from optimcifar.errors import UsageError
from optimcifar.training.lightning_cli import TrainingCLI
from optimcifar.training.option_order import separate_options
from optimcifar.training.process import command_line_settings


@pytest.fixture(autouse=True)
def configs() -> None:
    for name in ("sgd.yaml", "other/sgd.yaml", "adam.yaml"):
        path = Path(name)
        path.parent.mkdir(exist_ok=True)
        path.write_text("model: {}\n")


def names(*texts: str) -> list[str]:
    return [entry.name for entry in parse_entries(list(texts))]


def test_entries_are_named_after_their_files_and_overrides() -> None:
    assert names("sgd.yaml", "sgd.yaml:model.optimizer.lr=0.03:trainer.max_epochs=2", "adam.yaml") == [
        "sgd",
        "sgd-lr=0.03-max_epochs=2",
        "adam",
    ]


def test_entries_that_would_be_named_alike_get_longer_names() -> None:
    assert names("sgd.yaml", "other/sgd.yaml") == ["sgd", "other_sgd"]
    assert names("sgd.yaml:model.a.lr=1", "sgd.yaml:model.b.lr=1") == ["sgd-model.a.lr=1", "sgd-model.b.lr=1"]


def test_names_can_be_folders() -> None:
    assert names("sgd.yaml:data.root=/a/../<b>") == ["sgd-root=_a_..__b_"]


def test_patterns_that_no_shell_has_expanded_are_expanded() -> None:
    assert expand_entry("*.yaml") == ["adam.yaml", "sgd.yaml"]
    assert expand_entry("**/s?d.yaml:a.b=[1,*]:c.d=2") == ["other/sgd.yaml:a.b=[1,*]:c.d=2", "sgd.yaml:a.b=[1,*]:c.d=2"]
    assert expand_entry("sgd.yaml:a.b=[1,2]") == ["sgd.yaml:a.b=[1,2]"]
    Path("[1].yaml").write_text("model: {}\n")
    assert expand_entry("[1].yaml") == ["[1].yaml"]
    with pytest.raises(ValueError, match=r"nothing matches \*.yml"):
        expand_entry("*.yml")


def test_overrides_become_options_after_the_configuration() -> None:
    entry = parse_entries(["sgd.yaml:model.optimizer.betas=[0.9,0.99]"])[0]
    assert entry.options == ("--config", "sgd.yaml", "--model.optimizer.betas=[0.9,0.99]")


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        (["none.yaml"], "there is no configuration none.yaml"),
        (["sgd.yaml", "sgd.yaml"], "sgd is named twice"),
        (["sgd.yaml", "pipe:trainer.max_epochs=1"], "pipe is a pipe, and every run reads its configuration again"),
    ],
)
def test_entries_that_are_refused(texts: list[str], message: str) -> None:
    os.mkfifo("pipe")  # as in compare <(sed ...)
    with pytest.raises(UsageError, match=message):
        parse_entries(texts)


def test_runs_of_a_seed_come_before_those_of_the_next() -> None:
    runs = plan_runs(parse_entries(["sgd.yaml", "adam.yaml"]), [0, 1], ["--trainer.max_epochs", "2"], Path("out"))
    assert [(run.name, run.seed) for run in runs] == [("sgd", 0), ("adam", 0), ("sgd", 1), ("adam", 1)]
    assert runs[2].folder == Path("out/runs/sgd/seed-1")
    assert runs[2].options[:6] == ("--trainer.max_epochs", "2", "--config", "sgd.yaml", "--seed_everything", "1")


def test_an_entrys_own_option_counts_more_than_one_for_all_runs() -> None:
    entries = parse_entries(["sgd.yaml:model.optimizer.lr=0.03", "sgd.yaml"])
    own, other = plan_runs(entries, [0], ["--model.optimizer.lr", "0.1"], Path("out"))
    assert "lr: 0.03\n" in resolved(own)
    assert "lr: 0.1\n" in resolved(other)


def test_an_option_may_belong_to_a_logger_that_all_runs_have() -> None:
    options = ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "mine"]
    text = resolved(plan_runs(parse_entries(["sgd.yaml"]), [0], options, Path("out"))[0])
    assert text.index("CSVLogger") < text.index("save_dir: mine\n") < text.index("RunLogger")


STOP = "{class_path: EarlyStopping, init_args: {monitor: val_loss, patience: 5}}"


@pytest.mark.parametrize(
    ("file", "entry", "common"),
    [
        # The callback is in the file, added by the entry, and one that all entries get.
        (f"trainer: {{callbacks: [{STOP}]}}\n", "", []),
        ("model: {}\n", f":trainer.callbacks+={STOP}", []),
        ("model: {}\n", "", [f"--trainer.callbacks={STOP}", "--trainer.callbacks.patience=6"]),
    ],
)
@pytest.mark.parametrize("argument", [[], ["--trainer.callbacks.logging_interval=step"]])
def test_an_entrys_value_belongs_to_its_own_callback(
    file: str, entry: str, common: list[str], argument: list[str]
) -> None:
    Path("stop.yaml").write_text(file)
    entries = parse_entries([f"stop.yaml{entry}:trainer.callbacks.patience=9"])
    options = [*common, "--trainer.callbacks+=LearningRateMonitor", *argument]
    text = resolved(plan_runs(entries, [0], options, Path("out"))[0])
    assert text.index("EarlyStopping\n") < text.index("patience: 9\n") < text.index("LearningRateMonitor\n")
    assert ("logging_interval: step\n" in text) == bool(argument)


def test_a_configuration_keeps_its_overrides_wherever_it_stands() -> None:
    for typed in ("a.yaml:lr=1 b.yaml --x 1", "b.yaml a.yaml:lr=1 --x 1", "--x 1 a.yaml:lr=1 b.yaml"):
        configs, options = separate_options(typed.split())
        assert (sorted(configs), options) == (["a.yaml:lr=1", "b.yaml"], ["--x", "1"])


@pytest.mark.parametrize(
    "typed",
    [
        "a.yaml b.yaml --model.optimizer Adam --trainer.max_epochs=2 --model.optimizer.lr -1",
        "--model.optimizer Adam a.yaml --trainer.max_epochs=2 b.yaml --model.optimizer.lr -1",
        "--model.optimizer Adam --trainer.max_epochs=2 a.yaml b.yaml --model.optimizer.lr -1",
    ],
)
def test_configurations_and_options_come_in_any_order(typed: str) -> None:
    options = ["--model.optimizer", "Adam", "--trainer.max_epochs=2", "--model.optimizer.lr=-1"]
    assert separate_options(typed.split()) == (["a.yaml", "b.yaml"], options)


def resolved(run: Run) -> str:
    with command_line_settings():
        return TrainingCLI("fit", run.options, only=[]).resolved()


@pytest.mark.parametrize(
    "option",
    [
        "--seed_everything",
        "--config=a.yaml",
        "--trainer.default_root_dir",
        "--ckpt_path",
        "-c",
        "-ca.yaml",
        "-c=a.yaml",
    ],
)
def test_options_that_a_comparison_decides_itself_are_refused(option: str) -> None:
    with pytest.raises(UsageError, match="cannot be given here"):
        plan_runs(parse_entries(["sgd.yaml"]), [0], [option], Path("out"))


@pytest.mark.parametrize("own", ["seed_everything=3", "trainer.default_root_dir=x", "ckpt_path=last.ckpt"])
def test_an_entry_cannot_have_an_option_that_a_comparison_decides(own: str) -> None:
    with pytest.raises(UsageError, match="cannot be given here"):
        plan_runs(parse_entries([f"sgd.yaml:{own}"]), [0], [], Path("out"))
