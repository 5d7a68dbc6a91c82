"""Performance profiles, against a table worked out by hand."""

from __future__ import annotations

import math

import pytest

from optimcifar.statistics.performance_profile import performance_ratios, share_within, time_of_half

NEVER = math.inf

# Three configurations on four workloads; nobody solves the last one.
TIMES = {
    "small": {"sgd": 6.0, "adam": 4.0, "muon": 4.0},
    "wide": {"sgd": 2.0, "adam": 6.0, "muon": 4.0},
    "deep": {"sgd": 10.0, "adam": NEVER, "muon": 8.0},
    "hard": {"sgd": NEVER, "adam": NEVER, "muon": NEVER},
}
RATIOS = {"sgd": [1.5, 1, 1.25, NEVER], "adam": [1, 3, NEVER, NEVER], "muon": [1, 2, 1, NEVER]}


def test_ratios_are_to_the_fastest_of_each_workload() -> None:
    ratios = {workload: performance_ratios(times) for workload, times in TIMES.items()}
    for name, expected in RATIOS.items():
        assert [of_workload[name] for of_workload in ratios.values()] == expected


@pytest.mark.parametrize(
    ("factor", "shares"),
    [
        (1, {"sgd": 1 / 4, "adam": 1 / 4, "muon": 2 / 4}),
        (1.25, {"sgd": 2 / 4, "adam": 1 / 4, "muon": 2 / 4}),
        (1.5, {"sgd": 3 / 4, "adam": 1 / 4, "muon": 2 / 4}),
        (2, {"sgd": 3 / 4, "adam": 1 / 4, "muon": 3 / 4}),
        (3, {"sgd": 3 / 4, "adam": 2 / 4, "muon": 3 / 4}),
        (1e9, {"sgd": 3 / 4, "adam": 2 / 4, "muon": 3 / 4}),
    ],
)
def test_profile_is_the_share_of_all_workloads(factor: float, shares: dict[str, float]) -> None:
    assert {name: share_within(ratios, factor) for name, ratios in RATIOS.items()} == shares


@pytest.mark.parametrize(
    ("times", "expected"),
    [
        ([5.0], 5),
        ([7.0, 3.0, 5.0], 5),
        ([7.0, 3.0, 5.0, 9.0], 5),
        ([NEVER, 3.0, 5.0, NEVER], 5),  # half of them
        ([NEVER, 3.0, NEVER], NEVER),
        ([], NEVER),
    ],
)
def test_time_of_half_needs_half_of_the_seeds(times: list[float], expected: float) -> None:
    assert time_of_half(times) == expected
