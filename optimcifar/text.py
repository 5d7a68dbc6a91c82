"""Small helpers for the text of messages."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence

_LONGEST_LINE = 300

# From so many minutes on, a time is written in hours.
_LONG = 120

# A list in a message has at most so many names.
_MOST_NAMES = 6


def count(number: int, noun: str) -> str:
    """Write a number with its noun: ``1 run``, ``24 runs``."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def number_range(fewest: int, most: int, noun: str) -> str:
    """Write a number that may not be known yet: ``24 runs``, ``10 to 40 runs``."""
    return count(most, noun) if fewest == most else f"{fewest:,} to {count(most, noun)}"


def percent(share: float) -> str:
    """Write a share of 0 to 1 as ``5 %``, as ``0.25 %`` or as ``33.3 %``: with at most three digits."""
    return f"{100 * share:.3g} %"


def duration(seconds: float) -> str:
    """Write a time as ``12 minutes``, rounded up, or from two hours on as ``2.5 hours``."""
    minutes = seconds / 60
    return f"{minutes / 60:.1f} hours" if minutes >= _LONG else count(math.ceil(minutes), "minute")


def listing(names: Iterable[str]) -> str:
    """List names: ``a, b``, ``a, b, c, d, e, f and 4 more``, or ``nothing``."""
    every = list(names)
    shown = ", ".join(every[:_MOST_NAMES]) or "nothing"
    return f"{shown} and {len(every) - _MOST_NAMES} more" if len(every) > _MOST_NAMES else shown


def differences(missing: Sequence[str], others: Sequence[str]) -> str:
    """Write which names are missing, and which should not be there: ``no cat, also cow, dog``."""
    return ", ".join(f"{word} {listing(names)}" for word, names in (("no", missing), ("also", others)) if names)


def nearest(name: str, known: Iterable[str], alike: float = 0.6) -> str | None:
    """Return the known name that was probably meant, whatever its capitals; None if there is nothing like it.

    It is the same name, the only one that begins with it, or the most similar one.

    Args:
        name: the name as typed.
        known: the names that there are.
        alike: how similar two names must be, 0 to 1, as ``difflib`` measures it.
    """
    names = {other.lower(): other for other in sorted(known)}
    typed = name.lower()
    if typed in names:
        return names[typed]
    longer = [other for other in names if other.startswith(typed)]
    close = longer if len(longer) == 1 else difflib.get_close_matches(typed, names, 1, alike)
    return names[close[0]] if close else None


def conjunction(names: Sequence[str]) -> str:
    """Join names: ``a``, ``a and b``, ``a, b and c``."""
    return _joined(names, " and ")


def alternatives(names: Sequence[str]) -> str:
    """Join names: ``a``, ``a or b``, ``a, b or c``."""
    return _joined(names, " or ")


def _joined(names: Sequence[str], last: str) -> str:
    return last.join(filter(None, (", ".join(names[:-1]), *names[-1:])))


def grouped(reasons: Mapping[str, str]) -> list[str]:
    """Write names with their reasons, and those with the same reason together: ``a, b (it failed)``."""
    names: dict[str, list[str]] = {}
    for name, why in reasons.items():
        names.setdefault(why, []).append(name)
    return [f"{', '.join(alike)} ({why})" for why, alike in names.items()]


def first_lines(text: str) -> str:
    """Return the first two non-empty lines of a text, each cut to what a terminal can show.

    A first line that ends in a colon is joined with the next one.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if lines and lines[0].endswith(":"):
        lines = [" ".join(lines[:2]), *lines[2:]]
    return "\n".join(line if len(line) <= _LONGEST_LINE else f"{line[:_LONGEST_LINE]}..." for line in lines[:2])
