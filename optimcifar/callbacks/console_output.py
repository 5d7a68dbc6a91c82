"""What a person sees while a run is under way."""

from __future__ import annotations

import inspect
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging, TQDMProgressBar
from lightning.pytorch.callbacks.progress.tqdm_progress import Tqdm
from lightning.pytorch.utilities import rank_zero_only
from torch.optim.lr_scheduler import ChainedScheduler, SequentialLR
from tqdm import tqdm

from optimcifar.callbacks.averaging import WeightAverages
from optimcifar.callbacks.run_summary import EpochMetrics, device_name, import_path
from optimcifar.data.datamodule import image_data
from optimcifar.optim.horizons import run_length
from optimcifar.optim.schedule_notes import schedule_notes
from optimcifar.optim.types import LRInterval
from optimcifar.runs.folder import AVERAGES
from optimcifar.text import count


class EpochBar(TQDMProgressBar):
    """A progress bar for the epoch under way, which leaves nothing behind."""

    def __init__(self) -> None:
        # Drawing the bar costs as much as several steps of a small network: every tenth is often enough for an eye.
        super().__init__(refresh_rate=10)

    def init_train_tqdm(self) -> Tqdm:
        """Return the bar of the training steps."""
        bar = super().init_train_tqdm()
        bar.leave = False
        return bar

    def init_validation_tqdm(self) -> Tqdm:
        """Return no visible bar: validation takes a moment."""
        return Tqdm(disable=True)

    def on_train_epoch_start(self, trainer: Trainer, *args: Any) -> None:
        """Begin the bar anew."""
        super().on_train_epoch_start(trainer, *args)
        self.train_progress_bar.set_description(_epoch(trainer, trainer.current_epoch + 1))

    def get_metrics(self, trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
        """Return nothing: the epochs' lines have the metrics."""
        return {}


class EpochLines(EpochMetrics):
    """Prints what will run when training starts, and one line after every epoch.

    With an optimizer and a scheduler of any class: all their arguments are shown, those that nobody set as well.
    """

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the network, the data, the optimizer and the schedule."""
        _print(_describe_run(trainer, pl_module))
        for optimizer in trainer.optimizers:
            _print(f"optimizer  {_call(optimizer, optimizer.defaults)}")
            for number, group in enumerate(optimizer.param_groups[1:], start=2):
                _print(f"           group {number}: {_own_options(group, optimizer.defaults)}")
        for line in schedule_lines(trainer):
            _print(line)
        for callback in trainer.callbacks:  # type: ignore[attr-defined]
            if isinstance(callback, (StochasticWeightAveraging, WeightAverages)):
                _print(f"averaging  {_call(callback, _attributes(callback))}")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line of the epoch before: only now are all of its values there."""
        if trainer.current_epoch and trainer.callback_metrics:
            _print(_epoch_line(trainer, self.epoch_metrics(trainer)))
        super().on_train_epoch_start(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the line of the last epoch."""
        if trainer.callback_metrics:
            _print(_epoch_line(trainer, self.epoch_metrics(trainer)))


def schedule_lines(trainer: Trainer) -> list[str]:
    """Say what schedule a run has, and what a person would want to know of it beside the run's length.

    Raises:
        ValueError: the schedule ends before the run.
    """
    lines = []
    for config in trainer.lr_scheduler_configs:
        lines.append(f"schedule   {_schedule(config.scheduler)}, every {config.interval}")
        interval: LRInterval = config.interval  # type: ignore[assignment]  # one of the two by our own choice
        length = run_length(trainer, interval)
        found = schedule_notes(config.scheduler, length, interval) if length else ()
        lines += [f"           note: {remark}" for remark in found]
    return lines or ["schedule   none, the learning rate is constant"]


@rank_zero_only
def _print(line: str) -> None:
    # Through tqdm, which keeps the line above a bar that may be there.
    tqdm.write(line)


def _describe_run(trainer: Trainer, pl_module: LightningModule) -> str:
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


def _call(instance: object, arguments: dict[str, Any]) -> str:
    listed = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
    return f"{import_path(type(instance))}({listed})"


def _own_options(group: dict[str, Any], defaults: dict[str, Any]) -> str:
    """Write how many parameters a group has, and which options it has that are not the optimizer's own."""
    own = [f"{name}={value!r}" for name, value in group.items() if name != "params" and value != defaults.get(name)]
    return ", ".join([count(len(group["params"]), "parameter"), *own])


def _schedule(scheduler: object) -> str:
    """Write a schedule as the call that makes it, with those that it is made of."""
    arguments = _attributes(scheduler)
    if isinstance(scheduler, (SequentialLR, ChainedScheduler)):
        parts = ", ".join(_schedule(part) for part in scheduler._schedulers)
        arguments = {name: value for name, value in arguments.items() if name == "milestones"}
        listed = "".join(f", {name}={value!r}" for name, value in arguments.items())
        return f"{import_path(type(scheduler))}([{parts}]{listed})"
    return _call(scheduler, arguments)


def _attributes(instance: object) -> dict[str, Any]:
    """Return those of the constructor's arguments that the instance keeps under their name, bare or with a ``_``."""
    found: dict[str, Any] = {}
    for name in inspect.signature(type(instance)).parameters:
        for attribute in (name, f"_{name}"):
            if hasattr(instance, attribute) and name not in ("optimizer", "last_epoch"):
                found.setdefault(name, getattr(instance, attribute))
    return found
