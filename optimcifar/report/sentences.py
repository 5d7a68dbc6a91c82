"""The results in words: the answer, the methods, and what was measured on what."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

from optimcifar.report.analysis import Analysis, Configuration
from optimcifar.runs.results import RunResult
from optimcifar.statistics.best_set import BestSet
from optimcifar.statistics.estimates import LEVEL
from optimcifar.statistics.power import MOST_SEEDS
from optimcifar.statistics.samples import FEWEST_SEEDS
from optimcifar.statistics.stages import FALSE_VERDICTS
from optimcifar.statistics.verdicts import BETTER, NO_DIFFERENCE, WITHHELD, WORSE, Difference
from optimcifar.text import conjunction, count, grouped, percent

MEASURES = {"val_acc": "validation accuracy", "test_acc": "test accuracy"}

# A sentence has at most so many names of configurations.
_MOST_NAMES = 3


def answer(analysis: Analysis) -> list[str]:
    """Answer in one to three sentences: which configurations differ, which may be the best, what is undecided."""
    if len(analysis.names) < 2:
        return []
    if not any(math.isfinite(value) for name in analysis.names for value in analysis.values(name).values()):
        measure = MEASURES[analysis.measure]
        return [f"Nothing is compared: no {measure} was measured in a run that ended and has a seed."]
    return [*_verdicts(analysis), *_best(analysis), *_undecided(analysis)]


def _verdicts(analysis: Analysis) -> list[str]:
    baseline = analysis.baseline
    collapses = {row.name: "".join(f"; {part}" for part in collapse(row)) for row in analysis.configurations}
    better = sorted((d for d in analysis.differences if d.verdict == BETTER), key=lambda d: -d.mean)
    worse = sorted((d for d in analysis.differences if d.verdict == WORSE), key=lambda d: d.mean)
    parts = [f"{_named(better, collapses)} better than {baseline}"] if better else []
    parts += [f"{_named(worse, collapses)} worse{'' if better else f' than {baseline}'}"] if worse else []
    if parts:
        return [f"{'; '.join(parts)}."]
    return [f"No configuration is shown to differ from {baseline}."]


def _named(differences: Sequence[Difference], collapses: Mapping[str, str]) -> str:
    """Write ``muon (+0.063 [+0.052, +0.074]) is``, or several of them and their number."""
    shown = differences[:_MOST_NAMES]
    named = [f"{d.configuration} ({signed_interval(d)}{collapses[d.configuration]})" for d in shown]
    if len(shown) < len(differences):
        named.append(f"{len(differences) - len(shown)} more")
    return f"{conjunction(named)} {'is' if len(differences) == 1 else 'are'}"


def _best(analysis: Analysis) -> list[str]:
    best = analysis.best
    left_out = grouped(best.not_comparable)
    if not best.members:
        return [f"The best cannot be told: {'; '.join(left_out)}."]
    if len(best.members) == 1 and not left_out:
        line = f"With {percent(LEVEL)} confidence the best is {best.members[0]}, which is told from all others"
        shown = analysis.difference(best.members[0])
        one_sided = shown is not None and not shown.is_decided
        return [f"{line}, by one-sided tests, which need less than a verdict." if one_sided else f"{line}."]
    which = the_best(best)
    among = "is" if len(best.members) == 1 else "is among:"
    line = f"With {percent(LEVEL)} confidence {which} {among} {', '.join(best.members)}"
    return [f"{line}; not comparable: {', '.join(left_out)}." if left_out else f"{line}."]


def the_best(best: BestSet) -> str:
    """Write ``the best``, or of which configurations it is if some cannot be compared."""
    return "the best of those that can be compared" if best.not_comparable else "the best"


def _undecided(analysis: Analysis) -> list[str]:
    undecided = [found for found in analysis.differences if not found.is_decided]
    number = len(undecided) + len(analysis.absent)
    if not number:
        return []
    line = f"{number} of {analysis.comparisons} comparisons {'is' if number == 1 else 'are'} undecided"
    if analysis.comparisons == 1:
        line = "The comparison is undecided"
    needed = sorted({analysis.seeds_needed(d) for d in undecided if d.verdict == NO_DIFFERENCE})
    verdicts = {found.configuration: found.verdict for found in undecided if found.verdict.startswith(WITHHELD)}
    withheld = {name: verdict.removeprefix(WITHHELD) for name, verdict in verdicts.items()}
    withheld |= dict.fromkeys(analysis.absent, "no run has a result")
    reasons = []
    if needed:
        range_needed = " to ".join(seeds_text(seeds) for seeds in dict.fromkeys((needed[0], needed[-1])))
        about = "about " if math.isfinite(needed[0]) else ""
        they = "it" if number - len(withheld) == 1 else "they"
        reasons.append(f"at the differences measured, {they} would need {about}{range_needed} seeds")
    if withheld:
        reasons.append(f"no verdict on {'; '.join(grouped(withheld))}")
    return [f"{line}: {'; '.join(reasons)}."]


def seeds_text(number: float) -> str:
    """Write a number of seeds that would be needed; nothing if none was worked out."""
    if math.isnan(number):
        return ""
    return f"{number:,.0f}" if math.isfinite(number) else f"more than {MOST_SEEDS:,}"


def methods(analysis: Analysis) -> list[str]:
    """Say how the configurations were compared, and what could have been shown."""
    lines = []
    if len(analysis.names) > 1:
        lines += [_family(analysis), _power(analysis)]
    if analysis.gains:
        lines.append(
            f"Averaged weights (swa: equal weights, ema: exponential) are compared with the final weights of the same "
            f"runs by the same tests: a second family of {count(len(analysis.gains), 'verdict')}, with "
            f"{percent(FALSE_VERDICTS)} (Holm) of its own."
        )
    return [*lines, *_intervals(analysis)]


def _family(analysis: Analysis) -> str:
    number = analysis.comparisons
    share = percent(FALSE_VERDICTS)
    each = f"{share} for all {number} verdicts together; each interval at the level of its step"
    if number == 1:
        each = f"{share} for the verdict"
    return (
        f"The {MEASURES[analysis.measure]} of the final weights is compared with that of {analysis.baseline}, paired "
        f"by seed, by two-sided paired t-tests (scipy.stats.ttest_1samp): Holm, {each}. There is no verdict with "
        f"fewer than {FEWEST_SEEDS} seeds.{_stages(analysis)}"
    )


def _stages(analysis: Analysis) -> str:
    if not analysis.design.stages:
        return ""
    shares = [f"{len(stage.seeds)} seeds ({percent(stage.level)})" for stage in analysis.stages]
    return f" The verdicts are looked at after {conjunction(shares)}; one that is found is final."


def _power(analysis: Analysis) -> str:
    if math.isnan(analysis.smallest_difference):
        return "Which difference could have been shown is not known: nothing is known of the spread of differences."
    return (
        f"A true difference of {analysis.smallest_difference:.3f} would have been shown with 80 % power, by up to "
        f"{count(analysis.seeds_shown, 'seed')}: the typical standard deviation of paired differences is "
        f"{analysis.spread:.3f}."
    )


def _intervals(analysis: Analysis) -> list[str]:
    lines = [
        f"Other intervals: {percent(LEVEL)}, Student's t over seeds, those of accuracies cut to 0 and 1. The true rate "
        f"of divergence has a one-sided {percent(LEVEL)} interval."
    ]
    if any(run.tests for run in analysis.runs):
        lines.append(
            "Seeds share the test images, so intervals of test accuracies leave out the choice of these images: with "
            "10,000 of them, it gives a difference another standard deviation of about 0.005."
        )
    return lines


def verdict_text(configuration: Configuration) -> str:
    """Return the verdict, and how many runs diverged or ended at chance: ``worse; diverged in 2 of 5 seeds``."""
    verdict = configuration.difference.verdict if configuration.difference else "baseline"
    return "; ".join([verdict, *collapse(configuration)])


def collapse(configuration: Configuration) -> list[str]:
    """Return how many runs diverged or ended at chance: ``diverged in 2 of 5 seeds``."""
    runs = count(configuration.seeds, "seed") if configuration.seeds else count(configuration.runs, "run")
    numbers = {"diverged": configuration.diverged, "at chance": configuration.at_chance}
    return [f"{what} in {number} of {runs}" for what, number in numbers.items() if number]


def signed_interval(value: Difference) -> str:
    """Write ``+0.063 [+0.052, +0.074]``; nothing without pairs."""
    if math.isnan(value.mean):
        return ""
    if math.isnan(value.low):
        return f"{value.mean:+.3f}"
    # A bound that is not zero is not written as zero.
    digits = 3 if not value.is_decided or min(abs(value.low), abs(value.high)) >= 0.0005 else 5
    return f"{value.mean:+.3f} [{value.low:+.{digits}f}, {value.high:+.{digits}f}]"


def circumstances(analysis: Analysis) -> str:
    """Describe what the results were measured on, with, and over which seeds."""
    parts = []
    for text, key in (
        ("Network", "net"),
        ("data", "dataset"),
        ("training images", "train_images"),
        ("device", "device"),
    ):
        found = summary_values(analysis, key)
        parts += [f"{text} {' and '.join(found)}"] * bool(found)
    if augmentation := augmentations(analysis.runs):
        parts.append(f"augmentation {augmentation}")
    parts.append(_epochs(analysis))
    found_versions = [run.summary["versions"] for run in analysis.runs if "versions" in run.summary]
    versions = found_versions[0] if found_versions else {}
    parts += [f"{name} {versions[name]}" for name in ("optimcifar", "torch", "lightning") if name in versions]
    if any(other != versions for other in found_versions):
        parts.append("and other versions in some runs")
    parts.append(_seed_numbers(sorted({run.seed for run in analysis.runs if run.seed is not None})))
    if unseeded := sum(run.seed is None for run in analysis.runs):
        parts.append(f"{count(unseeded, 'run')} without a seed, not paired")
    return "; ".join(parts)


def setting(analysis: Analysis) -> str:
    """Write what was trained on what, and for how long: ``ConvNet on Shapes10, crop_flip, 10 epochs``."""
    nets = dict.fromkeys(net.rpartition(".")[2] for net in summary_values(analysis, "net"))
    trained = " on ".join(" and ".join(found) for found in (nets, summary_values(analysis, "dataset")) if found)
    return ", ".join(filter(None, (trained, augmentations(analysis.runs), _epochs(analysis))))


def summary_values(analysis: Analysis, key: str) -> list[str]:
    """Return the different values that the summaries of the runs have, in the order of the runs."""
    return list(dict.fromkeys(str(run.summary[key]) for run in analysis.runs if key in run.summary))


def augmentations(runs: Iterable[RunResult]) -> str:
    """Say what was done to the training images, ``crop_flip`` or ``none and crop_flip``; nothing if no run did any."""
    found = list(dict.fromkeys(str(run.summary.get("augmentation") or "none") for run in runs))
    return "" if found == ["none"] else " and ".join(found)


def _epochs(analysis: Analysis) -> str:
    """Write ``10 epochs``, or ``5 or 10 epochs``; of the runs that finished, if any did."""
    finished = [run for run in analysis.runs if run.status == "finished"]
    epochs = sorted({run.epochs for run in finished or analysis.runs})
    return f"{' or '.join(map(str, epochs))} epoch{'' if epochs == [1] else 's'}"


def _seed_numbers(seeds: Sequence[int]) -> str:
    """Write ``seeds 0 to 9``, or ``seeds 0, 1, 7``."""
    if len(seeds) > 2 and seeds[-1] - seeds[0] == len(seeds) - 1:
        return f"seeds {seeds[0]} to {seeds[-1]}"
    return f"seeds {', '.join(map(str, seeds)) or 'none'}"
