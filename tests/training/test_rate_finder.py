from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import (
    INTERRUPT,
    Command,
    equal_weights,
    metrics_without_times,
    quiet_trainer,
    read_summary,
    read_weights,
)
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import LearningRateFinder
from lightning.pytorch.tuner.tuning import Tuner
from torch import nn
from torch.optim import LBFGS, SGD, Adam, AdamW, Optimizer, Rprop
from torch.optim.lr_scheduler import CosineAnnealingLR, CyclicLR, LambdaLR, LinearLR, OneCycleLR, StepLR

from optimcifar import ImageClassifier, MuonWithAux, SequentialSchedule, Shapes10DataModule, WeightAverages
from optimcifar.callbacks.divergence import StopAtDivergence
from optimcifar.callbacks.run_summary import RunSummary
from optimcifar.errors import UsageError
from optimcifar.optim.param_groups import ParamRule
from optimcifar.optim.types import LRSchedulerCallable
from optimcifar.training.run import training_run

# The range test, of 20 steps, is longer than an epoch, and the run of 36 steps longer than the test.
STEPS = 20
NO_DECAY = ParamRule(max_ndim=1, options={"weight_decay": 0.0})
pytestmark = pytest.mark.filterwarnings("ignore:.*of another run is now")


def data() -> Shapes10DataModule:
    return Shapes10DataModule(train_images=332, val_size=44, test_images=10, batch_size=16)


def classifier(optimizer: Callable[..., Optimizer], **settings: Any) -> ImageClassifier:
    """Return a module whose training depends on random numbers and changes buffers."""
    seed_everything(0)
    net = nn.Sequential(nn.Flatten(), nn.BatchNorm1d(3072), nn.Dropout(0.5), nn.Linear(3072, 10))
    return ImageClassifier(net, optimizer, **settings)


class Start(Callback):
    """Records what a callback could take for the run's own when training starts, and the rate of every step."""

    def __init__(self) -> None:
        self.found: list[Any] = []
        self.rates: list[float] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        progress = (trainer.current_epoch, trainer.global_step, trainer.should_stop)
        self.found = [dict(trainer.callback_metrics), trainer.ckpt_path, *progress]

    def on_train_batch_start(self, trainer: Trainer, *args: Any) -> None:
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])


def trained(module: ImageClassifier, *callbacks: Callback) -> tuple[dict[str, torch.Tensor], Start, dict[str, Any]]:
    """Return weights, what was recorded, and the summary without times, after two epochs."""
    start, summary = Start(), RunSummary()
    beside = [StopAtDivergence(), WeightAverages(swa_epoch_start=1), summary, start]
    quiet_trainer(max_epochs=2, callbacks=[*beside, *callbacks]).fit(module, data())
    timed = ("train_seconds", "images_per_second")
    hyperparameters = {k: v for k, v in summary.values["hyperparameters"].items() if not k.startswith("trainer")}
    values = {name: value for name, value in summary.values.items() if name not in timed}
    return module.state_dict(), start, values | {"hyperparameters": hyperparameters}


@pytest.mark.parametrize(
    ("make", "settings"),
    [
        # A schedule that multiplies the rate of the step before, and starts from a tenth.
        (partial(SGD, momentum=0.9), {"lr_scheduler": partial(LinearLR, start_factor=0.1), "lr_interval": "step"}),
        (partial(Adam, weight_decay=0.1), {"lr_scheduler": CosineAnnealingLR, "param_groups": [NO_DECAY]}),
        (lambda p, lr: MuonWithAux(p, lr, aux=lambda others: AdamW(others, lr=lr)), {}),
        (partial(LBFGS, max_iter=2), {"lr_scheduler": partial(StepLR, step_size=1)}),
    ],
    ids=["SGD", "Adam", "MuonWithAux", "LBFGS"],
)
def test_run_equals_one_that_is_given_the_rate_which_the_range_test_finds(
    make: Callable[..., Optimizer], settings: dict[str, Any], tmp_path: Path
) -> None:
    finder = LearningRateFinder(num_training_steps=STEPS, max_lr=0.1)
    module = classifier(partial(make, lr=1e-3), **settings)
    weights, start, summary = trained(module, finder)
    assert finder.optimal_lr
    assert len(finder.optimal_lr.results["lr"]) == STEPS
    assert module.lr == finder.optimal_lr.suggestion() != 1e-3
    expected = trained(classifier(partial(make, lr=module.lr), **settings))
    assert start.rates == expected[1].rates
    assert start.found == expected[1].found == [{}, None, 0, 0, False]
    assert summary == expected[2]
    assert summary["hyperparameters"]["optimizer.lr"] == module.lr
    assert equal_weights(weights, expected[0])
    assert list(tmp_path.iterdir()) == [tmp_path / "checkpoints"]  # of the averages


def test_tuner_finds_the_rate_for_the_fit_that_follows(tmp_path: Path) -> None:
    module = classifier(partial(Adam, lr=1e-3))
    trainer = quiet_trainer(max_epochs=2)
    found = Tuner(trainer).lr_find(module, datamodule=data(), num_training=STEPS)
    assert found
    assert module.lr
    assert module.lr == found.suggestion() != 1e-3
    trainer.fit(module, data())
    again = classifier(partial(Adam, lr=module.lr))
    quiet_trainer(max_epochs=2).fit(again, data())
    assert equal_weights(module.state_dict(), again.state_dict())
    trainer.save_checkpoint("made.ckpt")
    loaded = ImageClassifier.load_from_checkpoint("made.ckpt", net=again.net, weights_only=True)
    assert loaded.lr is None  # a new run of it has the rate of its own optimizer
    with pytest.raises(UsageError, match="works in new runs only, and this trainer has trained before"):
        Tuner(trainer).lr_find(module, datamodule=data(), num_training=STEPS)


def with_one_cycle(optimizer: Optimizer) -> SequentialSchedule:
    parts: list[LRSchedulerCallable] = [
        partial(LinearLR, total_iters=1),
        partial(OneCycleLR, max_lr=1.0, total_steps=9),
    ]
    return SequentialSchedule(optimizer, parts, milestones=[1])


def from_zero(optimizer: Optimizer) -> LambdaLR:
    return LambdaLR(optimizer, lambda step: step / 9)


def warming_up(parameters: Any) -> Optimizer:
    return SGD([{"params": list(parameters), "warmup_steps": 500}], lr=0.1)  # as schedulefree does


@pytest.mark.parametrize(
    ("make", "settings", "reason"),
    [
        (SGD, {"param_groups": [ParamRule("net.3.bias", options={"lr": 1.0})]}, "the parameter groups have 0.001, 1"),
        (partial(MuonWithAux, lr=0.02), {"lr_scheduler": from_zero}, "the parameter groups have 0.02, 0.001"),
        (SGD, {"lr_scheduler": with_one_cycle}, "would change nothing, because OneCycleLR sets the rates itself"),
        (
            partial(SGD, momentum=0.9),
            {"lr_scheduler": partial(CyclicLR, base_lr=0.1, max_lr=1.0)},
            "would change nothing, because CyclicLR sets the rates itself",
        ),
        (Rprop, {}, "cannot test Rprop, which uses its rate in the first step only"),
        (warming_up, {}, "tests lower rates than it says, because SGD warms up"),
    ],
    ids=["groups", "MuonWithAux", "OneCycleLR", "CyclicLR", "Rprop", "warm-up"],
)
def test_rate_that_would_mislead_is_refused_before_the_test_and_can_be_looked_at(
    make: Callable[..., Optimizer], settings: dict[str, Any], reason: str, tmp_path: Path
) -> None:
    module = classifier(make, **settings)
    with pytest.raises(UsageError) as caught:
        Tuner(quiet_trainer(max_epochs=2)).lr_find(module, datamodule=data(), num_training=STEPS)
    assert reason in str(caught.value)
    assert str(caught.value).endswith(": leave it out, and choose the rate with optimcifar sweep")
    assert list(tmp_path.iterdir()) == []
    looking: dict[str, Any] = {"num_training": STEPS, "early_stop_threshold": None, "update_attr": False}
    found = Tuner(quiet_trainer(max_epochs=2)).lr_find(module, datamodule=data(), **looking)
    assert found
    assert len(found.results["loss"]) == STEPS
    assert module.lr is None


def test_run_goes_on_at_the_rate_that_it_found_and_its_configuration_finds_it_again(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    options = [*small, "--data.batch_size=50", "--model.lr_scheduler=CosineAnnealingLR"]
    finder = ["--trainer.callbacks+=LearningRateFinder", f"--trainer.callbacks.num_training_steps={STEPS}"]
    runs = [tmp_path / "lightning_logs" / f"version_{number}" for number in range(3)]
    assert optimcifar("fit", *options, *finder, INTERRUPT).status == 130
    outcome = optimcifar("resume", runs[0])
    assert outcome.status == 0, outcome.err
    rate = read_summary(runs[0])["hyperparameters"]["optimizer.lr"]
    assert rate != 0.01
    assert f"torch.optim.SGD(lr={rate!r}, momentum=0.9" in outcome.out
    assert "lr: 0.01" in (runs[0] / "config.yaml").read_text()
    assert (
        optimcifar(
            "fit", *options, "--model.optimizer=SGD", f"--model.optimizer.lr={rate!r}", "--model.optimizer.momentum=0.9"
        ).status
        == 0
    )
    repeated = optimcifar("fit", "--config", runs[0] / "config.yaml", "--trainer.callbacks=null", *finder)
    assert f"torch.optim.SGD(lr={rate!r}, momentum=0.9" in repeated.out
    for run in runs:
        assert equal_weights(
            read_weights(run / "checkpoints/last.ckpt"), read_weights(runs[0] / "checkpoints/last.ckpt")
        )
        assert metrics_without_times(run) == metrics_without_times(runs[0])
    assert list(tmp_path.iterdir()) == [tmp_path / "lightning_logs"]
    longer = optimcifar("fit", "--ckpt_path", runs[1] / "checkpoints/last.ckpt", "--trainer.max_epochs=3", *finder)
    assert longer.status == 2
    assert "LearningRateFinder works in new runs only, and this one is resumed: leave it out" in longer.err
    planned = optimcifar(
        "schedule",
        "--config",
        runs[0] / "config.yaml",
        "--trainer.max_epochs=4",
        "--ckpt_path",
        runs[0] / "checkpoints/last.ckpt",
    )
    assert planned.status == 0, planned.err
    assert f"from {rate / 2:.4g}" in planned.out


def test_trial_run_of_a_few_steps_looks_for_no_rate() -> None:
    module = classifier(partial(SGD, lr=0.25))
    trial = quiet_trainer(fast_dev_run=3, callbacks=[LearningRateFinder()])
    with pytest.warns(UserWarning, match="Skipping learning rate finder"):
        trial.fit(module, data())
    assert (trial.global_step, trial.optimizers[0].param_groups[0]["lr"]) == (3, 0.25)


def test_comparison_of_rates_that_differ_by_seed_is_refused(small: list[str]) -> None:
    with (
        training_run([*small, "--trainer.callbacks+=LearningRateFinder"]) as run,
        pytest.raises(
            UsageError, match="finds another rate for every seed: leave it out, and choose the rate with opt"
        ),
    ):
        run.check()
