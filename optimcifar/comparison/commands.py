"""The command ``compare``; torch is imported by the workers only."""

from __future__ import annotations

from pathlib import Path

from optimcifar.comparison.plan import Plan, make_plan
from optimcifar.comparison.seeds import DEFAULT_SEEDS, parse_seeds
from optimcifar.comparison.shared import (
    add_comparison_options,
    add_run_options,
    command_parser,
    exit_status,
    parse_run_options,
)
from optimcifar.engine.worker import all_failed
from optimcifar.errors import UsageError, UsageParser
from optimcifar.paths import expand_path
from optimcifar.report.commands import show_comparison

_EXAMPLES = """\
examples:
  optimcifar compare configs/sgd.yaml configs/adam.yaml --seeds 5
  optimcifar compare configs/sgd.yaml configs/adam.yaml --seeds auto --plan
  optimcifar compare configs/*.yaml --seeds 0,1,2 --jobs 2 --baseline sgd
  optimcifar compare configs/sgd.yaml configs/sgd.yaml:model.optimizer.lr=0.03
  optimcifar report lightning_logs/comparison

CONFIG is a YAML file, or a name that optimcifar configs lists; KEY=VALUE overrides
one of its options. All other options are passed to optimcifar fit for every run. Run
the same command again to continue where it stopped."""


def _compare_parser() -> UsageParser:
    parser = command_parser(
        "compare",
        "CONFIG[:KEY=VALUE...] ... [options]",
        "Train several configurations over several seeds, and report which is better and how sure that is.",
        _EXAMPLES,
    )
    parser.add_argument(
        "--seeds",
        help=f"a number, a list (0,1,2), or auto: more where they may decide (default: {DEFAULT_SEEDS})",
    )
    add_comparison_options(parser)
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
    add_run_options(parser, "lightning_logs/comparison")
    return parser


def compare(args: list[str]) -> int:
    """Run ``optimcifar compare``; return its exit status.

    Raises:
        UsageError: an option or a configuration is wrong.
        RuntimeError: the cluster cannot be reached.
    """
    options, configs, of_fit = parse_run_options(_compare_parser(), args)
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
        show_comparison(read_comparison(plan.out), plan.out)
    return exit_status(ends)


def _print_forecast(plan: Plan, spread_of: Path | None) -> int:
    # It takes a second or two to import.
    from optimcifar.comparison.forecast import forecast

    for line in forecast(plan, spread_of and expand_path(spread_of)):
        print(line, flush=True)
    return 0
