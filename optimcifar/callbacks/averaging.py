"""Weight averaging that is validated and saved: with a schedule of its own, or beside any training."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from optimcifar.callbacks.base import goes_on, was_started
from optimcifar.callbacks.batch_norm import dtype_of, modes, refresh_batch_norm
from optimcifar.data.images import Images
from optimcifar.runs.logger import checkpoint_path


class EpochEndWeightAveraging(StochasticWeightAveraging):
    """Averages the weights at the ends of epochs, validates the average, and ends with it.

    Lightning's callback averages the weights at the starts of epochs, so the last epoch never counts, and does not
    validate the average. This one differs as follows:

    - The average is over the ends of the epochs from ``swa_epoch_start`` to the last.
    - Validation runs on weights and average: ``val_loss_swa`` and ``val_acc_swa`` are logged beside ``val_loss`` and
      ``val_acc``.
    - At the end of training, also if it was stopped early, the module has the averaged weights, and they are saved as
      ``checkpoints/swa.ckpt`` in the run's folder, which is that of the ``RunLogger``; without one, beside Lightning's
      own checkpoints.
    - BatchNorm statistics of the average are recomputed in a pass over the training images. Layers whose statistics
      training leaves alone keep theirs.
    - A run that would end before averaging starts is refused.
    - Each ``fit`` averages anew.

    The schedule is Lightning's: from ``swa_epoch_start`` on the rate moves from its current value to ``swa_lrs``.

    Args:
        swa_lrs: the final rate, greater than 0.
        swa_epoch_start: the first epoch to average, from 1; or a fraction of ``max_epochs``.
        annealing_epochs: epochs until ``swa_lrs`` is reached.
        annealing_strategy: ``"cos"`` or ``"linear"``.

    Raises:
        MisconfigurationException: an argument is out of range.

    Source: P. Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018.
    """

    def __init__(
        self,
        swa_lrs: float,
        swa_epoch_start: int | float = 0.8,
        annealing_epochs: int = 10,
        annealing_strategy: Literal["cos", "linear"] = "cos",
    ) -> None:
        self.swa_lrs = swa_lrs
        self.swa_epoch_start = swa_epoch_start
        self.annealing_epochs = annealing_epochs
        self.annealing_strategy = annealing_strategy
        self._start_anew()

    def _start_anew(self) -> None:
        self._ended = False
        # Lightning keeps the average on the CPU by default, and writes that default to config.yaml in a form that
        # cannot be read again; None keeps it on the module's device.
        super().__init__(
            float(self.swa_lrs), self.swa_epoch_start, self.annealing_epochs, self.annealing_strategy, device=None
        )

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Create the average.

        Raises:
            ValueError: ``max_epochs`` is below the epoch at which averaging starts.
        """
        if stage != "fit":
            return
        self._start_anew()
        _refuse_late_start(self.swa_epoch_start, trainer)
        super().setup(trainer, pl_module, stage)
        self._average().to(_dtype_of_averages(pl_module, trainer)).eval()

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepare as Lightning does, without its extra epoch for BatchNorm."""
        super().on_fit_start(trainer, pl_module)
        if self._model_contains_batch_norm:
            self._model_contains_batch_norm = False
            if trainer.fit_loop.max_epochs not in (None, -1):
                trainer.fit_loop.max_epochs -= 1

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Go on with the averaging schedule in the middle of an epoch.

        Raises:
            ValueError: ``max_steps`` ends the run before averaging starts.
        """
        _first_averaged_epoch(self.swa_epoch_start, trainer)
        if trainer.fit_loop.restarted_mid_epoch:
            self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Switch to the averaging schedule when its epoch comes, without averaging yet."""
        # Lightning would average here, unless this says that the epoch is averaged already.
        self._latest_update_epoch = trainer.current_epoch
        super().on_train_epoch_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Images, batch_idx: int
    ) -> None:
        """Average the epoch's last weights, before validation."""
        if trainer.is_last_batch and self.n_averaged is not None:
            average = self._average()
            self.update_parameters(average, pl_module, self.n_averaged, self._avg_fn)
            for buffer, current in zip(average.buffers(), pl_module.buffers(), strict=True):
                buffer.copy_(current)
            refresh_batch_norm(average, pl_module, modes(pl_module), trainer)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Images,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Validate the average on the same batch as the weights."""
        if not self.n_averaged:
            return
        _log_metrics("swa", self._average(), batch, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load the averaged weights into the module, and save them."""
        self._ended = True
        if not self.n_averaged:
            rank_zero_warn(_NEVER_STARTED)
            return
        pl_module.load_state_dict(self._average().state_dict())
        _save("swa", trainer)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End a resumed run that was killed between its last checkpoint and its end: nothing is left to train."""
        if not self._ended and was_started(trainer):
            self.on_train_end(trainer, pl_module)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the average of a checkpoint."""
        super().load_state_dict(state_dict)
        self.n_averaged = torch.tensor(state_dict["n_averaged"]) if state_dict["n_averaged"] else None

    def _average(self) -> LightningModule:
        assert self._average_model is not None, "setup creates it"
        return self._average_model


class WeightAverages(Callback):
    """Keeps averages of the weights beside any training, and validates them; training itself stays the same.

    - ``swa``: the equal-weight average over the ends of the epochs from ``swa_epoch_start`` on.
    - ``ema``: the exponential average over the optimizer steps.

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
        ema_decay: the share of the old average that a step keeps, 0 to below 1; None for no ``ema``.

    Raises:
        ValueError: an argument is out of range, or both are None.

    Sources: P. Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018;
    B. T. Polyak and A. B. Juditsky, "Acceleration of Stochastic Approximation by Averaging", 1992.
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
        """
        if stage != "fit":
            return
        self._saved = False
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]
        averaged_already = any(isinstance(callback, StochasticWeightAveraging) for callback in callbacks)
        keeps_swa = self.swa_epoch_start is not None and not averaged_already
        if keeps_swa:
            _refuse_late_start(self.swa_epoch_start, trainer)  # type: ignore[arg-type]  # not None
        if self._averages and goes_on(trainer):
            return
        net: nn.Module = pl_module.net  # type: ignore[assignment]  # the docstring demands it
        self._averages = {"swa": AveragedModel(net)} if keeps_swa else {}
        if self.ema_decay is not None:
            self._averages["ema"] = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(self.ema_decay))
        for average in self._averages.values():
            average.to(_dtype_of_averages(net, trainer))

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
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Images, batch_idx: int
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
        """Recompute the averages' BatchNorm statistics."""
        for average in self._started().values():
            self._refresh(average, trainer, pl_module)

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Images,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Validate the averages on the same batch as the weights."""
        for name, average in self._started().items():
            _log_metrics(name, average, batch, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the averages; the module keeps its weights."""
        self._saved = True
        weights = {name: value.clone() for name, value in pl_module.state_dict().items()}
        for name, average in self._started().items():
            self._refresh(average, trainer, pl_module)
            pl_module.net.load_state_dict(average.module.state_dict())  # type: ignore[union-attr]
            _save(name, trainer)
        pl_module.load_state_dict(weights)
        if self._started().keys() != self._averages.keys():
            rank_zero_warn(_NEVER_STARTED)

    def on_fit_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End a resumed run that was killed between its last checkpoint and its end: nothing is left to train."""
        if not self._saved and was_started(trainer):
            self.on_train_end(trainer, pl_module)

    def first_epochs(self, trainer: Trainer) -> dict[str, int]:
        """Return the names of the averages, and the first epoch of each, from 1; once training starts."""
        swa = {"swa": _first_averaged_epoch(self.swa_epoch_start, trainer)} if self.swa_epoch_start is not None else {}
        return {name: swa.get(name, 1) for name in self._averages}

    def state_dict(self) -> dict[str, Any]:
        """Return the averages."""
        return {name: average.state_dict() for name, average in self._averages.items()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Load the averages of a checkpoint."""
        for name, average in self._averages.items():
            average.load_state_dict(state_dict[name])

    def _refresh(self, average: AveragedModel, trainer: Trainer, pl_module: LightningModule) -> None:
        net: nn.Module = pl_module.net  # type: ignore[assignment]
        refresh_batch_norm(average.module, net, self._modes or modes(net), trainer)

    def _started(self) -> dict[str, AveragedModel]:
        return {name: average for name, average in self._averages.items() if average.n_averaged}


_NEVER_STARTED = "weight averaging had not started when training stopped: the weights are not averaged"


def _refuse_late_start(start: float, trainer: Trainer) -> None:
    """Refuse a run that its number of epochs ends before averaging starts, before any image is read."""
    epochs = trainer.max_epochs or 0
    if isinstance(start, float) and epochs < 1 and trainer.max_steps == -1:
        raise ValueError(f"swa_epoch_start is the fraction {start} of max_epochs, and that is not set: name an epoch")
    if isinstance(start, int) and 0 < epochs < start and not trainer.fast_dev_run:  # type: ignore[attr-defined]
        raise ValueError(
            f"weight averaging starts in epoch {start}, but max_epochs is {epochs}: "
            "train longer, or lower swa_epoch_start"
        )


def _first_averaged_epoch(start: float, trainer: Trainer) -> int:
    """Return the first epoch to average, from 1; refuse a run that ``max_steps`` ends before that epoch's end."""
    epochs = trainer.max_epochs or math.inf
    if epochs == -1:
        epochs = math.inf
    if trainer.max_steps != -1:
        if math.isinf(trainer.num_training_batches):
            raise ValueError(
                "weight averaging needs to know where epochs end, and the training loader has no length: "
                "set limit_train_batches, or max_epochs in place of max_steps"
            )
        steps = math.ceil(trainer.num_training_batches / trainer.accumulate_grad_batches)
        epochs = min(epochs, trainer.max_steps // steps)
    first = int(start * epochs) + 1 if isinstance(start, float) else start
    if first > epochs and not trainer.fast_dev_run:  # type: ignore[attr-defined]
        raise ValueError(
            f"weight averaging starts at the end of epoch {first}, but the run ends before, after {trainer.max_steps} "
            "steps: train longer, or lower swa_epoch_start"
        )
    return first


def _dtype_of_averages(net: nn.Module, trainer: Trainer) -> torch.dtype:
    """Return float32, or float64 for such a network: 16 bits cannot hold the small steps of an average."""
    return torch.promote_types(torch.float64 if trainer.precision == "64-true" else torch.float32, dtype_of(net))


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


def _log_metrics(name: str, average: nn.Module, batch: Images, pl_module: LightningModule) -> None:
    images, labels = batch
    logits = average(images.to(dtype_of(average)))
    values = {
        f"val_loss_{name}": F.cross_entropy(logits, labels),
        f"val_acc_{name}": (logits.argmax(1) == labels).float().mean(),
    }
    pl_module.log_dict(values, on_epoch=True, batch_size=len(labels), sync_dist=True)


def _save(name: str, trainer: Trainer) -> None:
    if not (trainer.fast_dev_run or trainer.barebones):  # type: ignore[attr-defined]  # Lightning writes nothing then
        trainer.save_checkpoint(checkpoint_path(trainer, name), weights_only=True)
