from __future__ import annotations

import pytest

from optimcifar.statistics.stages import Stage, doubling_sizes, single_stage, stages_of_sizes


@pytest.mark.parametrize(
    ("most", "sizes"),
    [(3, (3,)), (5, (5,)), (6, (5, 6)), (10, (5, 10)), (20, (5, 10, 20)), (50, (5, 10, 20, 40, 50))],
)
def test_sizes_double_up_to_the_most(most: int, sizes: tuple[int, ...]) -> None:
    assert doubling_sizes(most) == sizes


def test_stages_share_the_5_percent_by_their_sizes() -> None:
    first, second, third = stages_of_sizes((5, 10, 20))
    assert (first.level, second.level, third.level) == pytest.approx((0.05 / 7, 0.05 * 2 / 7, 0.05 * 4 / 7))
    assert [sorted(stage.seeds) for stage in (first, second, third)] == [[*range(5)], [*range(10)], [*range(20)]]


@pytest.mark.parametrize("most", [1, 5, 8, 20, 77])
def test_all_stages_together_spend_5_percent(most: int) -> None:
    assert sum(stage.level for stage in stages_of_sizes(doubling_sizes(most))) == pytest.approx(0.05)


def test_seeds_chosen_beforehand_are_one_stage() -> None:
    assert single_stage([7, 3, 5]) == [Stage(frozenset({3, 5, 7}), 0.05)]
