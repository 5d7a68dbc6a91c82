"""What the commands ``compare``, ``sweep`` and ``tune`` share: options and the exit status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

from optimcifar.engine.runs import Run, expand_entry
from optimcifar.engine.worker import RunEnd
from optimcifar.errors import UsageParser
from optimcifar.report.design import Until
from optimcifar.text import count
from optimcifar.training.option_order import separate_options


def command_parser(command: str, usage: str, description: str, epilog: str) -> UsageParser:
    """Return a parser without options.

    Args:
        command: its name.
        usage: what follows the name.
        description: what it does.
        epilog: examples and notes.
    """
    return UsageParser(
        f"optimcifar {command}",
        usage=f"optimcifar {command} {usage}",
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def parse_run_options(parser: UsageParser, args: Sequence[str]) -> tuple[argparse.Namespace, list[str], list[str]]:
    """Return the command's own options, the configurations, and the options of ``fit``.

    Raises:
        UsageError: an option is wrong.
    """
    options, others = parser.parse_known_args(args)
    configs, of_fit = separate_options(others)
    parser.refuse_unknown(of_fit)
    return options, [entry for config in configs for entry in expand_entry(config)], of_fit


def add_run_options(parser: UsageParser, out: str) -> None:
    """Add the options that say where runs are written, and on what they are trained.

    Args:
        parser: the parser.
        out: the folder unless another is named.
    """
    parser.add_argument("--out", type=Path, default=Path(out), help="folder (default: %(default)s)")
    parser.add_argument("--jobs", type=int, help="runs at a time (default: one per GPU, or one per core)")
    parser.add_argument("--scheduler", help="address of a running dask scheduler: tcp://host:8786")
    parser.add_argument("--dashboard", action="store_true", help="print the address of dask's dashboard (needs bokeh)")


def add_comparison_options(parser: UsageParser) -> None:
    """Add the options that say how configurations are compared, but for ``--seeds`` and ``--target_acc``."""
    parser.add_argument("--max_seeds", type=int, help="with --seeds auto: the most for a configuration (default: 20)")
    parser.add_argument(
        "--until",
        choices=get_args(Until),
        help="with --seeds auto: until all verdicts are final (default), or until one may be the best",
    )
    parser.add_argument("--baseline", help="the configuration to compare with (default: the first)")


def exit_status(ends: Mapping[Run, RunEnd]) -> int:
    """Say how many runs failed, and return the exit status."""
    if failed := sum(end.status == "failed" for end in ends.values()):
        print(f"optimcifar: {failed} of {count(len(ends), 'run')} failed", file=sys.stderr)
    return 1 if failed else 0
