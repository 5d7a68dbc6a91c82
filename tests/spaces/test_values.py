"""Values are parsed and written as ``fit`` does it, and compared as settings."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml

from optimcifar.spaces.values import are_equal, distinct, is_number, option_text, parse_values

PARSED: list[tuple[str, list[Any]]] = [
    ("0.1,1e-3, 2E+2 ,-5,.5", [0.1, 0.001, 200.0, -5, 0.5]),
    ("true,false,null,strong_wolfe", [True, False, None, "strong_wolfe"]),
    ("[0.9,0.999],[0.95,1e-3]", [[0.9, 0.999], [0.95, 0.001]]),
    ("[[1,2],[3]],{a: 1e-3}", [[[1, 2], [3]], {"a": 0.001}]),
    ("torch.optim.Adam,'a,b',\"[\"", ["torch.optim.Adam", "a,b", "["]),
    ("2020-01-01,it's,1..2", ["2020-01-01", "it's", "1..2"]),
    ("", []),
]


@pytest.mark.parametrize(("text", "values"), PARSED)
def test_values_with_commas_between_them(text: str, values: list[Any]) -> None:
    parsed = parse_values(text)
    assert parsed == values
    assert list(map(type, parsed)) == list(map(type, values))


@pytest.mark.parametrize("text", ["[1,2", "1]", "1],[2", "'a,b", "{a: 1,2", "1,,2"])
def test_an_unclosed_bracket_or_a_missing_value_is_an_error(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        parse_values(text)


def test_a_value_is_written_as_an_option_takes_it() -> None:
    values = [0.001, 16, True, None, [0.9, 0.999], "cos", "é"]
    assert list(map(option_text, values)) == ["0.001", "16", "true", "null", "[0.9, 0.999]", "cos", "é"]


def test_booleans_and_infinite_numbers_are_no_numbers() -> None:
    assert all(map(is_number, (0, -1, 0.5, 10**300)))
    assert not any(map(is_number, (True, False, None, "1", [1], math.nan, math.inf, -math.inf, 10**400)))


def test_equal_numbers_are_one_setting_but_a_boolean_is_another() -> None:
    assert are_equal(1, 1.0)
    assert are_equal([0.9, [1, None]], [0.9, [1.0, None]])
    for first, second in [(True, 1), (0, False), ([1], [True]), ([1, 2], [1]), (None, 0), ("1", 1), (0.1, 0.1001)]:
        assert not are_equal(first, second), (first, second)
    kept = distinct([1, True, 1.0, None, [1], True, [1.0], None])
    assert list(map(repr, kept)) == ["1", "True", "None", "[1]"]
