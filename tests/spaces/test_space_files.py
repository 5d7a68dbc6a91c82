"""Sections of a file of spaces."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from optimcifar.errors import UsageError
from optimcifar.spaces.files import space_of_section


def test_a_section_has_ranges_and_choices_in_its_order() -> None:
    text = """
    optimizer.lr: 1e-3..1
    optimizer.betas: [[0.9, 0.999], [1e-3, 1e-2]]
    amsgrad: [true, null, yes, 2020-01-01]
    batch_size: 16, 32
    """
    with pytest.raises(UsageError, match="adam: amsgrad: all values must differ"):
        space_of_section("adam", yaml.safe_load(text))
    space = space_of_section("adam", yaml.safe_load(text.replace("yes", "'null'")))
    assert [(key, str(dimension)) for key, dimension in space.items()] == [
        ("optimizer.lr", "0.001..1.0:log"),
        ("optimizer.betas", "[0.9, 0.999],[0.001, 0.01]"),
        ("amsgrad", 'true,null,"null","2020-01-01"'),
        ("batch_size", "16,32"),
    ]


@pytest.mark.parametrize(
    ("section", "message"),
    [
        (None, "adam must be a mapping of options to ranges, such as"),
        ({}, "adam must be a mapping"),
        ("1..2", "adam must be a mapping"),
        (["lr"], "adam must be a mapping"),
        ({"lr": 0.1}, "adam: lr must be a range such as 1e-3..1, or a list; got 0.1"),
        ({"lr": None}, "adam: lr must be a range such as 1e-3..1, or a list; got None"),
        ({"optimizer": {"lr": "1..2"}}, "adam: optimizer must be a range such as"),
        ({"lr": "2..1"}, "adam: lr: LOW must be less than HIGH"),
        ({"lr": [0.1]}, "adam: lr must be a range such as .* or several values; got '0.1'"),
        ({"lr": []}, "adam: lr must be a range such as .* or several values; got ''"),
    ],
)
def test_an_invalid_section_is_refused(section: Any, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        space_of_section("adam", section)
