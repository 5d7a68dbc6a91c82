"""The seeds of a comparison: chosen beforehand, or on demand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

from optimcifar.errors import UsageError
from optimcifar.report.design import Design, Until
from optimcifar.statistics.stages import doubling_sizes

#: Number of seeds unless another is asked for.
DEFAULT_SEEDS = 5

# With seeds on demand, the seeds of the last stage unless another number is asked for.
_MAX_SEEDS = 20

Seeds = int | Sequence[int] | Literal["auto"]


def parse_seeds(text: str) -> Seeds:
    """Read ``5``, a list such as ``0,1,7``, or ``7,`` for that one, or ``auto``.

    Raises:
        UsageError: it is none of them.
    """
    if text == "auto":
        return "auto"
    try:
        numbers = [int(number) for number in text.removesuffix(",").split(",")]
    except ValueError:
        raise _wrong_seeds(text) from None
    return numbers if "," in text else numbers[0]


def _wrong_seeds(found: object) -> UsageError:
    return UsageError(f"--seeds must be a number of seeds, different seeds such as 0,1,2, or auto; got {str(found)!r}")


def with_seeds(design: Design, seeds: Seeds, max_seeds: int | None = None, until: Until | None = None) -> Design:
    """Return a comparison's design with its seeds, or with the stages of seeds on demand.

    Args:
        design: the design, without seeds.
        seeds: their number, a list of them, or ``auto`` for seeds on demand.
        max_seeds: with seeds on demand, the number of seeds in the last stage; None for 20.
        until: with seeds on demand, when no more are needed; None for ``verdicts``.

    Raises:
        UsageError: the seeds are wrong, or an option does not fit them.
    """
    if not isinstance(seeds, str):
        _refuse_without_auto(max_seeds=max_seeds, until=until)
        return replace(design, seeds=chosen_seeds(seeds))
    from optimcifar.statistics.samples import FEWEST_SEEDS  # it takes a second, and --help has no need of it

    most = _MAX_SEEDS if max_seeds is None else max_seeds
    if seeds != "auto":
        raise _wrong_seeds(seeds)
    if most < FEWEST_SEEDS:
        raise UsageError(f"--max_seeds must be at least {FEWEST_SEEDS}, because no verdict has fewer seeds; got {most}")
    if until not in (None, *get_args(Until)):
        raise UsageError(f"--until must be one of {', '.join(get_args(Until))}; got {until!r}")
    if len(design.configurations) == 1:
        raise UsageError("--seeds auto compares configurations: name two or more, or say how many seeds")
    return replace(design, stages=doubling_sizes(most), until=until or "verdicts")


def chosen_seeds(seeds: int | Sequence[int]) -> tuple[int, ...]:
    """Return the seeds, given how many or which.

    Raises:
        UsageError: there are none, one is negative, or two are equal.
    """
    if type(seeds) is int:
        chosen = tuple(range(seeds))
    elif isinstance(seeds, Sequence) and all(type(seed) is int for seed in seeds):
        chosen = tuple(seeds)
    else:
        raise _wrong_seeds(seeds)
    if not chosen or min(chosen) < 0 or len(set(chosen)) < len(chosen):
        raise _wrong_seeds(seeds if type(seeds) is int else ",".join(map(str, chosen)))
    return chosen


def _refuse_without_auto(**options: object) -> None:
    for name, value in options.items():
        if value is not None:
            raise UsageError(f"--{name} needs --seeds auto")
