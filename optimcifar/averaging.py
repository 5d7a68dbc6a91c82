"""Stochastic weight averaging whose result is seen, saved and comparable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch.nn.functional as F
from lightning.pytorch import LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.optim.swa_utils import update_bn

from optimcifar.classifier import hits
from optimcifar.images import Images


class EpochEndWeightAveraging(StochasticWeightAveraging):
    """Averages the weights that every epoch ends with, from an epoch on, and shows what the average is worth.

    Lightning's callback takes the weights that an epoch starts with, so that the last epoch never counts, and shows
    the average to nobody before training is over. This one differs in these points:

    - The average is of the weights at the ends of the epochs ``swa_epoch_start`` to the last.
    - Validation runs on both: ``val_loss_swa`` and ``val_acc_swa`` are logged beside ``val_loss`` and ``val_acc``.
    - At the end of training, also of training that was stopped early, the module has the averaged weights, and they
      are saved as ``checkpoints/swa.ckpt`` in the run's folder.
    - A network with BatchNorm gets the statistics of its averaged weights by a pass over the training images.
    - A run that ends before averaging starts is refused.

    The schedule is Lightning's: from ``swa_epoch_start`` on the rate goes from where it stands to ``swa_lrs``.

    Args:
        swa_lrs: the rate that is approached, greater than 0.
        swa_epoch_start: the first epoch, counted from 1, whose weights count; or a fraction of ``max_epochs``.
        annealing_epochs: epochs until ``swa_lrs`` is reached.
        annealing_strategy: ``"cos"`` or ``"linear"``.

    Raises:
        MisconfigurationException: an argument is out of its range.

    Source: P. Izmailov et al., "Averaging Weights Leads to Wider Optima and Better Generalization", 2018.
    """

    def __init__(
        self,
        swa_lrs: float,
        swa_epoch_start: int | float = 0.8,
        annealing_epochs: int = 10,
        annealing_strategy: Literal["cos", "linear"] = "cos",
    ) -> None:
        # Lightning keeps the average on the CPU by default, and writes that default into config.yaml in a form that
        # can't be read again; None keeps it where the module is.
        super().__init__(float(swa_lrs), swa_epoch_start, annealing_epochs, annealing_strategy, device=None)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Refuse a run that ends before averaging starts; make the place for the average.

        Raises:
            ValueError: ``max_epochs`` is below the epoch at which averaging starts.
        """
        if stage != "fit":
            return
        start, epochs = self._swa_epoch_start, trainer.max_epochs or 0
        if 0 < epochs < (start if isinstance(start, int) else 1):
            raise ValueError(
                f"weight averaging starts in epoch {start}, but max_epochs is {epochs}: "
                "train longer, or lower swa_epoch_start"
            )
        super().setup(trainer, pl_module, stage)

    def on_fit_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Prepare as Lightning does, but without its extra epoch for BatchNorm."""
        super().on_fit_start(trainer, pl_module)
        if self._model_contains_batch_norm:
            self._model_contains_batch_norm = False
            if trainer.fit_loop.max_epochs not in (None, -1):
                trainer.fit_loop.max_epochs -= 1

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Switch to the averaging schedule when it is time, without averaging yet."""
        # Lightning averages here, unless the epoch was seen to.
        self._latest_update_epoch = trainer.current_epoch
        super().on_train_epoch_start(trainer, pl_module)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Images, batch_idx: int
    ) -> None:
        """Take the epoch's last weights into the average, before validation looks at it."""
        if trainer.is_last_batch and self.n_averaged is not None:
            average = self._average()
            self.update_parameters(average, pl_module, self.n_averaged, self._avg_fn)
            update_bn(self._training_images(trainer), average)
            average.eval()

    def on_validation_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Images,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Measure the average on the batch that the weights were measured on."""
        if not self.n_averaged:
            return
        images, labels = batch
        logits = self._average()(images)
        values = {
            "val_loss_swa": F.cross_entropy(logits, labels),
            "val_acc_swa": hits(logits, labels) / len(labels),
        }
        pl_module.log_dict(values, on_epoch=True, batch_size=len(labels), sync_dist=True)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the module the averaged weights, and save them."""
        if not self.n_averaged:
            rank_zero_warn("weight averaging had not started when training stopped: the weights are not averaged")
            return
        pl_module.load_state_dict(self._average().state_dict())
        folder = Path(trainer.log_dir or trainer.default_root_dir) / "checkpoints"
        trainer.save_checkpoint(folder / "swa.ckpt", weights_only=True)

    def _average(self) -> LightningModule:
        assert self._average_model is not None, "setup makes it"
        return self._average_model

    def _training_images(self, trainer: Trainer) -> Iterator[Tensor]:
        """Yield the normalised training images, a batch at a time."""
        for batch in trainer.train_dataloader or ():
            yield trainer.strategy.batch_to_device(batch)[0]
