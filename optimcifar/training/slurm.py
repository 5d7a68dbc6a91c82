"""Refuse a run that SLURM starts more or fewer times than it has devices."""

from __future__ import annotations

import os

from lightning.fabric.plugins.environments.slurm import SLURMEnvironment
from lightning.pytorch import Trainer

from optimcifar.errors import UsageError


def refuse_unsupported_tasks() -> None:
    """Refuse several tasks that were asked for in a way that Lightning does not support, before it does so.

    Raises:
        UsageError: there are several tasks, and SLURM does not say how many of them a node has.
    """
    if _tasks() > 1 and "SLURM_NTASKS_PER_NODE" not in os.environ:
        raise _refusal()


def refuse_idle_tasks(trainer: Trainer) -> None:
    """Refuse several tasks for a run of another number of devices: each would train the whole run, or wait for more.

    Raises:
        UsageError: there are several tasks, and not one for each device.
    """
    if _tasks() > 1 and _tasks() != trainer.num_devices * trainer.num_nodes:
        raise _refusal()


def _tasks() -> int:
    """Return how many tasks SLURM starts, as Lightning sees it; 1 without SLURM, and in its interactive jobs."""
    return int(os.environ["SLURM_NTASKS"]) if SLURMEnvironment.detect() else 1


def _refusal() -> UsageError:
    tasks = _tasks()
    return UsageError(
        f"SLURM starts {tasks} tasks (SLURM_NTASKS), one for each device of a run: for one device, put srun --ntasks 1 "
        f"before the command;\nfor {tasks}, use sbatch --nodes M --ntasks-per-node N, srun, --trainer.num_nodes M and "
        "--trainer.devices N"
    )
