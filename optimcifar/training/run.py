"""One training run: from options to its outcome."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import LearningRateFinder, Timer
from lightning.pytorch.profilers import PassThroughProfiler, Profiler

from optimcifar.callbacks.evaluation import EvaluationSummary
from optimcifar.data.datamodule import ImageDataModule
from optimcifar.errors import UsageError
from optimcifar.optim.building import ScheduleError
from optimcifar.optim.horizons import callbacks_of
from optimcifar.optim.types import OptimizerCallable
from optimcifar.runs.folder import AVERAGES, ENDED, RunFolder
from optimcifar.runs.logger import run_folder, run_logger
from optimcifar.text import count
from optimcifar.training.classifier import ImageClassifier
from optimcifar.training.lightning_cli import TrainingCLI
from optimcifar.training.loggers import close_loggers, prepare_folders
from optimcifar.training.process import command_line_settings, restored_sigint
from optimcifar.training.rate_finder import USE_SWEEP

# The length of schedules that are built before the run's length is known, to see that they can be.
_PLACEHOLDER_LENGTH = 1_000_000


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended.

    Attributes:
        status: ``finished``, ``diverged``, ``interrupted`` or ``failed``.
        summary: the contents of ``summary.json``; empty if training never started, and in all processes but the first.
        folder: the run's folder; None if the run wrote no files, and in all processes but the first.
        error: what stopped an interrupted or failed run.
    """

    status: str
    summary: dict[str, Any]
    folder: RunFolder | None
    error: BaseException | None = None

    def describe(self) -> list[str]:
        """Describe how a run ended and where its files are, in two lines."""
        summary = self.summary
        names = {"train_loss": "train loss", "val_acc": "validation accuracy"}
        names |= {f"val_acc_{name}": f"of the averaged weights ({name})" for name in AVERAGES}
        figures = [f"{text} {summary[name]:.4f}" for name, text in names.items() if summary.get(name) is not None]
        results = f": {', '.join(figures)}" if figures else ""
        step = f" in step {summary['diverged_step']}" if summary["diverged_step"] else ""
        speed = summary["images_per_second"]  # None before the first whole epoch
        end = (
            f"{self.status}{step} after {count(summary['epochs'], 'epoch')}{results} "
            f"({summary['dataset']}); {summary['train_seconds']:.1f} s of training"
            f"{'' if speed is None else f', {speed:,.0f} images/s'}"
        )
        if self.folder is None:
            return [end, "no files were written"]
        weights = " and ".join(map(str, self.folder.checkpoints()))
        return [end, f"the run is in {self.folder.path}, its weights in {weights or 'no file'}"]


class TrainingRun:
    """A run that is built and ready to train or to be tested.

    Args:
        options: the options of ``optimcifar fit``.
        resumed: the folder of the run that goes on in it; None for a new run.
        only: callbacks that replace all others, but those that set the run's length; such a run writes and prints
            nothing.

    Attributes:
        trainer: Lightning's trainer.

    Raises:
        UsageError: the options cannot be understood, or contradict each other.
        ValueError: an option's value is out of range.
        RuntimeError: the checkpoint is damaged, or there is no GPU.
    """

    def __init__(
        self, options: Sequence[str], resumed: RunFolder | None = None, only: list[Callback] | None = None
    ) -> None:
        self._cli = TrainingCLI("fit", options, resumed, only)
        self._resumed = resumed is not None
        self.trainer: Trainer = self._cli.trainer

    def fit(self) -> RunOutcome:
        """Train. Whatever stops the run is in the outcome."""
        status: str | None = None
        error: BaseException | None = None
        try:
            self._check_optimizer()
            prepare_folders(self.trainer, resumed=self._resumed)
            with restored_sigint():
                self.trainer.fit(self._cli.model, self._cli.datamodule, **self._cli.command_arguments)
        except (KeyboardInterrupt, SystemExit) as interruption:
            # Lightning turns Ctrl-C into SystemExit after it has finished the run's files.
            status, error = "interrupted", interruption
        except Exception as failure:  # noqa: BLE001  the outcome holds it
            status, error = "failed", _explained(failure, self.trainer)
        try:
            close_loggers(self.trainer, failed=error is not None)
        except Exception as failure:  # noqa: BLE001  the run has its result all the same
            error = error or failure
        return self._outcome(status or self._cli.summary.values.get("status", "finished"), error)

    def test(self, checkpoint: Path) -> None:
        """Measure a checkpoint of this run on the test images, and write the result beside it."""
        tester = Trainer(
            accelerator=self._cli.config_init.trainer.accelerator,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            callbacks=[EvaluationSummary()],
        )
        tester.test(
            self._cli.model, datamodule=self._cli.datamodule, ckpt_path=checkpoint, weights_only=True, verbose=False
        )

    def check(self) -> str:
        """Build optimizer and schedule; return the resolved configuration as YAML.

        Raises:
            ValueError: one of them cannot be built.
            UsageError: the run would write no files, find a rate of its own, or print a report.
        """
        profiler: Profiler = self.trainer.profiler  # type: ignore[attr-defined]
        if not isinstance(profiler, PassThroughProfiler) and profiler.filename is None:
            raise UsageError(
                "--trainer.profiler would print a report for each run: have it written to the run's folder, "
                "with --trainer.profiler SimpleProfiler --trainer.profiler.filename profile"
            )
        if self.uses(LearningRateFinder):
            raise UsageError(f"LearningRateFinder finds another rate for every seed: {USE_SWEEP}")
        if run_logger(self.trainer) is None:
            raise UsageError("fast_dev_run and barebones write no files: there would be nothing to compare")
        self._check_optimizer()
        return self._cli.resolved()

    def use_blank_images(self) -> None:
        """Use blank images where the number of images is known without reading them: for a run that trains nothing."""
        if isinstance(self._cli.datamodule, ImageDataModule):
            self._cli.datamodule.use_blank_images()

    def uses(self, kind: type[Callback]) -> bool:
        """Return whether the options name a callback of this class."""
        return any(isinstance(callback, kind) for callback in self._cli.user_callbacks)

    def _check_optimizer(self) -> None:
        """Build optimizer and schedule once to find errors early: Lightning downloads the images first."""
        model: ImageClassifier = self._cli.model
        with torch.random.fork_rng(devices=[]):
            try:
                model.make_optimizer(_PLACEHOLDER_LENGTH)
            except ScheduleError as error:
                raise UsageError(f"--model.lr_scheduler: {error}") from error
            except ValueError as error:
                if model.optimizer is None or not _fails(model.optimizer):
                    raise
                raise UsageError(f"--model.optimizer: {error}") from error

    def _nothing_left(self) -> UsageError:
        """Say which option left nothing to train."""
        trainer, checkpoint = self.trainer, self._cli.command_arguments["ckpt_path"]
        if trainer.limit_train_batches == 0:
            return UsageError("there is nothing to train: limit_train_batches is 0")
        if any(isinstance(callback, Timer) and not callback.time_remaining() for callback in callbacks_of(trainer)):
            return UsageError("there is nothing to train: max_time is over before the first step")
        limit = (
            f"max_steps is {trainer.max_steps}" if trainer.max_steps != -1 else f"max_epochs is {trainer.max_epochs}"
        )
        if not checkpoint:
            return UsageError(f"there is nothing to train: {limit}")
        done = f"{count(trainer.current_epoch, 'epoch')}, {count(trainer.global_step, 'step')}"
        return UsageError(f"nothing is left to train: {limit}, and {checkpoint} has {done}")

    def _outcome(self, status: str, error: BaseException | None = None) -> RunOutcome:
        folder = run_folder(self.trainer)
        if logger := run_logger(self.trainer):
            logger.discard_if_empty()
        written = folder if folder and folder.path.exists() else None
        # All processes measure, one reports. With ddp_spawn the values are those of another process.
        summary = self._cli.summary.values if self.trainer.is_global_zero else {}
        if written and not summary:
            summary = written.read_summary()
            status = status if error else summary.get("status", status)
        measured = self._cli.summary in callbacks_of(self.trainer)
        if measured and self.trainer.is_global_zero and not summary and error is None:
            status, error = "failed", self._nothing_left()
        return RunOutcome(status, summary, written, error)


@contextmanager
def training_run(
    options: Sequence[str], resumed: RunFolder | None = None, only: list[Callback] | None = None
) -> Iterator[TrainingRun]:
    """Build a run, and restore the process's settings afterwards; see ``TrainingRun``."""
    with command_line_settings():
        yield TrainingRun(options, resumed, only)


def fit(options: Sequence[str]) -> RunOutcome:
    """Train as ``optimcifar fit`` does.

    Args:
        options: the command's options, such as ``["--config", "configs/sgd.yaml"]``.

    Raises:
        UsageError: the options cannot be understood, or contradict each other.
        ValueError: an option's value is out of range.
        RuntimeError: the checkpoint is damaged, or there is no GPU.
    """
    with training_run(options) as run:
        return run.fit()


def resume(folder: Path) -> RunOutcome:
    """Go on with an interrupted run in its folder, from its last checkpoint.

    Raises:
        UsageError: the folder holds no run, or one that has ended.
        RuntimeError: the checkpoint is damaged.
    """
    run = RunFolder(folder)
    if (status := run.status()) in ENDED:
        raise UsageError(f"the run in {folder} is {status}: there is nothing to resume")
    with resumed_run(run) as resumed:
        return resumed.fit()


@contextmanager
def resumed_run(folder: RunFolder) -> Iterator[TrainingRun]:
    """Build the run in a folder from its configuration and its last checkpoint.

    Raises:
        UsageError: the folder holds no run.
        RuntimeError: the checkpoint is damaged.
    """
    if not folder.config.is_file():
        raise UsageError(f"{folder.path} holds no run to resume: there is no {folder.config.name} in it")
    checkpoint = folder.checkpoint()
    from_checkpoint = ["--ckpt_path", str(checkpoint)] if checkpoint.exists() else []
    with training_run(["--config", str(folder.config), *from_checkpoint], folder) as run:
        yield run


def _fails(optimizer: OptimizerCallable) -> bool:
    """Return whether an optimizer's own arguments are wrong: it takes no parameters at all."""
    try:
        optimizer([torch.nn.Parameter(torch.zeros(1, 1))])
    except ValueError:
        return True
    return False


def _explained(error: Exception, trainer: Trainer) -> Exception:
    """Return a plainer error where a lost process or wrong options are behind it."""
    plainer: Exception
    if isinstance(error, MisconfigurationException):
        text = str(error)
        # Lightning copies overfit_batches to the options that limit the loaders, and names those.
        plainer = UsageError(text.replace("limit_val_batches", "overfit_batches") if trainer.overfit_batches else text)  # type: ignore[attr-defined]
    elif trainer.world_size > 1 and re.search("gloo|nccl|peer", str(error), re.IGNORECASE):
        folder = run_folder(trainer)
        goes_on = f": optimcifar resume {folder.path} goes on" if folder else ""
        plainer = RuntimeError(f"another process of this run was lost{goes_on}")
    else:
        return error
    plainer.__cause__ = error
    return plainer
