"""What a training run leaves behind: its folder, ``metrics.csv`` and ``summary.json``."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import math
import os
import platform
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers import CSVLogger
from lightning.pytorch.utilities import rank_zero_only
from lightning.pytorch.utilities.exceptions import SIGTERMException

from optimcifar.datamodule import image_data

#: The columns that every ``metrics.csv`` has, in this order; others follow.
COLUMNS = ("epoch", "step", "lr", "train_loss", "train_acc", "val_loss", "val_acc", "seconds")


def write_whole(path: Path, text: str) -> None:
    """Write a text file beside its place and rename it there: whoever reads finds all of the old or of the new."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        part.write_text(text, encoding="utf-8", newline="")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def short(value: float) -> float:
    """Return the shortest decimal number that stands for the same float32: 0.01, not 0.009999999776482582."""
    return float(str(np.float32(value)))


class RunLogger(CSVLogger):
    """Writes ``metrics.csv`` with one row per epoch into a folder that no other run has.

    Lightning's CSVLogger writes an epoch's training and validation values as two rows, and clears a folder that
    already has some. Epochs are counted from 1, steps are those done by the end of the epoch, an accuracy is a
    fraction, ``seconds`` are those of training without validation.

    Args:
        save_dir: where the folder ``name`` is.
        name: the folder of all runs.
        version: the run's folder; None takes the next free ``version_<N>``.
    """

    def __init__(
        self, save_dir: str | Path = ".", name: str = "lightning_logs", version: int | str | None = None
    ) -> None:
        super().__init__(save_dir, name, version)
        self._rows: dict[int, dict[str, float]] = {}

    @property
    def version(self) -> int | str:
        """The run's folder: its number, or its name if it was given one. Asking makes the folder."""
        if self._version is None:
            self._version = self._claim_version() if _is_first_process() else self._get_next_version()
        return self._version

    @property
    def experiment(self) -> RunLogger:
        """The logger itself: no other object writes for it."""
        return self

    def log_hyperparams(self, params: object = None) -> None:
        """Write nothing: ``config.yaml`` has them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:  # type: ignore[override]
        """Add values to the row of their epoch, and write the file."""
        values = dict(metrics)
        # Whatever is logged without an epoch belongs to the one that was last spoken of.
        epoch = int(values.pop("epoch", max(self._rows, default=1) - 1)) + 1
        row = self._rows.setdefault(epoch, {})
        row |= {name: short(value) for name, value in values.items()} | {"step": (step or 0) + 1}
        self.save()

    @rank_zero_only
    def save(self) -> None:
        """Write all rows."""
        if not self._rows:
            return
        names = list(dict.fromkeys([*COLUMNS, *(name for row in self._rows.values() for name in row)]))
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"epoch": epoch} for epoch, row in sorted(self._rows.items()))
        write_whole(Path(self.log_dir) / "metrics.csv", text.getvalue())

    def finalize(self, status: str) -> None:
        """Do nothing: every row is written when it comes."""

    def discard_if_empty(self) -> None:
        """Remove the folder of a run that failed before it wrote anything."""
        if self._version is not None and _is_first_process():
            try:
                Path(self.log_dir).rmdir()
            except OSError:
                return  # it has files

    def _claim_version(self) -> int:
        root = Path(self.root_dir)
        root.mkdir(parents=True, exist_ok=True)
        while True:
            number = int(self._get_next_version())
            try:
                # Of two runs that start at the same moment, one makes the folder and the other takes the next.
                (root / f"version_{number}").mkdir()
            except FileExistsError:
                continue
            return number


class RunSummary(Callback):
    """Measures the run and writes ``summary.json`` into its folder, when training starts and when it ends.

    ``status`` is ``running`` until then ``finished``, ``diverged`` (the last training loss is not finite),
    ``interrupted`` or ``failed``. Hashes of the initial weights and of the first epoch's image order show whether
    two runs started alike.

    Attributes:
        values: what the file holds.
    """

    def __init__(self) -> None:
        self.values: dict[str, Any] = {}
        self._train_seconds = 0.0
        self._images = 0
        self._epoch_start = self._validation_start = 0.0

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Take the hashes: from here on weights may come from a checkpoint."""
        if stage == "fit":
            self.values |= {"initial_weights_sha256": weights_sha256(pl_module)}
            if data := image_data(trainer):
                self.values |= {"first_epoch_order_sha256": _sha256(data.train_order(0))}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is known."""
        self._write(trainer, pl_module, "running")

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock."""
        self._epoch_start = _now(trainer)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop the clock."""
        self._validation_start = _now(trainer)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Let the clock go on."""
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
        pl_module.log("seconds", seconds)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write the final values."""
        loss = trainer.callback_metrics.get("train_loss")
        self._write(trainer, pl_module, "finished" if loss is None or math.isfinite(loss) else "diverged")

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Write what was reached, if training had started."""
        if "status" in self.values:
            interrupted = isinstance(exception, (KeyboardInterrupt, SIGTERMException))
            self._write(trainer, pl_module, "interrupted" if interrupted else "failed")

    def state_dict(self) -> dict[str, Any]:
        """Return what a resumed run can't measure again."""
        hashes = {name: value for name, value in self.values.items() if name.endswith("sha256")}
        return {"hashes": hashes, "train_seconds": self._train_seconds, "images": self._images}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from the values of the checkpoint."""
        self.values |= state_dict["hashes"]
        self._train_seconds = state_dict["train_seconds"]
        self._images = state_dict["images"]

    def _write(self, trainer: Trainer, pl_module: LightningModule, status: str) -> None:
        values = {
            "status": status,
            **_selection(trainer, pl_module),
            "epochs": trainer.current_epoch,
            "steps": trainer.global_step,
            **dict.fromkeys(("train_loss", "train_acc", "val_loss", "val_acc")),
            **_final_metrics(trainer),
            "train_seconds": round(self._train_seconds, 3),
            "images_per_second": self._images_per_second(trainer),
            "device": device_name(trainer),
            "threads": torch.get_num_threads(),
            **{name: value for name, value in self.values.items() if name.endswith("sha256")},
            "versions": versions(),
        }
        self.values = values
        if folder := run_folder(trainer):
            write_whole(folder / "summary.json", json.dumps(values, indent=2) + "\n")

    def _images_per_second(self, trainer: Trainer) -> float | None:
        images = self._images * trainer.world_size
        return round(images / self._train_seconds, 1) if self._train_seconds else None


def _selection(trainer: Trainer, pl_module: LightningModule) -> dict[str, Any]:
    """Return what was run on what, as far as that is the run's own choice."""
    scheduler = trainer.lr_scheduler_configs[0].scheduler if trainer.lr_scheduler_configs else None
    seed = os.environ.get("PL_GLOBAL_SEED")
    values = {
        "optimizer": import_path(type(trainer.optimizers[0])) if trainer.optimizers else None,
        "lr_scheduler": None if scheduler is None else import_path(type(scheduler)),
        "net": import_path(type(getattr(pl_module, "net", pl_module))),
        "seed": None if seed is None else int(seed),
        "dataset": type(getattr(trainer, "datamodule", None)).__name__,
    }
    if data := image_data(trainer):
        values["dataset"] = data.dataset_name
        values["train_images"] = len(data.train_positions)
        values["val_images"] = len(data.val_positions)
    return values


def _final_metrics(trainer: Trainer) -> dict[str, float | None]:
    """Return the last epoch's metrics; JSON has no word for one that is not finite, so that is None."""
    metrics = {name: value.item() for name, value in trainer.callback_metrics.items() if name not in COLUMNS[:3]}
    metrics.pop("seconds", None)
    return {name: short(value) if math.isfinite(value) else None for name, value in metrics.items()}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    packages = ("optimcifar", "torch", "torchvision", "lightning", "torchmetrics")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def device_name(trainer: Trainer) -> str:
    """Return ``cpu``, or the name of the GPU; with the number of processes where there are several."""
    device = trainer.strategy.root_device
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
    return name if trainer.world_size == 1 else f"{trainer.world_size} x {name}"


def weights_sha256(module: torch.nn.Module) -> str:
    """Return the SHA-256 of a module's parameters and buffers, in the order of its state dict."""
    return _sha256(*module.state_dict().values())


def run_folder(trainer: Trainer) -> Path | None:
    """Return the folder of a run in its first process, and None in the others and where no logger has a folder.

    Unlike ``trainer.log_dir`` it waits for no other process, which may be the one that failed.
    """
    folder = getattr(trainer.logger, "log_dir", None)
    return Path(folder) if folder and trainer.is_global_zero else None


def _is_first_process() -> bool:
    return getattr(rank_zero_only, "rank", 0) == 0


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
