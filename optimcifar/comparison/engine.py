"""The cluster that makes the runs: a local one, or one that is there."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dask
from distributed import Client, Future, Nanny, Scheduler, SpecCluster, wait
from distributed.scheduler import KilledWorker

from optimcifar.comparison import worker
from optimcifar.comparison.plan import Run
from optimcifar.errors import UsageError, error_message

# A run is tried again from its last checkpoint when its worker dies; one that kills so many is given up.
_DEATHS = 10

_SETTINGS = {
    "distributed.scheduler.allowed-failures": _DEATHS,
    "distributed.comm.timeouts.connect": "10s",
    # Dask would have freed memory given back to the system at once, and training take it again in every step.
    "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1},
}


@contextmanager
def connect(jobs: int | None, scheduler: str | None) -> Iterator[Client]:
    """Yield a client of the cluster at ``scheduler``, or of a local one of ``jobs`` one-thread workers.

    Args:
        jobs: number of local workers; None for one a GPU, or one a core where there is no GPU.
        scheduler: address of a running scheduler, such as ``tcp://host:8786``.

    Raises:
        RuntimeError: no scheduler answers at that address.
    """
    logging.getLogger("distributed").setLevel(logging.CRITICAL)
    # Python's watcher over semaphores, a process of its own, would complain at the end of those of killed workers.
    warned = (os.environ.get("PYTHONWARNINGS"), "ignore:resource_tracker:UserWarning")
    os.environ["PYTHONWARNINGS"] = ",".join(filter(None, warned))
    with dask.config.set(_SETTINGS):
        if scheduler:
            try:
                client = Client(scheduler)
            except (OSError, ValueError) as error:
                raise RuntimeError(f"no scheduler answers at {scheduler}") from error
            with client:
                yield client
        else:
            with _local_cluster(jobs) as cluster, Client(cluster) as client:
                yield client


def _local_cluster(jobs: int | None) -> SpecCluster:
    gpus = _gpus()
    workers = {
        number: {
            "cls": Nanny,
            "options": {
                "nthreads": 1,
                "memory_limit": 0,
                "preload": [worker.__name__],
                "silence_logs": logging.CRITICAL,
                "host": "127.0.0.1",
                "dashboard_address": None,
                "env": {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {},
            },
        }
        for number in range(jobs or len(gpus) or os.cpu_count() or 1)
    }
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard": False, "dashboard_address": None}}
    return SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL)


def _gpus() -> list[str]:
    """Return the numbers of the GPUs that may be used."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [number for number in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if number]
    # Without importing torch, which takes seconds.
    return [path.name.removeprefix("nvidia") for path in sorted(Path("/dev").glob("nvidia[0-9]*"))]


def check_runs(client: Client, runs: list[Run]) -> list[str]:
    """Return the configuration that the options of every run come to, as YAML.

    Raises:
        UsageError: a run's options are wrong.
    """
    futures = client.map(worker.check, [run.options for run in runs], pure=False)
    for run, future in zip(runs, futures, strict=True):
        if error := future.exception():
            raise UsageError(f"{run.name}: {error_message(error)}")
    configurations: list[str] = client.gather(futures)
    return configurations


def make_runs(
    client: Client, runs: list[Run], on_change: Callable[[dict[Run, dict[str, Any]]], None]
) -> dict[Run, dict[str, Any]]:
    """Make all runs; return the result of each, as ``worker.make`` says it.

    Args:
        client: the cluster's.
        runs: in the order in which they are to be started.
        on_change: called with the results so far, every half second.
    """
    futures = {
        client.submit(worker.make, run.options, run.folder, run.seed, pure=False, priority=-number): run
        for number, run in enumerate(runs)
    }
    results: dict[Run, dict[str, Any]] = {}
    pending = set(futures)
    while pending:
        try:
            done = wait(pending, timeout=0.5, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            done = set()
        for future in done:
            results[futures[future]] = _result(future)
        pending -= done
        on_change(results)
    return results


def _result(future: Future[Any]) -> dict[str, Any]:
    error = future.exception()
    if error is None:
        result: dict[str, Any] = future.result()
        return result
    if isinstance(error, KilledWorker):
        return {"status": "failed", "error": f"its worker died {_DEATHS} times"}
    return {"status": "failed", "error": f"{type(error).__name__}: {error}"}
