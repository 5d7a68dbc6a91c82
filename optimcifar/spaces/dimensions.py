"""The values that a hyperparameter may take: a range, or a list of choices."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, TypeAlias, cast

import yaml

from optimcifar.errors import UsageError
from optimcifar.spaces.values import distinct, is_number, option_text, parse_values

Scale = Literal["log", "linear"]

# A range of positive numbers is on a log scale if the ratio of its ends is at least this.
_LOG_FROM = 10

# Significant digits of the values in a range, so that people can read and type them.
_DIGITS = 3

# A value in the lowest or highest tenth of its range is at its edge.
_EDGE = 0.1

_NUMBER = r"[+-]?(?:[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
_RANGE = re.compile(rf"\s*(?P<low>{_NUMBER})\s*\.\.(?!\.)\s*(?P<high>{_NUMBER})(?:\s*:\s*(?P<scale>log|linear))?\s*")


@dataclass(frozen=True)
class Range:
    """Numbers between two ends, both included.

    Attributes:
        low: the lower end.
        high: the upper end.
        scale: whether equal steps are equal ratios (``log``) or equal differences (``linear``).
        whole: whether it has whole numbers only.
    """

    low: float
    high: float
    scale: Scale
    whole: bool = False

    def __str__(self) -> str:
        """Return the text that ``parse_dimension`` reads."""
        return f"{self.low}..{self.high}:{self.scale}"

    def describe(self) -> str:
        """Return a description, such as ``0.001 to 1 (log)``."""
        low, high = (end if self.whole else f"{end:g}" for end in (self.low, self.high))
        return f"{low} to {high} ({self.scale})"

    def at(self, share: float) -> float:
        """Return the value at a share of the range: 0 stands for the lower end, 1 for the upper one.

        Whole numbers have equal shares on a linear scale; on a log scale larger numbers have smaller shares.
        """
        if share in (0, 1):
            return self.high if share else self.low
        if self.whole:
            return min(math.floor(_interpolate(self.low, self.high + 1, self.scale, share)), int(self.high))
        value = self._rounded(_interpolate(self.low, self.high, self.scale, share))
        return min(max(value, self.low), self.high)

    def grid(self, points: int) -> list[float]:
        """Return evenly spaced values from end to end; fewer if there are not so many whole numbers.

        Args:
            points: their number, at least 2.
        """
        values = [replace(self, whole=False).at(number / (points - 1)) for number in range(points)]
        return distinct(map(round, values) if self.whole else values)

    def position(self, value: Any) -> float:
        """Return where a value lies: 0 at the lower end, 1 at the upper one; NaN for what cannot lie on this scale."""
        if not is_number(value) or (self.scale == "log" and value <= 0):
            return math.nan
        if self.scale == "log":
            return math.log(value / self.low) / math.log(self.high / self.low)
        return float(value - self.low) / (self.high - self.low)

    def edge(self, value: Any) -> Literal["lowest", "highest"] | None:
        """Return whether a value lies in the lowest or the highest tenth of the range; None if in neither."""
        position = self.position(value)
        return "lowest" if position <= _EDGE else "highest" if position >= 1 - _EDGE else None

    def beyond(self, value: float) -> Self:
        """Return the range to try next: as wide as this one, around the value.

        A linear range without negative numbers gets none, one of positive numbers gets no zero, and one below 1 stays
        below 1, as momentum and betas must.
        """
        if self.scale == "log":
            half = math.sqrt(self.high / self.low)
            return self._with_ends(value / half, value * half, digits=1)
        half = (self.high - self.low) / 2
        low, high = value - half, value + half
        if self.low >= 0:
            low = max(low, self.low / 2)
            high = min(high, (self.high + 1) / 2) if self.high < 1 else high
        return self._with_ends(low, high, digits=_DIGITS)

    def _with_ends(self, low: float, high: float, digits: int) -> Self:
        new = replace(self, low=low, high=high)
        ends = (new._rounded(end, digits) for end in (low, high))
        low, high = map(math.ceil, ends) if self.whole else ends
        return replace(self, low=low, high=high)

    def _rounded(self, value: float, digits: int = _DIGITS) -> float:
        """Round to significant digits of the value or of the range's width, whichever is smaller."""
        width = self.high - self.low
        smaller = min(abs(value) or width, width)
        return round(value, digits - 1 - math.floor(math.log10(smaller)))


@dataclass(frozen=True)
class Choices:
    """A list of values.

    Attributes:
        values: at least two, all different.
    """

    values: tuple[Any, ...]

    def __str__(self) -> str:
        """Return the text that ``parse_dimension`` reads."""
        return ",".join(json.dumps(value, ensure_ascii=False) for value in self.values)

    def describe(self) -> str:
        """Return a description, such as ``16, 32, 64``."""
        return ", ".join(map(option_text, self.values))

    def at(self, share: float) -> Any:
        """Return the value at a share of the list, from 0 to 1."""
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    @property
    def scale(self) -> Scale | None:
        """The scale of an axis of these values; None unless all of them are numbers."""
        return scale_of(min(self.values), max(self.values)) if all(map(is_number, self.values)) else None


Dimension: TypeAlias = Range | Choices


def scale_of(low: float, high: float) -> Scale:
    """Return the default scale of a range: ``log`` if ``low`` is positive and ``high`` at least 10 times as large."""
    return "log" if low > 0 and high / low >= _LOG_FROM * (1 - 1e-9) else "linear"


def parse_dimension(key: str, text: str) -> Dimension:
    """Parse ``LOW..HIGH``, ``LOW..HIGH:log``, ``LOW..HIGH:linear``, or values with commas between them.

    A range has whole numbers only if both ends are written as whole numbers. Its scale, unless given, is that of
    ``scale_of``.

    Args:
        key: the name of the hyperparameter, for messages.
        text: what may be tried.

    Raises:
        UsageError: it is neither, or it has fewer than two values, equal values, or a number that is not finite.
    """
    if match := _RANGE.fullmatch(text):
        return _range(key, match)
    try:
        values = parse_values(text)
    except (yaml.YAMLError, ValueError) as error:
        raise UsageError(
            f"{key}: cannot read the values in {text!r}; is a bracket, a quote or a value missing?"
        ) from error
    return choices_of(key, values)


def is_dimension(text: str) -> bool:
    """Return whether a text is a range or several values, rather than one value."""
    if _RANGE.fullmatch(text):
        return True
    try:
        return len(parse_values(text)) > 1
    except (yaml.YAMLError, ValueError):
        return False


def choices_of(key: str, values: list[Any]) -> Choices:
    """Return a list of choices.

    Args:
        key: the name of the hyperparameter, for messages.
        values: the choices.

    Raises:
        UsageError: there are fewer than two, two are equal, or a number is not finite.
    """
    shown = Choices(tuple(values)).describe()
    if len(values) < 2:
        raise UsageError(f"{key} must be a range such as 1e-3..1 or 1e-3..1:linear, or several values; got {shown!r}")
    if any(isinstance(value, float) and not is_number(value) for value in values):
        raise UsageError(f"{key}: numbers must be finite, got {shown}")
    if len(distinct(values)) < len(values):
        raise UsageError(f"{key}: all values must differ, got {shown}")
    return Choices(tuple(values))


def for_option(dimension: Dimension, own: Any) -> Dimension:
    """Return a range of all numbers, not whole ones only, if the option's own value is a float, such as 0.0."""
    if isinstance(dimension, Range) and isinstance(own, float):
        return Range(float(dimension.low), float(dimension.high), dimension.scale)
    return dimension


def _range(key: str, match: re.Match[str]) -> Range:
    low, high, scale = _number(match["low"]), _number(match["high"]), cast("Scale | None", match["scale"])
    if not (is_number(low) and is_number(high)):
        raise UsageError(f"{key}: the ends of a range must be finite, got {match[0]}")
    if low >= high:
        raise UsageError(f"{key}: LOW must be less than HIGH in a range LOW..HIGH, got {match[0]}")
    if scale == "log" and low <= 0:
        raise UsageError(f"{key}: both ends of a range on a log scale must be positive, got {match[0]}")
    scale = scale or scale_of(low, high)
    if isinstance(low, int) and isinstance(high, int):
        return Range(low, high, scale, whole=True)
    return Range(float(low), float(high), scale)


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return float(text)


def _interpolate(low: float, high: float, scale: Scale, share: float) -> float:
    """Return the value at a share of the way from one number to another."""
    value: float = low * (high / low) ** share if scale == "log" else low + (high - low) * share
    return value
