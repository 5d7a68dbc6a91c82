"""Settings to try: the points of a scrambled Halton sequence, the configuration's own setting first."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.stats import qmc

from optimcifar.errors import UsageError
from optimcifar.spaces.dimensions import parse_dimension
from optimcifar.spaces.points import Setting, Space, settings


def space(**texts: str) -> Space:
    return {key: parse_dimension(key, text) for key, text in texts.items()}


def test_own_setting_first_and_then_the_points_of_scipy() -> None:
    own = {"lr": 7.0, "momentum": 0.9}  # its rate is outside of the space
    found = settings(space(lr="1e-3..1", momentum="0..0.99"), own, 10)
    points = qmc.Halton(2, scramble=True, rng=0).random(9)
    assert found[0] == own
    assert [list(setting) for setting in found] == [["lr", "momentum"]] * 10
    np.testing.assert_allclose([setting["lr"] for setting in found[1:]], 10 ** (3 * points[:, 0] - 3), rtol=0.005)
    np.testing.assert_allclose([setting["momentum"] for setting in found[1:]], 0.99 * points[:, 1], atol=0.0006)


def test_spaces_with_equally_many_dimensions_get_the_same_points() -> None:
    first = settings(space(a="0.0..1.0", b="0.0..1.0"), {"a": 0, "b": 0}, 8)[1:]
    second = settings(space(x="0.0..10.0", y="-20.0..-15.0"), {"x": 0, "y": 0}, 8)[1:]
    points = np.array([[setting["a"], setting["b"]] for setting in first])
    np.testing.assert_allclose([[setting["x"] / 10, (setting["y"] + 20) / 5] for setting in second], points, atol=0.005)


@pytest.mark.parametrize(
    ("texts", "own"),
    [
        ({"lr": "1e-3..1"}, {"lr": 0.01}),
        (
            {"lr": "1e-3..1", "betas": "[0.9,0.999],[0.95,0.99]", "warmup": "1..500"},
            {"lr": 1, "betas": None, "warmup": 0},
        ),
        ({"depth": "1..6", "nesterov": "true,false,null"}, {"depth": 2, "nesterov": False}),
    ],
)
def test_more_trials_only_add_settings_and_none_is_there_twice(texts: dict[str, str], own: Setting) -> None:
    most = settings(space(**texts), own, 17)
    assert [settings(space(**texts), own, number) for number in range(1, 17)] == [most[:n] for n in range(1, 17)]
    assert len({json.dumps(setting) for setting in most}) == 17


def test_a_small_space_is_tried_completely_and_then_refused() -> None:
    small, own = space(depth="1..3", nesterov="true,false"), {"depth": 3, "nesterov": False}
    every = [(depth, nesterov) for depth in (1, 2, 3) for nesterov in (False, True)]
    found = settings(small, own, 6)
    assert sorted((setting["depth"], setting["nesterov"]) for setting in found) == every
    with pytest.raises(UsageError, match="the space has only 6 settings, fewer than --trials 7"):
        settings(small, own, 7)
    outside = {"depth": 9, "nesterov": False}
    assert settings(small, outside, 7)[0] == outside


def test_equal_numbers_are_tried_once_but_booleans_beside_them() -> None:
    found = settings(space(value="1,2.0,true,false"), {"value": 2}, 4)
    assert sorted(repr(setting["value"]) for setting in found) == ["1", "2", "False", "True"]
