"""The commands ``sweep`` and ``tune``; torch is imported by the workers only."""

from __future__ import annotations

from collections.abc import Iterable

from optimcifar.comparison.seeds import DEFAULT_SEEDS, chosen_seeds, parse_seeds
from optimcifar.comparison.shared import (
    add_comparison_options,
    add_run_options,
    command_parser,
    exit_status,
    parse_run_options,
)
from optimcifar.engine.cluster_options import ClusterOptions
from optimcifar.engine.runs import parse_entries
from optimcifar.engine.worker import all_failed
from optimcifar.errors import UsageError, UsageParser
from optimcifar.paths import expand_path
from optimcifar.report.commands import show_study, show_sweep
from optimcifar.spaces.dimensions import Dimension, parse_dimension
from optimcifar.tuning.plan import DEFAULT_TRIALS, make_plan

_SWEEP_EXAMPLES = """\
examples:
  optimcifar sweep configs/sgd.yaml --over model.optimizer.lr=1e-3..1
  optimcifar sweep configs/sgd.yaml configs/adam.yaml --over model.optimizer.lr=1e-4..1 --points 13 --seeds 5
  optimcifar sweep configs/adam.yaml --over "model.optimizer.betas=[0.5,0.999],[0.9,0.999],[0.99,0.999]"
  optimcifar sweep configs/sgd.yaml --over model.optimizer.lr=1e-3..1 --over model.optimizer.momentum=0,0.5,0.9,0.99

CONFIG is a YAML file, or a name that optimcifar configs lists; KEY=VALUE overrides one
of its options. VALUES are a range, LOW..HIGH, or a list with commas. A range is on a log
scale if both ends are positive and HIGH is 10 times LOW or more; LOW..HIGH:log and
LOW..HIGH:linear set the scale. The configuration's own value is always tried too. All
other options are passed to optimcifar fit for every run. Run the same command again to
continue where it stopped."""

_TUNE_EXAMPLES = """\
examples:
  optimcifar tune configs/sgd.yaml configs/adam.yaml configs/rmsprop.yaml --seeds 5
  optimcifar tune configs/sgd.yaml configs/adam.yaml --plan
  optimcifar tune configs/sgd.yaml:model.optimizer.lr=1e-3..1:model.optimizer.momentum=0..0.99 configs/adam.yaml
  optimcifar tune sgd adam rmsprop muon --space cifar10 --trials 16 --baseline sgd

CONFIG is a YAML file, or a name that optimcifar configs lists; KEY=VALUE overrides one
of its options, and KEY=LOW..HIGH or KEY=A,B,C says what to try. A configuration without
either takes its section of --space, or its learning rate over three decades. All other
options are passed to optimcifar fit for every run. Run the same command again to
continue where it stopped."""


def _sweep_parser() -> UsageParser:
    parser = command_parser(
        "sweep",
        "CONFIG[:KEY=VALUE...] ... --over KEY=VALUES [options]",
        "Train configurations with many values of one or two hyperparameters, and plot their effect.",
        _SWEEP_EXAMPLES,
    )
    parser.add_argument(
        "--over", action="append", metavar="KEY=VALUES", help="an option of fit, and what to try; at most twice"
    )
    parser.add_argument("--points", type=int, default=9, help="values in a range (default: %(default)s)")
    parser.add_argument("--seeds", default="3", help="a number, or a list (0,1,2) (default: %(default)s)")
    add_run_options(parser, "lightning_logs/sweep")
    return parser


def _tune_parser() -> UsageParser:
    parser = command_parser(
        "tune",
        "CONFIG[:KEY=VALUE...] ... [options]",
        "Tune several configurations with equal budgets, then compare them on other seeds.",
        _TUNE_EXAMPLES,
    )
    parser.add_argument(
        "--trials", type=int, default=DEFAULT_TRIALS, help="settings to try per configuration (default: %(default)s)"
    )
    parser.add_argument("--space", help="what to try: a file, or a name, such as cifar10")
    parser.add_argument(
        "--tuning_seeds",
        type=int,
        default=1,
        help="seeds per trial; with 2 or more the report shows what fewer trials bring (default: %(default)s)",
    )
    parser.add_argument(
        "--seeds",
        default=str(DEFAULT_SEEDS),
        help="seeds of the comparison: a number, a list (0,1,2), or auto (default: %(default)s)",
    )
    add_comparison_options(parser)
    parser.add_argument("--target_acc", type=float, help="also report when a run reached this validation accuracy")
    parser.add_argument("--plan", action="store_true", help="say how many runs there are and how long they take")
    add_run_options(parser, "lightning_logs/tuning")
    return parser


def sweep(args: list[str]) -> int:
    """Run ``optimcifar sweep``; return its exit status.

    Raises:
        UsageError: an option, a configuration or a value is wrong.
        RuntimeError: the cluster cannot be reached.
    """
    options, configs, of_fit = parse_run_options(_sweep_parser(), args)
    entries = tuple(parse_entries(configs))
    if not entries:
        raise UsageError("name the configurations to sweep: optimcifar sweep configs/sgd.yaml --over ...")
    over = _parse_over(options.over or [])
    if options.points < 2:
        raise UsageError(f"--points must be at least 2, got {options.points}")
    cluster = ClusterOptions(options.jobs, options.scheduler, options.dashboard)
    seeds = parse_seeds(options.seeds)
    if seeds == "auto":
        raise UsageError("--seeds auto decides between configurations; a sweep needs a number of seeds")
    out = expand_path(options.out)

    # They take a second or two to import.
    from optimcifar.report.sweep.results import read_sweep
    from optimcifar.tuning.sweep import SweepPlan, train

    plan = SweepPlan(entries, over, options.points, chosen_seeds(seeds), out, tuple(of_fit), cluster)
    ends = train(plan)
    if not all_failed(ends):
        show_sweep(read_sweep(out), out)
    return exit_status(ends)


def tune(args: list[str]) -> int:
    """Run ``optimcifar tune``; return its exit status.

    Raises:
        UsageError: an option, a configuration or a space is wrong.
        RuntimeError: the cluster cannot be reached, or no trial of the baseline has a result.
    """
    options, configs, of_fit = parse_run_options(_tune_parser(), args)
    seeds, only_plan = (vars(options).pop(name) for name in ("seeds", "plan"))
    plan = make_plan(configs, parse_seeds(seeds), options=of_fit, **vars(options))

    # They take a second or two to import.
    from optimcifar.report.tuning.study import read_study
    from optimcifar.tuning.tune import describe, train

    if only_plan:
        print(describe(plan))
        return 0
    ends = train(plan)
    show_study(read_study(plan.out), plan.out)
    return exit_status(ends)


def _parse_over(texts: Iterable[str]) -> dict[str, Dimension]:
    """Read ``KEY=VALUES``, once or twice."""
    over: dict[str, Dimension] = {}
    for text in texts:
        key, equals, values = text.removeprefix("--").partition("=")
        if not key or not equals:
            raise UsageError(f"--over needs KEY=VALUES, such as model.optimizer.lr=1e-3..1; got {text!r}")
        if key in over:
            raise UsageError(
                f"--over {key} is given twice: write all its values in one --over, with commas between them"
            )
        over[key] = parse_dimension(f"--over {key}", values)
    if not 1 <= len(over) <= 2:
        raise UsageError(
            f"--over must be given once or twice, such as --over model.optimizer.lr=1e-3..1; got {len(over)}"
        )
    return over
