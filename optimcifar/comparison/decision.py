"""What is decided after a stage of a comparison with seeds on demand, and which configurations go on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from optimcifar.report.analysis import Analysis
from optimcifar.report.sentences import the_best
from optimcifar.statistics.on_demand import NextSeeds, seeds_for_best, seeds_for_verdicts
from optimcifar.text import count, grouped


@dataclass(frozen=True)
class Decision:
    """What follows from the results after a stage.

    Attributes:
        names: the configurations that get the seeds of the next stage; none if the comparison ends.
        line: what is decided, which configurations go on, and why the others do not.
    """

    names: list[str]
    line: str


def decide(analysis: Analysis, stage: int, names: Collection[str]) -> Decision:
    """Decide which configurations get the seeds of the next stage.

    Args:
        analysis: the runs of the comparison; those of later stages are left out.
        stage: the number of the stage that has ended, from 0.
        names: the configurations that had its seeds. Others get no more: that was decided before, and is final.
    """
    stages = analysis.stages
    seeds = stages[stage].seeds
    then = replace(analysis, runs=[run for run in analysis.runs if run.seed in seeds])
    following = _next_seeds(then) if stage + 1 < len(stages) else NextSeeds([], {})
    going_on = [name for name in following.names if name in names]
    following = NextSeeds(
        going_on if len(going_on) > 1 else [],
        {name: why for name, why in following.reasons.items() if name in names},
    )
    state = f"stage {stage + 1} of {len(stages)}, {count(len(seeds), 'seed')}: {_state(then)}"
    return Decision(following.names, "; ".join([state, *_described(following)]))


def _next_seeds(analysis: Analysis) -> NextSeeds:
    if analysis.design.until == "best":
        return seeds_for_best(analysis.best, {name: analysis.values(name) for name in analysis.names})
    return seeds_for_verdicts(analysis.differences, analysis.comparisons, analysis.stages)


def _state(analysis: Analysis) -> str:
    if analysis.design.until == "best":
        best = analysis.best
        if not best.members:
            return "the best cannot be told"
        return f"{the_best(best)} is {'among ' * (len(best.members) > 1)}{', '.join(best.members)}"
    return f"{sum(found.is_decided for found in analysis.differences)} of {count(analysis.comparisons, 'verdict')}"


def _described(following: NextSeeds) -> list[str]:
    """Write ``more seeds for sgd, adam`` and ``no more seeds for muon, lion (better), rprop (worse)``."""
    parts = [f"more seeds for {', '.join(following.names)}"] if following.names else []
    groups = grouped(following.reasons)
    return parts + ([f"no more seeds for {', '.join(groups)}"] if groups else [])
