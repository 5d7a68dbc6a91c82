"""Going on with a schedule in a run of another length."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from lightning.pytorch import Trainer
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from optimcifar.optim.horizons import steps_after
from optimcifar.optim.types import LRInterval

#: What a checkpoint calls the values of ``run_so_far``.
OPEN_SCHEDULE = "open_schedule"


def run_so_far(trainer: Trainer, interval: LRInterval, length: int) -> dict[str, int]:
    """Return the length that a schedule has got, how many epochs are over, and how many steps they had."""
    loop = trainer.fit_loop
    epochs = loop.epoch_progress.current.ready - (not loop.epoch_loop.batch_progress.is_last_batch)
    return {"length": length, "epochs": epochs, "steps": steps_after(trainer, interval, epochs)}


def replay(checkpoint: dict[str, Any], optimizer: Optimizer, scheduler: LRScheduler, length: int) -> None:
    """Put a checkpoint's schedule where a schedule of another length would be after as many steps.

    Replaces the schedule's state, and the options of the parameter groups that a schedule sets, such as the rate. The
    optimizer's state stays.

    Args:
        checkpoint: Lightning's checkpoint, which is changed.
        optimizer: a new optimizer like the checkpoint's.
        scheduler: its new schedule.
        length: the length of the run that goes on, which the new schedule has got.
    """
    saved = (checkpoint.get("lr_schedulers") or [{}])[0]
    if saved.keys() != scheduler.state_dict().keys():
        return  # a checkpoint of weights only, or one in which weight averaging has replaced the schedule
    if saved["last_epoch"] > length:
        return  # the run is over: Lightning says so
    groups = optimizer.param_groups
    # An optimizer may keep state of its own among its options: only what the schedule adds or changes is replaced.
    scheduled = {"lr"} | {name for group in groups for name in group if name not in optimizer.defaults}
    with stepping_alone():
        for _ in range(saved["last_epoch"]):
            before = [dict(group) for group in groups]
            scheduler.step()
            scheduled |= {name for pair in zip(before, groups, strict=True) for name in _changed(*pair)}
    for group, saved_group in zip(groups, checkpoint["optimizer_states"][0]["param_groups"], strict=True):
        saved_group.update({name: group[name] for name in group if name in scheduled - {"params"}})
    checkpoint["lr_schedulers"] = [scheduler.state_dict()]


@contextmanager
def stepping_alone() -> Iterator[None]:
    """Silence PyTorch's warning about a schedule that steps before its optimizer."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")
        yield


def _changed(before: dict[str, Any], after: dict[str, Any]) -> set[str]:
    return {name for name, value in before.items() if name != "params" and after[name] != value}
