"""A profiler that costs nothing: Lightning's default takes about 2 % of a step with a network this small.

``tests/benchmarks/callback_cost.py`` measures it.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

from lightning.pytorch.profilers import PassThroughProfiler

_NOTHING = nullcontext()


class NoProfiler(PassThroughProfiler):
    """Profiles nothing, with one context for all of a step's 50 actions; Lightning's own creates one for each."""

    def profile(self, action_name: str) -> AbstractContextManager[None]:  # type: ignore[override]
        """Return a context that does nothing."""
        return _NOTHING
