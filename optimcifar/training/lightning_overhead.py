"""Two shortcuts around Lightning's bookkeeping, which takes 1 to 2 % of a step each with a network this small.

``tests/benchmarks/lightning_overhead.py`` measures them.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from lightning.pytorch import LightningModule
from lightning.pytorch.profilers import PassThroughProfiler

_NOTHING = nullcontext()


class NoProfiler(PassThroughProfiler):
    """Profiles nothing, with one context for all of a step's 50 actions; Lightning's own creates one for each."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """Return a context that does nothing."""
        return _NOTHING


class FastHookNames(LightningModule):
    """Stores the name of the current hook without PyTorch's search for parameters, buffers and modules.

    Lightning sets that attribute 40 times per step.
    """

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute."""
        if name == "_current_fx_name":
            object.__setattr__(self, name, value)
        else:
            super().__setattr__(name, value)
