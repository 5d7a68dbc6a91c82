"""The command ``optimcifar``: what needs no training is answered here, the rest is handed to LightningCLI."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from optimcifar import __version__
from optimcifar.errors import UsageParser

_HELP = """\
usage: optimcifar COMMAND [options]

Compare optimizers, learning-rate schedules and weight averaging on CIFAR-10.

commands:
  fit        train, and write the run into lightning_logs/version_N
  schedule   draw the learning rates of a run, without the run
  resume     go on with a run that was cut off, in its folder
  validate   loss and accuracy of a checkpoint on the validation images
  test       loss and accuracy of a checkpoint on the test images
  predict    the class of every validation image, as a table
  compare    several configurations over several seeds: which is better, and how sure is that
  report     draw a comparison again, or compare folders of single runs

options:
  -h, --help   this text; after a command, its own options
  --version    the version

examples:
  optimcifar fit --config configs/rmsprop.yaml
  optimcifar fit --config configs/rmsprop.yaml --data Shapes10DataModule     (no download)
  optimcifar fit --config configs/sgd.yaml --model.optimizer Adam --model.optimizer.lr 0.001
  optimcifar test --ckpt_path lightning_logs/version_0/checkpoints/last.ckpt"""


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status: 0 done, 1 failed, 2 wrong usage, 3 diverged, 130 interrupted.

    What went wrong is said in one or two lines on standard error; ``OPTIMCIFAR_DEBUG=1`` shows the traceback.

    Args:
        args: the arguments after the program's name; None takes those of this process.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    # Read when torch is imported. OpenMP's threads otherwise wait for each other by trying again and again, and two of
    # them on cores that others use as well are 20 times slower than one (tests/benchmarks/README.md).
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    if arguments[:1] in ([], ["-h"], ["--help"]):
        print(_HELP)
        return 0
    if arguments == ["--version"]:
        print(f"optimcifar {__version__}")
        return 0
    try:
        if arguments[0] in ("compare", "report", "schedule"):
            return _without_training(arguments[0])(arguments[1:])
        # Imported here because importing torch takes seconds.
        from optimcifar.training.lightning_cli import resume, run

        done = resume(_folder(arguments[1:])) if arguments[0] == "resume" else run(arguments)
    except KeyboardInterrupt as error:
        print(f"optimcifar: interrupted{error}", file=sys.stderr)
        return 130
    except Exception as error:
        if os.environ.get("OPTIMCIFAR_DEBUG") == "1":
            raise
        from optimcifar.errors import error_message

        print(f"optimcifar: {error_message(error)}", file=sys.stderr)
        return 2 if isinstance(error, (ValueError, TypeError)) else 1
    return 3 if done.diverged else 0


def _without_training(command: str) -> Callable[[list[str]], int]:
    if command == "schedule":
        return _schedule
    from optimcifar.comparison.commands import compare, report

    return compare if command == "compare" else report


def _schedule(arguments: list[str]) -> int:
    parser = UsageParser(
        "optimcifar schedule",
        usage="optimcifar schedule [--png FILE] [--csv FILE] [options of optimcifar fit]",
        description="Draw the learning rates that optimcifar fit with the same options is going to use.",
        epilog="example: optimcifar schedule --config configs/sgd_onecycle.yaml --csv rates.csv",
        allow_abbrev=False,
    )
    parser.add_argument("--png", type=Path, default=Path("schedule.png"), help="the picture (default: %(default)s)")
    parser.add_argument("--csv", type=Path, help="the rates as a table as well, a row per epoch or step")
    options, of_fit = parser.parse_known_args(arguments)

    from optimcifar.training.schedule_plan import plan

    planned = plan(of_fit)
    print(planned.describe())
    planned.write_png(options.png)
    if options.csv:
        planned.write_csv(options.csv)
    print(f"drawn in {options.png}" + (f", written to {options.csv}" if options.csv else ""))
    return 0


def _folder(arguments: list[str]) -> Path:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise ValueError("resume needs the folder of one run, and nothing else: optimcifar resume FOLDER")
    return Path(arguments[0])
