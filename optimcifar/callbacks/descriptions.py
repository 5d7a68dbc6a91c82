"""Classes and their arguments, read from the objects that a run uses."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from rich.text import Text
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, ReduceLROnPlateau

from optimcifar.optim.horizons import schedule_class
from optimcifar.optim.schedules import schedule_parts
from optimcifar.runs.provenance import import_path

# What every schedule takes, and a person does not set.
_OF_EVERY_SCHEDULE = ("optimizer", "last_epoch")


def constructor_arguments(instance: object) -> dict[str, Any]:
    """Return the constructor's arguments that the instance keeps under the same name, with or without a leading ``_``.

    ``optimizer`` and ``last_epoch``, which every schedule takes, are left out.
    """
    arguments: dict[str, Any] = {}
    names = [name for name in inspect.signature(type(instance)).parameters if name not in _OF_EVERY_SCHEDULE]
    for name in names:
        for attribute in (name, f"_{name}"):
            # CyclicLR has a method with the name of an argument.
            if hasattr(instance, attribute) and not inspect.ismethod(getattr(instance, attribute)):
                arguments.setdefault(name, getattr(instance, attribute))
    return arguments


def optimizer_arguments(optimizer: Optimizer) -> dict[str, Any]:
    """Return an optimizer's arguments, without the state that some keep among their defaults."""
    parameters = inspect.signature(type(optimizer)).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return dict(optimizer.defaults)
    names = {parameter.name for parameter in parameters}
    return {name: value for name, value in optimizer.defaults.items() if name in names}


def call_text(instance: object, arguments: Mapping[str, Any]) -> Text:
    """Write an object as the call that makes it, ``torch.optim.SGD(lr=0.1)``, and dim arguments that have the default.

    Args:
        instance: the object.
        arguments: its arguments.
    """
    defaults = {name: parameter.default for name, parameter in inspect.signature(type(instance)).parameters.items()}
    listed = [
        Text(f"{name}={_value_text(value)}", "dim" if name in defaults and _are_equal(value, defaults[name]) else "")
        for name, value in arguments.items()
    ]
    return Text.assemble(f"{import_path(type(instance))}(", Text(", ").join(listed), ")")


def schedule_text(schedule: LRScheduler | ReduceLROnPlateau, make: object = None) -> Text:
    """Write a schedule as the call that makes it, the schedules that it is made of included.

    Args:
        schedule: the schedule.
        make: what built it. PyTorch's schedules do not keep all their arguments; those of a ``partial`` are known.
    """
    arguments = _given(schedule, make) | constructor_arguments(schedule)
    if not (parts := schedule_parts(schedule)):
        order = [name for name in inspect.signature(type(schedule)).parameters if name in arguments]
        return call_text(schedule, {name: arguments[name] for name in order})
    makes = arguments.get("schedulers") or [None] * len(parts)
    milestones = f", milestones={arguments['milestones']!r}" if "milestones" in arguments else ""
    listed = Text(", ").join(map(schedule_text, parts, makes))
    return Text.assemble(f"{import_path(type(schedule))}([", listed, f"]{milestones})")


def _given(schedule: object, make: object) -> dict[str, Any]:
    """Return the arguments that ``make`` gives to the schedule's class, or leaves at their defaults."""
    if not isinstance(make, partial) or schedule_class(make) is not type(schedule):
        return {}
    defaults = {name: parameter.default for name, parameter in inspect.signature(type(schedule)).parameters.items()}
    values = (defaults | make.keywords).items()
    return {name: value for name, value in values if value is not None and name not in _OF_EVERY_SCHEDULE}


def _are_equal(value: object, default: object) -> bool:
    # A configuration has lists in place of tuples.
    return (tuple(value) if isinstance(value, list) else value) == default


def _value_text(value: object) -> str:
    """Write a function by its name: its address says nothing."""
    return import_path(value) if inspect.isfunction(value) else repr(value)
