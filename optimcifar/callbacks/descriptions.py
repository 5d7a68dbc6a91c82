"""Classes and their arguments, read from the objects that a run uses."""

from __future__ import annotations

import inspect
from typing import Any

from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from optimcifar.optim.schedules import schedule_parts
from optimcifar.runs.provenance import import_path


def constructor_arguments(instance: object) -> dict[str, Any]:
    """Return the constructor's arguments that the instance keeps under the same name, with or without a leading ``_``.

    ``optimizer`` and ``last_epoch``, which every schedule takes, are left out.
    """
    arguments: dict[str, Any] = {}
    names = [name for name in inspect.signature(type(instance)).parameters if name not in ("optimizer", "last_epoch")]
    for name in names:
        for attribute in (name, f"_{name}"):
            # CyclicLR has a method with the name of an argument.
            if hasattr(instance, attribute) and not inspect.ismethod(getattr(instance, attribute)):
                arguments.setdefault(name, getattr(instance, attribute))
    return arguments


def call_text(instance: object, arguments: dict[str, Any]) -> str:
    """Write an object as the call that makes it: ``torch.optim.SGD(lr=0.1)``."""
    listed = ", ".join(f"{name}={_value_text(value)}" for name, value in arguments.items())
    return f"{import_path(type(instance))}({listed})"


def _value_text(value: object) -> str:
    """Write a function by its name: its address says nothing."""
    return import_path(value) if inspect.isfunction(value) else repr(value)


def schedule_text(schedule: LRScheduler | ReduceLROnPlateau) -> str:
    """Write a schedule as the call that makes it, the schedules that it is made of included."""
    arguments = constructor_arguments(schedule)
    if not (parts := schedule_parts(schedule)):
        return call_text(schedule, arguments)
    listed = ", ".join(schedule_text(part) for part in parts)
    milestones = f", milestones={arguments['milestones']!r}" if "milestones" in arguments else ""
    return f"{import_path(type(schedule))}([{listed}]{milestones})"
