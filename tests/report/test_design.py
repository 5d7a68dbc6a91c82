from __future__ import annotations

import json
from pathlib import Path

import pytest

from optimcifar.report.design import Design
from optimcifar.statistics.stages import doubling_sizes

FIVE = Design(("sgd", "adam"), "sgd", 0.5, seeds=(0, 1, 2, 3, 4))
TEN = Design(("sgd", "adam"), "sgd", 0.5, seeds=tuple(range(10)))
AUTO = Design(("sgd", "adam"), "sgd", stages=doubling_sizes(20), until="best")
FEWER = Design(("sgd", "adam"), "sgd", stages=(5,))
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
        ([FIVE, TEN, FIVE, TEN], 2),
        ([AUTO, FEWER], 2),
        ([AUTO, AUTO], 1),
        ([AUTO, TWENTY_MORE], 2),
        ([Design(("sgd", "adam")), FIVE], 2),  # by version 0.1.0, which did not write its seeds
    ],
)
def test_more_seeds_and_other_stages_are_another_look(designs: list[Design], looks: int) -> None:
    before, ended = None, set[int]()
    for design in designs:
        before = design.after(before, ended)
        ended |= set(design.seeds) or {0, 1, 2}
    assert before is not None
    assert before.looks == looks


def test_a_change_before_there_are_results_is_no_look() -> None:
    assert TEN.after(FIVE, set()).looks == 1


def test_tests_are_more_than_the_comparisons_where_earlier_stages_spend_a_part() -> None:
    assert (TEN.most_seeds, TEN.tests) == (10, 1)
    assert AUTO.most_seeds == 20
    assert AUTO.tests == pytest.approx((5 + 10 + 20) / 20)


@pytest.mark.parametrize(
    "damage",
    [
        *({"stages": "5"}, {"stages": [0]}, {"stages": [10, 5]}, {"stages": [5.5]}, {"looks": 0}, {"looks": "2"}),
        *({"until": "soon"}, {"until": 3}, {"seeds": [-1]}, {"seeds": ["a"]}, {"seeds": 5}, {"target_acc": "0.5"}),
        *({"target_acc": 7}, {"configurations": [3]}, {"baseline": 3}, {"more": 1}),
    ],
)
def test_a_damaged_design_is_named(damage: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "comparison.json").write_text(json.dumps({"configurations": ["sgd"], **damage}))
    with pytest.raises(RuntimeError, match=r"comparison\.json is damaged: remove it"):
        Design.read(tmp_path)
