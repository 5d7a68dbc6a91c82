"""Invalid options and configurations are refused in at most three lines, and nothing is written."""

from __future__ import annotations

import os
import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import CONFIGS, Command
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

# A data root that ends every run before training: its archive is damaged.
DAMAGED_ROOT = "damaged"

# The last root counts, so no run can start training; so does the last number of devices, of which more than one would
# start processes.
NO_TRAINING = ("--data", "CIFAR10DataModule", "--data.root", DAMAGED_ROOT, "--trainer.devices", "1")


@pytest.fixture
def damaged(tmp_path: Path) -> Path:
    """Return a folder with the damaged data root."""
    (tmp_path / DAMAGED_ROOT).mkdir()
    (tmp_path / DAMAGED_ROOT / "cifar-10-python.tar.gz").write_bytes(b"not an archive")
    return tmp_path


def modification_times(folder: Path) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in folder.rglob("*") if path.is_file()}


def assert_refused(optimcifar: Command, folder: Path, *args: object) -> None:
    before = modification_times(folder)
    outcome = optimcifar(*args)
    assert outcome.status in (1, 2), args
    assert outcome.err.startswith("optimcifar: "), (args, outcome.err)
    assert 1 <= outcome.err.count("\n") <= 3, (args, outcome.err)
    assert "Traceback" not in outcome.err
    assert max(map(len, outcome.err.splitlines())) < 400, (args, outcome.err)
    assert modification_times(folder) == before, args


anything = st.one_of(
    st.text(max_size=20),
    st.integers().map(str),
    st.floats().map(str),
    st.sampled_from(["null", "true", "[]", "{}", "[1, 2]", "{a: 1}", "SGD", "Adam", "StepLR", "nan", "-1", "."]),
    st.sampled_from(["os.system", "torch.optim.Adam", "builtins.print", "torch.nn.Module", "/", "\x00", "${x}"]),
)
names = st.sampled_from(
    [
        *("--model.optimizer", "--model.optimizer.lr", "--model.lr_scheduler", "--model.net", "--model.lr_interval"),
        *("--model.param_groups", "--trainer.max_epochs", "--trainer.devices", "--trainer.callbacks+", "--trainer"),
        *("--data.batch_size", "--data.val_size", "--data.mean", "--data.seed", "--data"),
        *("--seed_everything", "--config"),
        *("--trainer.precision", "--trainer.accelerator", "--ckpt_path", "--model", "--trainer.limit_train_batches"),
        *("--optimizer", "--trainer.callbacks", "--trainer.logger", "--trainer.strategy", "-c", "--", "-x"),
    ]
)
option = st.one_of(
    st.tuples(names, anything).map(list),
    st.tuples(names, anything).map(lambda pair: ["=".join(pair)]),
    anything.map(lambda word: [word]),
)
# Options that ask for help, the configuration or the version are valid.
harmless = ("-h", "--h", "--p", "--v")


def invalid_words(options: list[list[str]]) -> list[str]:
    return [word for option in options for word in option if not word.startswith(harmless)]


# Without schedule, which does not read the damaged images.
commands = st.sampled_from(["fit", "fit", "fit", "validate", "test", "predict", "resume", "report", "fi"])
slowly = settings(
    deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
EXAMPLES = 1000  # per test


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@settings(slowly, max_examples=EXAMPLES)
@given(command=commands, given_options=st.lists(option, max_size=4))
def test_any_command_line_is_refused_in_three_lines(
    command: str, given_options: list[list[str]], optimcifar: Command, damaged: Path
) -> None:
    options = invalid_words(given_options)
    if command == "fit":
        options += NO_TRAINING
    assert_refused(optimcifar, damaged, command, *options)


leaves = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=10), st.dates())
trees = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=5,
)
VALID = [path.read_text() for path in sorted(CONFIGS.glob("*.yaml"))]


@st.composite
def configurations(draw: st.DrawFn) -> str:
    """Return a text, a tree, or a shipped configuration with a node replaced or some characters changed."""
    kind = draw(st.sampled_from(["text", "tree", "replaced", "replaced", "characters", "characters"]))
    if kind == "text":
        return draw(st.text(max_size=200))
    if kind == "tree":
        return yaml.safe_dump(draw(trees))
    text = draw(st.sampled_from(VALID))
    if kind == "replaced":
        tree: Any = yaml.safe_load(text)
        node = tree
        while True:
            key = draw(st.sampled_from(sorted(node)))
            if not isinstance(node[key], dict) or draw(st.booleans()):
                break
            node = node[key]
        node[draw(st.sampled_from([key, f"{key}x", "class_path", "init_args"]))] = draw(trees)
        return yaml.safe_dump(tree)
    place = draw(st.integers(0, len(text) - 1))
    return text[:place] + draw(st.text(alphabet=string.printable + "\t:é", max_size=3)) + text[place + 1 :]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@settings(slowly, max_examples=EXAMPLES)
@given(text=configurations())
def test_any_configuration_is_refused_in_three_lines(text: str, optimcifar: Command, damaged: Path) -> None:
    (damaged / "config.yaml").write_text(text, encoding="utf-8", errors="surrogatepass", newline="")
    assert_refused(optimcifar, damaged, "fit", "--config", "config.yaml", *NO_TRAINING)


BROKEN = {
    "tabs": b"model:\n\toptimizer:\n\t\tclass_path: torch.optim.SGD\n",
    "wrong nesting": b"model:\n  lr: 0.1\n",
    "a key that is a list": b"? [a, b]\n: 1\n",
    "a list": b"- 1\n- 2\n",
    "a word": b"sgd\n",
    "a line of a million characters": b"model: " + b"x" * 1_000_000 + b"\n",
    "UTF-16": "model:\n  optimizer:\n    class_path: torch.optim.Ädam\n".encode("utf-16-le"),
    "Latin-1": "model:\n  lr_interval: époque\n".encode("latin-1"),
    "zeros": bytes(1000),
    "an unclosed bracket": b"model: {optimizer: {class_path: torch.optim.SGD\n",
    "tags": b"model: !!python/object/apply:os.system ['touch harmed']\n",
    "aliases": b"a: &a [x, x]\nb: &b [*a, *a]\nmodel: *b\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_configuration_is_refused(name: str, optimcifar: Command, damaged: Path) -> None:
    (damaged / "config.yaml").write_bytes(BROKEN[name])
    assert_refused(optimcifar, damaged, "fit", "--config", "config.yaml", "--data.root", DAMAGED_ROOT)


@pytest.mark.parametrize(
    "variable",
    ["PL_GLOBAL_SEED", "WORLD_SIZE", "LOCAL_RANK", "NODE_RANK", "MASTER_PORT", "SLURM_NTASKS", "CUDA_VISIBLE_DEVICES"],
)
def test_nonsense_in_the_environment_is_ignored_or_refused_in_two_lines(
    variable: str, optimcifar: Command, small: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(os.environ, variable, "nonsense")
    outcome = optimcifar("fit", *small, "--trainer.max_epochs", 1)
    assert outcome.status in (0, 1, 2)
    assert "Traceback" not in outcome.err
    assert outcome.err.count("\n") <= 2
