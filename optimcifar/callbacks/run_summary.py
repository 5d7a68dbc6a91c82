"""What a run was, how it ended and what it cost: ``summary.json``."""

from __future__ import annotations

import hashlib
import json
import math
import os
import platform
import sys
import time
from importlib.metadata import version
from typing import Any, TypeVar

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.utilities.exceptions import SIGTERMException

from optimcifar.callbacks.divergence import StopAtDivergence
from optimcifar.callbacks.optimizer_cost import OptimizerCost
from optimcifar.data.datamodule import image_data
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.logger import RunLogger, run_folder, short

_Kind = TypeVar("_Kind", bound=Callback)


class EpochMetrics(Callback):
    """Base of the callbacks that show what an epoch came to.

    Lightning keeps the last validation's values until the next one: they are no part of an epoch that had none.
    """

    def __init__(self) -> None:
        self._validated = False

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that the epoch has no validation values yet."""
        self._validated = False

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note that it has."""
        self._validated = True

    def epoch_metrics(self, trainer: Trainer) -> dict[str, float]:
        """Return the values that the epoch logged, by name."""
        names = (name for name in trainer.callback_metrics if self._validated or not name.startswith("val_"))
        return {name: trainer.callback_metrics[name].item() for name in names}


class RunSummary(EpochMetrics):
    """Measures the run and writes ``summary.json`` into its folder, when training starts and when it ends.

    ``status`` is ``running`` until then ``finished``, ``diverged`` (the last training loss is not finite),
    ``interrupted`` or ``failed``. Hashes of the initial weights and of the first epoch's image order show whether
    two runs started alike.

    Attributes:
        values: what the file holds.
    """

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[str, Any] = {}
        self._hashes: dict[str, str] = {}
        self._lr_scheduler: str | None = None
        self._train_seconds = 0.0
        self._images = 0
        self._epoch_start = self._validation_start = 0.0
        self._epoch_ended = False
        self._finite: dict[str, float] = {}  # every metric's last finite value, of the epochs before this one
        # The metrics of the checkpoint's epoch: it is written before their row of metrics.csv.
        self._row: dict[str, Any] | None = None

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the hashes: from here on weights may come from a checkpoint."""
        if stage == "fit":
            self._hashes["initial_weights_sha256"] = _sha256(*pl_module.state_dict().values())
            if data := image_data(trainer):
                self._hashes["first_epoch_order_sha256"] = _sha256(data.train_order(0))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is known."""
        # Now, before weight averaging puts a schedule of its own in the place of the selected one; a resumed run may
        # know it from its checkpoint only.
        if trainer.lr_scheduler_configs and self._lr_scheduler is None:
            self._lr_scheduler = import_path(type(trainer.lr_scheduler_configs[0].scheduler))
        if self._row and isinstance(trainer.logger, RunLogger):
            trainer.logger.restore(**self._row)
        self._write(trainer, pl_module, "running")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._finite |= _finite(self.epoch_metrics(trainer))
        super().on_train_epoch_start(trainer, pl_module)
        self._epoch_ended = False
        self._epoch_start = _now(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._validation_start = _now(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the clock go on."""
        super().on_validation_end(trainer, pl_module)
        self._epoch_start += _now(trainer) - self._validation_start

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Count images."""
        self._images += len(batch[0])

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log the epoch's seconds."""
        seconds = _now(trainer) - self._epoch_start
        self._train_seconds += seconds
        self._epoch_ended = True
        pl_module.log("seconds", seconds)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the final values."""
        loss = trainer.callback_metrics.get("train_loss")
        diverged = _diverged_step(trainer) is not None or (loss is not None and not math.isfinite(loss))
        self._write(trainer, pl_module, "diverged" if diverged else "finished")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what was reached, if training had started."""
        if self.values:
            interrupted = isinstance(exception, (KeyboardInterrupt, SIGTERMException))
            self._write(trainer, pl_module, "interrupted" if interrupted else "failed")

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the epoch's metrics, where it ends here."""
        if self._epoch_ended:
            row = {"metrics": self.epoch_metrics(trainer), "epoch": trainer.current_epoch + 1}
            checkpoint["callbacks"][self.state_key]["row"] = row | {"step": trainer.global_step}

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run can't measure again."""
        return {
            "hashes": self._hashes,
            "lr_scheduler": self._lr_scheduler,
            "train_seconds": self._train_seconds,
            "images": self._images,
            "finite": self._finite,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the values of the checkpoint."""
        self._hashes = state_dict["hashes"]
        self._lr_scheduler = state_dict["lr_scheduler"]
        self._train_seconds = state_dict["train_seconds"]
        self._images = state_dict["images"]
        self._row = state_dict.get("row")
        self._finite = state_dict["finite"] | _finite(self._row["metrics"] if self._row else {})

    def _write(self, trainer: Trainer, pl_module: LightningModule, status: str) -> None:
        self.values = {
            "status": status,
            "optimizer": import_path(type(trainer.optimizers[0])) if trainer.optimizers else None,
            "lr_scheduler": self._lr_scheduler,
            **_selection(trainer, pl_module),
            "max_epochs": trainer.max_epochs,
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            **dict.fromkeys(("train_loss", "train_acc", "val_loss", "val_acc")),
            **_final(self.epoch_metrics(trainer)),
            "train_seconds": round(self._train_seconds, 3),
            "images_per_second": self._images_per_second(trainer),
            **self._cost(trainer),
            "diverged_step": _diverged_step(trainer),
            "last_finite": self._last_finite(trainer) if status == "diverged" else None,
            "device": device_name(trainer),
            "threads": torch.get_num_threads(),
            **self._hashes,
            "versions": versions(),
        }
        if folder := run_folder(trainer):
            write_atomically(folder / "summary.json", json.dumps(self.values, indent=2) + "\n")

    def _cost(self, trainer: Trainer) -> dict[str, float | int | None]:
        """Return what the optimizer cost, where an ``OptimizerCost`` measured it."""
        cost = _callback(trainer, OptimizerCost)
        return cost.values(trainer.optimizers[0]) if cost and trainer.optimizers else {}

    def _last_finite(self, trainer: Trainer) -> dict[str, float]:
        """Return the last finite values: the batch's loss as ``loss``, and every metric of an epoch."""
        callback = _callback(trainer, StopAtDivergence)
        loss = callback.last_finite_loss if callback else None
        metrics = self._finite | _finite(self.epoch_metrics(trainer))
        return metrics if loss is None else {"loss": short(loss), **metrics}

    def _images_per_second(self, trainer: Trainer) -> float | None:
        images = self._images * trainer.world_size
        return round(images / self._train_seconds, 1) if self._train_seconds else None


def _diverged_step(trainer: Trainer) -> int | None:
    callback = _callback(trainer, StopAtDivergence)
    return callback.step if callback else None


def _callback(trainer: Trainer, kind: type[_Kind]) -> _Kind | None:
    """Return the trainer's callback of a class, or None where it has none."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return next((callback for callback in callbacks if isinstance(callback, kind)), None)


def _selection(trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
    """Return the network, the seed and the data."""
    seed = os.environ.get("PL_GLOBAL_SEED")
    values: dict[str, Any] = {
        "net": import_path(type(getattr(pl_module, "net", pl_module))),
        "seed": None if seed is None else int(seed),
        "dataset": type(getattr(trainer, "datamodule", None)).__name__,
    }
    if data := image_data(trainer):
        values["dataset"] = data.dataset_name
        values["train_images"] = len(data.train_positions)
        values["val_images"] = len(data.val_positions)
    return values


def _final(metrics: dict[str, float]) -> dict[str, float | None]:
    """Return the metrics that a run ended with; JSON has no word for one that is not finite, so that is None."""
    ended = dict.fromkeys(name for name in metrics if name not in ("lr", "seconds"))
    return ended | _finite(metrics)


def _finite(metrics: dict[str, float]) -> dict[str, float]:
    ended = {name: value for name, value in metrics.items() if name not in ("lr", "seconds")}
    return {name: short(value) for name, value in ended.items() if math.isfinite(value)}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    packages = ("optimcifar", "torch", "torchvision", "lightning", "torchmetrics")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def device_name(trainer: Trainer) -> str:
    """Return ``cpu``, or the name of the GPU; with the number of processes where there are several."""
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return name if trainer.world_size == 1 else f"{trainer.world_size} x {name}"


def _sha256(*tensors: torch.Tensor) -> str:
    digest = hashlib.sha256()
    for tensor in tensors:
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def import_path(cls: type) -> str:
    """Return the shortest path by which a class can be imported: ``torch.optim.SGD``, not ``torch.optim.sgd.SGD``."""
    parts = cls.__module__.split(".")
    paths = (".".join(parts[:n]) for n in range(1, len(parts)))
    found = (path for path in paths if getattr(sys.modules.get(path), cls.__name__, None) is cls)
    return f"{next(found, cls.__module__)}.{cls.__qualname__}"


def _now(trainer: Trainer) -> float:
    """Return the time in seconds once the device has done all that was asked of it."""
    if trainer.strategy.root_device.type != "cpu":
        torch.accelerator.synchronize()
    return time.perf_counter()
