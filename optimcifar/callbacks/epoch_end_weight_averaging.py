"""Weight averaging with a schedule of its own, validated and saved."""

from __future__ import annotations

from typing import Any, Literal

import torch
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging
from lightning.pytorch.utilities import rank_zero_warn

from optimcifar.callbacks.averaging import (
    NEVER_STARTED,
    dtype_of_averages,
    first_averaged_epoch,
    log_metrics,
    refuse_late_start,
    save,
)
from optimcifar.callbacks.base import was_started
from optimcifar.callbacks.batch_norm import modes, refresh_batch_norm
from optimcifar.data.images import Batch


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
        refuse_late_start(self.swa_epoch_start, trainer)
        super().setup(trainer, pl_module, stage)
        self._average().to(dtype_of_averages(pl_module, trainer)).eval()

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
        first_averaged_epoch(self.swa_epoch_start, trainer)
        if trainer.fit_loop.restarted_mid_epoch:
            self.on_train_epoch_start(trainer, pl_module)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Switch to the averaging schedule when its epoch comes, without averaging yet."""
        # Lightning would average here, unless this says that the epoch is averaged already.
        self._latest_update_epoch = trainer.current_epoch
        super().on_train_epoch_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Batch, batch_idx: int
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
        batch: Batch,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Validate the average on the same batch as the weights."""
        if not self.n_averaged:
            return
        log_metrics("swa", self._average(), batch, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Load the averaged weights into the module, and save them."""
        self._ended = True
        if not self.n_averaged:
            rank_zero_warn(NEVER_STARTED)
            return
        pl_module.load_state_dict(self._average().state_dict())
        save("swa", trainer)

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
