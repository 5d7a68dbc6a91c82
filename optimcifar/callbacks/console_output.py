"""What a run prints: a description at the start, one line per epoch, and a progress bar on a terminal."""

from __future__ import annotations

from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.utilities import rank_zero_only
from tqdm import tqdm

from optimcifar.callbacks.base import EpochMetrics, device_name
from optimcifar.callbacks.descriptions import call_text, constructor_arguments, schedule_text
from optimcifar.callbacks.weight_averages import WeightAverages
from optimcifar.data.datamodule import image_data
from optimcifar.optim.horizons import callbacks_of, run_length
from optimcifar.optim.schedule_notes import check_reaches_end, schedule_notes
from optimcifar.optim.types import LRInterval
from optimcifar.runs.folder import AVERAGES
from optimcifar.text import count


class EpochBar(TQDMProgressBar):
    """A progress bar for the current epoch, which disappears when the epoch ends."""

    def __init__(self) -> None:
        # Drawing the bar takes as long as several steps of a small network; every tenth step looks just as smooth.
        super().__init__(refresh_rate=10)

    def init_train_tqdm(self) -> Tqdm:
        """Return the bar of the training steps."""
        bar = super().init_train_tqdm()
        bar.leave = False
        return bar

    def init_validation_tqdm(self) -> Tqdm:
        """Return an invisible bar: validation takes a moment."""
        return Tqdm(disable=True)

    def on_train_epoch_start(self, trainer: Trainer, *args: Any) -> None:
        """Start the bar again."""
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(_epoch(trainer, trainer.current_epoch + 1))

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return nothing: the epochs' lines show the metrics."""
        return {}


class EpochLines(EpochMetrics):
    """Prints what will run when training starts, then one line after each epoch.

    Optimizer and schedule are shown with all their arguments, defaults included, whatever their classes.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the network, the data, the optimizer, the schedule and the averaging."""
        _print(_network_and_data(trainer, pl_module))
        for optimizer in trainer.optimizers:
            _print(f"optimizer  {call_text(optimizer, optimizer.defaults)}")
            for number, group in enumerate(optimizer.param_groups[1:], start=2):
                _print(f"           group {number}: {_group_options(group, optimizer.defaults)}")
        for line in schedule_lines(trainer):
            _print(line)
        for callback in callbacks_of(trainer):
            if isinstance(callback, (StochasticWeightAveraging, WeightAverages)):
                _print(f"averaging  {call_text(callback, constructor_arguments(callback))}")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line of the epoch before: only now are all of its metrics known."""
        if trainer.current_epoch and trainer.callback_metrics:
            _print(_epoch_line(trainer, self.epoch_metrics(trainer)))
        super().on_train_epoch_start(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line of the last epoch."""
        if trainer.callback_metrics:
            _print(_epoch_line(trainer, self.epoch_metrics(trainer)))


def schedule_lines(trainer: Trainer) -> list[str]:
    """Describe a run's schedule in a line, followed by notes where it does not fit the run's length.

    Raises:
        ValueError: the schedule ends before the run.
    """
    check_reaches_end(trainer)
    lines = []
    for config in trainer.lr_scheduler_configs:
        lines.append(f"schedule   {schedule_text(config.scheduler)}, every {config.interval}")
        interval: LRInterval = config.interval  # type: ignore[assignment]  # ImageClassifier sets one of the two
        length = run_length(trainer, interval)
        notes = schedule_notes(config.scheduler, length, interval) if length else ()
        lines += [f"           note: {note}" for note in notes]
    return lines or ["schedule   none, the learning rate is constant"]


@rank_zero_only
def _print(line: str) -> None:
    # Through tqdm, which keeps the line above a progress bar.
    tqdm.write(line)


def _network_and_data(trainer: Trainer, pl_module: LightningModule) -> str:
    net = getattr(pl_module, "net", pl_module)
    parameters = sum(parameter.numel() for parameter in net.parameters())
    text = f"{type(net).__name__}, {parameters:,} parameters"
    if data := image_data(trainer):
        text += f", on {data.dataset_name}: {len(data.train_positions):,} training images"
        text += f", {len(data.val_positions):,} for validation, seed {data.seed}"
    return f"{text}; {device_name(trainer)}"


def _epoch(trainer: Trainer, number: int) -> str:
    if trainer.max_epochs in (None, -1):
        return f"epoch {number}"
    return f"epoch {number:{len(str(trainer.max_epochs))}}/{trainer.max_epochs}"


def _epoch_line(trainer: Trainer, metrics: dict[str, float]) -> str:
    text = f"{_epoch(trainer, trainer.current_epoch)}  lr {metrics.get('lr', float('nan')):<9.4g}"
    text += f" train loss {metrics.get('train_loss', float('nan')):.4f}"
    if "val_loss" in metrics:
        text += f"  val loss {metrics['val_loss']:.4f}  val acc {metrics['val_acc']:.4f}"
    for name in AVERAGES:
        if f"val_acc_{name}" in metrics:
            text += f"  {name} acc {metrics[f'val_acc_{name}']:.4f}"
    return f"{text}  {metrics.get('seconds', float('nan')):.1f} s"


def _group_options(group: dict[str, Any], defaults: dict[str, Any]) -> str:
    """Write the size of a parameter group, and those of its options that differ from the optimizer's."""
    own = [f"{name}={value!r}" for name, value in group.items() if name != "params" and value != defaults.get(name)]
    return ", ".join([count(len(group["params"]), "parameter"), *own])
