"""Lightning's LearningRateFinder: refuse what it would get wrong, and leave it out of a resumed run."""

from __future__ import annotations

from collections.abc import Iterator

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import LearningRateFinder
from torch.optim import Optimizer, Rprop
from torch.optim.lr_scheduler import CyclicLR, OneCycleLR

from optimcifar.callbacks.base import goes_on
from optimcifar.errors import UsageError
from optimcifar.optim.horizons import callbacks_of, run_length
from optimcifar.optim.schedules import schedule_parts
from optimcifar.text import count

#: What to do where a finder is refused.
USE_SWEEP = "leave it out, and choose the rate with optimcifar sweep"


def rate_finders(trainer: Trainer) -> list[LearningRateFinder]:
    """Return the finders that will run; ``Tuner.lr_find`` adds one, and Lightning skips all in a fast_dev_run."""
    if trainer.fast_dev_run:  # type: ignore[attr-defined]
        return []
    return [callback for callback in callbacks_of(trainer) if isinstance(callback, LearningRateFinder)]


def check_rate_finders(trainer: Trainer, optimizer: Optimizer, schedule: object | None) -> None:
    """Refuse a finder that sets the rate where the run would ignore it, or where its test says nothing about it.

    Raises:
        UsageError: the trainer has such a finder.
    """
    for finder in rate_finders(trainer):
        reasons = _reasons(finder, trainer, optimizer, schedule) if finder._update_attr else ()
        for reason in reasons:
            raise UsageError(f"LearningRateFinder {reason}: {USE_SWEEP}")


def forget_range_test(trainer: Trainer, rate: float | None) -> None:
    """Start the run after a range test as if there had been none, but for the rate; call this before training starts.

    Builds the optimizer again: Lightning sets the rate in its groups alone, and not where a schedule starts from, and
    leaves the test's state in an optimizer that is made of others.

    Args:
        trainer: the trainer.
        rate: the rate that was found.

    Raises:
        UsageError: none was found, although the run was to be trained at it.
    """
    if rate is None and any(finder._update_attr for finder in rate_finders(trainer)):
        raise UsageError(f"LearningRateFinder found no rate before training: {USE_SWEEP}")
    trainer.ckpt_path = None  # else that of the test's own checkpoint, which is gone
    trainer._logger_connector.reset_metrics()
    trainer.strategy.setup_optimizers(trainer)


def leave_out_rate_finders(trainer: Trainer, rate: float | None) -> None:
    """Remove the finders of a resumed run: it has its rate, and a range test would drop the checkpoint's state.

    Args:
        trainer: the trainer.
        rate: the rate that was found when the run was new.

    Raises:
        UsageError: none was found.
    """
    finders = rate_finders(trainer)
    if rate is None and any(finder._update_attr for finder in finders):
        raise UsageError(f"LearningRateFinder works in new runs only, and this one is resumed: {USE_SWEEP}")
    trainer.callbacks = [callback for callback in callbacks_of(trainer) if callback not in finders]  # type: ignore[attr-defined]


def _reasons(
    finder: LearningRateFinder, trainer: Trainer, optimizer: Optimizer, schedule: object | None
) -> Iterator[str]:
    """Yield what keeps a finder from setting the rate."""
    if goes_on(trainer):
        yield "works in new runs only, and this trainer has trained before"
    rates = dict.fromkeys(float(group.get("initial_lr", group["lr"])) for group in optimizer.param_groups)
    if len(rates) > 1:
        yield f"finds one rate, and the parameter groups have {', '.join(f'{rate:g}' for rate in rates)}"
    for part in _with_parts(schedule):
        if isinstance(part, (OneCycleLR, CyclicLR)):
            yield f"would change nothing, because {type(part).__name__} sets the rates itself"
    if isinstance(optimizer, Rprop):
        yield "cannot test Rprop, which uses its rate in the first step only"
    if any(group.get("warmup_steps") for group in optimizer.param_groups):  # schedulefree's
        yield f"tests lower rates than it says, because {type(optimizer).__name__} warms up"
    steps, tried = run_length(trainer, "step"), finder._num_training_steps
    if steps is not None and steps < tried:
        yield f"tries {count(tried, 'rate')} (num_training_steps), one per step, and the run has {count(steps, 'step')}"


def _with_parts(schedule: object) -> Iterator[object]:
    """Yield a schedule and the schedules that it is made of."""
    yield schedule
    for part in schedule_parts(schedule):
        yield from _with_parts(part)
