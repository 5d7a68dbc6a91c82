"""Which workers of a running scheduler are refused."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from distributed import Client, Worker, get_worker

from optimcifar.console import OutputConsole
from optimcifar.engine.cluster import make_runs
from optimcifar.engine.runs import Run
from optimcifar.engine.worker import check_options
from optimcifar.engine.worker_check import Origin, SharedFile, UnfitWorkerError, refuse_unfit_workers
from optimcifar.runs.folder import RunFolder


def elsewhere(monkeypatch: pytest.MonkeyPatch, **changes: object) -> None:
    """Have the command be typed elsewhere than it is."""
    origin = replace(Origin.here(), **changes)  # type: ignore[arg-type]
    monkeypatch.setattr(Origin, "here", lambda: origin)


def refusal(client: Client, out: Path, *configurations: Path) -> str:
    """Return why a worker is refused, without its address."""
    with pytest.raises(UnfitWorkerError, match=r"worker inproc://\S+: .+ \(and 1 more of 2\)") as caught:
        refuse_unfit_workers(client, out, configurations)
    return re.sub(r"worker \S+: | \(and .*", "", str(caught.value))


def test_workers_with_the_same_versions_and_files_are_taken(client: Client, tmp_path: Path) -> None:
    Path("a.yaml").write_text("model: {}\n")
    Path("out").mkdir()
    for out in ("out", "new/out", str(tmp_path / "out")):
        refuse_unfit_workers(client, Path(out), [Path("a.yaml"), tmp_path / "a.yaml"])
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.yaml", "out"]


def test_worker_with_another_version_is_refused(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    now = Origin.here().versions
    elsewhere(monkeypatch, versions=now | {"torch": "2.0.1"})
    assert refusal(client, Path("out")) == f"has torch {now['torch']}, this machine has 2.0.1"
    assert not list(Path().iterdir())


def test_worker_that_does_not_see_the_commands_folder_is_refused(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere(monkeypatch, folder=Path("/somewhere/else"))
    assert refusal(client, Path("out")) == "cannot see /somewhere/else"


def test_file_must_be_there_and_be_the_same() -> None:
    path = Path("a.yaml")
    path.write_text("model: {}\n")
    file = SharedFile.here(path)
    mark = replace(file, shown=Path("the/folder"))
    assert file.complaint() is None
    path.write_text("model: {lr_interval: step}\n")
    assert file.complaint() == "sees another a.yaml"
    path.unlink()
    assert file.complaint() == "cannot see a.yaml"
    assert mark.complaint() == "cannot see the/folder"


@pytest.mark.parametrize("client", [3], indirect=True, scope="module")
def test_worker_with_several_threads_is_refused(client: Client) -> None:
    assert refusal(client, Path("out")) == "has 3 threads: start it with --nthreads 1"


def test_worker_that_joins_later_refuses_its_tasks(client: Client) -> None:
    origin = replace(Origin.here(), folder=Path("/somewhere/else"))
    error = client.submit(partial(check_options, origin), ("--config", "a.yaml")).exception()
    assert isinstance(error, UnfitWorkerError)
    assert re.fullmatch(r"worker inproc://\S+: cannot see /somewhere/else", str(error))


@pytest.mark.parametrize("client", [1], indirect=True, scope="module")  # a cluster of its own, which loses a worker
def test_worker_that_joins_later_and_does_not_fit_is_sent_away(
    client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    unfit, fit = client.ncores()
    trained: list[str] = []
    printed: list[str] = []

    def complain(origin: Origin, *, dask_worker: Worker) -> str | None:
        return "cannot see it" if dask_worker.address == unfit else None

    def train(options: tuple[str, ...], folder: RunFolder, is_tested: bool) -> None:
        folder.path.mkdir(parents=True)
        folder.summary.write_text('{"status": "finished"}')
        trained.append(get_worker().address)

    monkeypatch.setattr("optimcifar.engine.worker.complaint", complain)
    monkeypatch.setattr("optimcifar.engine.worker._train_and_test", train)
    monkeypatch.setattr("optimcifar.engine.cluster._origin", lambda client: Origin.here())
    monkeypatch.setattr(OutputConsole, "print_line", lambda console, line: printed.append(line))
    runs = [Run("sgd", seed, tmp_path / str(seed), ()) for seed in range(8)]
    ends = make_runs(client, runs, lambda ends: None)
    assert {end.status for end in ends.values()} == {"finished"}
    assert trained == [fit] * len(runs)
    assert list(client.ncores()) == [fit]
    assert printed == [f"worker {unfit}: cannot see it; it is sent away"]


def test_task_is_done_in_the_commands_folder(client: Client, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "a.yaml").write_text("data: {class_path: CIFAR10DataModule, init_args: {root: images}}\n")
    origin = replace(Origin.here(), folder=tmp_path / "project")
    resolved = client.submit(partial(check_options, origin), ("--config", "a.yaml")).result()
    assert f"root: {tmp_path}/project/images\n" in resolved
    assert os.getcwd() == str(tmp_path)


def test_each_command_gets_the_classes_of_its_own_folder(client: Client, tmp_path: Path) -> None:
    (address, *_) = client.ncores()
    for rate in (0.1, 0.2):
        project = tmp_path / str(rate)
        project.mkdir()
        text = f"import torch\nclass Mine(torch.optim.SGD):\n    def __init__(self, params, lr: float = {rate}): ...\n"
        (project / "mine.py").write_text(text.replace("...", "super().__init__(params, lr)"))
        task = partial(check_options, replace(Origin.here(), folder=project))
        options = ("--model.optimizer", "mine.Mine")
        assert f"lr: {rate}\n" in client.submit(task, options, workers=[address], pure=False).result()
