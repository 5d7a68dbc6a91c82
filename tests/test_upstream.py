"""Contracts with other libraries: private names, wordings and orders of events that this package relies on.

A failure here says what breaks when a library changes; the test's docstring names the module that relies on it.
"""

from __future__ import annotations

import logging
import os
import re
import signal
import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import lightning.pytorch
import pytest
import torch
from distributed import Client, Worker, get_worker
from helpers import Outcome, quiet_trainer
from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.fabric.utilities.rank_zero import _get_rank
from lightning.pytorch import Callback, LightningModule, Trainer, loggers, profilers, seed_everything
from lightning.pytorch.callbacks import LearningRateFinder, ModelCheckpoint, StochasticWeightAveraging
from lightning.pytorch.cli import LightningArgumentParser, LightningCLI
from lightning.pytorch.core import saving
from lightning.pytorch.loggers import CSVLogger, Logger
from lightning.pytorch.loggers.csv_logs import ExperimentWriter
from lightning.pytorch.utilities import rank_zero_only
from torch import nn
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    CosineAnnealingLR,
    ExponentialLR,
    LambdaLR,
    LinearLR,
    LRScheduler,
    MultiplicativeLR,
    OneCycleLR,
    SequentialLR,
    StepLR,
)
from torchmetrics import MeanMetric

from optimcifar import ImageClassifier, RunLogger, Shapes10DataModule
from optimcifar.callbacks.last_checkpoint import LastCheckpoint
from optimcifar.engine import worker
from optimcifar.optim.types import LRSchedulerCallable, OptimizerCallable
from optimcifar.runs.folder import RunFolder
from optimcifar.training.lightning_cli import Seed
from optimcifar.training.process import _INTENDED, _LOG_LEVELS


def data() -> Shapes10DataModule:
    return Shapes10DataModule(train_images=128, val_size=32)


# PyTorch


def test_combined_schedules_hold_their_parts_and_milestones() -> None:
    """optim/schedules.py, optim/building.py, optim/schedule_notes.py: look at the parts of a sequence or a chain."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    first, second = StepLR(optimizer, 1), CosineAnnealingLR(optimizer, 2)
    sequence = SequentialLR(optimizer, [first, second], [3])
    assert (sequence._schedulers, sequence._milestones) == ([first, second], [3])
    assert list(ChainedScheduler([first, second], optimizer)._schedulers) == [first, second]


def test_muon_refuses_vectors_in_these_words() -> None:
    """training/classifier.py: names MuonWithAux instead."""
    with pytest.raises(ValueError, match="Muon only supports 2D parameters"):
        torch.optim.Muon([nn.Parameter(torch.zeros(3))])


@pytest.mark.parametrize(
    ("second", "rates"),
    [
        # Correct would be 0.1 and 0.55 before the milestone, and 0.5 after it.
        (lambda optimizer: OneCycleLR(optimizer, max_lr=2.0, total_steps=8, div_factor=4.0), [0.05, 0.275, 0.5]),
        # Correct would be 1 after the milestone.
        (lambda optimizer: MultiplicativeLR(optimizer, lambda _: 0.5), [0.1, 0.55, 0.275]),
    ],
)
@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_a_sequence_of_pytorch_sets_wrong_rates(second: Callable[..., Any], rates: list[float]) -> None:
    """optim/building.py: refuses it; not needed once this fails."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0, momentum=0.9)
    sequence = SequentialLR(optimizer, [LinearLR(optimizer, 0.1, total_iters=2), second(optimizer)], [2])
    found = []
    for _ in rates:
        found.append(optimizer.param_groups[0]["lr"])
        sequence.step()
    assert found == pytest.approx(rates)


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step")
def test_a_chain_of_pytorch_forgets_what_came_before_an_absolute_rate() -> None:
    """optim/building.py: refuses it; not needed once this fails."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=1.0)
    chain = ChainedScheduler([ExponentialLR(optimizer, 0.5), LambdaLR(optimizer, lambda _: 1.0)], optimizer)
    chain.step()
    assert optimizer.param_groups[0]["lr"] == 1.0  # correct would be 0.5


def test_an_operator_that_is_not_there_is_refused_in_these_words() -> None:
    """errors.py: recognises a torchvision that does not fit torch, which registers its own so."""
    with pytest.raises(RuntimeError, match=r"\Aoperator torchvision::nothing does not exist"):
        torch.library.register_fake("torchvision::nothing")(lambda: None)


def test_schedules_warn_in_these_words_when_they_step_before_the_optimizer() -> None:
    """optim/replay.py: silences it."""
    schedule = StepLR(torch.optim.SGD([torch.zeros(1)], lr=1.0), 1)
    with pytest.warns(UserWarning, match="Detected call of `lr_scheduler.step"):
        schedule.step()


# torchmetrics


def test_a_mean_skips_nan_by_default_and_overwrites_the_weights_of_nan() -> None:
    """training/classifier.py: sets a strategy, and passes a copy of the weights."""
    mean = MeanMetric()
    with pytest.warns(UserWarning, match="NaN|nan"):
        mean.update(torch.tensor([1.0, float("nan")]))
    assert mean.compute() == 1
    weights = torch.tensor([1.0, 2.0])
    MeanMetric(nan_strategy=float("nan")).update(torch.tensor([1.0, float("nan")]), weights)
    assert weights.tolist() == [1, 1]


# jsonargparse


class Subject:
    """A class with an option for every message."""

    def __init__(
        self,
        optimizer: OptimizerCallable = torch.optim.SGD,
        lr_scheduler: LRSchedulerCallable | None = None,
        number: int = 1,
    ) -> None:
        if number < 0:
            raise ValueError("number must be at least 0")
        self.optimizer, self.lr_scheduler = optimizer, lr_scheduler


def parser() -> LightningArgumentParser:
    made = LightningArgumentParser(exit_on_error=False)
    made.add_class_arguments(Subject, "subject")
    made.add_argument("--seed", type=Seed, default=0)
    return made


@pytest.mark.parametrize(
    ("options", "wording"),
    [
        (["--subject.number", "x"], r"Parser key \"subject.number\""),
        (["--subject.number", "x"], r"Expected an? <class 'int'>.*Got value: x"),
        (["--subject.optimizer", "Adamm"], "Expected a dot import path string: Adamm"),
        (["--subject.optimizer", "nowhere.Adam"], "No module named 'nowhere'"),
        (["--subject.optimizer", "Adam", "--subject.optimizer.rate", "1"], r"Option 'rate' is not accepted"),
        (["--subject.optimizer", "Adam", "--subject.optimizer.rate", "1"], r"class_path='torch.optim.Adam'"),
        (["--subject.lr_scheduler", "StepLR"], "arguments are required: step_size"),
        (["--subjekt", "3"], "unrecognized arguments: --subjekt 3"),
        (["--seed", "x"], "Not of type Seed"),
        (["--subject", "{rate: 1}"], "Group 'subject' does not accept option 'rate'"),
    ],
)
def test_refusals_have_these_words(options: list[str], wording: str) -> None:
    """training/usage_messages.py: takes the option, the reason and the value from them."""
    with pytest.raises(Exception) as caught:  # noqa: PT011  its text is the contract
        parser().parse_args(options)
    assert re.search(wording, str(caught.value), re.DOTALL), str(caught.value)


def test_a_replaced_class_leaves_its_arguments_behind() -> None:
    """training/arguments.py: chooses no class before each class; not needed once this fails."""
    parsed = parser().parse_args(
        ["--subject.optimizer", "SGD", "--subject.optimizer.lr", "0.5", "--subject.optimizer", "Adadelta"]
    )
    assert parsed.subject.optimizer.init_args.lr == 0.5


def test_a_union_that_starts_with_path_is_parsed_to_a_path() -> None:
    """training/lightning_cli.py: makes such arguments absolute."""

    def function(root: Path | str = "data") -> None: ...

    made = LightningArgumentParser(exit_on_error=False)
    made.add_function_arguments(function)
    for options in ([], ["--root", "data"], ["--root=~/data"]):
        assert isinstance(made.parse_args(options).root, Path), options


def test_a_configuration_goes_through_parse_string_and_its_error_is_the_cause() -> None:
    """training/arguments.py: names the file in the error, and says the error once."""

    class Parsing(LightningArgumentParser):
        def parse_string(self, cfg_str: str, *args: Any, **kwargs: Any) -> Any:
            raise ValueError(f"no {cfg_str}")

        def error(self, message: str, ex: Exception | None = None) -> Any:
            raise RuntimeError(message) from ex

    made = Parsing()
    made.add_argument("--config", action="config")
    with pytest.raises(RuntimeError) as caught:
        made.parse_args(["--config=a: 1"])
    assert isinstance(caught.value.__cause__, TypeError)
    assert str(caught.value.__cause__.__cause__) == "no a: 1"


def test_a_parser_lists_its_actions() -> None:
    """training/arguments.py: makes the length of a schedule optional, and knows the names of all options."""
    made = LightningArgumentParser(exit_on_error=False)
    made.add_class_arguments(StepLR, None, skip={"optimizer"})
    (action,) = (action for action in made._actions if action.dest == "step_size")
    assert action.required


def test_a_callable_built_from_options_holds_its_class() -> None:
    """optim/horizons.py: looks for the schedule's class."""
    made = parser()
    built = made.instantiate_classes(
        made.parse_args(["--subject.lr_scheduler", "StepLR", "--subject.lr_scheduler.step_size", "2"])
    )
    schedule = built.subject.lr_scheduler
    assert isinstance(schedule, partial)
    assert StepLR in (schedule.func, *schedule.args)
    assert schedule.keywords["step_size"] == 2


def test_objects_are_written_as_a_sentence_with_a_warning() -> None:
    """training/config_dump.py: recognises them by it."""
    made = LightningArgumentParser(exit_on_error=False)
    made.add_class_arguments(StochasticWeightAveraging, "callback")
    with pytest.warns(UserWarning, match=r"\A\s*Unable to serialize instance"):
        made.dump(made.parse_args(["--callback.swa_lrs=0.1"]))


# Lightning


def test_lightning_names_its_logs_after_their_modules() -> None:
    """training/process.py: lets the reports of profilers pass, and keeps a remark of MLflow's logger back."""
    assert loggers.mlflow.log.name in _LOG_LEVELS
    assert profilers.profiler.log.name.rpartition(".")[0] in _LOG_LEVELS


def test_a_text_for_a_function_is_written_once_the_warning_is_an_error() -> None:
    """training/config_dump.py: makes it one; not needed once the text is written without."""
    own = LightningArgumentParser()
    own.add_argument("--function", type=Callable[..., Any] | str)
    parsed = own.parse_args(["--function", "l1"])
    with pytest.warns(UserWarning, match="Unable to serialize instance"):
        assert own.dump(parsed) == "function: Unable to serialize instance l1\n"
    with warnings.catch_warnings():
        warnings.filterwarnings("error", r"\s*Unable to serialize instance")
        assert own.dump(parsed) == "function: l1\n"


def test_lists_are_merged_by_position() -> None:
    """training/arguments.py: takes a replaced list out of what came before; not needed once this fails."""
    own = LightningArgumentParser()
    own.add_argument("--schedules", type=list[LRSchedulerCallable])
    words = [
        *("--schedules", '[{"class_path": "LinearLR", "init_args": {"start_factor": 0.125}}]'),
        *("--schedules", '[{"class_path": "LinearLR"}]'),
    ]
    assert own.parse_args(words).schedules[0].init_args.start_factor == 0.125


def test_the_settings_of_checkpoints_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    """training/lightning_cli.py: gives them without the objects at which Lightning's own dump fails."""

    class CLI(LightningCLI):
        def instantiate_classes(self) -> None:
            self.config_dump = {"model": {"lr_interval": "given"}}
            super().instantiate_classes()

    monkeypatch.setenv("PL_GLOBAL_SEED", "0")
    quiet = {"logger": False}
    cli = CLI(ImageClassifier, Shapes10DataModule, args=[], run=False, trainer_defaults=quiet)
    assert cli.model.hparams["lr_interval"] == "given"


def test_stochastic_weight_averaging_keeps_its_state_under_these_names() -> None:
    """callbacks/epoch_end_weight_averaging.py: EpochEndWeightAveraging takes part in Lightning's averaging by them."""
    callback = StochasticWeightAveraging(0.1, 2, 3, "linear")
    assert vars(callback).keys() >= {"_average_model", "_avg_fn", "_latest_update_epoch", "_model_contains_batch_norm"}
    names = ("_swa_lrs", "_annealing_epochs", "_annealing_strategy")  # callbacks/descriptions.py prints them
    assert [getattr(callback, name) for name in names] == [0.1, 3, "linear"]


def test_modules_and_data_from_options_are_marked_in_checkpoints(
    optimcifar: Callable[..., Outcome], small: list[str]
) -> None:
    """training/arguments.py, training/classifier.py, callbacks/hyperparameters.py: tell them from those of Python."""
    assert optimcifar("fit", *small, "--trainer.max_epochs", 1).status == 0
    checkpoint = torch.load("lightning_logs/version_0/checkpoints/last.ckpt", weights_only=True)
    assert "_instantiator" in checkpoint["hyper_parameters"]
    assert checkpoint["hyper_parameters"]["optimizer"]["class_path"] == "torch.optim.SGD"
    data = checkpoint["datamodule_hyper_parameters"]
    assert data["_class_path"].endswith("Shapes10DataModule")
    assert data["train_images"] == 1000


@pytest.mark.skipif(not hasattr(saving, "_ALLOWED_INSTANTIATORS"), reason="Lightning before 2.6.6 has no list")
def test_lightning_builds_modules_of_a_checkpoint_with_functions_in_its_list_only(tmp_path: Path) -> None:
    """training/classifier.py: adds its function to the list, as Lightning's message says."""
    assert "lightning.pytorch.cli.instantiate_module" in saving._ALLOWED_INSTANTIATORS
    run = quiet_trainer()
    run.fit(ImageClassifier(), data())
    run.save_checkpoint(tmp_path / "a.ckpt")
    checkpoint = torch.load(tmp_path / "a.ckpt", weights_only=True)
    checkpoint["hyper_parameters"]["_instantiator"] = "optimcifar.not_in_the_list"
    torch.save(checkpoint, tmp_path / "a.ckpt")
    with pytest.raises(ValueError, match=r"not in the allowlist .* add the path to .*_ALLOWED_INSTANTIATORS"):
        ImageClassifier.load_from_checkpoint(tmp_path / "a.ckpt", weights_only=True)


def test_what_a_module_changes_in_a_checkpoint_is_restored(tmp_path: Path) -> None:
    """training/classifier.py, optim/replay.py: change the schedule's state and the groups' options in it."""

    class Changing(ImageClassifier):
        def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
            assert self._trainer is not None
            assert self.trainer.training
            checkpoint["lr_schedulers"][0]["step_size"] = 7
            checkpoint["optimizer_states"][0]["param_groups"][0]["lr"] = 0.25

    assert ImageClassifier()._trainer is None
    schedule: Any = partial(StepLR, step_size=3)
    run = quiet_trainer()
    run.fit(Changing(lr_scheduler=schedule), data())
    run.save_checkpoint(tmp_path / "a.ckpt")
    again = quiet_trainer(max_epochs=2, limit_train_batches=0)
    again.fit(Changing(lr_scheduler=schedule), data(), ckpt_path=tmp_path / "a.ckpt")
    restored: Any = again.lr_scheduler_configs[0].scheduler
    assert restored.step_size == 7
    assert again.optimizers[0].param_groups[0]["lr"] == 0.25


class Untidied(ImageClassifier):
    """Records what Lightning's learning-rate finder leaves, and leaves it there."""

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=0.5)
        return {"optimizer": optimizer, "lr_scheduler": StepLR(optimizer, step_size=1)}

    def on_fit_start(self) -> None:
        self.path, self.metrics = self.trainer.ckpt_path, dict(self.trainer.callback_metrics)
        self.group = dict(self.trainer.optimizers[0].param_groups[0])

    def on_train_start(self) -> None:
        self.first_step = self.trainer.global_step


def test_a_learning_rate_finder_leaves_traces_of_its_test(tmp_path: Path) -> None:
    """training/rate_finder.py: reads the finder's settings, removes the traces, and leaves it out of resumed runs."""
    finder = LearningRateFinder(num_training_steps=14, update_attr=True)
    assert (finder._num_training_steps, finder._update_attr) == (14, True)
    module = Untidied()
    run = quiet_trainer(max_epochs=8, callbacks=[finder])
    run.fit(module, data())
    assert not Path(str(module.path)).exists()
    assert str(module.path).endswith(".ckpt")
    assert module.metrics.keys() >= {"train_loss", "val_loss"}
    assert (module.group["lr"], module.group["initial_lr"]) == (module.lr, 0.5)
    run.save_checkpoint(tmp_path / "a.ckpt")
    again = quiet_trainer(max_epochs=9, callbacks=[LearningRateFinder(num_training_steps=14)])
    again.fit(module, data(), ckpt_path=tmp_path / "a.ckpt")
    assert (run.global_step, module.first_step) == (16, 0)  # the state of the checkpoint is lost


def test_weight_averaging_adds_an_epoch_and_remembers_how_many_there_were() -> None:
    """optim/horizons.py: does not count that epoch."""
    found: list[tuple[int | None, int]] = []

    class Noting(Callback):
        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            found.append((trainer.max_epochs, averaging._max_epochs))

    averaging = StochasticWeightAveraging(0.1, 1, 1)
    net = nn.Sequential(nn.Flatten(), nn.Linear(3072, 10), nn.BatchNorm1d(10))
    quiet_trainer(max_epochs=1, callbacks=[averaging, Noting()]).fit(ImageClassifier(net=net), data())
    assert found == [(2, 1)]


def test_the_seed_is_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """callbacks/run_summary.py: records it."""
    monkeypatch.delenv("PL_GLOBAL_SEED", raising=False)
    seed_everything(7)
    assert os.environ["PL_GLOBAL_SEED"] == "7"


def test_the_rank_is_known_before_there_is_a_trainer() -> None:
    """runs/logger.py: the first process alone creates the folder."""
    assert getattr(rank_zero_only, "rank", None) == 0


def test_log_dir_is_the_runs_folder_for_csv_loggers_only(tmp_path: Path) -> None:
    """runs/logger.py: RunLogger stays a CSVLogger."""

    class Plain(Logger):
        name, version, save_dir, root_dir, log_dir = "runs", "mine", str(tmp_path), "runs", "runs/mine"

        def log_metrics(self, *args: Any, **kwargs: Any) -> None: ...

        def log_hyperparams(self, *args: Any, **kwargs: Any) -> None: ...

    assert quiet_trainer(logger=Plain()).log_dir == str(tmp_path)
    assert quiet_trainer(logger=CSVLogger(tmp_path, "runs", "mine")).log_dir == str(tmp_path / "runs" / "mine")
    assert quiet_trainer(logger=RunLogger(tmp_path, "runs", "mine")).log_dir == str(tmp_path / "runs" / "mine")


def test_checkpoints_go_to_the_folder_of_the_logger(tmp_path: Path) -> None:
    """runs/folder.py: names them."""
    run = quiet_trainer(logger=RunLogger(tmp_path), enable_checkpointing=True)
    run.fit(ImageClassifier(), data())
    (path,) = tmp_path.rglob("*.ckpt")
    assert path.parent == RunFolder(Path(str(run.log_dir))).checkpoint().parent


def test_loggers_get_the_module_and_save_after_every_value_of_it(tmp_path: Path) -> None:
    """runs/logger.py: takes the trainer from the module, and writes when it is told to save."""
    events: list[str] = []

    class Noting(RunLogger):
        def log_graph(self, model: LightningModule, input_array: object = None) -> None:  # type: ignore[override]
            assert isinstance(model.trainer, Trainer)
            events.append("graph")

        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            events.append("metrics")

        def save(self) -> None:
            events.append("save")

        def finalize(self, status: str) -> None:
            events.append(status)

    quiet_trainer(logger=Noting(tmp_path)).fit(ImageClassifier(), data())
    assert events == ["graph", "save", "metrics", "save", "metrics", "save", "success"]


def test_epochs_that_have_begun_are_counted() -> None:
    """runs/logger.py: tells the time between two epochs from an epoch."""
    found: list[tuple[str, int, int]] = []

    class Noting(Callback):
        def note(self, event: str, trainer: Trainer) -> None:
            found.append((event, trainer.fit_loop.epoch_progress.current.ready, trainer.current_epoch))

        def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            self.note("start", trainer)

        def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
            self.note("epoch start", trainer)

        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            self.note("epoch end", trainer)

        def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            self.note("end", trainer)

    quiet_trainer(callbacks=[Noting()]).fit(ImageClassifier(), data())
    assert found == [("start", 0, 0), ("epoch start", 1, 0), ("epoch end", 1, 0), ("end", 1, 1)]


def test_the_folder_of_a_logger_is_created_before_the_next_logger_chooses_one(tmp_path: Path) -> None:
    """runs/logger.py: creates it when Lightning asks for ``experiment``, so that no two loggers share a folder."""
    loggers = [RunLogger(tmp_path), CSVLogger(tmp_path)]
    quiet_trainer(logger=loggers).fit(ImageClassifier(), data())
    assert [logger.version for logger in loggers] == [0, 1]


def test_csv_loggers_delete_their_file_and_go_on_with_one_that_is_put_back(tmp_path: Path) -> None:
    """training/loggers.py: keeps the rows of a resumed run; not needed once they are kept."""
    path = tmp_path / "runs" / "mine" / ExperimentWriter.NAME_METRICS_FILE
    path.parent.mkdir(parents=True)
    path.write_text("loss,step\n0.5,1\n")
    logger = CSVLogger(tmp_path, "runs", "mine")
    with pytest.warns(UserWarning, match=r"Experiment logs directory .* exists and is not empty"):
        writer = logger.experiment
    assert not path.exists()
    path.write_text("loss,step\n0.5,1\n")
    writer.metrics_keys = ["loss", "step"]
    logger.log_metrics({"loss": 0.25}, step=2)
    logger.save()
    assert path.read_text().split() == ["loss,step", "0.5,1", "0.25,2"]


def test_two_checkpoint_callbacks_of_one_class_and_rule_are_refused() -> None:
    """callbacks/last_checkpoint.py: is a class of its own; not needed once this fails."""
    with pytest.raises(RuntimeError, match="more than one stateful callback of type `ModelCheckpoint`"):
        quiet_trainer(enable_checkpointing=True, callbacks=[ModelCheckpoint(filename="a"), ModelCheckpoint("b")])
    quiet_trainer(enable_checkpointing=True, callbacks=[LastCheckpoint(), ModelCheckpoint()])


class Order(Callback):
    """Notes the order of events."""

    def __init__(self) -> None:
        self.events: list[str] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.events.append("start")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.events.append("checkpoint")
        checkpoint["mine"] = 5

    def on_load_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        self.events.append(f"load {checkpoint['mine']}")


def test_an_epochs_checkpoint_is_written_before_its_metrics_are_logged(tmp_path: Path) -> None:
    """callbacks/metrics_row.py: keeps the metrics in the checkpoint; not needed once this fails."""
    order = Order()

    class Noting(RunLogger):
        def log_metrics(self, metrics: Any, step: int | None = None) -> None:
            order.events.append("metrics")

    quiet_trainer(logger=Noting(tmp_path), enable_checkpointing=True, callbacks=[order]).fit(ImageClassifier(), data())
    # Those of validation come before, the others after.
    assert order.events == ["start", "metrics", "checkpoint", "metrics"]


def test_checkpoints_are_written_after_all_other_callbacks_of_their_moment() -> None:
    """callbacks/step_losses.py, callbacks/validation_rows.py: have their rows by then."""

    class Ends(Order):
        def on_train_batch_end(self, *args: Any) -> None:
            self.events.append("batch")

        def on_validation_end(self, *args: Any) -> None:
            self.events.append("validation")

    ends = Ends()
    callbacks = [ModelCheckpoint(every_n_train_steps=1), LastCheckpoint(), ends]
    trainer = quiet_trainer(enable_checkpointing=True, callbacks=callbacks, max_steps=1, val_check_interval=1)
    trainer.fit(ImageClassifier(), data())
    assert ends.events[:5] == ["start", "batch", "checkpoint", "validation", "checkpoint"]


def test_callbacks_see_the_whole_checkpoint_before_training_starts(tmp_path: Path) -> None:
    """callbacks/metrics_row.py, callbacks/divergence.py: read what they saved in it."""
    order = Order()
    run = quiet_trainer(callbacks=[order])
    run.fit(ImageClassifier(), data())
    run.save_checkpoint(tmp_path / "a.ckpt")
    again = Order()
    quiet_trainer(callbacks=[again], max_epochs=2).fit(ImageClassifier(), data(), ckpt_path=tmp_path / "a.ckpt")
    assert again.events == ["load 5", "start"]


def test_validation_metrics_stay_until_the_next_validation() -> None:
    """callbacks/base.py: EpochMetrics leaves them out of an epoch without validation."""
    found: list[bool] = []

    class Noting(Callback):
        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            found.append("val_acc" in trainer.callback_metrics)

    quiet_trainer(max_epochs=2, limit_train_batches=1, callbacks=[Noting()]).fit(ImageClassifier(), data())
    assert found == [True, True]


def test_images_are_prepared_before_the_optimizer_is_built() -> None:
    """training/run.py: builds the optimizer once more before; not needed once this fails."""
    events: list[str] = []

    class Data(Shapes10DataModule):
        def prepare_data(self) -> None:
            events.append("data")

    class Module(ImageClassifier):
        def configure_optimizers(self) -> Any:
            events.append("optimizer")
            return super().configure_optimizers()

    quiet_trainer().fit(Module(), Data(train_images=128, val_size=0))
    assert events == ["data", "optimizer"]


def test_interruption_ends_in_system_exit_and_may_leave_ctrl_c_ignored() -> None:
    """training/process.py: calls that an interruption, and restores Ctrl-C."""

    class Interrupted(Shapes10DataModule):
        def prepare_data(self) -> None:
            raise KeyboardInterrupt

    handler = signal.getsignal(signal.SIGINT)
    run = quiet_trainer()
    try:
        with pytest.raises(SystemExit):
            run.fit(ImageClassifier(), Interrupted())
        assert run.interrupted
        assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, handler)


@pytest.mark.parametrize("name", ["RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK"])
def test_lightning_reads_its_rank_from_these_variables(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """engine/worker.py: hides them, because all but the first of several processes write no files."""
    assert set(worker._RANKS) == {"RANK", "LOCAL_RANK", "SLURM_PROCID", "JSM_NAMESPACE_RANK", "SLURM_NTASKS"}
    for other in worker._RANKS:
        monkeypatch.delenv(other, raising=False)
    assert _get_rank() is None
    monkeypatch.setenv(name, "1")
    assert _get_rank() == 1


def test_lightning_takes_a_process_for_one_of_slurms_tasks_by_this_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """engine/worker.py: hides it; training/slurm.py: reads it, and refuses in plainer words what Lightning refuses."""
    monkeypatch.setenv("PATH", "")  # no srun
    monkeypatch.delenv("SLURM_NTASKS", raising=False)
    assert not SLURMEnvironment.detect()
    monkeypatch.setenv("SLURM_NTASKS", "2")
    assert SLURMEnvironment.detect()
    with pytest.raises(RuntimeError, match="Use `--ntasks-per-node=2` instead"):
        SLURMEnvironment()
    monkeypatch.setenv("SLURM_JOB_NAME", "interactive")
    assert not SLURMEnvironment.detect()


@pytest.mark.parametrize("message", _INTENDED)
def test_silenced_warnings_still_exist(message: str) -> None:
    """training/process.py: silences a warning by these words; drop the words that no library says any more."""
    words = max(re.split(r"\.\*|\\", message), key=len)[:40]
    packages = [Path(lightning.pytorch.__file__).parents[1], Path(torch.__file__).parent / "utils"]
    sources = (path.read_text(encoding="utf-8", errors="replace") for p in packages for path in p.rglob("*.py"))
    # A sentence in the source may be split over lines.
    joined = (re.sub(r"[\"']\s*\n\s*f?[\"']", "", source) for source in sources)
    assert any(words in source for source in joined), words


def test_libraries_log_under_these_names() -> None:
    """training/process.py: raises their level for the time of a run."""
    assert {"lightning.pytorch", "lightning.fabric"} <= set(logging.Logger.manager.loggerDict)


def test_every_schedule_of_pytorch_is_a_scheduler() -> None:
    """training/arguments.py: recognises schedules by their base class."""
    assert issubclass(SequentialLR, LRScheduler)
    assert issubclass(ChainedScheduler, LRScheduler)


def test_a_modules_hooks_are_kept_under_these_names() -> None:
    """networks/convnet.py: calls a layer as usual if it has a hook."""
    layer = nn.Linear(1, 1)
    registered: dict[str, Any] = {
        "_forward_pre_hooks": layer.register_forward_pre_hook,
        "_forward_hooks": layer.register_forward_hook,
        "_backward_pre_hooks": layer.register_full_backward_pre_hook,
        "_backward_hooks": layer.register_full_backward_hook,
    }
    for name, register in registered.items():
        assert not getattr(layer, name)
        register(lambda *args: None)
        assert getattr(layer, name)


def test_progress_in_a_checkpoint_has_these_names(tmp_path: Path) -> None:
    """training/resumption.py: changes it; what comes of it is tested in tests/training/test_resumption.py."""

    class Save(Callback):
        def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
            trainer.save_checkpoint(tmp_path / "a.ckpt")

    run = quiet_trainer(callbacks=[Save()], limit_train_batches=2)
    module = LightningModuleWithoutHooks()
    run.fit(module, data())
    loop = torch.load(tmp_path / "a.ckpt", weights_only=True)["loops"]["fit_loop"]
    counts = {"ready": 2, "started": 2, "processed": 2, "completed": 1}
    assert loop["epoch_loop.batch_progress"] == {"total": counts, "current": counts, "is_last_batch": True}
    assert loop["epoch_progress"]["current"] == {"ready": 1, "started": 1, "processed": 0, "completed": 0}
    assert set(loop["epoch_loop.val_loop.batch_progress"]) >= {"total", "current"}
    assert "_batches_that_stepped" in loop["epoch_loop.state_dict"]


def test_outputs_have_the_loss_of_the_last_evaluation_divided_by_the_batches_of_a_step() -> None:
    """callbacks/step_losses.py: multiplies it again, and takes the first evaluation before its backward pass."""
    evaluations: list[float] = []

    class Counting(LightningModuleWithoutHooks):
        def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
            evaluations.append(2.0 * len(evaluations) + 2)
            return super().training_step(batch, batch_idx) * 0 + evaluations[-1]

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.LBFGS(self.parameters(), max_iter=3, tolerance_grad=-1, tolerance_change=-1)

    class Noting(Callback):
        before, after = list[float](), list[float]()

        def on_before_backward(self, trainer: Trainer, pl_module: LightningModule, loss: torch.Tensor) -> None:
            self.before.append(loss.item())

        def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, outputs: Any, *args: Any) -> None:
            self.after.append(outputs["loss"].item())

    quiet_trainer(callbacks=[Noting()], accumulate_grad_batches=2).fit(Counting(), data())
    assert len(evaluations) > 2
    assert Noting.before == [loss / 2 for loss in evaluations]
    assert Noting.after == [evaluations[0] / 2, evaluations[-1] / 2]


def test_epoch_end_at_the_end_by_steps_runs_twice_when_resumed(tmp_path: Path) -> None:
    """training/resumption.py: prevents it; not needed once this fails."""

    class Save(Callback):
        ends = 0

        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            Save.ends += 1
            trainer.save_checkpoint(tmp_path / "a.ckpt")

    settings: dict[str, Any] = {"max_epochs": -1, "limit_train_batches": 2}
    quiet_trainer(callbacks=[Save()], max_steps=2, **settings).fit(LightningModuleWithoutHooks(), data())
    again = quiet_trainer(callbacks=[Save()], max_steps=4, **settings)
    again.fit(LightningModuleWithoutHooks(), data(), ckpt_path=tmp_path / "a.ckpt", weights_only=True)
    assert Save.ends == 3


def test_a_metric_takes_the_dtype_of_its_module() -> None:
    """training/classifier.py: sets it back to 32 bits; not needed once this fails."""
    metric = MeanMetric()
    nn.ModuleList([metric]).to(torch.bfloat16)
    metric.update(0.09)
    assert metric.compute().dtype == torch.bfloat16


# dask


class Unreadable:
    """A function that a worker cannot read, because it has no module of that name."""

    def __call__(self) -> None: ...

    def __reduce__(self) -> tuple[Any, ...]:
        return import_module, ("optimcifar.no_such_module",)


def test_worker_that_cannot_read_a_function_names_the_module(client: Client) -> None:
    """engine/worker_check.py: says that the worker has no optimcifar, or another version."""
    error, _ = client.run(Unreadable(), on_error="return").values()
    assert isinstance(error, Exception)
    assert "optimcifar.no_such_module" in str(error)


@pytest.mark.parametrize("client", [3], indirect=True)
def test_worker_gives_itself_and_its_threads_to_a_function(client: Client) -> None:
    """engine/worker_check.py, engine/worker.py: refuse workers of several threads."""

    def threads(dask_worker: Worker) -> int:
        return int(dask_worker.state.nthreads)

    assert list(client.run(threads).values()) == list(client.ncores().values()) == [3, 3]
    assert client.submit(lambda: threads(get_worker())).result() == 3


def test_a_client_of_a_running_scheduler_has_no_cluster(client: Client) -> None:
    """engine/cluster.py: tells by it whether workers may have been started in other folders."""
    assert client.cluster is not None
    with Client(client.scheduler_info(n_workers=0)["address"]) as other:
        assert other.cluster is None


class LightningModuleWithoutHooks(LightningModule):
    """What Lightning does by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3072, 10)

    def training_step(self, batch: Any, batch_idx: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.layer(batch[0].flatten(1)), batch[1])

    def validation_step(self, batch: Any, batch_idx: int) -> None: ...

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.01)
