"""LightningCLI set up for this package: ``fit``, ``validate``, ``test`` and ``predict``."""

from __future__ import annotations

import logging
import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from jsonargparse import Namespace
from jsonargparse.typing import restricted_number_type
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.callbacks import Callback, ModelCheckpoint, ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI, SaveConfigCallback

# Those that nothing here uses are imported so that they can be named without their module on the command line.
from optimcifar.callbacks.averaging import EpochEndWeightAveraging, WeightAverages  # noqa: F401
from optimcifar.callbacks.console_output import EpochBar, EpochLines
from optimcifar.callbacks.divergence import StopAtDivergence
from optimcifar.callbacks.evaluation import EvaluationSummary, PredictionWriter
from optimcifar.callbacks.gradients_and_updates import GradientsAndUpdates  # noqa: F401
from optimcifar.callbacks.optimizer_cost import OptimizerCost
from optimcifar.callbacks.run_summary import RunSummary
from optimcifar.data.cifar10 import CIFAR10DataModule  # noqa: F401
from optimcifar.data.datamodule import ImageDataModule
from optimcifar.data.shapes10 import Shapes10DataModule  # noqa: F401
from optimcifar.errors import UsageError
from optimcifar.optim.muon import MuonWithAux  # noqa: F401
from optimcifar.optim.schedules import ChainedSchedule, SequentialSchedule  # noqa: F401
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.folder import AVERAGES, ENDED, RunFolder
from optimcifar.runs.logger import RunLogger, WholeCheckpoints, run_folder
from optimcifar.text import count
from optimcifar.training.arguments import MODEL_ARGUMENTS, Parser, read_hyperparameters, start_from_own_defaults
from optimcifar.training.classifier import ImageClassifier
from optimcifar.training.profiler import NoProfiler
from optimcifar.training.usage_messages import innermost_reason

# Of a schedule that is made to see that it can be, before the run's own length is known.
_SOME_LENGTH = 1_000_000

Seed = restricted_number_type("Seed", int, [(">=", 0), ("<", 2**32)])

# Warnings about what is meant to be so here: small batches of work, no workers, no validation, a command line that was
# completed, evaluation without the callbacks of training, a resumed run with a folder of its own that has checkpoints,
# a cycle of epochs.
_NOISE = (
    ".*callbacks used to create the checkpoint need to be provided",
    "The dirpath has changed",
    "Checkpoint directory .* exists and is not empty",
    "A `OneCycleLR` scheduler is using 'interval': 'epoch'",
    "LightningCLI's args parameter is intended",
    ".*does not have many workers",
    "It is recommended to use `self.log",  # across processes: the rate is equal, seconds are those of the first
    ".*smaller than the logging interval",
    ".*no `val_dataloader`",
    ".*across ranks is zero",
    ".*LeafSpec",
)


class WholeConfig(SaveConfigCallback):
    """Writes ``config.yaml`` into the run's folder, all of it or nothing."""

    def __init__(self, parser: LightningArgumentParser, config: Namespace, **kwargs: Any) -> None:
        super().__init__(parser, config, **kwargs | {"save_to_log_dir": False})

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write it.

        Raises:
            FileExistsError: the folder is another run's.
        """
        if folder := run_folder(trainer):
            path = folder / "config.yaml"
            if path.exists():
                raise FileExistsError(f"{folder} holds another run: choose another folder, or resume that run")
            write_atomically(path, self.parser.dump(self.config, skip_none=False))


class TrainingCLI(LightningCLI):
    """The command line of ``ImageClassifier`` and the data modules.

    Differs from LightningCLI's defaults in what a person would otherwise have to ask for: ten epochs, seed 0, no
    noise, a folder of its own for every run, and checkpoints that say which data and model they belong to.
    """

    def __init__(self, args: list[str], resumed: Path | None = None) -> None:
        self._command = next(iter(args), None)
        self._resumed = resumed
        defaults = {
            "max_epochs": 10,
            "num_sanity_val_steps": 0,  # it would validate before the first line is printed, for little
            "enable_model_summary": False,  # the first line says what it says
        }
        super().__init__(
            ImageClassifier,
            LightningDataModule,
            subclass_mode_data=True,
            trainer_defaults=defaults,
            seed_everything_default=0,
            parser_class=Parser,
            save_config_callback=None if resumed else WholeConfig,
            # It would let an option --optimizer replace what configure_optimizers returns.
            auto_configure_optimizers=False,
            args=args,
        )

    def subcommands(self) -> dict[str, set[str]]:  # type: ignore[override]
        """Return the command that was asked for: to list the options of the other three takes 0.3 s."""
        known = super().subcommands()
        return {name: known[name] for name in known if name == self._command} or known

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the seed; a number, because a result without one can't be repeated."""
        parser.add_argument(
            "--seed_everything",
            type=Seed,
            default=0,
            help="Decides the initial weights, the split, and with the epoch the order of the images.",
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Set the default data and optimizer, and give the data the seed."""
        parser.set_defaults(
            {
                "data": {"class_path": "optimcifar.CIFAR10DataModule"},
                "model.optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01, "momentum": 0.9}},
            }
        )
        # As a bare int: the class of the restricted number is not known to YAML, which config.yaml is written in.
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse, with what a given checkpoint knows of itself as defaults.

        Raises:
            UsageError: evaluation without a checkpoint, or training that goes on with other settings.
        """
        super().parse_arguments(parser, args)
        subcommand = self.config.subcommand
        path = self.config[subcommand].ckpt_path
        if not path:
            if subcommand != "fit":
                raise UsageError(f"{subcommand} needs --ckpt_path FILE: weights that were trained")
            return
        known = read_hyperparameters(Path(path))
        self._subcommand_parsers[subcommand].set_defaults(known)
        super().parse_arguments(parser, args)
        self.config[subcommand].weights_only = True  # a checkpoint is data: nothing in it is to be run
        for key in MODEL_ARGUMENTS if subcommand == "fit" else ():
            if f"model.{key}" in known and _plain(self.config.fit.model[key]) != _plain(known[f"model.{key}"]):
                raise UsageError(
                    f"--model.{key} differs from what {path} was trained with: training goes on with the same settings "
                    "only; leave the option out, or start anew without --ckpt_path"
                )

    def _parse_ckpt_path(self) -> None:
        """Do nothing: Lightning would let the checkpoint win over the command line without a word."""

    def instantiate_classes(self) -> None:
        """Build the model, the data and the trainer.

        Raises:
            ValueError: an argument is out of range.
        """
        try:
            super().instantiate_classes()
        except ValueError as error:
            if "Errors:" not in str(error):
                raise
            raise UsageError(innermost_reason(str(error))) from error

    def after_instantiate_classes(self) -> None:
        """Leave it to EvaluationSummary to print the figures of the package's own data."""
        if self.subcommand in ("validate", "test") and isinstance(self.datamodule, ImageDataModule):
            self.config_init[self.subcommand].verbose = False

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make the trainer, with a folder for the run and the callbacks that fill it."""
        options = self.config_init[self.subcommand].trainer
        _check_accelerator(options.accelerator)
        if self.subcommand != "fit":
            kwargs |= {"logger": False, "enable_checkpointing": False}
            self.save_config_callback = None
        elif self._resumed:
            kwargs["logger"] = RunLogger.reopen(self._resumed, rows=bool(self.config_init.fit.ckpt_path))
        elif options.logger in (None, True):
            kwargs["logger"] = RunLogger(options.default_root_dir or ".")
        if options.plugins is None:
            kwargs["plugins"] = [WholeCheckpoints()]
        if options.profiler is None:
            kwargs["profiler"] = NoProfiler()
        self.trainer_defaults["callbacks"] = self._callbacks(options)
        given = options.callbacks if isinstance(options.callbacks, list) else [options.callbacks]
        if not any(isinstance(callback, ProgressBar) for callback in given):
            if options.enable_progress_bar is not False and sys.stdout.isatty():
                self.trainer_defaults["callbacks"].append(EpochBar())
            else:
                kwargs["enable_progress_bar"] = False
        return super().instantiate_trainer(**kwargs)

    def fit(self, **kwargs: Any) -> None:
        """Train, after what can be found wrong before anything is written was looked for."""
        with torch.random.fork_rng(devices=[]):
            self.model.make_optimizer(_SOME_LENGTH)
        if self.trainer.is_global_zero and isinstance(self.datamodule, ImageDataModule):
            self.datamodule.prepare_data()
            self.datamodule.setup("fit")
        try:
            self.trainer.fit(**kwargs)
        except SystemExit:
            # Lightning's way out of Ctrl-C, after it has finished the run's files.
            if self.trainer.interrupted:
                raise KeyboardInterrupt(f"; optimcifar resume {run_folder(self.trainer)} goes on") from None
            raise
        except RuntimeError as error:
            if self.trainer.world_size > 1 and re.search("gloo|nccl|peer", str(error), re.IGNORECASE):
                goes_on = f": optimcifar resume {folder} goes on" if (folder := run_folder(self.trainer)) else ""
                raise RuntimeError(f"another process of this run was lost{goes_on}") from error
            raise
        finally:
            if isinstance(self.trainer.logger, RunLogger):
                self.trainer.logger.discard_if_empty()

    def after_fit(self) -> None:
        """Print how it ended, and where the run lies."""
        if self.trainer.is_global_zero:
            print(_closing_lines(self._summary.values, run_folder(self.trainer)))

    @property
    def diverged(self) -> bool:
        """Whether the run ended because its loss was no longer finite."""
        return self.subcommand == "fit" and self._summary.values.get("status") == "diverged"

    def _callbacks(self, options: Namespace) -> list[Callback]:
        """Return the callbacks of the command; what Lightning has at most one of gives way to the user's choice."""
        if self.subcommand != "fit":
            return [EvaluationSummary(), PredictionWriter()]
        self._summary = RunSummary()
        callbacks: list[Callback] = [EpochLines(), OptimizerCost(), StopAtDivergence(), self._summary]
        if options.enable_checkpointing is not False:
            callbacks.append(ModelCheckpoint(filename="last", enable_version_counter=False))
        return callbacks


def run(args: list[str], cli: type[TrainingCLI] = TrainingCLI, resumed: Path | None = None) -> TrainingCLI:
    """Run the command line of the commands that train or evaluate.

    Args:
        args: the command and its options.
        cli: what to do with them.
        resumed: the folder of a run that goes on in it; None for a new one.

    Raises:
        UsageError: the options can't be understood or don't go together.
        ValueError: an option has a value out of its range.
        Exception: whatever stopped the run.
    """
    # A module of the user's own, beside which the command is run, can be named without being installed.
    sys.path.append(os.getcwd())
    logging.getLogger("lightning.pytorch").setLevel(logging.WARNING)
    logging.getLogger("lightning.fabric").setLevel(logging.WARNING)
    with warnings.catch_warnings():
        for noise in _NOISE:
            warnings.filterwarnings("ignore", noise)
        try:
            return cli(start_from_own_defaults(args), resumed)
        except MisconfigurationException as error:
            raise UsageError(str(error)) from error


class CheckingCLI(TrainingCLI):
    """Understands the options of ``fit`` and makes all that they name, but does not train.

    Attributes:
        resolved: the whole configuration that the options come to, as ``config.yaml`` would hold it.
    """

    def fit(self, **kwargs: Any) -> None:
        """Make the optimizer and its schedule as well."""
        self.model.make_optimizer(_SOME_LENGTH)
        self.resolved: str = self._subcommand_parsers["fit"].dump(self.config.fit, skip_none=False)

    def after_fit(self) -> None:
        """Print nothing: nothing was run."""


def check(args: list[str]) -> str:
    """Return the configuration that a command's options come to, as YAML, or raise as ``run`` would."""
    cli = run(args, CheckingCLI)
    assert isinstance(cli, CheckingCLI)
    return cli.resolved


def resume(folder: Path) -> TrainingCLI:
    """Go on with a run that was cut off, from its last checkpoint and in its own folder.

    Raises:
        UsageError: the folder holds no run, or one that is finished.
    """
    config, checkpoint = folder / "config.yaml", folder / "checkpoints" / "last.ckpt"
    if not config.is_file():
        raise UsageError(f"{folder} holds no run to go on with: there is no {config.name} in it")
    if (status := RunFolder(folder).status()) in ENDED:
        raise UsageError(f"the run in {folder} is {status}: there is nothing to go on with")
    from_checkpoint = ["--ckpt_path", str(checkpoint)] if checkpoint.exists() else []
    return run(["fit", "--config", str(config), *from_checkpoint], resumed=folder)


def _check_accelerator(accelerator: object) -> None:
    if accelerator in ("gpu", "cuda") and not torch.accelerator.is_available():
        raise RuntimeError(
            f"--trainer.accelerator {accelerator}: PyTorch finds no GPU on this machine; "
            "leave the option out or use --trainer.accelerator cpu"
        )


def _closing_lines(summary: dict[str, Any], folder: Path | None) -> str:
    names = {"train_loss": "train loss", "val_acc": "validation accuracy"}
    names |= {f"val_acc_{name}": f"of the averaged weights ({name})" for name in AVERAGES}
    figures = [f"{text} {summary[name]:.4f}" for name, text in names.items() if summary.get(name) is not None]
    step = f" in step {summary['diverged_step']}" if summary["diverged_step"] else ""
    end = (
        f"{summary['status']}{step} after {count(summary['epochs'], 'epoch')}: {', '.join(figures)} "
        f"({summary['dataset']}); {summary['train_seconds']:.1f} s of training, "
        f"{summary['images_per_second'] or 0:,.0f} images/s"
    )
    if folder is None:
        return end
    weights = " and ".join(map(str, sorted(folder.glob("checkpoints/*.ckpt"))))
    return f"{end}\nthe run is in {folder}, its weights in {weights or 'no file'}"


def _plain(value: object) -> object:
    """Return a value in plain types, with lists for tuples, which YAML does not know."""
    if isinstance(value, Namespace):
        value = value.as_dict()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
