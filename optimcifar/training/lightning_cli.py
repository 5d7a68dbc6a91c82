"""LightningCLI with this package's defaults: it turns options into a model, data and a trainer."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from pydoc import locate
from typing import Any

import torch
import yaml
from jsonargparse import Namespace
from jsonargparse.typing import restricted_number_type
from lightning.pytorch import Callback, LightningDataModule, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, ProgressBar
from lightning.pytorch.cli import ArgsType, LightningArgumentParser, LightningCLI

from optimcifar.callbacks.console_output import EpochBar, EpochLines
from optimcifar.callbacks.divergence import StopAtDivergence
from optimcifar.callbacks.early_checks import EarlyChecks

# Imported so that the command line accepts them by class name alone.
from optimcifar.callbacks.epoch_end_weight_averaging import EpochEndWeightAveraging  # noqa: F401
from optimcifar.callbacks.evaluation import EvaluationSummary, PredictionWriter
from optimcifar.callbacks.gradients_and_updates import GradientsAndUpdates  # noqa: F401
from optimcifar.callbacks.last_checkpoint import LastCheckpoint
from optimcifar.callbacks.metrics_row import KeepMetricsRow
from optimcifar.callbacks.optimizer_cost import OptimizerCost
from optimcifar.callbacks.other_loggers import OtherLoggers
from optimcifar.callbacks.run_summary import RunSummary
from optimcifar.callbacks.step_losses import StepLosses  # noqa: F401
from optimcifar.callbacks.validation_rows import ValidationRows
from optimcifar.callbacks.weight_averages import WeightAverages  # noqa: F401
from optimcifar.data.cifar import CIFAR10DataModule, CIFAR100DataModule, CIFARDataModule  # noqa: F401
from optimcifar.data.cifar_sources import holds_nothing
from optimcifar.data.cifar_specs import CIFARSpec
from optimcifar.data.datamodule import ImageDataModule
from optimcifar.data.image_folder import ImageFolderDataModule
from optimcifar.data.shapes10 import Shapes10DataModule  # noqa: F401
from optimcifar.errors import UsageError
from optimcifar.networks.resnet import ResNet20  # noqa: F401
from optimcifar.optim.muon import MuonWithAux  # noqa: F401
from optimcifar.optim.schedules import ChainedSchedule, SequentialSchedule  # noqa: F401
from optimcifar.paths import absolute_path, expand_path, is_to_be_expanded
from optimcifar.runs.checkpoint_io import AtomicCheckpointIO
from optimcifar.runs.folder import RunFolder
from optimcifar.runs.provenance import import_path
from optimcifar.training.arguments import MODEL_ARGUMENTS, Parser, read_arguments, read_checkpoint_defaults
from optimcifar.training.classifier import ImageClassifier
from optimcifar.training.config_dump import ConfigFile, dump_config, without_objects, write_config
from optimcifar.training.config_file import read_config
from optimcifar.training.loggers import name_loggers, named_loggers, one_at_a_time, run_loggers
from optimcifar.training.network_for_data import network_for
from optimcifar.training.profiler import NoProfiler
from optimcifar.training.slurm import refuse_idle_tasks, refuse_unsupported_tasks
from optimcifar.training.usage_messages import innermost_reason

Seed = restricted_number_type("Seed", int, [(">=", 0), ("<", 2**32)])

# The trainer's options that do not change a result: where files go, and what is shown.
_NOT_HYPERPARAMETERS = {
    *("logger", "default_root_dir", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"),
    *("log_every_n_steps", "num_sanity_val_steps", "profiler", "plugins", "accelerator"),
}

# Lightning divides by these options.
_AT_LEAST_ONE = ("accumulate_grad_batches", "check_val_every_n_epoch")


class TrainingCLI(LightningCLI):
    """Builds model, data and trainer of ``ImageClassifier`` and the data modules from options; runs nothing.

    Its defaults spare users options that they would need otherwise: ten epochs, seed 0, no warnings about small runs, a
    new folder for every run, and checkpoints that name their data and model.

    Args:
        command: ``fit``, ``validate``, ``test`` or ``predict``.
        options: the command's options.
        resumed: the folder of the run that goes on in it; None for a new run.
        only: callbacks that replace all others, but those that set the run's length; such a run writes and prints
            nothing.

    Raises:
        UsageError: the options cannot be understood, or contradict each other.
        ValueError: an option's value is out of range.
        RuntimeError: the checkpoint is damaged, or there is no GPU.
    """

    def __init__(
        self,
        command: str,
        options: Sequence[str],
        resumed: RunFolder | None = None,
        only: list[Callback] | None = None,
    ) -> None:
        self.command = command
        self.summary = RunSummary()
        self._resumed = resumed
        self._only = only
        arguments = read_arguments(options)
        self._checkpoint = _checkpoint_file(expand_path(arguments.checkpoint)) if arguments.checkpoint else None
        if command != "fit" and not self._checkpoint:
            raise UsageError(f"{command} needs --ckpt_path: the folder of a run, or one of its checkpoints")
        self._checkpoint_defaults = read_checkpoint_defaults(self._checkpoint) if self._checkpoint else {}
        self._files = arguments.files
        super().__init__(
            ImageClassifier,
            LightningDataModule,
            subclass_mode_data=True,
            trainer_defaults={
                "max_epochs": 10,
                "num_sanity_val_steps": 0,  # it would validate before the first line is printed, for little
                "enable_model_summary": False,  # the first line has it
            },
            seed_everything_default=0,
            parser_class=Parser,
            parser_kwargs={
                "prog": f"optimcifar {command}",
                "description": _DESCRIPTIONS[command],
                "allow_abbrev": False,  # --conf would be a configuration that read_arguments does not see
                "files": arguments.files,
            },
            save_config_callback=ConfigFile if command == "fit" and not resumed and only is None else None,
            # True would let an option --optimizer replace what configure_optimizers returns.
            auto_configure_optimizers=False,
            args=arguments.options,
            run=False,
        )

    def add_default_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the seed: a number, because a result without one cannot be repeated."""
        parser.add_argument(
            "--seed_everything",
            type=Seed,
            default=0,
            help="Sets the initial weights, the split, and the order of the images in each epoch.",
        )

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """Add the command's own arguments, set the default data and optimizer, and give the data the seed."""
        skip: set[str | int] = {*self.subcommands()[self.command]}
        self._command_arguments = parser.add_method_arguments(Trainer, self.command, skip=skip)
        parser.set_defaults(
            {
                "data": {"class_path": "optimcifar.CIFAR10DataModule"},
                "model.optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01, "momentum": 0.9}},
                **self._checkpoint_defaults,
            }
        )
        # As a plain int, which YAML can write to config.yaml.
        parser.link_arguments("seed_everything", "data.init_args.seed", compute_fn=int)

    def parse_arguments(self, parser: LightningArgumentParser, args: ArgsType) -> None:
        """Parse the options; a checkpoint's settings are their defaults.

        Arguments of type ``Path`` become absolute, so that ``config.yaml`` and the checkpoints that hold them mean the
        same files from every folder.

        Raises:
            UsageError: the settings differ from those that the checkpoint was trained with.
            FileNotFoundError: the images that the run was trained with are gone.
            DataError: there are no images, or others than expected.
        """
        super().parse_arguments(parser, args)
        self.config = _with_absolute_paths(self.config)
        self._require_same_data()
        if data := _image_data(self.config.data):
            self.config.model.net = network_for(data, self.config.model.net)
        if self.command == "fit":
            name_loggers(self.config.trainer.logger, self._resumed)
        if not self._checkpoint:
            return
        self.config.weights_only = True  # a checkpoint is data: no code in it is executed
        # Only fit writes it to a file.
        self.config.ckpt_path = str(self._checkpoint.absolute() if self.command == "fit" else self._checkpoint)
        if self.command == "fit":
            self._require_same_model()

    def _require_same_model(self) -> None:
        """Refuse to go on with other settings of the model than the checkpoint's, which are as YAML holds them."""
        known, model = self._checkpoint_defaults, self._written_config["model"]
        for key in MODEL_ARGUMENTS:
            if f"model.{key}" in known and model.get(key) != _plain(known[f"model.{key}"]):
                raise UsageError(
                    f"--model.{key} differs from what {self._checkpoint} was trained with: training goes on with the "
                    "same settings only; leave the option out, or start a new run without --ckpt_path"
                )

    @cached_property
    def _written_config(self) -> dict[str, Any]:
        """Return the configuration as YAML holds it; Lightning's own dump fails at some objects."""
        config: dict[str, Any] = yaml.safe_load(write_config(self.parser, without_objects(self.parser, self.config)))
        return config

    def _require_same_data(self) -> None:
        """Refuse to go on with, or repeat, a run whose data are gone: others could be downloaded in their place."""
        data = self.config.data.get("init_args", {}) if self.config.data else {}
        kind = _data_class(self.config.data)
        spec = kind.spec if issubclass(kind, CIFARDataModule) else None
        gone = {name: path for name, path in data.items() if isinstance(path, Path) and holds_nothing(path, spec)}
        for run, stored in self._earlier_runs().items() if gone else ():
            for name, path in gone.items():
                state = _state(path, spec)
                if name not in stored or absolute_path(stored[name]) != path:
                    rule = "" if issubclass(kind, ImageFolderDataModule) else ", and only a new run downloads"
                    trained = f"{run} was trained with {stored.get(name, 'other data')}"
                    raise FileNotFoundError(f"--data.{name} {path} {state}{rule}: {trained}")
                advice = "" if self._resumed else f", or say where it is now, with --data.{name}"
                raise FileNotFoundError(
                    f"{run} was trained with --data.{name} {path}, which {state}: put it back{advice}"
                )

    def _earlier_runs(self) -> dict[Path, Mapping[str, Any]]:
        """Return the data's arguments of the runs that the options go on with or repeat, by folder or checkpoint."""
        found: dict[Path, Any] = {}
        if self._resumed:
            found[self._resumed.path] = self.config.data
        elif self._checkpoint:
            found[self._checkpoint] = self._checkpoint_defaults.get("data")
        for file in self._files.values() if not found else ():
            if RunFolder(file.parent).summary.exists():
                # As the file has it: what other options replace was taken out of its text.
                found[file.parent] = read_config(file)[1].get("data")
        named = {run: data for run, data in found.items() if isinstance(data, (Mapping, Namespace))}
        return {run: data.get("init_args") or {} for run, data in named.items()}

    def instantiate_classes(self) -> None:
        """Build the model, the data and the trainer.

        Raises:
            ValueError: an argument is out of range.
        """
        self.config_dump = self._written_config  # Lightning puts these settings into checkpoints
        with _one_line_reasons(), one_at_a_time(self.config.trainer.logger):
            super().instantiate_classes()

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Build the trainer with the command's logger and callbacks."""
        options = self.config_init.trainer
        _check_accelerator(options.accelerator)
        _check_numbers(options)
        refuse_unsupported_tasks()
        if self._only is not None:
            # A run of other callbacks has the length of the run that the options describe.
            kept = [callback for callback in self.user_callbacks if isinstance(callback, GradientAccumulationScheduler)]
            kwargs |= {"callbacks": [*self._only, *kept], "logger": False}
            kwargs |= {"enable_checkpointing": False, "enable_progress_bar": False}
        elif self.command == "fit":
            kwargs |= self._loggers(options)
            self.trainer_defaults["callbacks"] = self._fit_callbacks(options)
        else:
            _refuse_trial_runs(self.command, options)
            kwargs |= {"logger": named_loggers(options.logger), "enable_checkpointing": False}
            self.trainer_defaults["callbacks"] = [EvaluationSummary(), PredictionWriter()]
        if options.plugins is None:
            kwargs["plugins"] = [AtomicCheckpointIO()]
        if options.profiler is None and not options.barebones:
            kwargs["profiler"] = NoProfiler()
        if self._only is None and not any(isinstance(callback, ProgressBar) for callback in self.user_callbacks):
            if options.enable_progress_bar is not False and not options.barebones and sys.stdout.isatty():
                self.trainer_defaults["callbacks"].append(EpochBar())
            else:
                kwargs["enable_progress_bar"] = False
        trainer = super().instantiate_trainer(**kwargs)
        refuse_idle_tasks(trainer)
        if self.command == "fit" and self._only is None:
            trainer.callbacks.insert(0, EarlyChecks())  # type: ignore[attr-defined]
        return trainer

    @property
    def command_arguments(self) -> dict[str, Any]:
        """The command's own arguments, such as ``ckpt_path``, for the trainer's method of that name."""
        return {name: self.config_init[name] for name in self._command_arguments}

    @property
    def user_callbacks(self) -> list[Callback]:
        """The callbacks that the options name."""
        callbacks = self.config_init.trainer.callbacks
        return callbacks if isinstance(callbacks, list) else [callbacks] if callbacks else []

    def resolved(self) -> str:
        """Return the resolved configuration as YAML, as ``config.yaml`` would hold it."""
        return dump_config(self.parser, self.config)

    def _loggers(self, options: Namespace) -> dict[str, Any]:
        if options.barebones:
            return {}  # Lightning refuses the loggers that were given
        keep_rows = self._checkpoint is not None
        return {"logger": run_loggers(options.logger, options.default_root_dir or ".", self._resumed, keep_rows)}

    def _fit_callbacks(self, options: Namespace) -> list[Callback]:
        self.summary = RunSummary(_trainer_hyperparameters(_plain(self.config.trainer)))
        if options.barebones:
            return [self.summary]  # for speed alone: nothing is logged, printed or written
        callbacks = [
            EpochLines(),
            OptimizerCost(),
            StopAtDivergence(),
            self.summary,
            OtherLoggers(self.summary),
            ValidationRows(self.summary),
            KeepMetricsRow(),
        ]
        if options.enable_checkpointing is not False:
            callbacks.append(LastCheckpoint())
        return callbacks


_DESCRIPTIONS = {
    "fit": "Train, and write the run to lightning_logs/version_N.",
    "validate": "Measure the loss and accuracy of a checkpoint on the validation images.",
    "test": "Measure the loss and accuracy of a checkpoint on the test images.",
    "predict": "Write the class of every validation image to a table.",
}


def _trainer_hyperparameters(options: dict[str, Any]) -> dict[str, Any]:
    """Return the number of epochs, and the other options that change a result and are not the trainer's defaults."""
    defaults = {name: parameter.default for name, parameter in inspect.signature(Trainer).parameters.items()}
    changed = {name: value for name, value in options.items() if value not in (None, defaults[name])}
    return {name: value for name, value in changed.items() if name not in _NOT_HYPERPARAMETERS} | {
        "max_epochs": options["max_epochs"]
    }


def _refuse_trial_runs(command: str, options: Namespace) -> None:
    for name in ("fast_dev_run", "barebones"):
        if options[name]:
            raise UsageError(f"--trainer.{name} would give {command} no result, or that of a few images: leave it out")


def _checkpoint_file(path: Path) -> Path:
    """Return a checkpoint, given the file or the folder of its run, whose last one counts."""
    return RunFolder(path).checkpoint() if path.is_dir() else path


def _check_numbers(options: Namespace) -> None:
    for name in _AT_LEAST_ONE:
        if options[name] is not None and options[name] < 1:
            raise UsageError(f"--trainer.{name} must be at least 1, got {options[name]}")
    interval, clip = options.val_check_interval, options.gradient_clip_val
    if isinstance(interval, (int, float)) and interval <= 0:
        raise UsageError(f"--trainer.val_check_interval must be greater than 0, got {interval}")
    if clip is not None and clip < 0:
        raise UsageError(f"--trainer.gradient_clip_val must be at least 0, got {clip}")


def _check_accelerator(accelerator: object) -> None:
    if accelerator in ("gpu", "cuda") and not torch.accelerator.is_available():
        raise RuntimeError(
            f"--trainer.accelerator {accelerator}: PyTorch finds no GPU on this machine; "
            "leave the option out or use --trainer.accelerator cpu"
        )


def _data_class(settings: Namespace | None) -> type:
    """Return the class of the data; ``object`` if it is not named by one."""
    kind = locate(settings.class_path) if settings else None
    return kind if inspect.isclass(kind) else object


def _image_data(settings: Namespace | None) -> ImageDataModule | None:
    """Return data that say how many classes they have before the run's own data are built; None for other classes."""
    if not issubclass(_data_class(settings), ImageDataModule):
        return None
    parser = Parser()
    parser.add_subclass_arguments(ImageDataModule, "data")
    with _one_line_reasons():
        built: ImageDataModule = parser.instantiate_classes(parser.parse_object({"data": settings})).data
    return built


@contextmanager
def _one_line_reasons() -> Iterator[None]:
    """Reduce jsonargparse's list of all that it has tried to the line that says what is wrong."""
    try:
        yield
    except ValueError as error:
        if "Errors:" not in str(error):
            raise
        raise UsageError(innermost_reason(str(error))) from error


def _state(path: Path, spec: CIFARSpec | None) -> str:
    """Say what is wrong with a folder in which there are no images."""
    if not path.exists():
        return "does not exist"
    return f"has no {spec.name} in it" if spec and not holds_nothing(path) else "is empty"


def _with_absolute_paths(value: Any) -> Any:
    """Return a value with absolute paths, in place of any ``Path`` in it and any text such as ``~/runs``."""
    if isinstance(value, Path):
        return absolute_path(value)
    if isinstance(value, str) and is_to_be_expanded(value):
        return str(absolute_path(value))  # such as default_root_dir, which may be either
    if isinstance(value, (Namespace, dict)):
        for key, item in vars(value).items() if isinstance(value, Namespace) else value.items():
            value[key] = _with_absolute_paths(item)
    return [_with_absolute_paths(item) for item in value] if isinstance(value, list) else value


def _plain(value: Any) -> Any:
    """Return a value in plain types, with lists for tuples, which YAML does not have, and functions by their names."""
    if inspect.isfunction(value):
        return import_path(value)
    if isinstance(value, Namespace):
        value = value.as_dict()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value
