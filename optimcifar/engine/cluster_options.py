"""Which workers train the runs: local ones, or those of a running dask scheduler."""

from __future__ import annotations

from dataclasses import dataclass

from optimcifar.errors import UsageError


@dataclass(frozen=True)
class ClusterOptions:
    """Which workers train the runs.

    Attributes:
        jobs: number of local workers; None for one per GPU, or one per core without a GPU.
        scheduler: address of a running dask scheduler, such as ``tcp://host:8786``; None for local workers.
        dashboard: whether the address of dask's dashboard is printed.

    Raises:
        UsageError: there would be no worker.
    """

    jobs: int | None = None
    scheduler: str | None = None
    dashboard: bool = False

    def __post_init__(self) -> None:
        if self.jobs is not None and self.jobs < 1:
            raise UsageError(f"--jobs must be at least 1, got {self.jobs}")
