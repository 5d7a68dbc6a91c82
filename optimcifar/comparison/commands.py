"""The commands ``compare`` and ``report``; torch is imported by the workers only."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from optimcifar.errors import UsageError, UsageParser
from optimcifar.paths import expand_home
from optimcifar.text import count
from optimcifar.training.option_order import separate_options

if TYPE_CHECKING:
    from optimcifar.report.comparison import Comparison

_EXAMPLES = """\
examples:
  optimcifar compare configs/sgd.yaml configs/adam.yaml --seeds 5
  optimcifar compare configs/*.yaml --seeds 0,1,2 --jobs 2 --baseline sgd --data Shapes10DataModule
  optimcifar compare configs/sgd.yaml configs/sgd.yaml:model.optimizer.lr=0.03 --seeds 3
  optimcifar report lightning_logs/comparison

All other options are those of optimcifar fit and hold for all runs. The same command again goes on with what is
unfinished."""


def _compare_parser() -> UsageParser:
    parser = UsageParser(
        "optimcifar compare",
        usage="optimcifar compare CONFIG[:KEY=VALUE...] ... [options]",
        description="Train several configurations over several seeds, and report which is better and how sure that is.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--seeds", default="3", help="how many, or which: 5, or 0,1,2 (default: 3)")
    parser.add_argument("--jobs", type=int, help="runs at a time (default: one per GPU, or one per core)")
    parser.add_argument("--baseline", help="the configuration to compare with (default: the first)")
    parser.add_argument("--target_acc", type=float, help="also report when a run reached this validation accuracy")
    parser.add_argument(
        "--out", type=Path, default=Path("lightning_logs/comparison"), help="folder (default: %(default)s)"
    )
    parser.add_argument("--scheduler", help="address of a running dask scheduler: tcp://host:8786")
    return parser


def _report_parser() -> UsageParser:
    parser = UsageParser(
        "optimcifar report",
        description="Draw a comparison again, or compare single runs: their folders, or a folder of runs.",
        allow_abbrev=False,
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--baseline", help="the configuration to compare with (default: as before, or the first)")
    parser.add_argument("--target_acc", type=float, help="also report when a run reached this validation accuracy")
    parser.add_argument("--out", type=Path, help="folder (default: the first FOLDER)")
    return parser


def compare(args: list[str]) -> int:
    """Run ``optimcifar compare``; return its exit status.

    Raises:
        UsageError: an option or a configuration is wrong.
        RuntimeError: the cluster cannot be reached.
    """
    parser = _compare_parser()
    options, others = parser.parse_known_args(args)
    named, of_fit = separate_options(others)
    if not named:
        raise UsageError("name the configurations to compare: optimcifar compare configs/sgd.yaml ...")
    _check_numbers(options)
    options.out = expand_home(options.out)

    from optimcifar.comparison.plan import parse_entries, parse_seeds, plan_runs

    entries, seeds = parse_entries(named), parse_seeds(options.seeds)
    baseline = _choose_baseline([entry.name for entry in entries], options.baseline)
    runs = plan_runs(entries, seeds, of_fit, options.out)

    from optimcifar.comparison.engine import check_runs, connect, make_runs
    from optimcifar.comparison.progress import RunTable
    from optimcifar.comparison.settings import refuse_changes, refuse_equal_configurations
    from optimcifar.report.comparison import read_comparison
    from optimcifar.report.design import Design

    what = f"{count(len(entries), 'configuration')}, {count(len(seeds), 'seed')}: {count(len(runs), 'run')}"
    print(f"{what}, in {options.out}", flush=True)
    with connect(options.jobs, options.scheduler) as client:
        configurations = check_runs(client, runs)
        refuse_equal_configurations(runs, configurations)
        refuse_changes(runs, configurations)
        names = tuple(entry.name for entry in entries)
        Design(names, baseline, options.target_acc, tuple(seeds)).write(options.out)
        try:
            with RunTable(runs) as table:
                ends = make_runs(client, runs, table.show)
        except KeyboardInterrupt:
            raise KeyboardInterrupt(
                f"; the same command goes on, optimcifar report {options.out} shows what is there"
            ) from None
    failed = [run for run, end in ends.items() if end.status == "failed"]
    if len(failed) < len(runs):
        _report(read_comparison(options.out), options.out)
    if failed:
        print(f"optimcifar: {len(failed)} of {len(runs)} runs failed", file=sys.stderr)
    return 1 if failed else 0


def report(args: list[str]) -> int:
    """Run ``optimcifar report``; return its exit status.

    Raises:
        UsageError: an option is wrong, or two runs are the same.
        RuntimeError: a folder holds no run, or a damaged one.
    """
    options = _report_parser().parse_intermixed_args(args)
    _check_numbers(options)

    # It takes a second or two to import.
    from optimcifar.report.comparison import read_comparison

    found = read_comparison(*options.folders, baseline=options.baseline, target_acc=options.target_acc)
    _report(found, expand_home(options.out or options.folders[0]))
    return 0


def _report(comparison: Comparison, out: Path) -> None:
    # They take a second or two to import.
    from optimcifar.report.files import write_report
    from optimcifar.report.terminal import print_results

    write_report(comparison, out)
    print()
    print_results(comparison, out / "report.html")


def _check_numbers(options: argparse.Namespace) -> None:
    if options.target_acc is not None and not 0 < options.target_acc <= 1:
        raise UsageError(f"--target_acc must be greater than 0 and at most 1, got {options.target_acc}")
    if getattr(options, "jobs", None) is not None and options.jobs < 1:
        raise UsageError(f"--jobs must be at least 1, got {options.jobs}")


def _choose_baseline(names: list[str], baseline: str | None) -> str:
    if baseline is not None and baseline not in names:
        raise UsageError(f"--baseline must be one of {', '.join(names)}; got {baseline!r}")
    return baseline or names[0]
