"""Averages of the weights beside any training, validated and saved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from optimcifar.callbacks.averaging import (
    NEVER_STARTED,
    dtype_of_averages,
    first_averaged_epoch,
    log_metrics,
    refuse_late_start,
    save,
)
from optimcifar.callbacks.base import goes_on, was_started
from optimcifar.callbacks.batch_norm import dtype_of, modes, refresh_batch_norm
from optimcifar.data.images import Batch
from optimcifar.optim.horizons import callbacks_of


class WeightAverages(Callback):
    """Keeps averages of the weights beside any training, and validates them; training itself stays the same.

    - ``swa``: the equal-weight average over the ends of the epochs from ``swa_epoch_start`` on.
    - ``ema``: the exponential average over the optimizer steps. The first step copies the weights; after t steps the
      decay is min(``ema_decay``, (1 + t) / (10 + t)), so that the average of a short run forgets its start: the mean
      age of the averaged weights is t / 10 steps, until ``ema_decay`` is reached after about 9 / (1 - ``ema_decay``).

    Validation runs on all: ``val_loss_swa``, ``val_acc_swa``, ``val_loss_ema`` and ``val_acc_ema`` are logged beside
    ``val_loss`` and ``val_acc``. At the end of training the averages are saved as ``checkpoints/swa.ckpt`` and
    ``checkpoints/ema.ckpt`` in the run's folder, which is that of the ``RunLogger``; without one, beside Lightning's
    own checkpoints. BatchNorm statistics of the averages are recomputed in a pass over the training images before each
    validation; layers whose statistics training leaves alone keep theirs. The module must have its network as ``net``.
    A second ``fit`` of the same trainer goes on with the averages.

    Beside ``EpochEndWeightAveraging``, which has an average called ``swa`` of its own, only ``ema`` is kept.

    Args:
        swa_epoch_start: the first epoch to average, from 1; or the fraction of the run's epochs to skip; None for no
            ``swa``.
        ema_decay: the largest share of the old average that a step keeps, 0 to below 1; None for no ``ema``.

    Raises:
        ValueError: an argument is out of range, or both are None.

    Sources: P. Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018;
    B. T. Polyak and A. B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992; for the warm-up of
    the decay, ``num_updates`` of TensorFlow's ``tf.train.ExponentialMovingAverage``.
    """

    def __init__(self, swa_epoch_start: int | float | None = 0.75, ema_decay: float | None = 0.999) -> None:
        if isinstance(swa_epoch_start, int) and swa_epoch_start < 1:
            raise ValueError(f"swa_epoch_start must be an epoch from 1 or a fraction, got {swa_epoch_start}")
        if isinstance(swa_epoch_start, float) and not 0 <= swa_epoch_start < 1:
            raise ValueError(f"swa_epoch_start must be a fraction from 0 to below 1, got {swa_epoch_start}")
        if ema_decay is not None and not 0 <= ema_decay < 1:
            raise ValueError(f"ema_decay must be from 0 to below 1, got {ema_decay}")
        if swa_epoch_start is None and ema_decay is None:
            raise ValueError("swa_epoch_start and ema_decay are both null: there is nothing to average")
        self.swa_epoch_start = swa_epoch_start
        self.ema_decay = ema_decay
        self._averages: dict[str, AveragedModel] = {}
        self._first_epoch: int | None = None  # of swa, from 1
        self._step = 0  # the last one that was averaged
        self._modes: list[bool] = []  # of the network's modules during training
        self._saved = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Create the averages.

        Raises:
            ValueError: ``max_epochs`` is below the epoch at which averaging starts, or is not set although
                ``swa_epoch_start`` is a fraction of it.
            TypeError: the module has no ``net``.
        """
        if stage != "fit":
            return
        self._saved = False
        averaged_already = any(isinstance(other, StochasticWeightAveraging) for other in callbacks_of(trainer))
        keeps_swa = self.swa_epoch_start is not None and not averaged_already
        if keeps_swa:
            refuse_late_start(self.swa_epoch_start, trainer)  # type: ignore[arg-type]  # not None
        if self._averages and goes_on(trainer):
            return
        net = getattr(pl_module, "net", None)
        if not isinstance(net, nn.Module):
            raise TypeError(f"WeightAverages averages a module's network, `net`: {type(pl_module).__name__} has none")
        self._averages = {"swa": AveragedModel(net)} if keeps_swa else {}
        if self.ema_decay is not None:
            self._averages["ema"] = AveragedModel(net, multi_avg_fn=_ema_with_warm_up(self.ema_decay))
        for average in self._averages.values():
            average.to(dtype_of_averages(net, trainer))

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Move the averages to the network's device, and find the first epoch to average.

        Raises:
            ValueError: ``max_steps`` ends the run before averaging starts.
        """
        self._first_epoch = self.first_epochs(trainer).get("swa")
        self._step = trainer.global_step
        self._modes = modes(pl_module.net)  # type: ignore[arg-type]
        for average in self._averages.values():
            average.to(pl_module.device)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
    ) -> None:
        """Average the weights if they changed."""
        net: nn.Module = pl_module.net  # type: ignore[assignment]
        if self.ema_decay is not None and trainer.global_step != self._step:
            _update(self._averages["ema"], net)
        self._step = trainer.global_step
        self._modes = modes(net)
        if self._first_epoch and trainer.is_last_batch and trainer.current_epoch + 1 >= self._first_epoch:
            _update(self._averages["swa"], net)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Recompute the averages' BatchNorm statistics, if training has changed them."""
        if trainer.state.fn != "fit" or trainer.sanity_checking:
            return
        for average in self._started().values():
            self._refresh(average, trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Validate the averages on the same batch as the weights."""
        for name, average in self._started().items():
            log_metrics(name, average, batch, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the averages; the module keeps its weights."""
        self._saved = True
        weights = {name: value.clone() for name, value in pl_module.state_dict().items()}
        for name, average in self._started().items():
            self._refresh(average, trainer, pl_module)
            pl_module.net.load_state_dict(average.module.state_dict())  # type: ignore[union-attr]
            save(name, trainer)
        pl_module.load_state_dict(weights)
        if self._started().keys() != self._averages.keys():
            rank_zero_warn(NEVER_STARTED)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End a resumed run that was killed between its last checkpoint and its end: nothing is left to train."""
        if not self._saved and was_started(trainer):
            self.on_train_end(trainer, pl_module)

    def first_epochs(self, trainer: Trainer) -> dict[str, int]:
        """Return the names of the averages, and the first epoch of each, from 1; once training starts."""
        swa = {"swa": first_averaged_epoch(self.swa_epoch_start, trainer)} if self.swa_epoch_start is not None else {}
        return {name: swa.get(name, 1) for name in self._averages}

    def state_dict(self) -> dict[str, Any]:
        """Return the averages."""
        return {name: average.state_dict() for name, average in self._averages.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the averages of a checkpoint."""
        for name, average in self._averages.items():
            if name in state_dict:  # the run that goes on may keep one more
                average.load_state_dict(state_dict[name])

    def _refresh(self, average: AveragedModel, trainer: Trainer, pl_module: LightningModule) -> None:
        net: nn.Module = pl_module.net  # type: ignore[assignment]
        refresh_batch_norm(average.module, net, self._modes or modes(net), trainer)

    def _started(self) -> dict[str, AveragedModel]:
        return {name: average for name, average in self._averages.items() if average.n_averaged}


def _ema_with_warm_up(largest_decay: float) -> Callable[[Sequence[Tensor], Sequence[Tensor], Tensor | int], None]:
    """Return PyTorch's exponential average with a decay that rises to the largest."""

    def update(averaged: Sequence[Tensor], current: Sequence[Tensor], num_averaged: Tensor | int) -> None:
        t = int(num_averaged)  # no further wait for a GPU: AveragedModel has just read it too
        decay = min(largest_decay, (1 + t) / (10 + t))
        get_ema_multi_avg_fn(decay)(averaged, current, num_averaged)

    return update


@dataclass(frozen=True)
class _InDtype:
    """A network's values in the dtype of its average, for ``AveragedModel``, which demands that both are equal."""

    net: nn.Module
    dtype: torch.dtype

    def parameters(self) -> Iterator[Tensor]:
        return (parameter.to(self.dtype) for parameter in self.net.parameters())

    def buffers(self) -> Iterator[Tensor]:
        return self.net.buffers()


def _update(average: AveragedModel, net: nn.Module) -> None:
    """Add a network's weights to an average."""
    dtype = dtype_of(average)
    average.update_parameters(net if dtype_of(net) == dtype else _InDtype(net, dtype))  # type: ignore[arg-type]
