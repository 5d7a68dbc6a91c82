"""The command ``report``, and what ``compare``, ``sweep`` and ``tune`` show at their ends."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from optimcifar.errors import UsageError, UsageParser
from optimcifar.paths import expand_path, expand_pattern
from optimcifar.report.design import only_target, parse_targets
from optimcifar.report.workloads.design import OVER_WORKLOADS, WorkloadsDesign

if TYPE_CHECKING:
    from optimcifar.report.comparison import Comparison
    from optimcifar.report.sweep.results import Sweep
    from optimcifar.report.tuning.study import Study
    from optimcifar.report.workloads.results import WorkloadResults

# Most imports are within functions: they take a second or two.


def _parser() -> UsageParser:
    parser = UsageParser(
        "optimcifar report",
        description=(
            "Draw a comparison, a sweep or a study again, or compare single runs: their folders, or a folder of runs."
        ),
    )
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--baseline", help="the configuration to compare with (default: as before, or the first)")
    parser.add_argument(
        "--target_acc", help="also report when a run reached this validation accuracy; 0.5,0.6: one for each workload"
    )
    parser.add_argument("--out", type=Path, help="folder (default: the first FOLDER)")
    return parser


def report(args: list[str]) -> int:
    """Run ``optimcifar report``; return its exit status.

    Raises:
        UsageError: an option is wrong, or two runs are the same.
        RuntimeError: a folder holds no run, or a damaged one.
    """
    options = _parser().parse_intermixed_args(args)

    targets = () if options.target_acc is None else parse_targets(options.target_acc)

    from optimcifar.report.comparison import read_comparison
    from optimcifar.report.sweep.design import SweepDesign
    from optimcifar.report.sweep.results import read_sweep
    from optimcifar.report.tuning.design import TuningDesign
    from optimcifar.report.tuning.study import read_study
    from optimcifar.report.workloads.results import read_workloads

    folders = [folder for typed in options.folders for folder in expand_pattern(typed)]
    out = expand_path(options.out) if options.out else folders[0]
    kinds = {
        "sweep": SweepDesign.read(folders[0]),
        "study": TuningDesign.read(folders[0]),
        OVER_WORKLOADS: WorkloadsDesign.read(folders[0]),
    }
    kind = next((name for name, design in kinds.items() if design and len(folders) == 1), None)
    if kind in ("sweep", "study") and (options.baseline or targets):
        raise UsageError(f"{folders[0]} holds a {kind}: --baseline and --target_acc are for comparisons")
    if kind == "sweep":
        show_sweep(read_sweep(folders[0]), out)
    elif kind == "study":
        show_study(read_study(folders[0]), out)
    elif kind == OVER_WORKLOADS:
        show_workloads(read_workloads(folders[0], options.baseline, targets), out)
    else:
        found = read_comparison(*folders, baseline=options.baseline, target_acc=only_target(targets))
        show_comparison(found, out)
    return 0


def show_comparison(comparison: Comparison, out: Path) -> None:
    """Write the report of a comparison into a folder, and print the results."""
    from optimcifar.report.files import write_report
    from optimcifar.report.terminal import print_results

    write_report(comparison, out)
    print()
    print_results(comparison, out / "report.html")


def show_workloads(results: WorkloadResults, out: Path) -> None:
    """Write the report of a comparison over workloads into a folder, and print the results."""
    from optimcifar.report.workloads.files import write_workloads_report
    from optimcifar.report.workloads.terminal import print_workloads

    write_workloads_report(results, out)
    print()
    print_workloads(results, out / "report.html")


def show_sweep(sweep: Sweep, out: Path) -> None:
    """Write the report of a sweep into a folder, and print the results."""
    from optimcifar.report.sweep.files import write_sweep_report
    from optimcifar.report.sweep.terminal import print_sweep

    write_sweep_report(sweep, out)
    print()
    print_sweep(sweep, out / "report.html")


def show_study(study: Study, out: Path) -> None:
    """Write the report of a study into a folder, and print the results."""
    from optimcifar.report.tuning.files import write_study_report
    from optimcifar.report.tuning.terminal import print_study

    write_study_report(study, out)
    print()
    print_study(study, out / "report.html")
