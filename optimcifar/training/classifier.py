"""The LightningModule: a network, its loss, its optimizer and its schedule."""

from __future__ import annotations

from typing import Any, Literal

import torch
import torch.nn.functional as F
from lightning.pytorch import LightningModule
from lightning.pytorch.core import saving
from lightning.pytorch.utilities.types import LRSchedulerConfigType, OptimizerLRScheduler
from torch import Tensor, nn
from torch.optim import SGD, Optimizer, SparseAdam
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau
from torchmetrics import MeanMetric

from optimcifar.data.datamodule import image_data
from optimcifar.data.images import Batch
from optimcifar.networks.convnet import ConvNet
from optimcifar.optim.building import build_schedule
from optimcifar.optim.horizons import missing_horizon, run_length, steps_after
from optimcifar.optim.param_groups import ParamRule, check_options, grouped_parameters
from optimcifar.optim.replay import OPEN_SCHEDULE, replay, run_so_far
from optimcifar.optim.schedule_notes import check_reaches_end
from optimcifar.optim.types import LRInterval, LRSchedulerCallable, OptimizerCallable
from optimcifar.training.network_for_data import check_network
from optimcifar.training.rate_finder import check_rate_finders, forget_range_test, leave_out_rate_finders, rate_finders
from optimcifar.training.resumption import (
    finish_epoch_end,
    leave_out_functions,
    monitored_values,
    of_all_processes,
    pending_gradients,
    random_states,
    reopen_epoch,
    restart_averaging,
    restore_gradients,
    restore_random_states,
)

# Where a checkpoint has the states of the processes, by rank.
_PROCESSES = "processes"
# Where it has the rate that was set before training.
_RATE = "set_lr"

# The hyperparameter that LightningCLI adds to modules which it can build again from a checkpoint.
_INSTANTIATOR = "_instantiator"
# Builds such a module: Lightning's own function refuses schedules that leave their length out. Lightning calls only
# functions that are in its list, and says that a trusted one may be added. Before 2.6.6 it has no list.
_BUILD = "optimcifar.training.arguments.build_from_settings"
getattr(saving, "_ALLOWED_INSTANTIATORS", set[str]()).add(_BUILD)


class ImageClassifier(LightningModule):
    """Trains a network to classify images, with cross-entropy and any optimizer and learning-rate schedule.

    Logs once per epoch: ``train_loss`` and ``train_acc``, means over the epoch's images while the weights change;
    ``val_loss`` and ``val_acc``, ``test_loss`` and ``test_acc``; and ``lr``, the rate of the first parameter group in
    the epoch's last step. Accuracies are fractions, 0 to 1.

    An optimizer with two modes, such as those of ``schedulefree``, is in training mode in training steps only:
    validation and checkpoints use its evaluation weights.

    Args:
        net: images (N, 3, H, W) float32 to logits (N, classes); None for a new ``ConvNet`` for ten classes.
        optimizer: called with the parameters, returns the optimizer; None for ``SGD(lr=0.01, momentum=0.9)``.
        lr_scheduler: called with the optimizer, returns the schedule; None for a constant rate. A schedule's class,
            or a ``partial`` of it, without its length (``T_max``, ``total_iters``, ``total_steps``) gets the run's.
            ``ReduceLROnPlateau`` follows the metric in its attribute ``monitor``, or ``val_loss`` if it has none.
        lr_interval: whether the schedule steps every ``"epoch"`` or every optimizer ``"step"``.
        param_groups: rules for parameters with options of their own; None for one group.
        compile: whether to train the network compiled by ``torch.compile``. Names of weights stay, and checkpoints load
            without a compiler.

    Attributes:
        lr: the rate that the optimizer gets when it is built, for all parameter groups; None for its own. Lightning's
            ``LearningRateFinder`` and ``Tuner.lr_find`` set it.
        steps_made_otherwise: how many more optimizer steps the checkpoint's run had made than this one would have made
            in as many epochs, for example with another batch size.

    Raises:
        ValueError: ``lr_interval`` is neither.

    Example:
        >>> classifier = ImageClassifier(optimizer=lambda parameters: torch.optim.Adam(parameters, lr=1e-3))
        >>> classifier(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(
        self,
        net: nn.Module | None = None,
        optimizer: OptimizerCallable | None = None,
        lr_scheduler: LRSchedulerCallable | None = None,
        lr_interval: LRInterval = "epoch",
        param_groups: list[ParamRule] | None = None,
        compile: bool = False,  # noqa: A002  as torch calls it
    ) -> None:
        if lr_interval not in ("epoch", "step"):
            raise ValueError(f"lr_interval must be 'epoch' or 'step', got {lr_interval!r}")
        super().__init__()
        self.save_hyperparameters(ignore=["net", "optimizer", "lr_scheduler", "param_groups"], logger=False)
        if _INSTANTIATOR in self.hparams:
            # The command line gives import paths and numbers, which a checkpoint can hold; it cannot hold networks and
            # functions made in Python.
            self.save_hyperparameters(logger=False)
            self.hparams[_INSTANTIATOR] = _BUILD
        self.net = ConvNet() if net is None else net
        self.optimizer = optimizer
        self.lr_scheduler = lr_scheduler
        self.lr_interval = lr_interval
        self.param_groups = param_groups or []
        self._is_to_be_compiled = compile
        self.lr: float | None = None
        self.train_loss, self.train_acc = _mean(), _mean()
        self.val_loss, self.val_acc = _mean(), _mean()
        self.test_loss, self.test_acc = _mean(), _mean()
        # Loss, number of correct predictions and size of each of the epoch's batches, on the device. They are logged
        # once, at the epoch's end: logging in every step takes longer than the step, and synchronizes with the device.
        self._batches: dict[int, tuple[Tensor, Tensor, int]] = {}
        self._lr = float("nan")
        self._validated = False  # in this epoch
        self._val_metrics: dict[str, float] = {}  # of this epoch, measured before the run was interrupted
        self._resumed: dict[str, Any] | None = None  # the state of this process in a checkpoint
        self._optimizers_with_modes: list[Any] = []
        self._schedule_length: int | None = None
        self.steps_made_otherwise = 0

    def forward(self, images: Tensor) -> Tensor:
        """Return the network's logits, (N, classes), of normalised ``images``, (N, 3, H, W)."""
        logits: Tensor = self.net(images)
        return logits

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return the optimizer, and the schedule with its interval if there is one.

        Raises:
            ValueError: the optimizer or the schedule cannot be built.
        """
        self._schedule_length = self._length_for_schedule()
        optimizer, scheduler = self.make_optimizer(self._schedule_length)
        if self._trainer and self.trainer.ckpt_path:
            leave_out_rate_finders(self.trainer, self.lr)
        elif self._trainer:
            check_rate_finders(self.trainer, optimizer, scheduler)
        self._optimizers_with_modes = [optimizer] if hasattr(optimizer, "train") and hasattr(optimizer, "eval") else []
        if scheduler is None:
            return optimizer
        config: LRSchedulerConfigType = {"scheduler": scheduler, "interval": self.lr_interval}
        if isinstance(scheduler, ReduceLROnPlateau):
            config["monitor"] = monitor = getattr(scheduler, "monitor", "val_loss")
            if monitor.startswith("val_") and self._trainer:
                config["frequency"] = self.trainer.check_val_every_n_epoch or 1
        return {"optimizer": optimizer, "lr_scheduler": config}

    def make_optimizer(self, length: int | None) -> tuple[Optimizer, LRScheduler | ReduceLROnPlateau | None]:
        """Return a new optimizer, and its schedule if there is one.

        Args:
            length: the run's length in epochs or steps, for a schedule that leaves its length out.

        Raises:
            ValueError: one of them cannot be built.
        """
        rules = self.param_groups
        params = grouped_parameters(self.named_parameters(), rules) if rules else self.parameters()
        try:
            optimizer = self.optimizer(params) if self.optimizer else SGD(params, lr=0.01, momentum=0.9)
        except ValueError as error:
            if "Muon only supports 2D parameters" not in str(error):
                raise
            raise ValueError(
                "Muon takes matrices only, and this network has other parameters: use optimcifar.MuonWithAux"
            ) from error
        check_options(optimizer, rules)
        if isinstance(optimizer, SparseAdam) and not any(getattr(module, "sparse", False) for module in self.modules()):
            raise ValueError(
                "SparseAdam takes sparse gradients only, such as those of nn.Embedding(sparse=True); "
                "this network has none: use Adam"
            )
        for options in (optimizer.defaults, *optimizer.param_groups) if self.lr is not None else ():
            options["lr"] = self.lr
        if self.lr_scheduler is None:
            return optimizer, None
        scheduler = build_schedule(self.lr_scheduler, optimizer, length)
        if isinstance(scheduler, ReduceLROnPlateau) and self.lr_interval == "step":
            raise ValueError("ReduceLROnPlateau steps after validation: leave lr_interval at epoch")
        return optimizer, scheduler

    def _length_for_schedule(self) -> int | None:
        """Return the run's length if the schedule leaves its own out; None if it does not, or the run has none."""
        if self.lr_scheduler is None or missing_horizon(self.lr_scheduler) is None:
            return None
        return run_length(self.trainer, self.lr_interval)

    def setup(self, stage: str) -> None:
        """Forget the checkpoint of an earlier run, check that the network fits the data, and compile it if asked to.

        Raises:
            UsageError: it does not fit.
        """
        self.steps_made_otherwise = 0
        if stage == "fit" and (data := image_data(self.trainer)):
            check_network(self.net, data)
        if stage == "fit" and self._is_to_be_compiled:
            self.net.compile()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the epoch so far, and what else a resumed run needs to go on as if it had never stopped."""
        if "optimizer_states" not in checkpoint:
            return  # weights only
        leave_out_functions(checkpoint)
        if self._schedule_length is not None:
            checkpoint[OPEN_SCHEDULE] = run_so_far(self.trainer, self.lr_interval, self._schedule_length)
        checkpoint[_RATE] = self.lr
        reopen_epoch(checkpoint, self.trainer)
        state = {
            "batches": dict(self._batches),
            "lr": self._lr,
            "val_metrics": self._validation_metrics(),
            "monitored": monitored_values(self.trainer),
            "gradients": pending_gradients(self.trainer, self),
            "trained": [parameter.requires_grad for parameter in self.parameters()],
            "random": random_states(),
        }
        checkpoint[_PROCESSES] = of_all_processes(self.trainer, state)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Keep the state of this process until the run goes on, and make the schedule as long as that run."""
        if self._trainer and self.trainer.precision == "64-true":
            self.double()  # Lightning does it later, and would round the weights of the checkpoint before
        states = checkpoint.get(_PROCESSES, [])
        self._resumed = states[self.global_rank] if self.global_rank < len(states) else None
        if self._trainer and self.trainer.training:
            self.lr = checkpoint.get(_RATE)
            if OPEN_SCHEDULE in checkpoint:
                self._stretch_schedule(checkpoint, **checkpoint[OPEN_SCHEDULE])

    def _stretch_schedule(self, checkpoint: dict[str, Any], length: int, epochs: int, steps: int) -> None:
        """Give a schedule that leaves its length out the length of the run that goes on, if that is another one."""
        if self._length_for_schedule() is None:
            return
        self.steps_made_otherwise += steps - steps_after(self.trainer, self.lr_interval, epochs)
        self._schedule_length = new_length = self._length_for_schedule()
        if new_length is not None and new_length != length:
            optimizer, scheduler = self.make_optimizer(new_length)
            if scheduler:
                replay(checkpoint, optimizer, scheduler, new_length)

    def on_fit_start(self) -> None:
        """Restore the random generators; not after the weights of a checkpoint alone were loaded."""
        if rate_finders(self.trainer):
            forget_range_test(self.trainer, self.lr)
        if not self.trainer.ckpt_path:
            self._resumed = None
        if self._resumed:
            restore_random_states(self._resumed["random"])

    def on_train_start(self) -> None:
        """Go on with the state of a checkpoint.

        Raises:
            ValueError: the schedule ends before the run.
        """
        check_reaches_end(self.trainer)
        state, self._resumed = self._resumed, None
        if not state:
            return
        for parameter, trained in zip(self.parameters(), state["trained"], strict=True):
            parameter.requires_grad = trained  # callbacks freeze layers, and release them in some epoch
        restore_gradients(state["gradients"], self)
        restart_averaging(self.trainer, self)
        if finish_epoch_end(self.trainer, state["monitored"]):
            return
        saved: dict[int, tuple[Tensor, Tensor, int]] = state["batches"]
        on = self.device
        self._batches = {index: (loss.to(on), correct.to(on), size) for index, (loss, correct, size) in saved.items()}
        self._lr = state["lr"]
        self._val_metrics = state["val_metrics"]

    def on_train_epoch_start(self) -> None:
        """Begin a new epoch; one that a resumed run is in the middle of goes on."""
        self._batches.clear()
        self._validated, self._val_metrics = False, {}

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Put an optimizer with modes into training mode."""
        self._switch_optimizers("train")

    def on_validation_start(self) -> None:
        """Put an optimizer with modes into evaluation mode; drop what an interrupted validation left."""
        self._switch_optimizers("eval")
        self._restart(self.val_loss, self.val_acc)

    def on_validation_epoch_end(self) -> None:
        """Note that the epoch has validation metrics."""
        self._validated = not self.trainer.sanity_checking

    def on_test_start(self) -> None:
        """Drop what an interrupted test left."""
        self._restart(self.test_loss, self.test_acc)

    def on_train_end(self) -> None:
        """Leave the evaluation weights in the network."""
        self._switch_optimizers("eval")

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the weights; those of the evaluation mode if the optimizer has modes."""
        self._switch_optimizers("eval")
        return super().state_dict(*args, **kwargs)

    def _switch_optimizers(self, mode: Literal["train", "eval"]) -> None:
        for optimizer in self._optimizers_with_modes:
            getattr(optimizer, mode)()

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the mean cross-entropy of a training batch."""
        images, labels = batch
        logits = self(images)
        loss = _cross_entropy(logits, labels)
        # An optimizer with a closure, such as LBFGS, evaluates a batch several times: the first evaluation counts.
        if batch_idx not in self._batches:
            self._batches[batch_idx] = (loss.detach(), _count_correct(logits, labels), len(labels))
            self._lr = self.trainer.optimizers[0].param_groups[0]["lr"]
        return loss

    def on_train_epoch_end(self) -> None:
        """Log the means over the epoch's images, and the rate."""
        # Else a schedule that follows a metric would not step at the end of the epoch in which a run goes on.
        self.trainer.fit_loop.on_iteration_done()
        self.log_dict({} if self._validated else self._val_metrics)
        if not self._batches:
            return
        losses, correct, sizes = zip(*self._batches.values(), strict=True)
        self._restart(self.train_loss, self.train_acc)
        weights = torch.tensor(sizes, device=self.device)
        # A copy, because torchmetrics overwrites the weights of values that are NaN.
        self.train_loss.update(torch.stack(losses), weights.clone())
        self.train_acc.update(torch.stack(correct).float() / weights, weights)
        self.log_dict({"lr": self._lr, "train_loss": self.train_loss, "train_acc": self.train_acc})

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Log loss and accuracy on the validation images."""
        self._evaluate(batch, self.val_loss, self.val_acc)
        self.log_dict({"val_loss": self.val_loss, "val_acc": self.val_acc})

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        """Log loss and accuracy on the test images."""
        self._evaluate(batch, self.test_loss, self.test_acc)
        self.log_dict({"test_loss": self.test_loss, "test_acc": self.test_acc})

    def predict_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the probabilities, (N, classes), of a batch."""
        probabilities: Tensor = self(batch[0]).softmax(1)
        return probabilities

    def _restart(self, *metrics: MeanMetric) -> None:
        """Drop the values of metrics, and have them count in 32 bits at least: 16 bits hold no number of images."""
        for metric in metrics:
            metric.reset()
            metric.set_dtype(torch.promote_types(self.dtype, torch.float32))  # type: ignore[arg-type]  # never a str

    def _validation_metrics(self) -> dict[str, float]:
        """Return what the epoch's last validation measured, this module's metrics and those of callbacks."""
        if not self._validated:
            return self._val_metrics
        return {name: value.item() for name, value in self.trainer.callback_metrics.items() if name.startswith("val_")}

    def _evaluate(self, batch: Batch, mean_loss: MeanMetric, accuracy: MeanMetric) -> None:
        images, labels = batch
        logits = self(images)
        mean_loss.update(_cross_entropy(logits, labels), len(labels))
        accuracy.update(_count_correct(logits, labels).float() / len(labels), len(labels))


def _mean() -> MeanMetric:
    # The default skips NaN: a diverged epoch would show the mean of the steps before. "disable" keeps NaN, but ignores
    # the weights too (torchmetrics 1.9.0).
    return MeanMetric(nan_strategy=float("nan"))


def _cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the mean cross-entropy of logits, (N, classes), in float32 at least: 16 bits round it to two digits."""
    return F.cross_entropy(logits.to(torch.promote_types(logits.dtype, torch.float32)), labels)


def _count_correct(logits: Tensor, labels: Tensor) -> Tensor:
    """Return how many of the largest logits, (N, classes), are at their label, (N,); a scalar."""
    return (logits.detach().argmax(1) == labels).sum()
