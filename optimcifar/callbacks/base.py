"""What several callbacks share."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import is_dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_only
from rich.text import Text
from torch import Tensor
from torch.utils.hooks import RemovableHandle
from tqdm import tqdm

from optimcifar.console import OutputConsole
from optimcifar.runs.logger import run_folder

#: The width of ``optimizer  ``: how far the text of a line, and what belongs to it, is indented.
INDENT = len("optimizer  ")


@rank_zero_only
def print_line(line: Text | str) -> None:
    """Print a line above a progress bar: broken between words on a terminal, whole elsewhere."""
    tqdm.write(OutputConsole().layout(Text(line) if isinstance(line, str) else line, INDENT))


class EpochMetrics(Callback):
    """Base of the callbacks that read the metrics of an epoch.

    Lightning keeps the values of the last validation until the next one; an epoch without validation has none.
    """

    def __init__(self) -> None:
        self._validated = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget the validation of the epoch before."""
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the epoch has validation metrics."""
        self._validated = True

    def state_dict(self) -> dict[str, Any]:
        """Return whether the epoch has validation metrics."""
        return {"validated": self._validated}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on within the epoch of a checkpoint."""
        self._validated = state_dict.get("validated", False)

    def epoch_metrics(self, trainer: Trainer) -> dict[str, float]:
        """Return the metrics that the epoch logged, by name."""
        names = (name for name in trainer.callback_metrics if self._validated or not name.startswith("val_"))
        return {name: trainer.callback_metrics[name].item() for name in names}


class HookCallback(Callback):
    """Base of the callbacks that register hooks during training; removes them when training ends or fails."""

    def __init__(self) -> None:
        self.handles: list[RemovableHandle] = []

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Remove the hooks."""
        self.remove_hooks()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Remove the hooks."""
        self.remove_hooks()

    def remove_hooks(self) -> None:
        """Remove the hooks in ``handles``."""
        for handle in self.handles:
            handle.remove()
        self.handles = []


@runtime_checkable
class SummarySource(Protocol):
    """A callback that adds values to ``summary.json``."""

    def summary_values(self, trainer: Trainer) -> dict[str, Any]:
        """Return values that JSON can hold, by name."""


def goes_on(trainer: Trainer) -> bool:
    """Return whether a fit that begins goes on with the weights and the steps of the same trainer's last one."""
    return trainer.global_step > 0


def was_started(trainer: Trainer) -> bool:
    """Return whether the run's folder is that of a run which was started before, and is resumed."""
    folder = run_folder(trainer)
    return folder is not None and folder.summary.exists()


def batch_size(batch: Any) -> int:
    """Return the number of examples in a batch of any structure, that of the first tensor in it; 0 if it has none."""
    if isinstance(batch, Tensor):
        return len(batch) if batch.ndim else 1
    parts: Iterable[Any] = ()
    if isinstance(batch, Mapping):
        parts = batch.values()
    elif isinstance(batch, (tuple, list)):
        parts = batch
    elif is_dataclass(batch):
        parts = vars(batch).values()
    return next((size for part in parts if (size := batch_size(part))), 0)


def device_name(trainer: Trainer) -> str:
    """Return ``cpu`` or the name of the GPU, preceded by the number of processes if there are several: ``2 x cpu``."""
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return name if trainer.world_size == 1 else f"{trainer.world_size} x {name}"


def synchronized_time(device: torch.device) -> float:
    """Return ``time.perf_counter()``, in seconds, after the device has finished its queued work."""
    if device.type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter()
