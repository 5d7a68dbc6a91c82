"""A cluster in this process that trains nothing: the accuracy of a run is a function of its settings and its seed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml
from helpers import make_run

from optimcifar.configurations import find_configuration
from optimcifar.engine.cluster_options import ClusterOptions
from optimcifar.engine.run_times import EpochTime
from optimcifar.engine.runs import Entry, Run
from optimcifar.engine.worker import RunEnd, record_failure
from optimcifar.errors import UsageError
from optimcifar.runs.folder import ENDED, RunFolder

# The best rate and the accuracy at it, by optimizer; it falls by 0.1 with every factor of ten.
BEST = {"SGD": (0.1, 0.6), "Adam": (0.001, 0.65)}


def accuracy(tree: dict[str, Any], seed: int) -> float:
    """Return the accuracy of a run: a known response to the rate, and noise of the seed."""
    optimizer = tree["model"]["optimizer"]
    best_rate, best = BEST[optimizer["class_path"].rpartition(".")[2]]
    rate = optimizer["init_args"]["lr"]
    return best - 0.1 * abs(math.log10(rate / best_rate)) + 0.003 * math.sin(1000 * seed + 100 * rate)


class FakeCluster:
    """What a test changes of the cluster, and sees.

    Attributes:
        accuracy: returns the accuracy of a run from its settings and its seed; None for a run that fails.
        is_backward: whether the last run is trained first, as if many workers raced.
        stop_after: a number of runs after which Ctrl-C is pressed; None for never.
        trained: the runs that were trained.
        workers: how many runs it trains at a time.
    """

    def __init__(self) -> None:
        self.accuracy: Callable[[dict[str, Any], int], float | None] = accuracy
        self.is_backward = False
        self.stop_after: int | None = None
        self.trained: list[Run] = []
        self.workers = 2

    @contextmanager
    def connect(self, options: ClusterOptions, out: Path, entries: Sequence[Entry]) -> Iterator[FakeCluster]:
        yield self

    def check_runs(self, client: FakeCluster, runs: Sequence[Run]) -> list[str]:
        return [yaml.safe_dump(self._resolved(run), sort_keys=False) for run in runs]

    def make_runs(
        self, client: FakeCluster, runs: list[Run], on_change: Callable[[dict[Run, RunEnd]], None]
    ) -> dict[Run, RunEnd]:
        ends: dict[Run, RunEnd] = {}
        for run in reversed(runs) if self.is_backward else runs:
            if RunFolder(run.folder).status() not in ENDED:
                if self.stop_after is not None and len(self.trained) >= self.stop_after:
                    raise KeyboardInterrupt
                self._train(run)
            status = RunFolder(run.folder).status() or "failed"
            ends[run] = RunEnd(status, "out of luck" if status == "failed" else None)
            on_change(ends)
        return ends

    def first_epoch_times(self, client: FakeCluster, runs: list[Run]) -> dict[str, EpochTime]:
        return {run.name: EpochTime(6.0, 10) for run in runs}

    def places(self, client: FakeCluster) -> int:
        return self.workers

    def _train(self, run: Run) -> None:
        self.trained.append(run)
        tree = self._resolved(run)
        value = self.accuracy(tree, run.seed)
        folder = RunFolder(run.folder)
        if value is None:
            record_failure(folder, run.seed, "out of luck")
            return
        rate = {"optimizer.lr": tree["model"]["optimizer"]["init_args"]["lr"]}
        make_run(run.folder, run.seed, [value / 2, value], hyperparameters=rate)
        folder.config.write_text(yaml.safe_dump(tree))
        if not run.is_tested:
            (run.folder / "checkpoints/last.test.json").unlink()

    def _resolved(self, run: Run) -> dict[str, Any]:
        """Return the settings of a run: its configuration, and its options on top."""
        tree: dict[str, Any] = {
            "seed_everything": 0,
            "trainer": {"max_epochs": 10, "max_steps": -1, "devices": "auto", "callbacks": None},
            "model": {
                "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01}},
                "lr_scheduler": None,
                "lr_interval": "epoch",
            },
            "data": {"class_path": "optimcifar.Shapes10DataModule", "init_args": {"val_size": 1000, "batch_size": 64}},
        }
        options = (option.split("=", 1) if option.startswith("--") else [option] for option in run.options)
        words = [word for option in options for word in option]
        pairs = list(zip(words[::2], words[1::2], strict=True))
        for name, text in pairs:
            if name == "--config":
                written = yaml.safe_load(find_configuration(text).read_text(encoding="utf-8"))
                tree |= written | {group: tree[group] | written.get(group, {}) for group in ("trainer", "model")}
        for name, text in pairs:
            if name != "--config" and not name.startswith("--trainer.logger"):
                _set(tree, name.removeprefix("--").split("."), yaml.safe_load(text))
        return tree


def _set(node: Any, names: list[str], value: Any) -> None:
    if isinstance(node, list):  # of callbacks: the option belongs to one that has it
        node = next(item for item in reversed(node) if names[0] in item.get("init_args", {}))
    arguments = node.get("init_args", {})
    if len(names) > 1:
        _set(arguments[names[0]] if names[0] in arguments else node.setdefault(names[0], {}), names[1:], value)
    elif names[0].endswith("+"):
        name = names[0].removesuffix("+")
        node[name] = [*(node[name] or []), {"class_path": value}]
    elif "class_path" in node and names[0] not in arguments:
        raise UsageError(f"{node['class_path']} has no argument {names[0]!r}")
    else:
        (arguments if names[0] in arguments else node)[names[0]] = value
