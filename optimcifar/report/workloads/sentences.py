"""A comparison over workloads in words: its performance profile, the methods, and what to beware of."""

from __future__ import annotations

import math

from optimcifar.report.sentences import setting, summary_values
from optimcifar.report.workloads.results import UNIT, UNIT_SHORT, WorkloadResults, WorkloadTime
from optimcifar.statistics.stages import FALSE_VERDICTS
from optimcifar.text import conjunction, count, listing, percent

# The factor at which the profile is told in words.
_FACTOR = 2

_NO_TARGET = (
    "A performance profile needs a target: --target_acc 0.6 for all workloads, or one for each, 0.6,0.8. optimcifar "
    "report takes it too."
)


def heading_of(results: WorkloadResults, workload: str) -> str:
    """Write a workload's name and what it is: ``small: ConvNet on Shapes10, 10 epochs``."""
    return f"{workload}: {setting(results.comparisons[workload])}"


def profile_in_words(results: WorkloadResults) -> list[str]:
    """Say which configurations are fastest to the target, and how many workloads each is near the fastest on."""
    if not results.times:
        return [_NO_TARGET]
    if len(results.unreached) == len(results.comparisons):
        return ["There is no performance profile: no configuration reached a target with half of its seeds."]
    lines = [
        f"Fastest to the target: {'; '.join(_fastest(results))}.",
        f"Within {_FACTOR} times the fastest: {_within(results)}.",
    ]
    if slow := _slow(results):
        lines.append(f"Not reached by half of the seeds: {'; '.join(slow)}.")
    if results.unreached:
        on = conjunction(results.unreached)
        lines.append(f"On {on} no configuration reached the target with half of its seeds; that counts against all.")
    return lines


def methods(results: WorkloadResults) -> list[str]:
    """Say how workloads are compared, and how the profile is made."""
    lines = [
        "Each workload is a comparison of its own, and its page has the methods. Verdicts are not pooled: the chance "
        f"of any false verdict is at most {percent(FALSE_VERDICTS)} on each workload, and greater after several looks."
    ]
    if results.times:
        lines += [
            "Performance profile (Dolan and Moré, 2002; Dahl et al., 2023): the share of workloads on which the time "
            "of a configuration is at most τ times that of the fastest. The time is how long it takes until half of "
            f"its seeds have reached the target, in {UNIT}; it is infinite if fewer than half did.",
            "The profile describes these workloads and configurations. It is no test, and leaving out a configuration "
            "can change the order of the others.",
        ]
    return lines


def workload_cautions(results: WorkloadResults) -> list[str]:
    """Return a sentence for everything that makes the profile weaker than it looks; each comparison has its own."""
    lines = [f"No run yet, and left out: {listing(results.waiting)}."] if results.waiting else []
    for name, comparison in results.comparisons.items() if results.times else ():
        devices = summary_values(comparison, "device")
        if len(devices) > 1:
            lines.append(
                f"Runs on {name} had different devices, {conjunction(devices)}: their times cannot be compared."
            )
    return lines


def time_text(time: WorkloadTime) -> str:
    """Write ``12.3 s, 1.25x``, ``9.8 s, fastest``, or ``1 of 5 seeds`` if fewer than half reached the target."""
    if not time.seeds:
        return "no result"
    if math.isinf(time.time):
        return f"{time.reached} of {count(time.seeds, 'seed')}"
    return f"{time.time:.1f} {UNIT_SHORT}, {'fastest' if time.ratio == 1 else f'{time.ratio:.2f}x'}"


def _fastest(results: WorkloadResults) -> list[str]:
    won = {name: [time.workload for time in results.times_of(name) if time.ratio == 1] for name in results.names}
    return [f"{name} on {conjunction(workloads)}" for name, workloads in won.items() if workloads]


def _slow(results: WorkloadResults) -> list[str]:
    """Write which configurations did not reach the targets that others reached: ``sgd and adam on small``."""
    reached = [name for name in results.comparisons if name not in results.unreached]
    slow = {
        name: [time.configuration for time in results.times if time.workload == name and math.isinf(time.ratio)]
        for name in reached
    }
    return [f"{conjunction(names)} on {workload}" for workload, names in slow.items() if names]


def _within(results: WorkloadResults) -> str:
    """Write ``muon on 2 of 2 workloads, sgd on 1, rmsprop on 0``, the best first."""
    near = {name: sum(ratio <= _FACTOR for ratio in results.ratios(name)) for name in results.names}
    first, *others = sorted(near, key=lambda name: -near[name])
    of_all = f"{first} on {near[first]} of {count(len(results.comparisons), 'workload')}"
    return ", ".join([of_all, *(f"{name} on {near[name]}" for name in others)])
