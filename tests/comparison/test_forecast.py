"""`optimcifar compare --plan`."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from distributed import Client
from helpers import CONFIGS, Command, file_contents, make_comparison, make_run

from optimcifar.comparison.forecast import recommendation
from optimcifar.comparison.plan import make_plan
from optimcifar.engine.cluster_options import ClusterOptions
from optimcifar.engine.runs import Entry
from optimcifar.report.comparison import read_comparison
from optimcifar.report.design import Design
from optimcifar.statistics.power import seeds_needed, smallest_difference
from optimcifar.training.lightning_cli import TrainingCLI
from optimcifar.training.process import command_line_settings

SHAPES = ["--data", "Shapes10DataModule", "--data.train_images", "1000", "--data.val_size", "200"]
SGD, ADAM = (str(CONFIGS / f"{name}.yaml") for name in ("sgd", "adam"))


def earlier_runs(out: str, configs: list[str], seconds: float) -> None:
    """Write a finished run of each configuration, of two epochs that took so many seconds together."""
    for run in make_plan(configs, 1, out=out, options=SHAPES).runs([0]):
        make_run(run.folder, 0, [0.1, 0.2], epochs=2, steps=26)
        with command_line_settings():
            (run.folder / "config.yaml").write_text(TrainingCLI("fit", run.options, only=[]).resolved())
        os.utime(run.folder / "config.yaml", (1000, 1000))
        os.utime(run.folder / "summary.json", (1000 + seconds, 1000 + seconds))


def table(out: str) -> dict[str, str]:
    """Return the texts of a plan by their labels."""
    lines = out.splitlines()[1:]
    assert max(map(len, lines)) <= 80
    rows = "\n".join(lines).replace(f"\n{' ' * 13}", " ")
    return {line[:13].strip(): line[13:] for line in rows.splitlines()}


@contextmanager
def worker_in_this_process(options: ClusterOptions, out: Path, entries: Sequence[Entry]) -> Iterator[Client]:
    """Yield a client as ``connect`` does, without the seconds that importing torch in another process takes."""
    assert options == ClusterOptions(jobs=1)
    with Client(processes=False, n_workers=1, threads_per_worker=1, dashboard_address="127.0.0.1:0") as client:
        yield client


def test_plan_says_what_a_comparison_costs_and_shows_and_starts_nothing(
    optimcifar: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optimcifar.comparison.forecast.connect", worker_in_this_process)
    earlier_runs("lightning_logs/earlier", [SGD, ADAM], seconds=60)
    make_comparison(Path("measured"), ["sgd", "adam", "muon"], seeds=5)
    before = file_contents(Path())
    asked = [SGD, ADAM, "--plan", "--seeds", "auto", "--from", "measured", "--jobs", "1", *SHAPES]
    outcome = optimcifar("compare", *asked)
    assert (outcome.status, outcome.err) == (0, "")
    assert file_contents(Path()) == before
    first, rows = outcome.out.splitlines()[0], table(outcome.out)
    assert first == (
        "2 configurations, seeds on demand in stages of 5, 10 and 20: 10 to 40 runs, in lightning_logs/comparison"
    )
    # 10 epochs at 30 seconds are 5 minutes a run.
    assert rows["time"].startswith("about 50 minutes to 3.3 hours on 1 worker, from 2 earlier runs; validation")
    sd = read_comparison("measured").spread
    share = (5 + 10 + 20) / 20  # the last stage may spend 20 of 35 parts of the 5 %
    shown = smallest_difference(sd, 20, share)
    assert rows["could show"] == (
        f"a difference of {shown:.3f} or more in the last stage, with 80 % power; paired differences have an SD of "
        f"{sd:.3f}, as in measured"
    )
    numbers = [f"{seeds_needed(value, sd, share)} for {value}" for value in (0.005, 0.01, 0.02, 0.05)]
    assert rows["needed"] == f"seeds to show a difference: {', '.join(numbers)}"
    assert rows["recommended"] == "no more seeds"


def test_runs_that_have_ended_take_no_more_time(optimcifar: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("optimcifar.comparison.forecast.connect", worker_in_this_process)
    earlier_runs("out", [SGD], seconds=60)
    outcome = optimcifar("compare", SGD, "--plan", "--seeds", 2, "--out", "out", "--jobs", 1, *SHAPES)
    assert (outcome.status, outcome.err) == (0, "")
    rows = table(outcome.out)
    assert rows["time"].startswith("about 5 minutes on 1 worker for the rest (1 run ended before), from 1 earlier run;")
    assert rows.keys() == {"time"}


def test_another_look_at_results_that_are_there_is_announced(
    optimcifar: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optimcifar.comparison.forecast.connect", worker_in_this_process)
    earlier_runs("out", [SGD, ADAM], seconds=60)
    Design(("sgd", "adam"), "sgd", seeds=(0,)).write(Path("out"))
    rows = table(optimcifar("compare", SGD, ADAM, "--plan", "--out", "out", "--jobs", 1, *SHAPES).out)
    assert rows["caution"] == "this is look 2 at these runs: false verdicts up to 10 %"
    rows = table(optimcifar("compare", SGD, ADAM, "--plan", "--seeds", 1, "--out", "out", "--jobs", 1, *SHAPES).out)
    assert rows["time"].startswith("none: 2 runs ended before")
    assert "caution" not in rows


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--from", "x"], "--from needs --plan"),
        (["--max_seeds", "10"], "--max_seeds needs --seeds auto"),
        (["--seeds", "auto", "--max_seeds", "2"], "--max_seeds must be at least 3"),
        (["--until", "best"], "--until needs --seeds auto"),
        (["--seeds", "auto", "--until", "now"], "invalid choice: 'now'"),
        (["--plan", "--from", "nowhere"], "nowhere holds no run"),
    ],
)
def test_options_that_do_not_fit_are_refused(optimcifar: Command, options: list[str], message: str) -> None:
    outcome = optimcifar("compare", SGD, ADAM, *options)
    assert (outcome.status, outcome.out) == (1 if "nowhere" in message else 2, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not list(Path().iterdir())


def design(configurations: int, seeds: int) -> Design:
    return Design(tuple(map(str, range(configurations))), seeds=tuple(range(seeds)))


def test_more_seeds_are_recommended_for_more_than_four_configurations() -> None:
    # By statsmodels.stats.power.TTestPower().solve_power(nobs=n, alpha=0.05 / comparisons, power=0.8) * 0.012.
    assert recommendation(design(6, 5)) == (
        "--seeds 10 (or auto) for 6 configurations: it shows differences of 0.016 or more, instead of 0.032 with 5 "
        "seeds"
    )
    assert str(recommendation(design(4, 2))).endswith("differences of 0.027 or more, instead of nothing with 2 seeds")
    enough = [(6, 10), (4, 5), (1, 1)]
    assert [recommendation(design(*numbers)) for numbers in enough] == [None] * 3
    few_on_demand = Design(tuple("abcdef"), stages=(5, 6))
    assert str(recommendation(few_on_demand)).startswith("--max_seeds 10 for 6 configurations: ")


@pytest.mark.slow
def test_an_epoch_of_new_configurations_is_timed_and_leaves_nothing(optimcifar: Command) -> None:
    earlier_runs("lightning_logs/earlier", [SGD], seconds=60)
    before = file_contents(Path())
    # min_epochs would keep a run from stopping, and these callbacks and loggers would write files.
    muon = f"{CONFIGS / 'muon.yaml'}:trainer.min_epochs=8:trainer.callbacks+=WeightAverages:trainer.logger=CSVLogger"
    asked = [SGD, f"{muon}:trainer.logger.save_dir=mine", "--plan", "--seeds", 3, "--jobs", 1, *SHAPES]
    outcome = optimcifar("compare", *asked)
    assert (outcome.status, outcome.err) == (0, "")
    assert file_contents(Path()) == before
    rows = table(outcome.out)
    assert rows["measuring"].startswith("one epoch of muon-min_epochs=8")
    # Three runs of SGD are 15 minutes; ten epochs of 13 steps are far less.
    assert rows["time"].startswith("about 16 minutes on 1 worker, from 1 earlier run and one epoch of 1 configuration;")
    assert rows["recommended"].startswith("--seeds 5 (or auto) for 2 configurations: it shows differences of ")
