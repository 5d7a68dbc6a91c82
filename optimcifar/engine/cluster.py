"""The dask cluster that trains the runs: a local one, or an existing one."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TypeVar

import dask
from dask.system import CPU_COUNT
from distributed import Client, Future, Nanny, Scheduler, SpecCluster, wait
from distributed.scheduler import KilledWorker

from optimcifar.configurations import shipped_configurations
from optimcifar.console import OutputConsole
from optimcifar.engine import worker
from optimcifar.engine.cluster_options import ClusterOptions
from optimcifar.engine.run_times import EpochTime
from optimcifar.engine.runs import Entry, Run
from optimcifar.engine.worker import RunEnd
from optimcifar.engine.worker_check import Origin, UnfitWorkerError, refuse_unfit_workers
from optimcifar.environment import restored_environment
from optimcifar.errors import UsageError, error_message
from optimcifar.runs.folder import RunFolder

_T = TypeVar("_T")
_Closable = TypeVar("_Closable", Client, SpecCluster)

# A run whose worker dies is retried from its last checkpoint, so many times.
_RETRIES = 10

_SETTINGS = {
    "distributed.scheduler.allowed-failures": _RETRIES,
    # In place of dask's own variables, which return freed memory to the system at once: training would ask for it again
    # in every step.
    "distributed.nanny.pre-spawn-environ": {"OMP_NUM_THREADS": 1, "MKL_NUM_THREADS": 1},
}

_CONNECT = "distributed.comm.timeouts.connect"

# dask serves a page whatever its options say, and warns where its usual port is taken.
_ANY_PORT = "127.0.0.1:0"


@contextmanager
def connect(options: ClusterOptions, out: Path, entries: Sequence[Entry]) -> Iterator[Client]:
    """Yield a client of the cluster that the options describe.

    Args:
        options: which workers train the runs.
        out: the folder of the runs.
        entries: the configurations, whose files all workers must see, and those of their workloads.

    Raises:
        RuntimeError: no scheduler answers at its address, a worker cannot train the runs, the local workers cannot be
            started, or the dashboard cannot be shown.
    """
    with _restored_process(), dask.config.set(_SETTINGS):
        if options.scheduler:
            with dask.config.set({_CONNECT: "10s"}), _remote_client(options.scheduler) as client:
                _show_dashboard(client, options)
                _wait_for_worker(client, options.scheduler)
                shipped = shipped_configurations().values()  # every worker has them, since it has the same package
                files = dict.fromkeys(path for entry in entries for path in entry.files)
                refuse_unfit_workers(client, out, [path for path in files if path not in shipped])
                yield client
        else:
            # New processes on cores that other programs use take their time.
            with dask.config.set({_CONNECT: "60s"}), _local_client(options) as client:
                _show_dashboard(client, options)
                yield client


def _remote_client(scheduler: str) -> Client:
    try:
        return Client(scheduler)
    except (OSError, ValueError) as error:
        raise RuntimeError(f"no scheduler answers at {scheduler}") from error


def _wait_for_worker(client: Client, scheduler: str) -> None:
    """Wait for a first worker, which may be in a queue itself."""
    if not client.ncores():
        OutputConsole().print_line(f"waiting for workers: dask worker {scheduler} --nthreads 1")
        client.wait_for_workers(1)


def _show_dashboard(client: Client, options: ClusterOptions) -> None:
    """Print the address of dask's dashboard, if it is asked for.

    Raises:
        RuntimeError: the scheduler has no bokeh, which draws it.
    """
    if not options.dashboard:
        return
    where = f" where the scheduler at {options.scheduler} runs, and start it again" if options.scheduler else ""
    try:
        client.run_on_scheduler(version, "bokeh")
    except PackageNotFoundError as error:
        raise RuntimeError(f"--dashboard needs bokeh: pip install bokeh{where}") from error
    OutputConsole().print_line(f"dashboard: {client.dashboard_link}")


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


@contextmanager
def _local_client(options: ClusterOptions) -> Iterator[Client]:
    with _closed(_local_cluster(options)) as cluster, _closed(Client(cluster)) as client:
        yield client


@contextmanager
def _closed(opened: _Closable) -> Iterator[_Closable]:
    """Close a cluster or its client afterwards; on busy cores that may time out."""
    try:
        yield opened
    finally:
        # The runs are over, and the workers end with this process: no reason to lose the report.
        with suppress(TimeoutError):
            opened.close()


def _local_cluster(options: ClusterOptions) -> SpecCluster:
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
        for number in range(options.jobs or len(gpus) or CPU_COUNT)
    }
    served = {"dashboard": options.dashboard, "dashboard_address": _ANY_PORT}
    scheduler = {"cls": Scheduler, "options": {"host": "127.0.0.1", **served}}
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


def _origin(client: Client) -> Origin | None:
    """Return where the command was typed, for workers that may have been started elsewhere; None for local ones."""
    return Origin.here() if client.cluster is None else None


def check_runs(client: Client, runs: list[Run]) -> list[str]:
    """Return the resolved configuration of every run as YAML.

    Raises:
        UsageError: a run's options are wrong.
    """
    futures = client.map(partial(worker.check_options, _origin(client)), [run.options for run in runs], pure=False)
    return _results(runs, futures, UsageError)


def places(client: Client) -> int:
    """Return how many runs the cluster trains at a time."""
    return sum(client.ncores().values())


def first_epoch_times(client: Client, runs: list[Run]) -> dict[str, EpochTime]:
    """Train the first epoch of each run, and write nothing; return its time by the name of the run.

    Raises:
        RuntimeError: a run failed.
    """
    futures = client.map(partial(worker.time_epoch, _origin(client)), [run.options for run in runs], pure=False)
    times = _results(runs, futures, RuntimeError)
    return {run.name: EpochTime(*time) for run, time in zip(runs, times, strict=True)}


def _results(runs: Sequence[Run], futures: Sequence[Future[_T]], failure: type[Exception]) -> list[_T]:
    """Return the results of a task for each run; raise an error of the task as this kind of failure."""
    for run, future in zip(runs, futures, strict=True):
        if error := future.exception():
            raise error if isinstance(error, UnfitWorkerError) else failure(f"{run.name}: {error_message(error)}")
    return [future.result() for future in futures]


def make_runs(client: Client, runs: list[Run], on_change: Callable[[dict[Run, RunEnd]], None]) -> dict[Run, RunEnd]:
    """Train all runs, and test those that are to be tested; return how each ended.

    Args:
        client: the cluster's client.
        runs: in the order in which they start.
        on_change: called every half second with the ends so far.
    """
    task = partial(worker.train_and_test, _origin(client))
    order = {run: -number for number, run in enumerate(runs)}

    def submit(run: Run) -> Future[RunEnd]:
        return client.submit(task, run.options, run.folder, run.seed, run.is_tested, pure=False, priority=order[run])

    futures = {submit(run): run for run in runs}
    ends: dict[Run, RunEnd] = {}
    pending = set(futures)
    while pending:
        try:
            done = wait(pending, timeout=0.5, return_when="FIRST_COMPLETED").done
        except TimeoutError:
            done = set()
        pending -= done
        for future in done:
            run, error = futures[future], future.exception()
            if isinstance(error, UnfitWorkerError):
                _retire(client, error)
                futures[again := submit(run)] = run
                pending.add(again)
            else:
                ends[run] = _end(run, future)
        on_change(ends)
    return ends


def _retire(client: Client, error: UnfitWorkerError) -> None:
    """Send away a worker that joined after the check and does not fit: it would fail every run that waits."""
    if error.address in client.ncores():
        OutputConsole().print_line(f"{error}; it is sent away")
        client.retire_workers([error.address])


def _end(run: Run, future: Future[RunEnd]) -> RunEnd:
    error = future.exception()
    if error is None:
        end: RunEnd = future.result()
        return end
    killed = isinstance(error, KilledWorker)
    message = f"its worker died {error.allowed_failures + 1} times" if killed else f"{type(error).__name__}: {error}"
    return worker.record_failure(RunFolder(run.folder), run.seed, message)
