"""The rates of PyTorch's schedules, written down as formulas."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from torch.optim import lr_scheduler

from optimcifar import ChainedSchedule, SequentialSchedule

#: The rates of an optimizer's two parameter groups.
RATES = (1.0, 0.1)


class Form(NamedTuple):
    """A schedule and its rates.

    Attributes:
        arguments: its arguments, without its length.
        rate: from the group's own rate, the number of steps made, and the schedule's length, the rate.
    """

    arguments: dict[str, Any]
    rate: Callable[[float, int, int], float]


def halved(epoch: int) -> float:
    """Return a factor for LambdaLR."""
    return 0.5**epoch


def less(_: int) -> float:
    """Return a factor for MultiplicativeLR."""
    return 0.9


def _between(start: float, end: float, share: float) -> float:
    """Go from start to end along half a cosine."""
    return end + (start - end) * (1 + math.cos(math.pi * share)) / 2


def one_cycle(low: float, high: float, last: float, t: int, n: int) -> float:
    """Rise for half of n steps, less one, then fall until step n - 1; both along half a cosine."""
    top = n / 2 - 1
    return _between(low, high, t / top) if t <= top else _between(high, last, (t - top) / (n - 1 - top))


#: By the name of PyTorch's class; the formulas of the last two are those of their parts.
FORMS: dict[str, Form] = {
    "LambdaLR": Form({"lr_lambda": halved}, lambda base, t, n: base * 0.5**t),
    "MultiplicativeLR": Form({"lr_lambda": less}, lambda base, t, n: base * 0.9**t),
    "StepLR": Form({"step_size": 2}, lambda base, t, n: base * 0.1 ** (t // 2)),
    "MultiStepLR": Form({"milestones": [1, 3]}, lambda base, t, n: base * 0.1 ** ((t >= 1) + (t >= 3))),
    "ConstantLR": Form({"factor": 0.5}, lambda base, t, n: base * (0.5 if t < n else 1)),
    "LinearLR": Form({"start_factor": 0.25}, lambda base, t, n: base * (0.25 + 0.75 * t / n)),
    "ExponentialLR": Form({"gamma": 0.5}, lambda base, t, n: base * 0.5**t),
    "OneCycleLR": Form(
        {"max_lr": [2 * rate for rate in RATES], "pct_start": 0.5, "div_factor": 8.0, "final_div_factor": 4.0},
        lambda base, t, n: one_cycle(base / 4, base * 2, base / 16, t, n),
    ),
    "CosineAnnealingLR": Form({"eta_min": 0.01}, lambda base, t, n: _between(base, 0.01, t / n)),
    "CosineAnnealingWarmRestarts": Form({"T_0": 2}, lambda base, t, n: base if t % 2 == 0 else base / 2),
    "CyclicLR": Form(
        {"base_lr": [rate / 5 for rate in RATES], "max_lr": list(RATES), "step_size_up": 2},
        lambda base, t, n: base * (0.2, 0.6, 1.0, 0.6)[t % 4],
    ),
    "PolynomialLR": Form({"power": 2.0}, lambda base, t, n: base * (1 - t / n) ** 2),
    "SequentialLR": Form(
        {"schedulers": [("LinearLR", {"start_factor": 0.5}), ("PolynomialLR", {})], "milestones": [2]},
        lambda base, t, n: base * (0.5 + 0.25 * t if t < 2 else 1 - (t - 2) / (n - 2)),
    ),
    "ChainedScheduler": Form(
        {"schedulers": [("ExponentialLR", {"gamma": 0.5}), ("ConstantLR", {"factor": 0.1, "total_iters": 2})]},
        lambda base, t, n: base * 0.5**t * (0.1 if t < 2 else 1),
    ),
}
_COMBINED: dict[str, Any] = {"SequentialLR": SequentialSchedule, "ChainedScheduler": ChainedSchedule}


def schedule(name: str, arguments: dict[str, Any] | None = None) -> Any:
    """Return what builds a schedule in Python; None for the arguments of its form."""
    arguments = FORMS[name].arguments if arguments is None else arguments
    if "schedulers" in arguments:
        arguments = arguments | {"schedulers": [schedule(*part) for part in arguments["schedulers"]]}
    return partial(_COMBINED.get(name) or getattr(lr_scheduler, name), **arguments)


def configuration(name: str, arguments: dict[str, Any] | None = None) -> dict[str, Any]:
    """Return a schedule as a configuration; None for the arguments of its form."""
    arguments = FORMS[name].arguments if arguments is None else arguments
    if "schedulers" in arguments:
        arguments = arguments | {"schedulers": [configuration(*part) for part in arguments["schedulers"]]}
    plain = {key: f"schedule_forms.{value.__name__}" if callable(value) else value for key, value in arguments.items()}
    kind = _COMBINED[name].__name__ if name in _COMBINED else None
    return {"class_path": f"optimcifar.{kind}" if kind else f"torch.optim.lr_scheduler.{name}", "init_args": plain}
