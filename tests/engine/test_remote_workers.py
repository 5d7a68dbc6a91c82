"""Comparisons on a dask cluster that was started by hand, in other folders and with other network addresses."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from distributed import Client
from helpers import CONFIGS, ROOT, Outcome, equal_weights, metrics_without_times, read_weights

OPTIMIZER = """
import torch

class Halved(torch.optim.SGD):
    def __init__(self, params, lr: float):
        super().__init__(params, lr=lr / 2)
"""

# Everything that can be relative is: configurations, images, the folder of the runs, and the module of a class.
COMPARE = [
    *("compare", "sgd.yaml", "adam.yaml", "sgd.yaml:model.optimizer=mine.Halved:model.optimizer.lr=0.1"),
    *("--seeds", "2", "--data.root", "folders", "--data.val_size", "20", "--trainer.max_epochs", "2"),
]


@pytest.fixture
def project(image_folders: Path, tmp_path: Path) -> Path:
    """Make the current folder one with configurations, images and an optimizer; return it."""
    for name in ("sgd", "adam"):
        shutil.copy(CONFIGS / f"{name}.yaml", tmp_path)
    (tmp_path / "mine.py").write_text(OPTIMIZER)
    return tmp_path


def optimcifar(*arguments: str) -> Outcome:
    """Run the command line in another process."""
    ended = subprocess.run(
        [sys.executable, "-m", "optimcifar", *arguments],
        env=environment(ROOT),
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    return Outcome(ended.returncode, ended.stdout, ended.stderr)


def environment(package: Path) -> dict[str, str]:
    return os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(package)}


@contextmanager
def running(
    *arguments: str,
    folder: Path,
    inside: Sequence[str] = (),
    package: Path = ROOT,
    variables: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Run a dask command in a folder.

    Args:
        arguments: the command's arguments.
        folder: its current folder, which is made.
        inside: a command that runs it, such as ``ip netns exec NAME``.
        package: the checkout that it imports.
        variables: more environment variables.
    """
    folder.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        [*inside, sys.executable, "-m", "dask", *arguments],
        cwd=folder,
        env=environment(package) | dict(variables or {}),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        process.terminate()
        process.wait(60)


@contextmanager
def scheduler(folder: Path, host: str = "127.0.0.1") -> Iterator[tuple[Client, str]]:
    """Run a scheduler at a free port; yield a client of it, and its address."""
    file = folder / "scheduler.json"
    with (
        running("scheduler", "--host", host, "--port", "0", "--scheduler-file", str(file), folder=folder),
        Client(scheduler_file=str(file)) as client,  # waits for the file
    ):
        yield client, client.scheduler_info(n_workers=0)["address"]


def worker(address: str, folder: Path, host: str = "127.0.0.1", **options: Any) -> AbstractContextManager[None]:
    return running(
        *("worker", address, "--nthreads", "1", "--host", host, "--memory-limit", "0", "--no-dashboard"),
        folder=folder,
        **options,
    )


def assert_equal_runs(out: Path, expected: Path) -> None:
    names = sorted(path.relative_to(expected) for path in expected.glob("runs/*/*"))
    assert len(names) == 6
    assert sorted(path.relative_to(out) for path in out.glob("runs/*/*")) == names
    for name in names:
        assert metrics_without_times(out / name) == metrics_without_times(expected / name)
        weights, others = (read_weights(of / name / "checkpoints" / "last.ckpt") for of in (out, expected))
        assert equal_weights(weights, others), name
        # But for the folder of the runs, which is as it was typed.
        texts = [(of / name / "config.yaml").read_text().replace(of.name, "OUT") for of in (out, expected)]
        assert texts[0] == texts[1]


@pytest.mark.slow
def test_workers_in_other_folders_train_the_same_runs_in_the_folder_of_the_command(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    assert optimcifar(*COMPARE, "--jobs", "2", "--out", "local").status == 0
    with scheduler(elsewhere / "0") as (client, address):
        # The second looks like one of two processes of a SLURM job, of which only the first would write files.
        slurm = {"SLURM_NTASKS": "2", "SLURM_PROCID": "1"}
        with worker(address, elsewhere / "1"), worker(address, elsewhere / "2", variables=slurm):
            client.wait_for_workers(2, timeout=120)
            outcome = optimcifar(*COMPARE, "--scheduler", address, "--out", "remote")
            assert (outcome.status, outcome.err) == (0, "")
            assert optimcifar(*COMPARE, "--scheduler", address, "--out", "local").status == 0  # nothing has changed
    assert_equal_runs(project / "remote", project / "local")
    assert not [path for path in elsewhere.rglob("*") if path.is_file()]


@pytest.mark.slow
def test_every_worker_is_checked_before_anything_is_trained(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    for name in ("changed", "earlier"):
        shutil.copytree(ROOT / "optimcifar", elsewhere / name / "optimcifar")
    with (elsewhere / "changed/optimcifar/text.py").open("a") as file:
        file.write("# changed\n")
    (elsewhere / "earlier/optimcifar/engine/worker_check.py").unlink()
    with scheduler(elsewhere / "0") as (client, address), worker(address, elsewhere / "1"):
        client.wait_for_workers(1, timeout=120)
        (fit,) = client.ncores()
        for package, expected in {
            "changed": r"has optimcifar \S+ \(code \w+\), this machine has \S+ \(code \w+\)",
            "earlier": "has no optimcifar, or another version of it",
        }.items():
            with worker(address, elsewhere / "2", package=elsewhere / package):
                client.wait_for_workers(2, timeout=120)
                (unfit,) = client.ncores().keys() - {fit}
                outcome = optimcifar(*COMPARE, "--scheduler", address, "--out", "out")
                assert outcome.status == 1
                assert re.fullmatch(f"optimcifar: worker {unfit}: {expected}\n", outcome.err), outcome.err
            while len(client.ncores()) > 1:
                time.sleep(0.05)  # for the scheduler to see that it has left
    assert not (project / "out").exists()


@pytest.mark.slow
@pytest.mark.parametrize("unseen", ["", "results"], ids=["the command's", "that of the runs"])
def test_worker_that_does_not_see_a_folder_is_refused(
    unseen: str, project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    # Its own mount namespace hides the folder, as if the worker ran on another machine.
    hidden = project / unseen
    hidden.mkdir(exist_ok=True)
    inside = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none "$0" && exec "$@"', str(hidden))
    if subprocess.run([*inside, "true"], capture_output=True, check=False).returncode:
        pytest.skip("this machine allows no mount namespaces")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with scheduler(elsewhere / "0") as (client, address), worker(address, elsewhere / "1", inside=inside):
        client.wait_for_workers(1, timeout=120)
        (own,) = client.ncores()
        outcome = optimcifar(*COMPARE, "--scheduler", address, "--out", "results/new")
    assert (outcome.status, outcome.err) == (1, f"optimcifar: worker {own}: cannot see {hidden}\n")
    assert not list(project.glob("results/*"))


# Addresses for tests of networks, by RFC 2544; others in each process.
SUBNET = f"198.18.{os.getpid() % 255}"


def ip(*arguments: str) -> str:
    return subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True).stdout


@contextmanager
def network_namespaces(number: int) -> Iterator[list[str]]:
    """Yield the names of network namespaces that share a network, with the addresses .11, .12, ... in it.

    This machine has the address .1 there. Skip the test where that is not possible.
    """
    if os.geteuid() != 0 or not shutil.which("ip"):
        pytest.skip("network namespaces need root and the command ip")
    bridge = f"oc{os.getpid()}"
    names = [f"{bridge}-{i}" for i in range(1, number + 1)]
    with ExitStack() as stack:
        try:
            ip("link", "add", bridge, "type", "bridge")
            stack.callback(ip, "link", "del", bridge)
            ip("addr", "add", f"{SUBNET}.1/24", "dev", bridge)
            ip("link", "set", bridge, "up")
            for i, name in enumerate(names, start=1):
                ip("netns", "add", name)
                stack.callback(ip, "netns", "del", name)
                ip("link", "add", f"{bridge}h{i}", "type", "veth", "peer", "name", "eth0", "netns", name)
                stack.callback(ip, "link", "del", f"{bridge}h{i}")
                ip("link", "set", f"{bridge}h{i}", "master", bridge, "up")
                ip("-n", name, "addr", "add", f"{SUBNET}.{10 + i}/24", "dev", "eth0")
                for device in ("lo", "eth0"):
                    ip("-n", name, "link", "set", device, "up")
        except subprocess.CalledProcessError as error:
            pytest.skip(f"this machine allows no network namespaces: {error.stderr.strip()}")
        yield names


def test_network_namespaces_do_not_outlive_a_test_that_fails() -> None:
    def fail() -> None:
        with network_namespaces(2) as names:
            assert all(name in ip("netns", "list") for name in names)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    left = re.findall(rf"\boc{os.getpid()}(?!\d)", ip("netns", "list") + ip("link"))
    assert not left


@pytest.mark.slow
def test_workers_with_network_addresses_of_their_own_train_the_same_runs(
    project: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    with network_namespaces(2) as names, ExitStack() as stack:
        client, address = stack.enter_context(scheduler(elsewhere / "0", host=f"{SUBNET}.1"))
        for i, name in enumerate(names, start=1):
            inside = ("ip", "netns", "exec", name)
            host = f"{SUBNET}.{10 + i}"
            stack.enter_context(worker(address, elsewhere / name, host=host, inside=inside))
        client.wait_for_workers(2, timeout=120)
        assert sorted(own.rpartition(":")[0] for own in client.ncores()) == [
            f"tcp://{SUBNET}.11",
            f"tcp://{SUBNET}.12",
        ]
        outcome = optimcifar(*COMPARE, "--scheduler", address, "--out", "remote")
        assert (outcome.status, outcome.err) == (0, "")
    assert optimcifar(*COMPARE, "--jobs", "2", "--out", "local").status == 0
    assert_equal_runs(project / "remote", project / "local")
