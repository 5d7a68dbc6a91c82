"""Refuse, before the first step, runs whose callbacks or schedules wait for something that never comes."""

from __future__ import annotations

from collections.abc import Iterator

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import (
    BackboneFinetuning,
    StochasticWeightAveraging,
    ThroughputMonitor,
    WeightAveraging,
)

from optimcifar.callbacks.epoch_end_weight_averaging import EpochEndWeightAveraging
from optimcifar.callbacks.gradients_and_updates import GradientsAndUpdates
from optimcifar.callbacks.weight_averages import WeightAverages
from optimcifar.errors import UsageError
from optimcifar.optim.horizons import callbacks_of, run_length
from optimcifar.optim.schedule_notes import check_reaches_end
from optimcifar.text import count

# What ImageClassifier and RunSummary log in every epoch.
_TRAINING_METRICS = ("lr", "train_loss", "train_acc", "seconds")

# One of these attributes of the module.
_NEEDED: dict[type[Callback], tuple[str, ...]] = {
    BackboneFinetuning: ("backbone",),
    ThroughputMonitor: ("flops_per_batch",),
}


class EarlyChecks(Callback):
    """Refuses a run that Lightning would end after epochs of training, or end with other weights than were asked for.

    - A callback or a schedule follows a metric that the run does not log. Metrics of a user's own callbacks are not
      known, so that nothing is refused beside them.
    - Weight averaging of Lightning starts after the end of the run.
    - A callback needs an attribute that the module does not have.
    - The schedule ends before the run.

    It must be the trainer's first callback.
    """

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse callbacks that need what the module does not have.

        Raises:
            UsageError: the trainer has one.
        """
        for kind, attributes in _NEEDED.items():
            missing = not any(hasattr(pl_module, name) for name in attributes)
            if missing and any(isinstance(callback, kind) for callback in callbacks_of(trainer)):
                raise UsageError(
                    f"{kind.__name__} needs a module with the attribute {attributes[0]!r}, and "
                    f"{type(pl_module).__name__} has none: leave it out"
                )

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check what is known only now, such as the number of batches.

        Raises:
            UsageError: something would never come.
            ValueError: the schedule ends before the run.
        """
        check_reaches_end(trainer)
        _check_monitors(trainer)
        if not trainer.fast_dev_run:  # type: ignore[attr-defined]
            for callback in callbacks_of(trainer):
                if isinstance(callback, StochasticWeightAveraging) and not isinstance(
                    callback, EpochEndWeightAveraging
                ):
                    _check_stochastic_averaging(callback, trainer)
                elif isinstance(callback, WeightAveraging):
                    _check_averaging(callback, trainer)


def _check_monitors(trainer: Trainer) -> None:
    if any(
        type(callback).__module__.partition(".")[0] not in ("lightning", "optimcifar")
        for callback in callbacks_of(trainer)
    ):
        return
    logged = sorted(_logged_metrics(trainer))
    for name, monitor in _monitors(trainer):
        if monitor not in logged and not _is_logged_by_layer(monitor, trainer):
            raise UsageError(f"{name} follows {monitor!r}, which this run does not log: it logs {', '.join(logged)}")
    for config in trainer.lr_scheduler_configs:
        within = trainer.val_check_batch is not None and trainer.val_check_batch <= trainer.num_training_batches
        if config.reduce_on_plateau and str(config.monitor).startswith("val_") and not within:
            raise UsageError(
                f"ReduceLROnPlateau follows {config.monitor} at the ends of epochs, and some have no validation: "
                "choose another val_check_interval, or follow train_loss"
            )


def _monitors(trainer: Trainer) -> Iterator[tuple[str, str]]:
    """Yield the classes that follow a metric, and its name."""
    for callback in callbacks_of(trainer):
        monitor = getattr(callback, "monitor", None)
        # EarlyStopping can be told to go on without its metric.
        if isinstance(monitor, str) and getattr(callback, "strict", True) and monitor not in ("epoch", "step"):
            yield type(callback).__name__, monitor
    for config in trainer.lr_scheduler_configs:
        if config.reduce_on_plateau:
            yield type(config.scheduler).__name__, str(config.monitor)


def _logged_metrics(trainer: Trainer) -> Iterator[str]:
    """Yield the metrics that are there from the run's first epoch on."""
    yield from _TRAINING_METRICS
    if not _has_validation(trainer):
        return
    first = {
        name: epoch for callback in callbacks_of(trainer) for name, epoch in _first_epochs(callback, trainer).items()
    }
    suffixes = ["", *(f"_{name}" for name, epoch in first.items() if epoch <= trainer.current_epoch + 1)]
    yield from (f"val_{metric}{suffix}" for metric in ("loss", "acc") for suffix in suffixes)


def _has_validation(trainer: Trainer) -> bool:
    if not trainer.enable_validation:
        return False
    # Where the first epoch has no validation, Lightning has not counted its batches yet.
    trainer.validating = True
    trainer.fit_loop.epoch_loop.val_loop.setup_data()
    trainer.training = True
    return sum(trainer.num_val_batches) > 0


def _first_epochs(callback: Callback, trainer: Trainer) -> dict[str, int]:
    """Return the averages that a callback validates, and the epoch that each starts in, from 1."""
    if isinstance(callback, WeightAverages):
        return callback.first_epochs(trainer)
    return {"swa": callback.swa_start + 1} if isinstance(callback, EpochEndWeightAveraging) else {}


def _is_logged_by_layer(monitor: str, trainer: Trainer) -> bool:
    prefixes = ("grad_norm_", "update_ratio_")
    return monitor.startswith(prefixes) and any(isinstance(c, GradientsAndUpdates) for c in callbacks_of(trainer))


def _check_stochastic_averaging(callback: StochasticWeightAveraging, trainer: Trainer) -> None:
    epochs = run_length(trainer, "epoch")
    if epochs is None:
        return
    length = count(epochs, "epoch")
    if callback.swa_start >= epochs:
        raise UsageError(
            f"weight averaging starts in epoch {callback.swa_start + 1}, but the run has {length}: "
            "train longer, or lower swa_epoch_start"
        )
    if trainer.max_steps != -1 and callback.swa_end >= epochs:
        raise UsageError(
            f"StochasticWeightAveraging averages until epoch {callback.swa_end + 1}, and max_steps ends the run, which "
            f"has {length}, without the average: use optimcifar.EpochEndWeightAveraging, or max_epochs alone"
        )


def _check_averaging(callback: WeightAveraging, trainer: Trainer) -> None:
    epochs, steps = run_length(trainer, "epoch"), run_length(trainer, "step")
    if epochs is None or steps is None:
        return
    in_epochs = (callback.should_update(epoch_idx=epoch) for epoch in range(epochs))
    in_steps = (callback.should_update(step_idx=step) for step in range(steps))
    if not any(in_steps) and not any(in_epochs):
        raise UsageError(
            f"{type(callback).__name__} does not average within the run's {count(epochs, 'epoch')}, "
            f"{count(steps, 'step')}: train longer, or let it start earlier"
        )
