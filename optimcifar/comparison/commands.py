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
from optimcifar.comparison.workload_plan import WorkloadsPlan, parse_workloads, plan_workloads
from optimcifar.engine.runs import Run
from optimcifar.engine.worker import RunEnd, all_failed
from optimcifar.errors import UsageError, UsageParser
from optimcifar.paths import expand_path
from optimcifar.report.commands import show_comparison, show_workloads
from optimcifar.report.design import only_target, parse_targets

_EXAMPLES = """\
examples:
  optimcifar compare configs/sgd.yaml configs/adam.yaml --seeds 5
  optimcifar compare configs/sgd.yaml configs/adam.yaml --seeds auto --plan
  optimcifar compare sgd adam muon --seeds 0,1,2 --jobs 2 --baseline sgd
  optimcifar compare configs/sgd.yaml configs/sgd.yaml:model.optimizer.lr=0.03
  optimcifar compare sgd adam --workload small.yaml --workload wide.yaml --target_acc 0.5,0.6
  optimcifar report lightning_logs/comparison

CONFIG is a YAML file, or a name that optimcifar configs lists; KEY=VALUE overrides
one of its options. WORKLOAD is a file that sets network, data and epochs in place
of those of every configuration. All other options are passed to optimcifar fit
for every run. Run the same command again to continue where it stopped."""


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
        "--target_acc", help="also report when a run reached this validation accuracy; 0.5,0.6: one for each workload"
    )
    parser.add_argument(
        "--workload",
        action="append",
        default=[],
        metavar="WORKLOAD[:KEY=VALUE...]",
        help="compare on this network, data and epochs; may be given several times",
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
    add_run_options(parser, "lightning_logs/comparison")
    return parser


def compare(args: list[str]) -> int:
    """Run ``optimcifar compare``; return its exit status.

    Raises:
        UsageError: an option or a configuration is wrong.
        RuntimeError: the cluster cannot be reached.
    """
    options, configs, of_fit = parse_run_options(_compare_parser(), args)
    own = vars(options)
    seeds, targets, workloads, only_plan, spread_of = (
        own.pop(name) for name in ("seeds", "target_acc", "workload", "plan", "spread_of")
    )
    if spread_of and not only_plan:
        raise UsageError("--from needs --plan")
    chosen = DEFAULT_SEEDS if seeds is None else parse_seeds(seeds)
    accuracies = () if targets is None else parse_targets(targets)
    target = None if workloads else only_target(accuracies)
    plan = make_plan(configs, chosen, target_acc=target, options=of_fit, **own)
    over = plan_workloads(plan, parse_workloads(workloads), accuracies) if workloads else None
    if only_plan:
        return _print_forecast(over or plan, spread_of and expand_path(spread_of))

    from optimcifar.comparison.forecast import recommendation  # it takes a second or two to import

    if seeds is None and (advice := recommendation(plan.design)):
        print(f"recommended: {advice}")
    return exit_status(_train_and_show_workloads(over) if over else _train_and_show(plan))


# Most imports are within functions: they take a second or two.


def _train_and_show(plan: Plan) -> dict[Run, RunEnd]:
    from optimcifar.comparison.compare import train
    from optimcifar.report.comparison import read_comparison

    ends = train(plan)
    if not all_failed(ends):
        show_comparison(read_comparison(plan.out), plan.out)
    return ends


def _train_and_show_workloads(plan: WorkloadsPlan) -> dict[Run, RunEnd]:
    from optimcifar.comparison.workloads import train_workloads
    from optimcifar.report.workloads.results import read_workloads

    ends = train_workloads(plan)
    if not all_failed(ends):
        show_workloads(read_workloads(plan.out), plan.out)
    return ends


def _print_forecast(plan: Plan | WorkloadsPlan, spread_of: Path | None) -> int:
    from optimcifar.comparison.forecast import forecast
    from optimcifar.comparison.workloads import forecast_workloads

    lines = forecast(plan, spread_of) if isinstance(plan, Plan) else forecast_workloads(plan, spread_of)
    for line in lines:
        print(line, flush=True)
    return 0
