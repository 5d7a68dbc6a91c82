"""The length of a schedule and the length of a run."""

from __future__ import annotations

import inspect
import math
from functools import partial
from typing import Any

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import GradientAccumulationScheduler, StochasticWeightAveraging
from torch.optim.lr_scheduler import ChainedScheduler, LRScheduler

from optimcifar.optim.types import LRInterval, LRSchedulerCallable

#: Arguments that set a schedule's length.
HORIZONS = ("T_max", "total_iters", "total_steps")


def missing_horizon(make: LRSchedulerCallable) -> str | None:
    """Return the name of the length argument that ``make`` leaves out, or None.

    ``make`` is a schedule's class, or a ``partial`` of one. PyTorch's default of five does not count as given.
    """
    keywords: dict[str, Any] = make.keywords if isinstance(make, partial) else {}
    kind = schedule_class(make)
    if kind is None or keywords.get("epochs") is not None:  # OneCycleLR's alternative, with steps_per_epoch
        return None
    names = {*keywords, *inspect.signature(kind).parameters}  # a class may pass **kwargs on
    return next((name for name in HORIZONS if name in names and keywords.get(name) is None), None)


def with_horizon(make: LRSchedulerCallable, length: int | None) -> LRSchedulerCallable:
    """Return ``make`` with its length argument set to ``length`` if it leaves one out.

    Raises:
        ValueError: the length argument is left out and ``length`` is None, or the schedule is PyTorch's
            ``ChainedScheduler``, which takes built schedules instead of an optimizer.
    """
    if schedule_class(make) is ChainedScheduler:
        raise ValueError("ChainedScheduler takes schedules that are already built: use optimcifar.ChainedSchedule")
    name = missing_horizon(make)
    if name is None:
        return make
    if length is None and not _combines_schedules(make):
        raise ValueError(
            f"{name} is left out and the run has no length to use instead: set max_epochs or max_steps, or {name}"
        )
    return partial(make, **{name: length})


def schedule_class(make: LRSchedulerCallable) -> type[LRScheduler] | None:
    """Return the class that ``make`` is, or is a ``partial`` of; None for any other function."""
    # A partial built from a configuration calls jsonargparse with the class as its first argument.
    candidates = (make.func, *make.args) if isinstance(make, partial) else (make,)
    kinds = (kind for kind in candidates if inspect.isclass(kind) and issubclass(kind, LRScheduler))
    return next(kinds, None)


def run_length(trainer: Trainer, interval: LRInterval) -> int | None:
    """Return the length of a run in epochs or optimizer steps, or None if it is not known before the run.

    Takes limited batches, accumulated gradients, several devices and ``max_steps`` into account.
    """
    epochs = _epochs(trainer)
    max_steps = math.inf if trainer.max_steps == -1 else trainer.max_steps
    if interval == "epoch" and math.isinf(max_steps):
        return None if math.isinf(epochs) else int(epochs)
    _count_batches(trainer)
    batches = trainer.num_training_batches
    if not batches or math.isinf(batches):  # infinite stands for a loader that does not know its length
        return None if interval == "epoch" or math.isinf(max_steps) else int(max_steps)
    if math.isinf(epochs) and math.isinf(max_steps):
        return None
    begun, steps = _epochs_and_steps(trainer)
    return begun if interval == "epoch" else int(min(steps, max_steps))


def whole_epochs(trainer: Trainer) -> float:
    """Return how many epochs a run ends, infinite if there is no limit; ``max_steps`` may cut the last one short.

    The number of batches must be known if ``max_steps`` is set.
    """
    if trainer.max_steps == -1:
        return _epochs(trainer)
    begun, steps = _epochs_and_steps(trainer)
    return begun - (steps > trainer.max_steps)


def _epochs_and_steps(trainer: Trainer) -> tuple[int, float]:
    """Return the number of epochs that a run starts, and of the steps in them if the last one is whole."""
    epochs, max_steps = _epochs(trainer), math.inf if trainer.max_steps == -1 else trainer.max_steps
    steps, epoch = _steps_made_otherwise(trainer), 0
    while steps < max_steps and epoch < epochs:
        steps += _steps_in_epoch(trainer, epoch)
        epoch += 1
    return epoch, steps


def _count_batches(trainer: Trainer) -> None:
    """Have Lightning set ``num_training_batches``."""
    if trainer.train_dataloader is None:
        trainer.fit_loop.setup_data()
        if trainer.ckpt_path:
            # Lightning restores a loader's position in its epoch only when it creates the loader: have it do so again.
            trainer.fit_loop._combined_loader = None


def steps_after(trainer: Trainer, interval: LRInterval, epochs: int) -> int:
    """Return how many optimizer steps a run has made after a number of epochs.

    0 for a schedule that counts epochs, and for a loader that does not know its length: such runs do not need it.
    """
    if interval == "epoch" or math.isinf(trainer.num_training_batches):
        return 0
    return _steps_made_otherwise(trainer) + sum(_steps_in_epoch(trainer, epoch) for epoch in range(epochs))


def _steps_made_otherwise(trainer: Trainer) -> int:
    """Return how many steps a checkpoint's run had made beyond those of this one: ``ImageClassifier`` knows."""
    steps: int = getattr(trainer.lightning_module, "steps_made_otherwise", 0)
    return steps


def _steps_in_epoch(trainer: Trainer, epoch: int) -> int:
    """Return how many optimizer steps an epoch has, counted from 0.

    ``trainer.estimated_stepping_batches`` does not know accumulation that changes by epoch.
    """
    factor: int = trainer.accumulate_grad_batches
    for callback in callbacks_of(trainer):
        if isinstance(callback, GradientAccumulationScheduler):
            factor = callback.get_accumulate_grad_batches(epoch)
    return math.ceil(trainer.num_training_batches / factor)


def _epochs(trainer: Trainer) -> float:
    """Return the number of epochs that train, infinite if there is no limit."""
    if trainer.max_epochs in (None, -1):
        return math.inf
    # Lightning's weight averaging adds an epoch that only updates BatchNorm, once the run starts.
    averaging = (callback for callback in callbacks_of(trainer) if isinstance(callback, StochasticWeightAveraging))
    added = any(getattr(callback, "_max_epochs", None) == trainer.max_epochs - 1 for callback in averaging)
    return trainer.max_epochs - added


def callbacks_of(trainer: Trainer) -> list[Callback]:
    """Return a trainer's callbacks, an attribute that Lightning does not declare."""
    callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
    return callbacks


def _combines_schedules(make: LRSchedulerCallable) -> bool:
    """Return whether a schedule is made of others; it needs a length only if one of them does."""
    kind = schedule_class(make)
    return kind is not None and "schedulers" in inspect.signature(kind).parameters
