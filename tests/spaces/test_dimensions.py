"""Ranges and choices: what is parsed and refused, and which values they give."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from optimcifar.errors import UsageError
from optimcifar.spaces.dimensions import Choices, Dimension, Range, for_option, parse_dimension, scale_of
from optimcifar.spaces.values import parse_values

# Spread evenly over the unit interval, as the points of a long Halton sequence are.
SHARES = [(number + 0.5) / 20_000 for number in range(20_000)]


def parsed(text: str) -> Dimension:
    return parse_dimension("lr", text)


def range_of(text: str) -> Range:
    dimension = parsed(text)
    assert isinstance(dimension, Range)
    return dimension


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1e-3..1", Range(0.001, 1.0, "log")),
        ("1e-3..1:linear", Range(0.001, 1.0, "linear")),
        ("0.5..1:log", Range(0.5, 1.0, "log")),
        ("0.5..1", Range(0.5, 1.0, "linear")),
        ("0.07..0.7", Range(0.07, 0.7, "log")),  # their ratio as floats is less than 10
        ("0.07..0.69", Range(0.07, 0.69, "linear")),
        (".1.. .5", Range(0.1, 0.5, "linear")),
        ("-1..1", Range(-1, 1, "linear", whole=True)),
        ("-3.5..-1", Range(-3.5, -1.0, "linear")),
        ("+1E+2..1e+3", Range(100.0, 1000.0, "log")),
        ("0..100", Range(0, 100, "linear", whole=True)),
        ("16..256", Range(16, 256, "log", whole=True)),
        ("16..256.0", Range(16.0, 256.0, "log")),
        (" 1 .. 5 : log ", Range(1, 5, "log", whole=True)),
        ("1,2", Choices((1, 2))),
        ("[0.9, 0.999],[0.95, 1e-3]", Choices(([0.9, 0.999], [0.95, 0.001]))),
        ("true,1,null,word", Choices((True, 1, None, "word"))),
        ("'1..2',3", Choices(("1..2", 3))),
    ],
)
def test_range_or_choices(text: str, expected: Dimension) -> None:
    dimension = parsed(text)
    assert repr(dimension) == repr(expected)  # tells 1 from 1.0
    assert repr(parsed(str(dimension))) == repr(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2..1", "LOW must be less than HIGH"),
        ("1..1", "LOW must be less than HIGH"),
        ("0..1:log", "both ends of a range on a log scale must be positive"),
        ("-1..1:log", "both ends of a range on a log scale must be positive"),
        ("1..1e400", "the ends of a range must be finite"),
        *(
            (text, "must be a range such as .*, or several values; got '")
            for text in (
                "1..2:wrong",
                "1..",
                "..1",
                "1...2",
                "1e-3...1",
                "1....2",
                "a..b",
                "nan..1",
                "1..inf",
                "true..false",
                "null..1",
            )
        ),
        *((text, "or several values; got '") for text in ("", " ", "0.1", "word", "1,", "[1,2]", "1..2:log:linear")),
        *((text, "is a bracket, a quote or a value missing") for text in ("[1,2", "1]", "1,,2", "'a,b")),
        *((text, "all values must differ") for text in ("1,1.0", "1,2,1e0", "a,b,a", "[1],[1.0]", "null,~")),
        *((text, "numbers must be finite") for text in ("1,.nan", ".inf,1", "1,1e400", f"1,1e{'9' * 9}")),
    ],
)
def test_what_cannot_be_tried_is_refused_in_a_line_that_names_the_hyperparameter(text: str, message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        parsed(text)
    assert str(caught.value).startswith("lr")
    assert "\n" not in str(caught.value)


finite = st.floats(-1e100, 1e100, allow_subnormal=False)
whole = st.integers(-(10**9), 10**9)
scalars = st.one_of(st.none(), st.booleans(), whole, finite, st.text("ae1é, :.-#[]{}'\"\\", max_size=4))


@settings(derandomize=True, deadline=None, database=None)
@given(st.lists(st.recursive(scalars, lambda inner: st.lists(inner, max_size=3), max_leaves=4), min_size=2, max_size=5))
@example(["1e-3", 0.001])
@example(["null", None])
@example(["a,b", "😀"])
def test_any_choices_are_parsed_from_their_text(values: list[Any]) -> None:
    # Not parse_dimension, which refuses a value that is there twice.
    assert repr(parse_values(str(Choices(tuple(values))))) == repr(values)


@settings(derandomize=True, deadline=None, database=None)
@given(st.tuples(finite, finite) | st.tuples(whole, whole), st.sampled_from(["", ":log", ":linear"]))
def test_any_range_is_parsed_from_its_text_and_holds_its_values(ends: tuple[float, float], scale: str) -> None:
    low, high = sorted(ends)
    if low == high or (scale == ":log" and low <= 0):
        return
    dimension = range_of(f"{low}..{high}{scale}")
    assert repr(parsed(str(dimension))) == repr(dimension)
    assert (dimension.low, dimension.high) == (low, high)
    assert (dimension.at(0), dimension.at(1)) == (low, high)
    for share in (1e-9, 0.2, 0.5, 0.99, 1 - 1e-9):
        value = dimension.at(share)
        assert low <= value <= high
        assert isinstance(value, int) == isinstance(low, int)


def test_values_of_a_range_are_evenly_spread_on_its_scale() -> None:
    for text, expected in [
        ("1e-3..1", np.geomspace(1e-3, 1, 20_000)),
        ("0..0.99", np.linspace(0, 0.99, 20_000)),
        ("-1..-0.5", np.linspace(-1, -0.5, 20_000)),
        ("0.99..0.9999", np.linspace(0.99, 0.9999, 20_000)),  # three digits of the value would leave ten values
        ("1..1.002:log", np.geomspace(1, 1.002, 20_000)),
    ]:
        dimension = range_of(text)
        values = [dimension.at(share) for share in SHARES]
        np.testing.assert_allclose(values, expected, rtol=0.005, atol=(dimension.high - dimension.low) / 300)
        assert len(set(values)) > 200, text


def test_values_of_a_range_are_short() -> None:
    assert [range_of("1e-3..1").at(share) for share in (0.1, 1 / 3, 0.7)] == [0.002, 0.01, 0.126]
    assert [range_of("0..0.99").at(share) for share in (0.1234567, 0.5)] == [0.122, 0.495]
    assert [range_of("0.9..0.999").at(share) for share in (0.1234567, 0.5)] == [0.9122, 0.9495]


def test_whole_numbers_have_the_shares_of_their_scale() -> None:
    linear = Counter(range_of("-2..7").at(share) for share in SHARES)
    assert linear == dict.fromkeys(range(-2, 8), 2000)
    log = Counter(range_of("1..20").at(share) for share in SHARES)
    for value in range(1, 21):
        assert log[value] / len(SHARES) == pytest.approx(math.log((value + 1) / value, 21), abs=1e-4)


def test_choices_have_equal_shares() -> None:
    dimension = parsed("a,[1,2],null,0.5")
    assert Counter(repr(dimension.at(share)) for share in SHARES) == dict.fromkeys(
        ["'a'", "[1, 2]", "None", "0.5"], 5000
    )
    assert [dimension.at(share) for share in (0, 0.25, 1)] == ["a", [1, 2], 0.5]


def test_a_grid_is_evenly_spaced_from_end_to_end() -> None:
    for text, expected in [
        ("1e-3..1", np.geomspace(1e-3, 1, 9)),
        ("1e-3..1:linear", np.linspace(1e-3, 1, 9)),
        ("-0.5..0.5", np.linspace(-0.5, 0.5, 9)),
        ("0.12345..0.98765", np.linspace(0.12345, 0.98765, 9)),
        ("1000.1..1000.2", np.linspace(1000.1, 1000.2, 9)),
    ]:
        dimension = range_of(text)
        grid = dimension.grid(9)
        np.testing.assert_allclose(grid, expected, rtol=0.005, atol=(dimension.high - dimension.low) / 1000)
        assert (grid[0], grid[-1], len(set(grid))) == (dimension.low, dimension.high, 9)
    assert range_of("1e-3..1").grid(4) == [0.001, 0.01, 0.1, 1.0]


def test_a_grid_of_whole_numbers_has_none_twice() -> None:
    grids = [range_of("16..256").grid(5), range_of("1..4").grid(9), range_of("1000..1009").grid(4)]
    assert grids == [[16, 32, 64, 128, 256], [1, 2, 3, 4], [1000, 1003, 1006, 1009]]
    assert all(isinstance(value, int) for grid in grids for value in grid)
    assert range_of("1..12345").grid(3)[-1] == 12345


def test_position_and_edge() -> None:
    log, linear = range_of("1e-3..1"), range_of("-1.0..1.0")
    assert [log.position(value) for value in (1e-3, 10**-1.5, 1, 10)] == pytest.approx([0, 0.5, 1, 4 / 3])
    assert [linear.position(value) for value in (-1, 0, 1, 2)] == [0, 0.5, 1, 1.5]
    assert [log.edge(value) for value in (1e-4, 1e-3, 0.0019, 0.0021, 0.49, 0.51, 1, 5)] == [
        *("lowest", "lowest", "lowest", None, None, "highest", "highest", "highest")
    ]
    assert [linear.edge(value) for value in (-0.81, -0.79, 0.79, 0.81)] == ["lowest", None, None, "highest"]
    for value in (0, -1, None, True, "word", math.nan, [0.1]):
        assert math.isnan(log.position(value))
        assert log.edge(value) is None


@pytest.mark.parametrize(
    ("text", "value", "expected"),
    [
        ("1e-3..1", 1, "0.03..30.0:log"),
        ("1e-3..1", 0.001, "3e-05..0.03:log"),
        ("1..1.1:log", 1.1, "1.0..1.2:log"),
        ("0..0.99", 0.99, "0.495..0.995:linear"),  # momentum stays below 1
        ("0..0.99", 0.0, "0.0..0.495:linear"),  # and does not become negative
        ("0.1..0.5", 0.5, "0.3..0.7:linear"),
        ("-0.5..0.5", 0.5, "0.0..1.0:linear"),
        ("0.5..4.0", 0.5, "0.25..2.25:linear"),  # a positive range gets no zero
        ("2..10:linear", 10, "6..14:linear"),
        ("1..5", 1, "1..3:linear"),
        ("1..2", 2, "2..3:linear"),
        ("1..100", 1, "1..10:log"),
        ("10..1000", 1000, "100..10000:log"),
    ],
)
def test_the_range_to_try_next(text: str, value: float, expected: str) -> None:
    assert str(range_of(text).beyond(value)) == expected


@settings(derandomize=True, deadline=None, database=None)
@given(st.integers(1, 50), st.integers(1, 50), st.sampled_from(["", ":log", ":linear"]), st.sampled_from([1, 0.01]))
def test_the_range_to_try_next_is_a_range_around_the_value(low: int, width: int, scale: str, unit: float) -> None:
    dimension = range_of(f"{low * unit}..{(low + width) * unit}{scale}")
    for end in (dimension.low, dimension.high):
        following = dimension.beyond(end)
        assert repr(parsed(str(following))) == repr(following)
        assert following.low <= end <= following.high


def test_a_range_of_whole_numbers_has_all_numbers_where_the_option_does() -> None:
    momentum = for_option(range_of("0..1"), 0.9)
    assert repr(momentum) == repr(Range(0.0, 1.0, "linear"))
    assert str(momentum) == "0.0..1.0:linear"
    for own in (64, None, "word"):
        assert repr(for_option(range_of("16..256"), own)) == repr(range_of("16..256"))
    assert for_option(parsed("1,2"), 0.5) == parsed("1,2")


def test_scale_of_an_axis() -> None:
    assert [scale_of(*ends) for ends in ((1, 10), (1, 9.9), (0, 10), (-10, -1))] == [
        "log",
        "linear",
        "linear",
        "linear",
    ]
    scales = [dimension.scale for text in ("1,0.1", "0,10", "1,a", "1,true") if (dimension := parsed(text))]
    assert scales == ["log", "linear", None, None]


def test_descriptions() -> None:
    texts = ("1e-3..1", "0..0.99", "1..1000000", "16,32", "[0.9,0.999],null", "cos,linear")
    assert [parsed(text).describe() for text in texts] == [
        *("0.001 to 1 (log)", "0 to 0.99 (linear)", "1 to 1000000 (log)"),
        *("16, 32", "[0.9, 0.999], null", "cos, linear"),
    ]
