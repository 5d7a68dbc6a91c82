"""Reports of Lightning's profilers: printed whole at the end of a run, or written to its folder."""

from __future__ import annotations

import io
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from helpers import Command
from lightning.pytorch.profilers import Profiler

from optimcifar.errors import UsageError
from optimcifar.training.run import training_run

RUN = Path("lightning_logs/version_0")
STEP = r"\[Strategy\]SingleDeviceStrategy\.training_step"  # four batches in each of two epochs


class CountsSteps(Profiler):
    """A user's own profiler."""

    steps = 0

    def start(self, action_name: str) -> None:
        self.steps += action_name.endswith(".training_step")

    def stop(self, action_name: str) -> None:
        """Measure nothing."""

    def summary(self) -> str:
        return f"{self.steps} steps"


@dataclass(frozen=True)
class Case:
    """A profiler, what its report holds, and the file that has the report, if it is not printed."""

    options: tuple[str, ...]
    report: str
    file: str | None = None


CASES = {
    "simple": Case(("simple",), rf"FIT Profiler Report\n(.*\n)+\|  {STEP} +\t\|  [\d.e-]+ +\t\|  8 (.*\n)+-+\n"),
    "advanced": Case(("advanced",), rf"FIT Profiler Report\n(.*\n)+Profile stats for: {STEP}\n +\d+ function calls"),
    "pytorch": Case(("pytorch",), r"FIT Profiler Report\n(.*\n)+.*SingleDeviceStrategy(.*\n)+Self CPU time total: "),
    "a class of one's own": Case(("test_profilers.CountsSteps",), r"^8 steps$"),
    "a file": Case(
        ("SimpleProfiler", "--trainer.profiler.filename", "profile"),
        rf"FIT Profiler Report\n(.*\n)+\|  {STEP} ",
        "fit-profile.txt",
    ),
}


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """Return what Lightning's log prints."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    logging.getLogger("lightning.pytorch").addHandler(handler)
    yield stream
    logging.getLogger("lightning.pytorch").removeHandler(handler)


@pytest.mark.filterwarnings("ignore:The PyTorch Profiler default schedule will be overridden")
@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name == "pytorch")) for name in CASES])
def test_report_is_printed_whole(name: str, log: io.StringIO, optimcifar: Command) -> None:
    case = CASES[name]
    data = ("--data", "Shapes10DataModule", "--data.train_images", 300, "--data.val_size", 44)
    outcome = optimcifar("fit", *data, "--trainer.max_epochs", 2, "--trainer.profiler", *case.options)
    assert outcome.status == 0
    assert outcome.out.splitlines()[-2].startswith("finished after 2 epochs: ")
    printed = log.getvalue()
    if case.file:
        assert printed == ""
        printed = (RUN / case.file).read_text()
    assert re.search(case.report, printed, re.MULTILINE)


def test_report_of_every_run_of_a_comparison_is_refused_unless_it_goes_to_a_file() -> None:
    options = ["--data", "Shapes10DataModule", "--trainer.profiler"]
    with training_run([*options, "simple"]) as run, pytest.raises(UsageError, match="print a report for each run: "):
        run.check()
    with training_run([*options, "SimpleProfiler", "--trainer.profiler.filename", "profile"]) as run:
        assert "filename: profile\n" in run.check()
