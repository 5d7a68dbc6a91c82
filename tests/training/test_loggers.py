"""A run's own files lie in one folder, whatever loggers it has, and its loggers keep theirs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml
from helpers import INTERRUPT, Command, file_contents, metrics_without_times, read_rows, read_summary
from jsonargparse import Namespace
from lightning.pytorch.loggers import Logger

from optimcifar.engine.runs import parse_entries, plan_runs
from optimcifar.runs.folder import RunFolder
from optimcifar.training.loggers import name_loggers
from optimcifar.training.run import fit, resume

RUN = Path("lightning_logs/version_0")
OWN_FILES = {"config.yaml", "metrics.csv", "validations.csv", "summary.json", "checkpoints/last.ckpt"}
OTHER_FILES = {"metrics.csv", "hparams.yaml"}  # of a CSVLogger
AVERAGES = ("--trainer.callbacks+=WeightAverages", "--trainer.callbacks.swa_epoch_start=1")


class Remembers(Logger):
    """A logger without a folder: it keeps what it gets."""

    values: ClassVar[list[dict[str, float]]] = []  # of all instances: the command line builds them

    @property
    def name(self) -> str:
        return "remembers"

    @property
    def version(self) -> int:
        return 0

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Keep none."""

    def log_metrics(self, metrics: dict[str, float], step: int | None = None) -> None:
        self.values.append(metrics)


@pytest.fixture
def quick(small: list[str]) -> list[str]:
    return [*small, "--trainer.limit_train_batches", "2", "--trainer.limit_val_batches", "1"]


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


CSV = "lightning.pytorch.loggers.CSVLogger"
# Options, and the files that the chosen loggers write.
LOGGERS: dict[str, tuple[list[str], set[str]]] = {
    "none": ([], set()),
    "false": (["--trainer.logger", "false"], set()),
    "true": (["--trainer.logger", "true"], set()),
    "beside the run": (
        ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "."],
        {f"lightning_logs/version_1/{name}" for name in OTHER_FILES},
    ),
    "elsewhere": (
        ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "csv"],
        {f"csv/lightning_logs/version_0/{name}" for name in OTHER_FILES},
    ),
    "a list": (
        ["--trainer.logger", f"[{{class_path: {CSV}, init_args: {{save_dir: a}}}}, test_loggers.Remembers]"],
        {f"a/lightning_logs/version_0/{name}" for name in OTHER_FILES},
    ),
    "without a folder": (["--trainer.logger", "test_loggers.Remembers"], set()),
    "no checkpoints asked for": (["--trainer.enable_checkpointing", "false", "--trainer.logger", "false"], set()),
}


@pytest.mark.parametrize("name", LOGGERS)
def test_run_has_one_folder_with_all_of_its_files(
    name: str, optimcifar: Command, quick: list[str], tmp_path: Path
) -> None:
    options, others = LOGGERS[name]
    outcome = optimcifar("fit", *quick, *options, *AVERAGES)
    assert (outcome.status, outcome.err) == (0, "")
    own = OWN_FILES | {"checkpoints/swa.ckpt", "checkpoints/ema.ckpt"}
    if "--trainer.enable_checkpointing" in options:
        own -= {"checkpoints/last.ckpt"}
    assert files(tmp_path) == {f"{RUN}/{file}" for file in own} | others
    assert not [name for name in read_summary(RUN)["hyperparameters"] if "logger" in name or "checkpointing" in name]


def test_logger_of_a_configuration_gets_the_values(quick: list[str], tmp_path: Path) -> None:
    logger = {"class_path": "test_loggers.Remembers"}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"trainer": {"logger": [logger]}}))
    Remembers.values.clear()
    assert fit(["--config", "mine.yaml", *quick]).folder
    assert {"train_loss", "val_loss"} <= {name for values in Remembers.values for name in values}


def test_named_run_logger_chooses_the_folder(quick: list[str], tmp_path: Path) -> None:
    logger = f"[{CSV}, optimcifar.RunLogger]".replace(CSV, f"{{class_path: {CSV}, init_args: {{save_dir: csv}}}}")
    tree = yaml.safe_load(logger)
    tree[1] = {"class_path": "optimcifar.RunLogger", "init_args": {"save_dir": "out", "version": "mine"}}
    outcome = fit([*quick, "--trainer.logger", yaml.safe_dump(tree, default_flow_style=True)])
    assert outcome.folder
    assert outcome.folder.path == Path("out/lightning_logs/mine")
    assert files(outcome.folder.path) == OWN_FILES
    assert files(tmp_path / "csv") == {f"lightning_logs/version_0/{name}" for name in OTHER_FILES}


def test_default_root_dir_holds_the_run(quick: list[str], tmp_path: Path) -> None:
    fit([*quick, "--trainer.default_root_dir", "here", "--trainer.logger", "false", *AVERAGES])
    assert {path.split("/")[0] for path in files(tmp_path)} == {"here"}


def test_second_run_leaves_the_first_alone(quick: list[str], tmp_path: Path) -> None:
    options = [*quick, "--trainer.logger", "false", *AVERAGES]
    fit(options)
    before = file_contents(RUN)
    fit([*options, "--seed_everything", "1"])
    assert file_contents(RUN) == before
    assert len(files(tmp_path)) == 2 * len(before)


WITHOUT_FILES = {
    "fast_dev_run": ["--trainer.fast_dev_run", "true"],
    "barebones": ["--trainer.barebones", "true"],
    "barebones, no logger": ["--trainer.barebones", "true", "--trainer.logger", "false"],
}


@pytest.mark.parametrize("name", WITHOUT_FILES)
def test_trial_run_writes_nothing_and_says_so(name: str, optimcifar: Command, small: list[str], tmp_path: Path) -> None:
    outcome = optimcifar("fit", *small, *WITHOUT_FILES[name], *AVERAGES)
    assert (outcome.status, outcome.err) == (0, "")
    assert outcome.out.splitlines()[-1] == "no files were written"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", [["--trainer.profiler", "simple"], ["--trainer.logger", "test_loggers.Remembers"]])
def test_barebones_refuses_what_was_given(option: list[str], optimcifar: Command, small: list[str]) -> None:
    outcome = optimcifar("fit", *small, "--trainer.barebones", "true", *option)
    assert outcome.status == 2
    assert outcome.err.count("\n") == 1
    assert f"{option[0].removeprefix('--trainer.')}=" in outcome.err


@pytest.mark.parametrize("name", ["fast_dev_run", "barebones"])
def test_trial_run_cannot_be_compared(name: str, optimcifar: Command, small: list[str]) -> None:
    from optimcifar.training.run import training_run

    with training_run([*small, *WITHOUT_FILES[name]]) as run, pytest.raises(ValueError, match="write no files"):
        run.check()


REFUSED = {
    "its own folder": (
        ["--trainer.logger.version", "1"],
        "lightning_logs/version_1, which is the run's own folder",
    ),
    "another run": (
        ["--trainer.logger.version", "0"],
        "lightning_logs/version_0, which holds another run",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_logger_in_the_folder_of_a_run_is_refused(
    name: str, optimcifar: Command, quick: list[str], tmp_path: Path
) -> None:
    options, message = REFUSED[name]
    fit(quick)
    before = file_contents(tmp_path)
    outcome = optimcifar("fit", *quick, "--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", ".", *options)
    assert outcome.status == 2
    assert message in outcome.err
    assert file_contents(tmp_path) == before
    assert [path.name for path in (tmp_path / "lightning_logs").iterdir()] == ["version_0"]


CHECKPOINTS = {
    "same rule": ([], "epoch=1-step=4.ckpt"),
    "a folder of its own": (["--trainer.callbacks.dirpath=best", "--trainer.callbacks.filename=last"], None),
    "the best": (["--trainer.callbacks.monitor=val_acc", "--trainer.callbacks.filename=best"], "best.ckpt"),
}


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_checkpoints_that_the_user_asks_for_come_beside_the_runs_own(
    name: str, optimcifar: Command, quick: list[str]
) -> None:
    options, file = CHECKPOINTS[name]
    assert optimcifar("fit", *quick, "--trainer.callbacks+=ModelCheckpoint", *options).status == 0
    assert files(RUN) == OWN_FILES | ({f"checkpoints/{file}"} if file else set())
    assert file or files(Path("best")) == {"last.ckpt"}


def test_checkpoint_with_the_name_of_the_runs_own_is_refused(
    optimcifar: Command, quick: list[str], tmp_path: Path
) -> None:
    options = ("--trainer.callbacks+=ModelCheckpoint", "--trainer.callbacks.filename=last")
    outcome = optimcifar("fit", *quick, *options)
    assert outcome.status == 2
    assert "ModelCheckpoint would replace the run's own last.ckpt" in outcome.err
    assert list(tmp_path.iterdir()) == []


def steps(table: Path) -> list[str]:
    """Return the steps of the training rows of Lightning's CSVLogger."""
    return [row["step"] for row in read_rows(table) if row["train_loss"]]


# Options of a CSVLogger, and the steps in the tables that it has after the run was interrupted and resumed.
RESUMED: dict[str, tuple[list[str], dict[str, list[str]]]] = {
    "a fixed version": (["--trainer.logger.version", "mine"], {"csv/lightning_logs/mine/metrics.csv": ["1", "3"]}),
    "the next version": ([], {"csv/lightning_logs/version_0/metrics.csv": ["1", "3"]}),
}


@pytest.mark.parametrize("name", RESUMED)
def test_resumed_run_goes_on_with_its_loggers(name: str, quick: list[str]) -> None:
    version, tables = RESUMED[name]
    logger = ["--trainer.logger", "CSVLogger", "--trainer.logger.save_dir", "csv", *version]
    assert fit([*quick, *logger, INTERRUPT]).status == "interrupted"
    assert resume(RUN).status == "finished"
    assert {str(path): steps(path) for path in sorted(Path("csv").rglob("*.csv"))} == tables
    assert files(RUN) == OWN_FILES
    whole = fit(quick).folder
    assert whole
    assert metrics_without_times(RUN) == metrics_without_times(whole.path)


def test_resumed_run_with_a_named_folder_goes_on_in_it(quick: list[str], tmp_path: Path) -> None:
    fit([*quick, "--trainer.logger", "optimcifar.RunLogger", "--trainer.logger.version", "mine", INTERRUPT])
    assert resume(Path("lightning_logs/mine")).status == "finished"
    assert len(read_rows(Path("lightning_logs/mine/metrics.csv"))) == 2
    assert files(tmp_path) == {f"lightning_logs/mine/{name}" for name in OWN_FILES}


def test_run_of_a_comparison_keeps_the_loggers_of_its_configuration(small: list[str], tmp_path: Path) -> None:
    logger = {"class_path": "CSVLogger", "init_args": {"save_dir": "csv"}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump({"trainer": {"logger": logger}}))
    (run,) = plan_runs(parse_entries(["mine.yaml"]), [3], [*small, "--trainer.max_epochs", "1"], Path("out"))
    assert fit(run.options).folder
    assert files(run.folder) == OWN_FILES
    assert files(Path("csv")) == {f"out/mine-seed-3/{name}" for name in OTHER_FILES}
    assert "lr: 0.01\n" in Path("csv/out/mine-seed-3/hparams.yaml").read_text()


def spec(class_path: str, **init_args: Any) -> Namespace:
    """Return a class and its arguments as the parser has them."""
    arguments = {"init_args": Namespace(init_args)} if init_args else {}  # type: ignore[no-untyped-call]
    return Namespace({"class_path": class_path} | arguments)  # type: ignore[no-untyped-call]


def own(version: str | None) -> Namespace:
    return spec("optimcifar.RunLogger", save_dir="lightning_logs/mine/runs", name="sgd-lr=0.1", version=version)


def other(**arguments: Any) -> Namespace:
    return spec("lightning.pytorch.loggers.MLFlowLogger", **arguments)


# The arguments of a logger as the options leave them, and with the names of a run of a comparison.
NAMES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "W&B": (
        {"name": None, "version": None, "project": None, "group": None},
        {"name": "sgd-lr=0.1-seed-3", "version": None, "project": None, "group": "mine"},
    ),
    "MLflow": (
        {"experiment_name": "lightning_logs", "run_name": None, "run_id": None},
        {"experiment_name": "mine", "run_name": "sgd-lr=0.1-seed-3", "run_id": None},
    ),
    "TensorBoard": (
        {"save_dir": "tb", "name": "lightning_logs", "version": None},
        {"save_dir": "tb", "name": "mine", "version": "sgd-lr=0.1-seed-3"},
    ),
    "named by the user": (
        {"experiment_name": "optimizers", "run_name": "first", "run_id": None},
        {"experiment_name": "optimizers", "run_name": "first", "run_id": None},
    ),
    "without any argument": ({}, {}),
}


@pytest.mark.parametrize("name", NAMES)
def test_loggers_of_a_comparison_get_the_names_that_nobody_gave(name: str) -> None:
    arguments, expected = NAMES[name]
    chosen = [other(**arguments), own("seed-3")]
    name_loggers(chosen, None)
    assert chosen[0].get("init_args", {}) == other(**expected).get("init_args", {})
    chosen = [other(**arguments), own(None)]
    name_loggers(chosen, None)  # of a run that belongs to no comparison
    assert chosen[0].get("init_args", {}) == other(**arguments).get("init_args", {})


def test_resumed_run_goes_on_in_the_runs_of_its_loggers(tmp_path: Path) -> None:
    known = [{"logger": "MLFlowLogger", "version": "abc"}, {"logger": "WandbLogger", "version": "xyz"}]
    (tmp_path / "summary.json").write_text(json.dumps({"loggers": known}))
    wandb = spec("lightning.pytorch.loggers.WandbLogger", name=None, version=None, id=None, resume=None)
    chosen = [other(run_name=None, run_id=None), wandb]
    name_loggers(chosen, RunFolder(tmp_path))
    assert vars(chosen[0].init_args) == {"run_name": None, "run_id": "abc"}
    assert vars(wandb.init_args) == {"name": None, "version": "xyz", "id": None, "resume": "allow"}


@pytest.mark.parametrize("option", ["--trainer.logger", "--trainer.logger+"])
def test_logger_without_its_package_says_what_to_install(option: str, optimcifar: Command, tmp_path: Path) -> None:
    outcome = optimcifar("fit", "--data", "Shapes10DataModule", option, "CometLogger")
    assert outcome.status == 2
    assert outcome.err.startswith("optimcifar: lightning.pytorch.loggers.CometLogger: Requirement 'comet-ml")
    assert outcome.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
