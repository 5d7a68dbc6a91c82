"""The resolved settings of a run, as flat names and plain values."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, is_dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import Checkpoint, ModelSummary, ProgressBar
from torch import Tensor
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from optimcifar.callbacks.descriptions import constructor_arguments, optimizer_arguments
from optimcifar.data.datamodule import ImageDataModule
from optimcifar.optim.horizons import callbacks_of
from optimcifar.optim.schedules import schedule_parts
from optimcifar.runs.provenance import import_path

# What a trainer made in Python is asked for.
_TRAINER_SETTINGS = (
    *("max_epochs", "max_steps", "accumulate_grad_batches", "gradient_clip_val", "gradient_clip_algorithm"),
    *("precision", "limit_train_batches", "limit_val_batches"),
)


def hyperparameters(
    trainer: Trainer, pl_module: LightningModule, trainer_settings: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the resolved settings that decide a run's result, but for its seed, by flat name.

    Names are those of the command line without ``model.`` and ``init_args``: ``optimizer`` is the class,
    ``optimizer.lr`` its argument, ``trainer.callbacks.0`` the first callback. Values are plain: numbers, texts, None.
    Optimizers and schedules are read from the objects in use, so that defaults and lengths that nobody gave are there.
    The other classes' arguments are known from the command line, or from attributes of the same name.

    Args:
        trainer: the run's trainer, once training starts.
        pl_module: its module.
        trainer_settings: the trainer's settings by name; None reads the usual ones from the trainer.
    """
    configured = pl_module.hparams if "_instantiator" in pl_module.hparams else {}
    net = getattr(pl_module, "net", pl_module)
    tree = {
        "optimizer": _optimizer(trainer, configured.get("optimizer")),
        "lr_scheduler": _lr_scheduler(trainer, configured.get("lr_scheduler")),
        "lr_interval": trainer.lr_scheduler_configs[0].interval if trainer.lr_scheduler_configs else None,
        "param_groups": getattr(pl_module, "param_groups", None) or None,
        "net": configured.get("net") or _spec(type(net), constructor_arguments(net)),
        **({"compile": True} if pl_module.hparams.get("compile") else {}),
        "data": _data(trainer),
        "trainer": _from_trainer(trainer) if trainer_settings is None else trainer_settings,
    }
    return dict(flat_settings(tree))


def flat_settings(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Yield flat names and plain values of nested settings, in which a class is ``{"class_path", "init_args"}``."""
    value = _as_tree(value)
    if isinstance(value, dict) and "class_path" in value:
        yield name, value["class_path"]
        value = value.get("init_args") or {}
    if isinstance(value, dict):
        for key, item in value.items():
            yield from flat_settings(item, f"{name}.{key}" if name else str(key))
    elif isinstance(value, list) and any(isinstance(_as_tree(item), dict) for item in value):
        for position, item in enumerate(value):
            yield from flat_settings(item, f"{name}.{position}")
    else:
        yield name, value


def _as_tree(value: Any) -> Any:
    """Return a value as a dict, a list or something that JSON can hold."""
    if isinstance(value, (Tensor, Enum)):
        value = value.tolist() if isinstance(value, Tensor) else value.value
    if isinstance(value, partial):
        value = _spec(value.func, value.keywords)
    elif is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, (list, tuple)):
        return [_as_tree(item) for item in value]
    if value is None or isinstance(value, (int, str)) or (isinstance(value, float) and math.isfinite(value)):
        return value
    if isinstance(value, (float, Path)):
        return str(value)
    return import_path(value if hasattr(value, "__qualname__") else type(value))


def _spec(cls: Any, arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {"class_path": import_path(cls), "init_args": dict(arguments)}


def _optimizer(trainer: Trainer, configured: Mapping[str, Any] | str | None) -> dict[str, Any] | None:
    if not trainer.optimizers:
        return None
    optimizer = trainer.optimizers[0]
    return _spec(type(optimizer), _init_args(configured) | optimizer_arguments(optimizer))


def _lr_scheduler(trainer: Trainer, configured: Mapping[str, Any] | str | None) -> dict[str, Any] | None:
    configs = trainer.lr_scheduler_configs
    return _schedule(configs[0].scheduler, configured) if configs else None


def _schedule(schedule: LRScheduler | ReduceLROnPlateau, configured: Mapping[str, Any] | str | None) -> dict[str, Any]:
    arguments = _init_args(configured)
    parts = schedule_parts(schedule)
    part_configs = arguments.pop("schedulers", None) or [None] * len(parts)
    arguments |= {name: value for name, value in constructor_arguments(schedule).items() if name != "schedulers"}
    if parts:
        arguments["schedulers"] = [_schedule(*pair) for pair in zip(parts, part_configs, strict=True)]
    return _spec(type(schedule), arguments)


def _init_args(configured: Mapping[str, Any] | str | None) -> dict[str, Any]:
    """Return the arguments given to a class; a function is configured by its import path alone, and takes none."""
    return dict(configured.get("init_args") or {}) if isinstance(configured, Mapping) else {}


def _data(trainer: Trainer) -> dict[str, Any]:
    data = getattr(trainer, "datamodule", None)
    if data is None:
        batch_size = getattr(trainer.train_dataloader, "batch_size", None)
        return {"batch_size": batch_size}
    own = {name: value for name, value in data.hparams.items() if not name.startswith("_") and name != "seed"}
    if isinstance(data, ImageDataModule) and data.transform is not None:
        # They leave out one that was made in Python.
        own.setdefault("transform", " ".join(str(data.transform).split()))
    return _spec(type(data), own)


def _from_trainer(trainer: Trainer) -> dict[str, Any]:
    others = [c for c in callbacks_of(trainer) if not isinstance(c, (Checkpoint, ModelSummary, ProgressBar))]
    settings: dict[str, Any] = {name: getattr(trainer, name) for name in _TRAINER_SETTINGS}
    return settings | {"callbacks": [_spec(type(c), constructor_arguments(c)) for c in others]}
