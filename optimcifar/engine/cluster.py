"""The dask cluster that trains the runs: a local one, or an existing one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import dask
from distributed import Client, Future, Nanny, Scheduler, SpecCluster, wait
from distributed.scheduler import KilledWorker

from optimcifar.engine import worker
from optimcifar.engine.run_times import EpochTime
from optimcifar.engine.runs import Run
from optimcifar.engine.worker import RunEnd
from optimcifar.environment import restored_environment
from optimcifar.errors import UsageError, error_message
from optimcifar.runs.folder import RunFolder

# A run whose worker dies is retried from its last checkpoint, until it has cost so many workers.
_DEATHS = 10

_SETTINGS = {
    "distributed.scheduler.allowed-failures": _DEATHS,
    "distributed.comm.timeouts.connect": "10s",
    # In place of dask's own variables, which return freed memory to the system at once: training would ask for it again
    # in every step.
    "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1},
}

# dask serves a page whatever its options say, and warns where its usual port is taken.
_ANY_PORT = "127.0.0.1:0"


@contextmanager
def connect(jobs: int | None, scheduler: str | None) -> Iterator[Client]:
    """Yield a client of the cluster at ``scheduler``, or of a local one with ``jobs`` one-thread workers.

    Args:
        jobs: number of local workers; None for one per GPU, or one per core without a GPU.
        scheduler: address of a running scheduler, such as ``tcp://host:8786``.

    Raises:
        RuntimeError: no scheduler answers at that address, or the local workers cannot be started.
    """
    with _restored_process(), dask.config.set(_SETTINGS):
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


@contextmanager
def _restored_process() -> Iterator[None]:
    """Silence dask's log and resource_tracker's warnings; restore the environment, which dask changes, afterwards."""
    logger = logging.getLogger("distributed")
    level = logger.level
    with restored_environment():
        logger.setLevel(logging.CRITICAL)
        # The tracker is a process of its own, which inherits this. It would complain about killed workers.
        ignored = "ignore:resource_tracker:UserWarning"
        os.environ["PYTHONWARNINGS"] = ",".join(filter(None, (os.environ.get("PYTHONWARNINGS"), ignored)))
        try:
            yield
        finally:
            logger.setLevel(level)


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
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", "dashboard": False, "dashboard_address": _ANY_PORT}}
    try:
        return SpecCluster(workers=workers, scheduler=scheduler, silence_logs=logging.CRITICAL)
    except RuntimeError as error:
        # New processes import the script again, and multiprocessing refuses to start others from there.
        raise RuntimeError(
            'the workers could not be started; does the script call compare below `if __name__ == "__main__":`?'
        ) from error


def _gpus() -> list[str]:
    """Return the numbers of the available GPUs."""
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        return [number for number in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if number]
    # Not from torch, whose import takes seconds.
    return [path.name.removeprefix("nvidia") for path in sorted(Path("/dev").glob("nvidia[0-9]*"))]


def check_runs(client: Client, runs: list[Run]) -> list[str]:
    """Return the resolved configuration of every run as YAML.

    Raises:
        UsageError: a run's options are wrong.
    """
    futures = client.map(worker.check_options, [run.options for run in runs], pure=False)
    for run, future in zip(runs, futures, strict=True):
        if error := future.exception():
            raise UsageError(f"{run.name}: {error_message(error)}")
    configurations: list[str] = client.gather(futures)
    return configurations


def places(client: Client) -> int:
    """Return how many runs the cluster trains at a time."""
    return sum(client.ncores().values())


def first_epoch_times(client: Client, runs: list[Run]) -> dict[str, EpochTime]:
    """Train the first epoch of each run, and write nothing; return its time by the name of the run.

    Raises:
        RuntimeError: a run failed.
    """
    futures = client.map(worker.time_epoch, [run.options for run in runs], pure=False)
    for run, future in zip(runs, futures, strict=True):
        if error := future.exception():
            raise RuntimeError(f"{run.name}: {error_message(error)}")
    return {run.name: EpochTime(*time) for run, time in zip(runs, client.gather(futures), strict=True)}


def make_runs(client: Client, runs: list[Run], on_change: Callable[[dict[Run, RunEnd]], None]) -> dict[Run, RunEnd]:
    """Train all runs, and test those that are to be tested; return how each ended.

    Args:
        client: the cluster's client.
        runs: in the order in which they start.
        on_change: called every half second with the ends so far.
    """
    futures = {
        client.submit(
            worker.train_and_test, run.options, run.folder, run.seed, run.is_tested, pure=False, priority=-number
        ): run
        for number, run in enumerate(runs)
    }
    ends: dict[Run, RunEnd] = {}
    pending = set(futures)
    while pending:
        try:
            done = wait(pending, timeout=0.5, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            done = set()
        for future in done:
            ends[futures[future]] = _end(futures[future], future)
        pending -= done
        on_change(ends)
    return ends


def _end(run: Run, future: Future[RunEnd]) -> RunEnd:
    error = future.exception()
    if error is None:
        end: RunEnd = future.result()
        return end
    killed = isinstance(error, KilledWorker)
    message = f"its worker died {_DEATHS} times" if killed else f"{type(error).__name__}: {error}"
    return worker.record_failure(RunFolder(run.folder), run.seed, message)
