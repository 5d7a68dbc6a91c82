"""Sort options, so that those of a command mean the same in any order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Option:
    """An option as typed.

    Attributes:
        name: with its dashes; ``--config`` for ``-c`` too, and ``--trainer.callbacks+`` for one that appends.
        value: None for an option without a value.
        stray: the words behind the value, which the parser refuses.
        joined: whether name and value are one word: ``--name=value``.
        item_of: the list that holds the item whose argument it is, if another option appends to that list.
    """

    name: str
    value: str | None
    stray: tuple[str, ...] = ()
    joined: bool = True
    item_of: str | None = None

    @property
    def words(self) -> list[str]:
        """The option as the parser takes it."""
        if self.value is None:
            return [self.name, *self.stray]
        # Alone, a value that begins with a dash, such as -1e-3, would look like an option.
        joined = self.joined or self.value.startswith("-")
        return [*([f"{self.name}={self.value}"] if joined else [self.name, self.value]), *self.stray]


def sorted_options(typed: Sequence[str]) -> list[Option]:
    """Return options in the order in which they take effect.

    Configurations come first. Of the others, one for a whole comes before those for its parts: ``--data`` before
    ``--data.init_args``, and that before ``--data.root``. An option that is given twice keeps its order, so that the
    last one counts; so do those that append to a list and the arguments of its items.
    """
    options = _split(typed)
    lists = {option.name.removesuffix("+") for option in options if option.name.endswith("+")}
    ordered = sorted(options, key=lambda option: _rank(option, lists))
    return [replace(option, item_of=_item_of(option, lists)) for option in ordered]


def separate_options(typed: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words outside of options, and those of the options, which take at most one value each."""
    others: list[str] = []
    words: list[str] = []
    for option in _split(typed):
        if option.name.startswith("-"):
            words += replace(option, stray=()).words
            others += option.stray
        else:
            others += [option.name, *option.stray]
    return others, words


def separate_appends(typed: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the words of the other options, and those of the options that append to a list, with their arguments."""
    options = _split(typed)
    lists = {option.name.removesuffix("+") for option in options if option.name.endswith("+")}
    appended: set[str] = set()
    others: list[str] = []
    appends: list[str] = []
    for option in options:
        of = _list_of(option, lists)
        if of and option.name.endswith("+"):
            appended.add(of)
        (appends if of in appended else others).extend(option.words)
    return others, appends


def _split(typed: Sequence[str]) -> list[Option]:
    groups: list[list[str]] = []
    for word in typed:
        if _is_option(word) or not groups:
            groups.append([word])
        else:
            groups[-1].append(word)
    return [_option(*group) for group in groups]


def _is_option(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return len(word) > 1 and word.startswith("-")
    return False


def _option(word: str, *following: str) -> Option:
    if match := re.match(r"-c=?(.+)", word, re.DOTALL):  # -cFILE, -c=FILE
        return Option("--config", match[1], following)
    if not word.startswith("-"):
        return Option(word, None, following)
    name, equals, value = word.partition("=")
    name = "--config" if name == "-c" else name
    if equals or not following or not name.startswith("--") or name == "--":
        return Option(name, value if equals else None, following)
    return Option(name, following[0], following[1:], joined=False)


def _rank(option: Option, lists: set[str]) -> tuple[int, int]:
    """Return what to sort by: how deep the option reaches, and whether it adds to a list or to a class's arguments."""
    if option.name == "--config":
        return -1, 0
    of = _list_of(option, lists)
    adds = option.name != of if of else option.name.endswith(".init_args")
    return _plain_name(of or option.name).count("."), int(adds)


def _list_of(option: Option, lists: set[str]) -> str | None:
    """Return the option of the list that an option sets, appends to, or reaches into."""
    name = option.name.removesuffix("+")
    return next((of for of in sorted(lists, key=len) if name == of or name.startswith(f"{of}.")), None)


def _item_of(option: Option, lists: set[str]) -> str | None:
    """Return the list that holds the item whose argument an option is."""
    of = _list_of(option, lists)
    return None if option.name.removesuffix("+") == of else of


def _plain_name(name: str) -> str:
    """Return the usual name of an option: ``--model.optimizer`` for ``--model.optimizer.class_path``."""
    return name.replace(".init_args", "").removesuffix(".class_path")
