from __future__ import annotations

from typing import Any

import pytest

from optimcifar.comparison.seeds import parse_seeds, with_seeds
from optimcifar.errors import UsageError
from optimcifar.report.design import Design

TWO = Design(("sgd", "adam"), "sgd")


def design(text: str, **options: Any) -> Design:
    return with_seeds(TWO, parse_seeds(text), **options)


def test_seeds_are_a_number_or_a_list() -> None:
    assert [design(text).seeds for text in ("3", "0,4,2", "7,")] == [(0, 1, 2), (0, 4, 2), (7,)]


@pytest.mark.parametrize("text", ["", "0", "-1", "1,1", "a", "1.5", "0,-2", "Auto"])
def test_seeds_that_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--seeds must be a number of seeds"):
        design(text)


def test_seeds_on_demand_have_stages_that_double() -> None:
    assert design("auto") == Design(("sgd", "adam"), "sgd", stages=(5, 10, 20), until="verdicts")
    assert design("auto", max_seeds=12, until="best").stages == (5, 10, 12)
    assert design("auto", max_seeds=3).stages == (3,)


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("5", {"max_seeds": 20}, "--max_seeds needs --seeds auto"),
        ("0,1,2", {"until": "best"}, "--until needs --seeds auto"),
        ("auto", {"max_seeds": 2}, "--max_seeds must be at least 3, because no verdict has fewer seeds; got 2"),
        ("auto", {"until": "tomorrow"}, "--until must be one of verdicts, best; got 'tomorrow'"),
    ],
)
def test_options_that_do_not_fit_are_refused(text: str, options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        design(text, **options)


def test_seeds_on_demand_need_something_to_decide() -> None:
    with pytest.raises(UsageError, match="name two or more"):
        with_seeds(Design(("sgd",)), "auto")


def test_a_text_is_no_list_of_seeds() -> None:
    with pytest.raises(UsageError, match="got '012'"):
        with_seeds(TWO, "012")  # type: ignore[arg-type]  # as a person may type it in Python
