"""A sweep in words: the best value, what cannot be told from it, where runs collapsed, and what to try next."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby, takewhile

from optimcifar.report.labels import value_text
from optimcifar.report.sweep.results import Response, Sweep, Tried
from optimcifar.spaces.dimensions import Dimension, Range, scale_of
from optimcifar.spaces.values import are_equal
from optimcifar.statistics.estimates import LEVEL, Estimate
from optimcifar.statistics.near_best import FEWEST_SEEDS_SHARED
from optimcifar.statistics.stages import FALSE_VERDICTS
from optimcifar.text import conjunction, count, percent

# At least this many neighbouring values are written as a range.
_RANGE_FROM = 3

# A sentence names at most this many settings of two hyperparameters.
_MOST = 3


def answer(sweep: Sweep) -> list[str]:
    """Return a paragraph for each configuration: its best value, and how far to trust it."""
    return [f"{response.name}: {' '.join(_answer(sweep, response))}" for response in sweep.responses]


def methods(sweep: Sweep) -> list[str]:
    """Say what was tried, and how values were compared."""
    names, over = sweep.names, sweep.design.over
    lines = [f"{names[key]} is {key}; tried: {over[key].describe()}, and each file's own value." for key in over]
    lines += [
        f"{names[key]} follows {names[other]}: {key} is tied to it." for key, other in sweep.design.follows.items()
    ]
    return [
        *lines,
        "The best is the value with the highest mean validation accuracy after the last epoch. The other values of a "
        f"configuration are compared with it by one-sided t-tests, paired by seed, at {percent(FALSE_VERDICTS)} "
        "divided by their number. Neighbouring values scatter alike, so their spread is estimated from all of them "
        "together. Values with a run that diverged or ended at chance level are left out. In means, a run that "
        "diverged counts as at chance level.",
        "The highest of several means is a little too high, because it was chosen for being the highest. To report a "
        "best value, run it again with other seeds.",
        f"Intervals: {percent(LEVEL)}, Student's t over seeds, those of accuracies cut to 0 and 1.",
    ]


def accuracy_text(value: Estimate) -> str:
    """Write ``0.613 [0.593, 0.633]``, or the mean alone without an interval."""
    return f"{value.mean:.3f}" if math.isnan(value.low) else f"{value.mean:.3f} [{value.low:.3f}, {value.high:.3f}]"


def _answer(sweep: Sweep, response: Response) -> list[str]:
    best, after = response.best, _without_result(sweep, response)
    if not any(tried.ended for tried in response.points):
        return ["No run has a result.", *after]
    if not any(math.isfinite(tried.estimate("val_acc").mean) for tried in response.points):
        return ["Nothing is compared: no validation accuracy was measured.", *after]
    if best is None:
        return ["Every run diverged or ended at chance.", *after]
    return [
        f"The best is {best.name}, with a validation accuracy of {accuracy_text(best.estimate('val_acc'))}.",
        *_own(sweep, response, best),
        *_equals(sweep, response, best),
        *_edges(sweep, response, best),
        *_collapses(sweep, response),
        *after,
    ]


def _equals(sweep: Sweep, response: Response, best: Tried) -> list[str]:
    """Say which points cannot be told from the best."""
    seeds = len(sweep.design.seeds)
    if seeds < FEWEST_SEEDS_SHARED:
        return [f"With {count(seeds, 'seed')}, no value can be told from another: that takes two or more."]
    reasons = _not_comparable(response)
    left_out = [f"Not comparable with it: {_grouped(sweep, response, reasons)}."] if reasons else []
    if not response.members:
        return left_out
    if others := [tried for tried in response.members if tried is not best]:
        place = response.points.index(best)
        around = response.points[max(place - 1, 0) : place + 2]
        # A range may have the best within it, but does not begin or end with it.
        is_within = len(around) == 3 and all(tried in response.members for tried in around)
        which = _spans(sweep, response, response.members if is_within else others)
        return [f"Cannot be told from the best: {which}.", *left_out]
    left_out_any = len(response.analysis.best.below) < len(response.points) - 1
    all_others = "All other values that can be compared" if left_out_any else "All other values"
    return [f"{all_others} are shown to be below it.", *left_out]


def _not_comparable(response: Response) -> dict[str, str]:
    """Return why points could not be compared with the best, except those that another sentence is about."""
    reasons = response.analysis.best.not_comparable
    return {
        tried.name: reasons[tried.point.entry]
        for tried in response.points
        if tried.point.entry in reasons and not tried.is_best and not tried.collapsed
    }


def _own(sweep: Sweep, response: Response, best: Tried) -> list[str]:
    own = response.own
    if own is None or not own.ended:
        return []
    values = "value" if len(sweep.design.keys) == 1 else "values"
    if own is best:
        return [f"That is the file's own {values}." if values == "value" else "Those are the file's own values."]
    line = f"The file's own {values}, {own.name}"
    if _all_did(own):
        return [f"{line}, collapsed in every run."]
    verdicts = {True: "which cannot be told from the best", False: "shown to be below the best"}
    compared = own.is_among_best or own.point.entry in response.analysis.best.below
    verdict = f", {verdicts[own.is_among_best]}" if compared else ""
    has = "has" if values == "value" else "have"
    return [f"{line}, {has} {accuracy_text(own.estimate('val_acc'))}{verdict}."]


def _edges(sweep: Sweep, response: Response, best: Tried) -> list[str]:
    """Warn where the best is the lowest or the highest value that was tried."""
    lines = []
    for key in sweep.design.keys:
        if sweep.scales[key] is None:
            continue
        value, tried = best.point.setting[key], sweep.values[key]
        own = [point.point.setting[key] for point in response.points]
        edges = {"lowest": min(own), "highest": max(own)}
        if edge := next((edge for edge, end in edges.items() if are_equal(end, value)), None):
            further = _further(sweep.design.over[key], tried, value)
            advice = f"; try --over {key}={further} next" if further else ""
            lines.append(
                f"Caution: {sweep.names[key]} {value_text(value)} is the {edge} value tried, so the best may lie "
                f"beyond it{advice}."
            )
    return lines


def _further(dimension: Dimension, tried: Sequence[float], value: float) -> Range | None:
    """Return the range to try next; None where there is none on the scale of the values."""
    if not isinstance(dimension, Range):
        whole = all(isinstance(other, int) for other in tried)
        dimension = Range(tried[0], tried[-1], scale_of(tried[0], tried[-1]), whole)
    return None if dimension.scale == "log" and value <= 0 else dimension.beyond(value)


def _collapses(sweep: Sweep, response: Response) -> list[str]:
    """Say where all or some runs diverged or ended at chance."""
    ended = [tried for tried in response.points if tried.ended]
    lines = [f"Every run {_what(points)} with {where}." for where, points in _all_collapsed(sweep, response, ended)]
    some: dict[str, list[Tried]] = {}
    for tried in ended:
        if 0 < tried.collapsed < len(tried.ended):
            text = f"{tried.collapsed} of {count(len(tried.ended), 'run')} {_what([tried])}"
            some.setdefault(text, []).append(tried)
    return [*lines, *(f"{text} with {_spans(sweep, response, points)}." for text, points in some.items())]


def _all_collapsed(sweep: Sweep, response: Response, ended: Sequence[Tried]) -> list[tuple[str, list[Tried]]]:
    """Return the points of which every run collapsed, those at an end of the values together."""
    left = {tried.name: tried for tried in ended if _all_did(tried)}
    found = []
    if _is_numeric(sweep):
        for order, direction in ((ended[::-1], "above"), (ended, "below")):
            side = list(takewhile(_all_did, order))
            if len(side) > 1:
                found.append((f"{side[-1].name} and {direction}", side))
                left = {name: tried for name, tried in left.items() if tried not in side}
    return [*found, *([(_spans(sweep, response, list(left.values())), list(left.values()))] if left else [])]


def _all_did(tried: Tried) -> bool:
    """Return whether every run of a point collapsed."""
    return tried.collapsed == len(tried.ended)


def _what(points: Sequence[Tried]) -> str:
    """Write ``diverged``, ``ended at chance`` or both."""
    parts = {"diverged": any(p.diverged for p in points), "ended at chance": any(p.at_chance for p in points)}
    return " or ".join(part for part, is_so in parts.items() if is_so)


def _is_numeric(sweep: Sweep) -> bool:
    """Return whether the points lie on one line of numbers."""
    return [scale is not None for scale in sweep.scales.values()] == [True]


def _spans(sweep: Sweep, response: Response, chosen: Sequence[Tried]) -> str:
    """Write points: ``lr 0.0133 to 0.0749``, ``lr 0.0133 and 0.1``, ``lr 0.01, momentum 0.9; lr 0.1, momentum 0``.

    Of two hyperparameters those with the highest means are named.
    """
    names = [tried.name for tried in chosen]
    if len(sweep.design.keys) > 1:
        ranked = sorted(chosen, key=lambda tried: -tried.estimate("val_acc").mean)
        more = [f"{len(chosen) - _MOST} more"] if len(chosen) > _MOST else []
        return "; ".join([*(tried.name for tried in ranked[:_MOST]), *more])
    ((key, name),) = sweep.key_names.items()
    parts = []
    for is_chosen, group in groupby(response.points, lambda tried: tried.name in names):
        values = [value_text(tried.point.setting.get(key)) for tried in group]
        if is_chosen:
            in_one = _is_numeric(sweep) and len(values) >= _RANGE_FROM
            parts += [f"{values[0]} to {values[-1]}"] if in_one else values
    return f"{name} {conjunction(parts)}"


def _without_result(sweep: Sweep, response: Response) -> list[str]:
    """Name the points some of whose runs failed or are not over."""
    reasons = {
        tried.name: ", ".join(f"{n} of {len(tried.seeds)} {state}" for state, n in tried.without_result.items())
        for tried in response.points
        if tried.without_result
    }
    return [f"Runs without a result: {_grouped(sweep, response, reasons)}."] if reasons else []


def _grouped(sweep: Sweep, response: Response, reasons: Mapping[str, str]) -> str:
    """Write points with their reasons, and those with the same reason together: ``lr 0.1 and 0.3 (1 of 3 failed)``."""
    parts = []
    for why in dict.fromkeys(reasons.values()):
        points = [tried for tried in response.points if reasons.get(tried.name) == why]
        parts.append(f"{_spans(sweep, response, points)} ({why})")
    return "; ".join(parts)
