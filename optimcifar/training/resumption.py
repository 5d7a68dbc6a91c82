"""What a run keeps in a checkpoint, beside Lightning's own, to go on from it as if it had never stopped."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging
from torch import Tensor, nn

from optimcifar.optim.horizons import callbacks_of


def random_states() -> dict[str, Any]:
    """Return the states of all random generators, as values that ``torch.load(weights_only=True)`` reads."""
    version, internal, gauss = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "python": [version, list(internal), gauss],
        "numpy": [name, torch.from_numpy(np.asarray(keys).astype(np.int64)), *rest],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Restore the states of all random generators; those of GPUs only where there are as many."""
    torch.set_rng_state(states["torch"])
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])
    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), *rest))


def of_all_processes(trainer: Trainer, value: Any) -> list[Any]:
    """Return every process's value, by rank; a checkpoint is written by the first process alone."""
    if trainer.world_size == 1:
        return [value]
    values: list[Any] = [None] * trainer.world_size
    torch.distributed.all_gather_object(values, value)
    return values


def pending_gradients(trainer: Trainer, net: nn.Module) -> list[Tensor | None]:
    """Return the gradients that wait for more batches to be added to them; an empty list if none do."""
    progress = trainer.fit_loop.epoch_loop.batch_progress
    if progress.is_last_batch or progress.current.ready % trainer.accumulate_grad_batches == 0:
        return []
    return [parameter.grad for parameter in net.parameters()]


def restore_gradients(gradients: list[Tensor | None], net: nn.Module) -> None:
    """Restore pending gradients."""
    for parameter, gradient in zip(net.parameters(), gradients, strict=False):
        parameter.grad = None if gradient is None else gradient.to(parameter.device)


def monitored_values(trainer: Trainer) -> list[float | None]:
    """Return, for each schedule, the last value of the metric that it follows; None if it follows none."""
    metrics = trainer.callback_metrics
    names = (config.monitor if config.reduce_on_plateau else None for config in trainer.lr_scheduler_configs)
    return [metrics[name].item() if name in metrics else None for name in names]


def reopen_epoch(checkpoint: dict[str, Any], trainer: Trainer) -> None:
    """Change Lightning's counters in a checkpoint so that a resumed run skips nothing of an unfinished epoch.

    Lightning would begin a new epoch if ``max_steps`` or a callback ended the run in the middle of one, or if the
    checkpoint was written after the last batch of one. It would skip a validation that is due after the batch.
    """
    loop = checkpoint["loops"]["fit_loop"]
    batches, epochs = loop["epoch_loop.batch_progress"], loop["epoch_progress"]
    done = batches["current"]["processed"]
    over = batches["is_last_batch"] or done == trainer.num_training_batches
    if done > 0 and not over and epochs["current"]["processed"] == epochs["current"]["started"]:
        _count_down(epochs, "processed")
    if batches["current"]["completed"] == done:
        return  # not at the end of a batch
    epoch_loop, fetcher = trainer.fit_loop.epoch_loop, trainer.fit_loop._data_fetcher
    due = epoch_loop._should_check_val_fx(fetcher)  # type: ignore[arg-type]  # it is there: a batch was fetched
    if due:
        begun = dict.fromkeys(("ready", "started"), 1) | dict.fromkeys(("processed", "completed"), 0)
        loop["epoch_loop.val_loop.batch_progress"] |= {"total": begun, "current": {**begun}}
    elif over:
        loop["epoch_loop.state_dict"]["_batches_that_stepped"] += 1
    if due or over:
        for count in ("current", "total"):
            batches[count]["completed"] = batches[count]["processed"]


def _count_down(progress: dict[str, Any], name: str) -> None:
    for count in ("current", "total"):
        progress[count][name] -= 1
        progress[count]["completed"] = min(progress[count]["completed"], progress[count][name])


def leave_out_functions(checkpoint: dict[str, Any]) -> None:
    """Leave out the function of ``SWALR``, which PyTorch before 2.10 saves and ``weights_only=True`` refuses to load.

    The schedule has it already when its state is restored.

    Args:
        checkpoint: a checkpoint that is about to be written.
    """
    averaging = [state.get("scheduler_state") for state in checkpoint["callbacks"].values()]
    for schedule in (*checkpoint["lr_schedulers"], *averaging):
        if isinstance(schedule, dict):
            schedule.pop("anneal_func", None)


def restart_averaging(trainer: Trainer, module: LightningModule) -> None:
    """Have Lightning's weight averaging take up its schedule and its average again in the middle of an epoch.

    It does so at the start of an epoch only. ``EpochEndWeightAveraging`` does it by itself.
    """
    if trainer.fit_loop.restarted_mid_epoch:
        for callback in callbacks_of(trainer):
            if type(callback) is StochasticWeightAveraging:
                callback.on_train_epoch_start(trainer, module)


def finish_epoch_end(trainer: Trainer, monitored: list[float | None]) -> bool:
    """Finish the end of an epoch if the checkpoint was written there; return whether it was.

    What follows the checkpoint there is the step of schedules that follow a metric. Lightning leaves it out, and with
    ``max_steps`` runs the end of the epoch a second time.

    Args:
        trainer: the trainer, when training starts.
        monitored: ``monitored_values`` when the checkpoint was written.
    """
    loop = trainer.fit_loop
    if not (loop.resumed_on_epoch_end or loop.restarted_on_epoch_end):
        return False
    if loop.restarted_on_epoch_end:
        loop.epoch_progress.increment_completed()
        loop.on_iteration_done()
        loop.epoch_loop.on_iteration_done()
    # Fewer where Lightning's StochasticWeightAveraging will put its schedule.
    for config, value in zip(trainer.lr_scheduler_configs, monitored, strict=False):
        if value is not None and trainer.current_epoch % config.frequency == 0:
            config.scheduler.step(value)  # type: ignore[arg-type]  # it follows a metric
    return True
