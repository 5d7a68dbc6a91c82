"""What a result was made with: package versions and import paths of classes."""

from __future__ import annotations

import platform
import sys
from importlib.metadata import version
from types import FunctionType


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that a result depends on."""
    packages = ("optimcifar", "torch", "torchvision", "lightning", "torchmetrics")
    return {"python": platform.python_version(), **{name: version(name) for name in packages}}


def import_path(thing: type | FunctionType) -> str:
    """Return the shortest path that imports a class or function: ``torch.optim.SGD``, not ``torch.optim.sgd.SGD``."""
    parts = thing.__module__.split(".")
    packages = (".".join(parts[:n]) for n in range(1, len(parts)))
    shorter = (path for path in packages if getattr(sys.modules.get(path), thing.__name__, None) is thing)
    return f"{next(shorter, thing.__module__)}.{thing.__qualname__}"
