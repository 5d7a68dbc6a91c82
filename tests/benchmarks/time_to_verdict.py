"""How many runs verdicts cost: seeds chosen beforehand beside seeds on demand, on results drawn from known truths.

    python tests/benchmarks/time_to_verdict.py --repetitions 1000

The first truth is the table of results in configs/README.md: 20 configurations with its means and spreads. Prints the
runs that were spent, the verdicts of 19, how often any of them was wrong, how often the best set held the best, and how
large it was. Then come truths without any difference, where every verdict is false. Writes ``time_to_verdict.json``.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from circumstances import circumstances
from scipy import stats

from optimcifar.statistics.best_set import BestSet, Values, best_set
from optimcifar.statistics.on_demand import seeds_for_best, seeds_for_verdicts
from optimcifar.statistics.samples import Pairs
from optimcifar.statistics.stages import Stage, single_stage, stages_of_sizes
from optimcifar.statistics.verdicts import Difference, judge

#: The results of configs/README.md over three seeds: mean validation accuracy, and half of the interval of the
#: difference from the baseline, which is corrected for 19 comparisons. That of the baseline is half of its own, 95 %.
RESULTS = {
    "sgd": (0.613, 0.020),
    "schedulefree": (0.642, 0.1155),
    "sgd_onecycle": (0.636, 0.063),
    "sgd_warmup_cosine": (0.635, 0.1295),
    "adamw_cosine": (0.631, 0.0305),
    "adam": (0.622, 0.183),
    "radam": (0.621, 0.1865),
    "muon": (0.619, 0.099),
    "adafactor": (0.619, 0.205),
    "nadam": (0.618, 0.1225),
    "adamax": (0.613, 0.085),
    "sgd_steplr": (0.574, 0.1425),
    "adagrad": (0.573, 0.1155),
    "adadelta": (0.570, 0.1505),
    "sgd_swa": (0.566, 0.1835),
    "asgd": (0.524, 0.5305),
    "sgd_cosine": (0.436, 0.2765),
    "lbfgs": (0.361, 2.562),
    "rmsprop": (0.359, 0.3475),
    "rprop": (0.321, 0.148),
}
BASELINE = "sgd"

#: The baseline, and the least, a middling and the greatest spread.
FOUR = (BASELINE, "adamw_cosine", "adam", "lbfgs")

SHARED_SD = 0.012  # of the effect of a seed on all configurations
EQUAL_SD = 0.012 / math.sqrt(2)  # of a run's own residual, for differences with a standard deviation of 0.012

SIZES = (5, 10, 20)  # of the stages


@dataclass(frozen=True)
class Truth:
    """What results are drawn from: a mean, the effect of the seed, and a residual of the run's own.

    Attributes:
        means: true mean by configuration.
        spreads: standard deviation of the residual by configuration.
        skewed: whether residuals are exponentially distributed instead of normally.
    """

    means: Mapping[str, float]
    spreads: Mapping[str, float]
    skewed: bool = False

    @property
    def best(self) -> str:
        """The configuration with the highest mean; any is, if all are equal."""
        return max(self.means, key=lambda name: self.means[name])

    def draw(self, seeds: int, generator: np.random.Generator) -> dict[str, dict[int, float]]:
        """Draw values by configuration and seed."""
        shape = (len(self.means), seeds)
        residuals = generator.exponential(size=shape) - 1 if self.skewed else generator.normal(size=shape)
        shared = generator.normal(0, SHARED_SD, seeds)
        own = zip(self.means.items(), residuals, strict=True)
        return {name: dict(enumerate((mean + shared + self.spreads[name] * z).tolist())) for (name, mean), z in own}

    def is_wrong(self, found: Difference) -> bool:
        """Return whether a verdict names a difference that is not there, or the wrong direction."""
        true = self.means[found.configuration] - self.means[found.baseline]
        return found.is_decided and (true == 0 or (true > 0) != (found.mean > 0))


def measured_spreads() -> dict[str, float]:
    """Return the standard deviation of each configuration's residual, so that differences have that of ``RESULTS``.

    Two configurations differed from the baseline by less than the baseline's own spread: they get no residual.
    """
    baseline = RESULTS[BASELINE][1] * math.sqrt(3) / stats.t.isf(0.05 / 2, df=2)
    half_per_sd = stats.t.isf(0.05 / 19 / 2, df=2) / math.sqrt(3)
    own = {name: math.sqrt(max((half / half_per_sd) ** 2 - baseline**2, 0)) for name, (_, half) in RESULTS.items()}
    return own | {BASELINE: baseline}


def measured_truth() -> Truth:
    """Return means and spreads as measured."""
    return Truth({name: mean for name, (mean, _) in RESULTS.items()}, measured_spreads())


def nulls(names: Sequence[str] = tuple(RESULTS)) -> dict[str, Truth]:
    """Return truths without any difference.

    Args:
        names: the configurations, the baseline first.
    """
    means = dict.fromkeys(names, RESULTS[BASELINE][0])
    equal = dict.fromkeys(names, EQUAL_SD)
    spreads = measured_spreads()
    return {
        "equal spreads": Truth(means, equal),
        "measured spreads": Truth(means, {name: spreads[name] for name in names}),
        "one spread x20": Truth(means, equal | {names[-1]: 20 * EQUAL_SD}),
        "the baseline's spread x5": Truth(means, equal | {names[0]: 5 * EQUAL_SD}),
        "skewed": Truth(means, equal, skewed=True),
    }


def skewed_and_unequal(names: Sequence[str] = tuple(RESULTS)) -> Truth:
    """Return a truth without any difference that t-tests are not made for: differences with skewed distributions."""
    unequal = nulls(names)["measured spreads"]
    return Truth(unequal.means, unequal.spreads, skewed=True)


@dataclass(frozen=True)
class Outcome:
    """What a way of choosing seeds brings.

    Attributes:
        runs: the number of runs.
        differences: the differences from the baseline.
        best: where the best configuration is.
    """

    runs: int
    differences: list[Difference]
    best: BestSet


def with_seeds(values: Values, seeds: Mapping[str, int]) -> dict[str, dict[int, float]]:
    """Return the values of each configuration's first seeds."""
    return {name: {seed: of[seed] for seed in range(seeds[name])} for name, of in values.items()}


def differences(values: Values, stages: Sequence[Stage]) -> list[Difference]:
    """Judge all differences from the first configuration."""
    baseline, *others = values
    return judge([Pairs.of(name, baseline, values, {}) for name in others], stages)


def outcome(values: Values, stages: Sequence[Stage]) -> Outcome:
    """Judge values that were measured."""
    return Outcome(sum(map(len, values.values())), differences(values, stages), best_set(values, {}, stages))


def beforehand(values: Values, seeds: int) -> Outcome:
    """Train every configuration with so many seeds."""
    return outcome(with_seeds(values, dict.fromkeys(values, seeds)), single_stage(range(seeds)))


def until_verdicts(values: Values, stages: Sequence[Stage]) -> list[str]:
    """Return the configurations that get more seeds for the sake of verdicts."""
    return seeds_for_verdicts(differences(values, stages), len(values) - 1, stages).names


def until_best(values: Values, stages: Sequence[Stage]) -> list[str]:
    """Return the configurations that get more seeds for the sake of the best."""
    return seeds_for_best(best_set(values, {}, stages), values).names


def on_demand(
    values: Values, sizes: Sequence[int], going_on: Callable[[Values, Sequence[Stage]], list[str]]
) -> Outcome:
    """Train in stages, with more seeds for some.

    Args:
        values: what would be measured with all seeds.
        sizes: the number of seeds of each stage.
        going_on: returns the configurations that get the seeds of the next stage.
    """
    stages = stages_of_sizes(sizes)
    seeds = dict.fromkeys(values, 0)
    names = list(values)
    for size in sizes:
        seeds |= dict.fromkeys(names, size)
        open_ones = going_on(with_seeds(values, seeds), stages)
        names = [name for name in open_ones if name in names]  # one that was given up stays so
    return outcome(with_seeds(values, seeds), stages)


WAYS: dict[str, Callable[[Values], Outcome]] = {
    **{f"{seeds} seeds": partial(beforehand, seeds=seeds) for seeds in SIZES},
    "auto": partial(on_demand, sizes=SIZES, going_on=until_verdicts),
    "until best": partial(on_demand, sizes=SIZES, going_on=until_best),
}


def simulate(truth: Truth, way: Callable[[Values], Outcome], repetitions: int) -> dict[str, float]:
    """Return averages over so many sets of results, the same ones for every way."""
    generator = np.random.default_rng(0)
    outcomes = [way(truth.draw(SIZES[-1], generator)) for _ in range(repetitions)]
    found: dict[str, list[float]] = {
        "runs": [outcome.runs for outcome in outcomes],
        "verdicts": [sum(difference.is_decided for difference in outcome.differences) for outcome in outcomes],
        "wrong": [any(map(truth.is_wrong, outcome.differences)) for outcome in outcomes],
        "holds_best": [truth.best in outcome.best.members for outcome in outcomes],
        "best_set_size": [len(outcome.best.members) for outcome in outcomes],
    }
    return {name: statistics.fmean(values) for name, values in found.items()}


def main(args: list[str] | None = None) -> None:
    """Simulate."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repetitions", type=int, default=400, help="of each truth")
    parser.add_argument("--out", type=Path, default=Path("lightning_logs/benchmarks"))
    options = parser.parse_args(args)
    start = time.perf_counter()
    truths = {"measured": measured_truth(), **nulls(), "skewed, measured spreads": skewed_and_unequal()}
    rows = []
    for truth_name, truth in truths.items():
        print(f"{truth_name}{', no differences' * (len(set(truth.means.values())) == 1)}")
        for way_name, way in WAYS.items():
            found = simulate(truth, way, options.repetitions)
            rows.append({"truth": truth_name, "way": way_name, **found})
            print(
                f"  {way_name:10} {found['runs']:5.0f} runs, {found['verdicts']:5.2f} verdicts, "
                f"any of them wrong in {found['wrong']:5.1%}; {found['best_set_size']:4.1f} may be the best, "
                f"which is among them in {found['holds_best']:6.1%}",
                flush=True,
            )
    options.out.mkdir(parents=True, exist_ok=True)
    seconds = round(time.perf_counter() - start)
    about = circumstances() | {"dataset": "simulated", "repetitions": options.repetitions, "seconds": seconds}
    (options.out / "time_to_verdict.json").write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
