"""What a run prints: a description at the start, one line per epoch, and a progress bar on a terminal."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.utilities.types import LRSchedulerConfig
from rich.text import Text
from torch import nn
from torch.nn import UninitializedParameter

from optimcifar.callbacks.base import INDENT, EpochMetrics, device_name, print_line
from optimcifar.callbacks.descriptions import call_text, constructor_arguments, optimizer_arguments, schedule_text
from optimcifar.callbacks.weight_averages import WeightAverages
from optimcifar.data.datamodule import image_data
from optimcifar.optim.horizons import callbacks_of, run_length
from optimcifar.optim.schedule_notes import schedule_notes
from optimcifar.optim.types import LRInterval
from optimcifar.runs.folder import AVERAGES
from optimcifar.text import count

# The metrics that every line shows, in this order.
_METRICS = {
    "lr": "lr {:<8.4g}",
    "train_loss": "train loss {:.4f}",
    "val_loss": "val loss {:.4f}",
    "val_acc": "val acc {:.4f}",
    **{f"val_acc_{name}": f"{name} acc {{:.4f}}" for name in AVERAGES},
    "seconds": "{:.1f} s",
}


# What belongs to the line above stands below its text.
_INDENT = " " * INDENT


class EpochBar(TQDMProgressBar):
    """A progress bar for the current epoch, test or predictions, which disappears at their end.

    It shows no metrics: ``EpochLines`` prints them.
    """

    def __init__(self) -> None:
        # Drawing the bar takes as long as several steps of a small network; every tenth step looks just as smooth.
        super().__init__(refresh_rate=10)

    def init_train_tqdm(self) -> Tqdm:
        """Return the bar of the training steps."""
        return _vanishing(super().init_train_tqdm())

    def init_validation_tqdm(self) -> Tqdm:
        """Return an invisible bar: validation takes a moment."""
        return Tqdm(disable=True)

    def init_test_tqdm(self) -> Tqdm:
        """Return the bar of a test."""
        return _vanishing(super().init_test_tqdm())

    def init_predict_tqdm(self) -> Tqdm:
        """Return the bar of predictions."""
        return _vanishing(super().init_predict_tqdm())

    def on_train_epoch_start(self, trainer: Trainer, *args: Any) -> None:
        """Start the bar again."""
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(_epoch(trainer, trainer.current_epoch + 1))

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return nothing: ``EpochLines`` prints the metrics."""
        return {}


class EpochLines(EpochMetrics):
    """Prints what will run when training starts, then one line after each epoch.

    Optimizers and schedules are shown with all their arguments, whatever their classes; a terminal dims those that have
    the class's default. A line shows the metrics that ``ImageClassifier`` and ``RunSummary`` log, where they are
    logged, and those of any module that are logged with ``prog_bar=True``. Works with every module and every Trainer.
    """

    def __init__(self) -> None:
        super().__init__()
        self._trained = False  # in this fit

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the network, the data, the optimizers, the schedules and the averaging."""
        self._trained = False
        print_line(_network_and_data(trainer, pl_module))
        for optimizer in trainer.optimizers:
            print_line(Text("optimizer  ").append_text(call_text(optimizer, optimizer_arguments(optimizer))))
            for number, group in enumerate(optimizer.param_groups[1:], start=2):
                print_line(f"{_INDENT}group {number}: {_group_options(group, optimizer.defaults)}")
        for line in schedule_lines(trainer):
            print_line(line)
        for callback in callbacks_of(trainer):
            if isinstance(callback, (StochasticWeightAveraging, WeightAverages)):
                print_line(Text("averaging  ").append_text(call_text(callback, constructor_arguments(callback))))

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line of the epoch before: only now are all of its metrics known."""
        self._print_last_epoch(trainer)
        super().on_train_epoch_start(trainer, pl_module)

    def on_train_batch_end(self, *args: Any) -> None:
        """Note that there is an epoch to print, whether the module logs anything or not."""
        self._trained = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line of the last epoch."""
        self._print_last_epoch(trainer)

    def _print_last_epoch(self, trainer: Trainer) -> None:
        # A run that goes on between two epochs starts with an epoch that it neither trained nor measured.
        if trainer.current_epoch and (self._trained or trainer.callback_metrics):
            print_line(_epoch_line(trainer, self.epoch_metrics(trainer)))


def _vanishing(bar: Tqdm) -> Tqdm:
    """Have a bar disappear when it is closed."""
    bar.leave = False
    return bar


def schedule_lines(trainer: Trainer) -> list[Text]:
    """Describe a run's schedules in a line each, followed by notes where one does not fit the run's length."""
    lines = []
    make = getattr(trainer.lightning_module, "lr_scheduler", None)
    for config in trainer.lr_scheduler_configs:
        described = schedule_text(config.scheduler, make)
        lines.append(Text.assemble("schedule   ", described, f", {_when_it_steps(trainer, config)}"))
        interval: LRInterval = config.interval  # type: ignore[assignment]  # Lightning takes one of the two
        # The length of a schedule that steps less often, or when the module says so, is not in the run's units.
        known = trainer.lightning_module.automatic_optimization and config.frequency == 1
        length = run_length(trainer, interval) if known else None
        notes = schedule_notes(config.scheduler, length, interval) if length else ()
        lines += [Text(f"{_INDENT}note: {note}") for note in notes]
    return lines or [Text("schedule   none")]


def _when_it_steps(trainer: Trainer, config: LRSchedulerConfig) -> str:
    if not trainer.lightning_module.automatic_optimization:
        return "stepped by the module"
    return f"every {config.interval if config.frequency == 1 else count(config.frequency, config.interval)}"


def _network_and_data(trainer: Trainer, pl_module: LightningModule) -> str:
    net = getattr(pl_module, "net", None)
    net = net if isinstance(net, nn.Module) else pl_module
    text = f"{type(net).__name__}, {_parameter_count(net)}"
    if data := image_data(trainer):
        text += f", on {data.dataset_name}: {count(len(data.train_positions), 'training image')}"
        text += f" ({data.augmentation})" if data.augmentation else ""
        text += f", {len(data.val_positions):,} for validation, seed {data.seed}"
    return f"{text}; {device_name(trainer)}"


def _parameter_count(net: nn.Module) -> str:
    parameters = list(net.parameters())
    if any(isinstance(parameter, UninitializedParameter) for parameter in parameters):
        return "parameters unknown before the first batch"
    return count(sum(parameter.numel() for parameter in parameters), "parameter")


def _epoch(trainer: Trainer, number: int) -> str:
    if trainer.max_epochs in (None, -1):
        return f"epoch {number}"
    return f"epoch {number:{len(str(trainer.max_epochs))}}/{trainer.max_epochs}"


def _epoch_line(trainer: Trainer, metrics: dict[str, float]) -> str:
    parts = [_epoch(trainer, trainer.current_epoch)]
    parts += [form.format(metrics[name]) for name, form in _METRICS.items() if name in metrics]
    for name in trainer.progress_bar_metrics:
        own = name in metrics and name.removesuffix("_epoch") not in _METRICS
        if own and not name.endswith("_step"):  # the last step's value, beside that of the epoch
            parts.append(f"{name} {metrics[name]:.4g}")
    return "  ".join(parts)


def _group_options(group: dict[str, Any], defaults: dict[str, Any]) -> str:
    """Write the size of a parameter group, and those of its options that differ from the optimizer's."""
    own = [f"{name}={value!r}" for name, value in group.items() if name != "params" and value != defaults.get(name)]
    return ", ".join([count(len(group["params"]), "parameter"), *own])
