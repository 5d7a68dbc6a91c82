"""The values that a hyperparameter may take: a range, or a list of choices."""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass, replace
from typing import Any, Literal, Self, TypeAlias

from optimcifar.errors import UsageError
from optimcifar.spaces.values import are_equal, distinct, is_number, option_text, parse_value, split_list

Scale = Literal["log", "linear"]

# A range of positive numbers is on a log scale from this ratio of its ends on.
_LOG_FROM = 10

_DIGITS = 3  # significant digits of a value in a range, so that names of runs can be read

# A value in the lowest or highest tenth of its range is at its edge.
_EDGE = 0.1

_RANGE = re.compile(r"\s*(?P<low>[^\s,\[\]{}]+?)\.\.(?P<high>[^\s,\[\]{}:]+?)(:(?P<scale>\w+))?\s*")


@dataclass(frozen=True)
class Range:
    """All numbers between two ends, which are among them.

    Attributes:
        low: the lower end.
        high: the upper end.
        scale: whether equal steps are equal ratios (``log``) or equal differences (``linear``).
        whole: whether only whole numbers count.
    """

    low: float
    high: float
    scale: Scale
    whole: bool = False

    def __str__(self) -> str:
        """Return the text that ``parse_dimension`` reads."""
        return f"{self._text(self.low)}..{self._text(self.high)}:{self.scale}"

    def describe(self) -> str:
        """Write ``0.001 to 1 (log)``."""
        return f"{self.low:g} to {self.high:g} ({self.scale})"

    @property
    def size(self) -> float:
        """The number of different values; infinity unless they are whole."""
        return self.high - self.low + 1 if self.whole else math.inf

    def at(self, share: float) -> float:
        """Return the value at a share of the range: 0 stands for the lower end, 1 for the upper one.

        Whole numbers have equal shares, on a log scale the greater ones smaller ones.
        """
        low, high = self.low, self.high + self.whole
        value: float = low * (high / low) ** share if self.scale == "log" else low + (high - low) * share
        if self.whole:
            return min(math.floor(value), int(self.high))
        return min(max(float(f"{value:.{_DIGITS}g}"), self.low), self.high)

    def grid(self, points: int) -> list[float]:
        """Return evenly spaced values from end to end; fewer if there are not so many whole numbers.

        Args:
            points: their number, at least 2.
        """
        ends = replace(self, whole=False)
        values = [ends.at(number / (points - 1)) for number in range(points)]
        return distinct(round(value) for value in values) if self.whole else distinct(values)

    def position(self, value: Any) -> float:
        """Return where a value lies: 0 at the lower end, 1 at the upper one; NaN for what cannot lie on this scale."""
        if not is_number(value) or (self.scale == "log" and value <= 0):
            return math.nan
        if self.scale == "log":
            return math.log(value / self.low) / math.log(self.high / self.low)
        return float(value - self.low) / (self.high - self.low)

    def edge(self, value: Any) -> Literal["lowest", "highest"] | None:
        """Return in which tenth of the range a value lies if it is the lowest or the highest; else None."""
        position = self.position(value)
        return "lowest" if position <= _EDGE else "highest" if position >= 1 - _EDGE else None

    def beyond(self, value: float) -> Self:
        """Return the range to try next: as wide as this one, around the value.

        A linear range that begins at zero or above stays there, and one below 1 stays below 1: such are momentum and
        betas.
        """
        if self.scale == "log":
            half = math.sqrt(self.high / self.low)
            low, high = float(f"{value / half:.1g}"), float(f"{value * half:.1g}")
        else:
            half = (self.high - self.low) / 2
            low = max(value - half, 0) if self.low >= 0 else value - half
            high = (1 + self.high) / 2 if self.low >= 0 and self.high < 1 <= value + half else value + half
        if self.whole:
            low, high = max(math.floor(low), 1) if self.scale == "log" else math.floor(low), math.ceil(high)
        return replace(self, low=float(f"{low:.{_DIGITS}g}"), high=float(f"{high:.{_DIGITS}g}"))

    def _text(self, end: float) -> str:
        return str(int(end)) if self.whole else repr(float(end))


@dataclass(frozen=True)
class Choices:
    """Some values.

    Attributes:
        values: at least two, all different.
    """

    values: tuple[Any, ...]

    def __str__(self) -> str:
        """Return the text that ``parse_dimension`` reads."""
        return ",".join(json.dumps(value) for value in self.values)

    def describe(self) -> str:
        """Write ``16, 32, 64``."""
        return ", ".join(map(option_text, self.values))

    @property
    def size(self) -> float:
        """The number of values."""
        return len(self.values)

    def at(self, share: float) -> Any:
        """Return the value at a share of the list, from 0 to 1."""
        return self.values[min(int(share * len(self.values)), len(self.values) - 1)]

    @property
    def scale(self) -> Scale | None:
        """How an axis of these values is scaled; None if they are not all numbers."""
        return scale_of(min(self.values), max(self.values)) if all(map(is_number, self.values)) else None


Dimension: TypeAlias = Range | Choices


def scale_of(low: float, high: float) -> Scale:
    """Return the scale of a range from its ends: ``log`` if both are positive and one is 10 times the other."""
    return "log" if low > 0 and high / low >= _LOG_FROM * (1 - 1e-9) else "linear"


def parse_dimension(key: str, text: str) -> Dimension:
    """Read ``LOW..HIGH``, ``LOW..HIGH:log``, ``LOW..HIGH:linear``, or values with commas between them.

    A range has whole numbers only if both of its ends are written as whole numbers.

    Args:
        key: the name of the hyperparameter, for messages.
        text: what may be tried.

    Raises:
        UsageError: it is neither, or has fewer than two values.
    """
    if match := _RANGE.fullmatch(text):
        return _range(key, text, match["low"], match["high"], match["scale"])
    try:
        return choices(key, [parse_value(part) for part in split_list(text)])
    except UsageError as error:
        raise UsageError(f"{key}: {str(error).removeprefix(f'{key}: ')}") from error


def choices(key: str, values: list[Any]) -> Choices:
    """Return a list of choices.

    Raises:
        UsageError: it has fewer than two values, or one twice.
    """
    if len(values) < 2:
        raise UsageError(f"{key}: two values or more are needed, got {', '.join(map(option_text, values)) or 'none'}")
    if len(distinct(values)) < len(values):
        raise UsageError(f"{key}: a value stands twice in {', '.join(map(option_text, values))}")
    return Choices(tuple(values))


def for_option(dimension: Dimension, own: Any) -> Dimension:
    """Return a range with all numbers if the option's own value shows that it takes them."""
    return replace(dimension, whole=False) if isinstance(dimension, Range) and isinstance(own, float) else dimension


def is_in(dimension: Choices, value: Any) -> bool:
    """Return whether a value is one of the choices."""
    return any(are_equal(value, choice) for choice in dimension.values)


def _range(key: str, text: str, low_text: str, high_text: str, scale: str | None) -> Range:
    low, high = parse_value(low_text), parse_value(high_text)
    if not (is_number(low) and is_number(high)):
        raise UsageError(f"{key}: a range is LOW..HIGH, two numbers; got {text}")
    if low >= high:
        raise UsageError(f"{key}: the range {text} is empty: its lower end comes first, and is below the other")
    if scale not in (None, "log", "linear"):
        raise UsageError(f"{key}: a scale is log or linear; got {scale!r}")
    if scale == "log" and low <= 0:
        raise UsageError(f"{key}: a log scale needs ends greater than zero; got {text}")
    whole = isinstance(low, int) and isinstance(high, int)
    return Range(low, high, scale or scale_of(low, high), whole)  # type: ignore[arg-type]  # one of the two
