"""The command ``optimcifar``: what needs no training is answered here, the rest is handed to LightningCLI."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from optimcifar import __version__

_HELP = """\
usage: optimcifar COMMAND [options]

Compare optimizers, learning-rate schedules and weight averaging on CIFAR-10.

commands:
  fit        train, and write the run into lightning_logs/version_N
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
    if arguments[:1] in ([], ["-h"], ["--help"]):
        print(_HELP)
        return 0
    if arguments == ["--version"]:
        print(f"optimcifar {__version__}")
        return 0
    try:
        if arguments[0] in ("compare", "report"):
            from optimcifar.comparison.cli import compare, report

            return (compare if arguments[0] == "compare" else report)(arguments[1:])
        # Imported here because importing torch takes seconds.
        from optimcifar.training_cli import resume, run

        done = resume(_folder(arguments[1:])) if arguments[0] == "resume" else run(arguments)
    except KeyboardInterrupt as error:
        print(f"optimcifar: interrupted{error}", file=sys.stderr)
        return 130
    except Exception as error:
        if os.environ.get("OPTIMCIFAR_DEBUG") == "1":
            raise
        from optimcifar.messages import error_message

        print(f"optimcifar: {error_message(error)}", file=sys.stderr)
        return 2 if isinstance(error, (ValueError, TypeError)) else 1
    return 3 if done.diverged else 0


def _folder(arguments: list[str]) -> Path:
    if len(arguments) != 1 or arguments[0].startswith("-"):
        raise ValueError("resume needs the folder of one run, and nothing else: optimcifar resume FOLDER")
    return Path(arguments[0])
