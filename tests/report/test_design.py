from __future__ import annotations

from pathlib import Path

import pytest

from optimcifar.report.design import Design
from optimcifar.statistics.stages import doubling_sizes

FIVE = Design(("sgd", "adam"), "sgd", 0.5, seeds=(0, 1, 2, 3, 4))
TEN = Design(("sgd", "adam"), "sgd", 0.5, seeds=tuple(range(10)))
AUTO = Design(("sgd", "adam"), "sgd", stages=doubling_sizes(20), until="best")
TWENTY_MORE = Design(("sgd", "adam"), "sgd", stages=doubling_sizes(40))


def test_a_design_is_read_as_it_was_written(tmp_path: Path) -> None:
    assert Design.read(tmp_path) is None
    for design in (FIVE, AUTO):
        design.write(tmp_path / "out")
        assert Design.read(tmp_path / "out") == design


@pytest.mark.parametrize(
    ("designs", "looks"),
    [
        ([FIVE], 1),
        ([FIVE, FIVE, FIVE], 1),
        ([FIVE, TEN], 2),
        ([FIVE, TEN, TEN, AUTO], 3),
        ([AUTO, AUTO], 1),
        ([AUTO, TWENTY_MORE], 2),
        ([Design(("sgd", "adam")), FIVE], 1),  # by version 0.1.0
    ],
)
def test_every_change_of_the_seeds_is_another_look(designs: list[Design], looks: int) -> None:
    before = None
    for design in designs:
        before = design.after(before, has_results=True)
    assert before is not None
    assert before.looks == looks


def test_a_change_before_there_are_results_is_no_look() -> None:
    assert TEN.after(FIVE, has_results=False).looks == 1


def test_tests_are_more_than_the_comparisons_where_earlier_stages_spend_a_part() -> None:
    assert (TEN.most_seeds, TEN.tests) == (10, 1)
    assert AUTO.most_seeds == 20
    assert AUTO.tests == pytest.approx((5 + 10 + 20) / 20)
