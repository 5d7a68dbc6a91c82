"""The command ``optimcifar``: dispatch, exit status, and one-line errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from optimcifar import __version__
from optimcifar.configurations import copy_shipped, list_shipped
from optimcifar.errors import UsageError, UsageParser, error_message
from optimcifar.help import HELP, HELP_OF_COMMANDS
from optimcifar.output import any_text, flush_output, reader_is_gone
from optimcifar.paths import expand_path
from optimcifar.text import count, nearest

if TYPE_CHECKING:
    from optimcifar.training.run import RunOutcome

_DONE, _FAILED, _WRONG_USAGE, _DIVERGED, _INTERRUPTED = 0, 1, 2, 3, 130
# A shell's status for a program whose reader is gone, as in `optimcifar report FOLDER | head -1`.
_NO_READER = 141

_COMMANDS = (
    *("fit", "schedule", "resume", "validate", "test", "predict"),
    *("compare", "sweep", "tune", "report", "configs"),
)


def main(args: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit status.

    0 done, 1 failed, 2 wrong usage, 3 diverged, 130 interrupted, 141 nobody reads what it prints any more.

    Errors are one or two lines on standard error; ``OPTIMCIFAR_DEBUG=1`` shows the traceback.

    Args:
        args: the arguments after the program's name; None takes those of this process.
    """
    arguments = list(sys.argv[1:] if args is None else args)
    _let_idle_threads_sleep()
    with any_text():
        status = _status(arguments)
        if error := flush_output():
            return _NO_READER if isinstance(error, BrokenPipeError) else _error_status(error)
        return status


def _status(arguments: list[str]) -> int:
    try:
        return _run(arguments)
    except SystemExit as end:  # argparse has printed the help
        return int(end.code or 0)
    except KeyboardInterrupt as error:
        print(f"optimcifar: interrupted{error}", file=sys.stderr)
        return _INTERRUPTED
    except Exception as error:
        if isinstance(error, BrokenPipeError) and reader_is_gone():
            return _NO_READER
        if os.environ.get("OPTIMCIFAR_DEBUG") == "1":
            raise
        return _error_status(error)


def _error_status(error: Exception) -> int:
    print(f"optimcifar: {error_message(error)}", file=sys.stderr)
    return _WRONG_USAGE if isinstance(error, (ValueError, TypeError)) else _FAILED


def _run(arguments: list[str]) -> int:
    if arguments[:1] in ([], ["-h"], ["--help"]):
        print(HELP)
        return _DONE
    if arguments[:1] == ["--version"]:
        print(f"optimcifar {__version__}")
        return _DONE
    name, options = arguments[0], arguments[1:]
    if name in HELP_OF_COMMANDS and {"-h", "--help"} & set(options):
        print(HELP_OF_COMMANDS[name])
        return _DONE
    return _command(arguments)(["--help" if option == "--help-all" else option for option in options])


def _let_idle_threads_sleep() -> None:
    """Have OpenMP's threads sleep soon when they wait for each other, unless the user says otherwise.

    By default they poll: two of them on cores that other programs use as well are 20 times slower than one
    (tests/benchmarks/README.md). OpenMP reads the variable when torch is imported, so it must be set before, and stays.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def _command(arguments: list[str]) -> Callable[[list[str]], int]:
    """Return a command's function. Importing torch takes seconds, so a command imports only what it needs."""
    name = arguments[0]
    if name in ("validate", "test", "predict"):
        return lambda options: _evaluate(name, options)
    if name == "compare":
        from optimcifar.comparison.commands import compare

        return compare
    if name == "report":
        from optimcifar.report.commands import report

        return report
    if name in ("sweep", "tune"):
        from optimcifar.tuning.commands import sweep, tune

        return sweep if name == "sweep" else tune
    commands = {"fit": _fit, "resume": _resume, "schedule": _schedule, "configs": _configs}
    if name.startswith("-"):
        command = next((word for word in arguments if word in _COMMANDS), "fit")
        raise UsageError(f"name the command before its options: optimcifar {command} ... {name} ...")
    if name not in commands:
        meant = nearest(name, _COMMANDS)
        hint = f"did you mean {meant}?" if meant else f"choose from {', '.join(_COMMANDS)}"
        raise UsageError(f"there is no command {name!r}: {hint}")
    return commands[name]


def _fit(options: list[str]) -> int:
    from optimcifar.training.run import fit

    return _report(fit(options))


def _resume(options: list[str]) -> int:
    if len(options) != 1 or options[0].startswith("-"):
        raise UsageError("resume needs the folder of one run, and nothing else: optimcifar resume FOLDER")
    from optimcifar.training.run import resume

    return _report(resume(Path(options[0])))


def _report(outcome: RunOutcome) -> int:
    """Print how a run ended, and return the exit status.

    Raises:
        Exception: the error of a failed run.
        KeyboardInterrupt: the run was interrupted.
    """
    if outcome.status == "interrupted":
        raise KeyboardInterrupt(f"; optimcifar resume {outcome.folder.path} goes on" if outcome.folder else "")
    if outcome.error:
        raise outcome.error
    if outcome.summary:  # not in processes that do not write
        from optimcifar.console import OutputConsole

        for line in outcome.describe():
            OutputConsole().print_line(line)
    return _DIVERGED if outcome.status == "diverged" else _DONE


def _evaluate(command: str, options: list[str]) -> int:
    from optimcifar.training.evaluate import evaluate

    evaluate(command, options)
    return _DONE


def _schedule(arguments: list[str]) -> int:
    parser = UsageParser(
        "optimcifar schedule",
        usage="optimcifar schedule [--png FILE] [--csv FILE] [options of optimcifar fit]",
        description="Draw the learning rates that optimcifar fit would use with the same options.",
        epilog="example: optimcifar schedule --config configs/sgd_onecycle.yaml --csv rates.csv",
    )
    parser.add_argument("--png", type=Path, default=Path("schedule.png"), help="the picture (default: %(default)s)")
    parser.add_argument("--csv", type=Path, help="write the rates to a table too, one row per epoch or step")
    options, fit_options = parser.parse_known_args(arguments)
    parser.refuse_unknown(fit_options)

    from optimcifar.callbacks.base import INDENT
    from optimcifar.console import OutputConsole
    from optimcifar.training.schedule_plan import plan_rates

    planned = plan_rates(fit_options)
    for line in planned.describe():
        print(OutputConsole().layout(line, INDENT))
    planned.write_png(options.png)
    if options.csv:
        planned.write_csv(options.csv)
    print(f"drawn in {options.png}" + (f", written to {options.csv}" if options.csv else ""))
    return _DONE


def _configs(arguments: list[str]) -> int:
    parser = UsageParser(
        "optimcifar configs",
        description="List the configurations and spaces that come with the package, or copy them to a folder.",
        epilog="example: optimcifar configs --copy configs",
    )
    parser.add_argument("--copy", type=Path, metavar="FOLDER", help="write the files there; replace none of its own")
    folder = parser.parse_args(arguments).copy
    print(f"{count(copy_shipped(expand_path(folder)), 'file')} in {folder}" if folder else list_shipped())
    return _DONE
