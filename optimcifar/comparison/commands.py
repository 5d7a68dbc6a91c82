"""The commands ``compare`` and ``report``; torch is imported by the workers only."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, get_args

from optimcifar.comparison.plan import Plan, make_plan
from optimcifar.comparison.seeds import DEFAULT_SEEDS, parse_seeds
from optimcifar.engine.worker import all_failed
from optimcifar.errors import UsageError, UsageParser
from optimcifar.paths import expand_home
from optimcifar.report.design import Until
from optimcifar.training.option_order import separate_options

if TYPE_CHECKING:
    from optimcifar.report.comparison import Comparison

_EXAMPLES = """\
examples:
  optimcifar compare configs/sgd.yaml configs/adam.yaml --seeds 5
  optimcifar compare configs/sgd.yaml configs/adam.yaml --seeds auto --plan
  optimcifar compare configs/*.yaml --seeds 0,1,2 --jobs 2 --baseline sgd
  optimcifar compare configs/sgd.yaml configs/sgd.yaml:model.optimizer.lr=0.03
  optimcifar report lightning_logs/comparison

CONFIG is a YAML file; KEY=VALUE overrides one of its options. All other
options are passed to optimcifar fit for every run. Run the same command again
to go on with what is unfinished."""


def _compare_parser() -> UsageParser:
    parser = UsageParser(
        "optimcifar compare",
        usage="optimcifar compare CONFIG[:KEY=VALUE...] ... [options]",
        description="Train several configurations over several seeds, and report which is better and how sure that is.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--seeds",
        help=f"a number, a list (0,1,2), or auto: more where they may decide (default: {DEFAULT_SEEDS})",
    )
    parser.add_argument("--max_seeds", type=int, help="with --seeds auto: the most for a configuration (default: 20)")
    parser.add_argument(
        "--until",
        choices=get_args(Until),
        help="with --seeds auto: until all verdicts are final (default), or until one may be the best",
    )
    parser.add_argument("--jobs", type=int, help="runs at a time (default: one per GPU, or one per core)")
    parser.add_argument("--baseline", help="the configuration to compare with (default: the first)")
    parser.add_argument("--target_acc", type=float, help="also report when a run reached this validation accuracy")
    parser.add_argument(
        "--out", type=Path, default=Path("lightning_logs/comparison"), help="folder (default: %(default)s)"
    )
    parser.add_argument(
        "--plan",
        action="store_true",
        help="say how long it takes and what it could show; train at most one epoch of each",
    )
    parser.add_argument(
        "--from",
        type=Path,
        dest="spread_of",
        metavar="FOLDER",
        help="with --plan: take the spread of differences from this comparison",
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
    configs, of_fit = separate_options(others)
    seeds, only_plan, spread_of = (vars(options).pop(name) for name in ("seeds", "plan", "spread_of"))
    if spread_of and not only_plan:
        raise UsageError("--from needs --plan")
    plan = make_plan(configs, DEFAULT_SEEDS if seeds is None else parse_seeds(seeds), options=of_fit, **vars(options))
    if only_plan:
        return _print_forecast(plan, spread_of)

    # It takes a second or two to import.
    from optimcifar.comparison.compare import train
    from optimcifar.comparison.forecast import recommendation
    from optimcifar.report.comparison import read_comparison

    if seeds is None and (advice := recommendation(plan.design)):
        print(f"recommended: {advice}")
    ends = train(plan)
    if not all_failed(ends):
        _report(read_comparison(plan.out), plan.out)
    if failed := sum(end.status == "failed" for end in ends.values()):
        print(f"optimcifar: {failed} of {len(ends)} runs failed", file=sys.stderr)
    return 1 if failed else 0


def _print_forecast(plan: Plan, spread_of: Path | None) -> int:
    # It takes a second or two to import.
    from optimcifar.comparison.forecast import forecast

    for line in forecast(plan, spread_of and expand_home(spread_of)):
        print(line, flush=True)
    return 0


def report(args: list[str]) -> int:
    """Run ``optimcifar report``; return its exit status.

    Raises:
        UsageError: an option is wrong, or two runs are the same.
        RuntimeError: a folder holds no run, or a damaged one.
    """
    options = _report_parser().parse_intermixed_args(args)

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
