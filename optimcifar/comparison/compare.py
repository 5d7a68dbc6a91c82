"""Train a comparison, in one stage or with seeds on demand, and return its results."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from distributed import Client

from optimcifar.comparison.decision import decide
from optimcifar.comparison.plan import Plan, make_plan
from optimcifar.comparison.seeds import DEFAULT_SEEDS, Seeds
from optimcifar.console import OutputConsole
from optimcifar.engine.cluster import check_runs, connect, make_runs
from optimcifar.engine.progress import RunTable, resumable
from optimcifar.engine.runs import Run
from optimcifar.engine.settings import refuse_changes, refuse_equal_configurations, refuse_other_purpose
from optimcifar.engine.worker import RunEnd, all_failed
from optimcifar.report.analysis import Analysis
from optimcifar.report.comparison import Comparison, read_comparison
from optimcifar.report.design import Design, Until
from optimcifar.runs.folder import ENDED, RunFolder, comparison_runs


def compare(
    configs: Sequence[str | Path],
    seeds: Seeds = DEFAULT_SEEDS,
    *,
    baseline: str | None = None,
    target_acc: float | None = None,
    out: str | Path = "lightning_logs/comparison",
    jobs: int | None = None,
    options: Sequence[str] = (),
    max_seeds: int | None = None,
    until: Until | None = None,
) -> Comparison:
    """Train configurations over seeds, as ``optimcifar compare`` does, and return the results.

    The same call again goes on with what is unfinished. A script calls it below ``if __name__ == "__main__":``, because
    its workers are new processes that import the script.

    Args:
        configs: configurations, by file or by name, each with overrides if you like: ``sgd``,
            ``configs/sgd.yaml:model.optimizer.lr=0.03``.
        seeds: how many, which, or ``"auto"`` for seeds on demand.
        baseline: the name of the configuration to compare with; None for the first.
        target_acc: a validation accuracy, 0 to 1, to which steps and seconds are counted; None for none.
        out: the comparison's folder.
        jobs: runs at a time; None for one per GPU, or one per core.
        options: options of ``optimcifar fit`` that hold for all runs: ``["--trainer.max_epochs", "5"]``.
        max_seeds: with seeds on demand, the most that a configuration gets; None for 20.
        until: with seeds on demand, whether they go on until every verdict is final (``"verdicts"``, the default), or
            until the best configuration is told from the others (``"best"``).

    Raises:
        UsageError: an argument is wrong, or the folder has runs with other settings.
        RuntimeError: all runs failed.
    """
    plan = make_plan(
        configs,
        seeds,
        baseline=baseline,
        target_acc=target_acc,
        out=out,
        options=options,
        jobs=jobs,
        max_seeds=max_seeds,
        until=until,
    )
    ends = train(plan)
    if all_failed(ends):
        run, end = next(iter(ends.items()))
        raise RuntimeError(f"all runs failed: {run.name} seed {run.seed}: {end.error}")
    return read_comparison(plan.out)


def train(plan: Plan) -> dict[Run, RunEnd]:
    """Train and test the runs of a comparison; print what it does, and return how each run ended.

    Raises:
        UsageError: a run's options are wrong, or the folder has runs with other settings.
        RuntimeError: the cluster cannot be reached.
    """
    print(plan.describe(), flush=True)
    with connect(plan.cluster, plan.out, plan.entries) as client:
        check_plan(client, plan)
        with_looks(plan).write(plan.out)
        with resumable(plan.out):
            return train_plan(client, plan)


def with_looks(plan: Plan) -> Design:
    """Return the design of a comparison with its looks counted: results that its folder holds may have led to it.

    Raises:
        RuntimeError: the folder's ``comparison.json`` is damaged.
    """
    ended = (run.read_summary() for run in comparison_runs(plan.out))
    seeds = {summary["seed"] for summary in ended if summary.get("status") in ENDED and summary.get("seed") is not None}
    return plan.design.after(Design.read(plan.out), seeds)


def check_plan(client: Client, plan: Plan) -> list[str]:
    """Refuse wrong options, equal configurations, and a folder that has other runs.

    Returns:
        The resolved configurations, in the order of the plan, as YAML.

    Raises:
        UsageError: something is refused.
    """
    refuse_other_purpose(plan.out, "comparison")
    first, *later = (plan.runs(seeds) for seeds in plan.design.new_seeds)
    there = [run for runs in later for run in runs if RunFolder(run.folder).config.exists()]
    configurations = check_runs(client, [*first, *there])
    refuse_equal_configurations(first, configurations[: len(first)])
    refuse_changes([*first, *there], configurations)
    return configurations[: len(plan.entries)]


def train_in_stages(
    design: Design,
    train_runs: Callable[[Sequence[int], Collection[str]], bool],
    read: Callable[[], Analysis],
    say: Callable[[str], None],
) -> None:
    """Train stage by stage, and say what is decided after each.

    Runs that have ended are not repeated, so an interrupted comparison decides as before.

    Args:
        design: the comparison's design.
        train_runs: trains the runs with these seeds of these configurations; returns whether any has a result.
        read: reads the results so far.
        say: prints a line.
    """
    names: Collection[str] = design.configurations
    for number, seeds in enumerate(design.new_seeds):
        if not train_runs(seeds, names) or not design.stages:
            break
        decision = decide(read(), number, names)
        say(decision.line)
        names = decision.names
        if not names:
            break


def train_plan(client: Client, plan: Plan) -> dict[Run, RunEnd]:
    """Train and test the runs of a checked plan, stage by stage; return how each ended."""
    ends: dict[Run, RunEnd] = {}

    def train_runs(seeds: Sequence[int], names: Collection[str]) -> bool:
        runs = plan.runs(seeds, names)
        with RunTable(runs) as table:
            ends.update(make_runs(client, runs, table.show))
        return not all_failed(ends)

    train_in_stages(plan.design, train_runs, lambda: read_comparison(plan.out), OutputConsole().print_line)
    return ends
