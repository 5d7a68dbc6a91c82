"""The accuracy of every trial over the hyperparameter that was tuned."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import altair as alt

from optimcifar.report.charts.gallery import run_context
from optimcifar.report.charts.style import CROSS, DIVERGED, Figure, Style, Values, rounded, tooltip
from optimcifar.report.labels import setting_text, value_text
from optimcifar.report.tuning.study import Study, Trial
from optimcifar.spaces.dimensions import Dimension, Range, Scale
from optimcifar.spaces.values import is_number, option_text
from optimcifar.text import count

_WIDTH, _HEIGHT = 300, 210  # of a panel, in pixels

# The share of a panel's height that is kept for the names of settings, and the pixels from its top to each, and to the
# lines below them.
_ROOM, _TUNED_AT, _OWN_AT, _LINE_FROM = 0.2, 8, 22, 30

# The share of a panel's width from which on a name is on the other side of its value.
_SIDE = 0.25

_DARK = "#222"


def trials(style: Style, study: Study) -> Figure | None:
    """Return the accuracy of all trials over the first range of each space; None without any result.

    Over the first list of choices where a space has no range.
    """
    data: dict[str, Values] = {"trials": [], "candidates": [], "named": []}
    axes = {name: _first(own.space) for name, own in study.design.spaces.items()}
    for name, (key, _) in axes.items():
        data["trials"] += _trials(study, name, key)
        data["candidates"] += _candidates(study, name, key)
        data["named"] += _named(study, name, key)
    drawn = {row["configuration"] for row in data["trials"]}
    if not drawn:
        return None
    y, names = _y(data), study.key_names
    panels = {
        name: style.finish(_layers(style, study, name, _x(study, name, key, names[key]), y), _HEIGHT, _WIDTH)
        for name, (key, _) in axes.items()
        if name in drawn
    }
    return Figure(
        "trials", "Validation accuracy of the trials", _notes(study, data), panels, data, context=_context(study)
    )


def _first(space: dict[str, Dimension]) -> tuple[str, Dimension]:
    ranges = ((key, tried) for key, tried in space.items() if isinstance(tried, Range))
    return next(ranges, next(iter(space.items())))


def _context(study: Study) -> str:
    runs = [run for own in study.tuning_runs.values() for run in own]
    return run_context(runs, f"{count(study.design.trials, 'trial')} each")


def _notes(study: Study, data: dict[str, Values]) -> list[str]:
    first, seeds = study.design.trial_seeds[0], len(study.design.candidate_seeds)
    read = ["Ringed: the own and the tuned setting."]
    if any(row["diverged"] for row in data["trials"]):
        read.append(f"{DIVERGED}: diverged, at chance level.")
    if _at_edge(study):
        read.append("Grey: the tenth of the range at whose edge the tuned value lies.")
    notes = [
        f"A dot per trial, with tuning seed {first}; diamond and line: mean and range of a candidate's {seeds} seeds.",
        " ".join(read),
    ]
    if any(len(own.space) > 1 for own in study.design.spaces.values()):
        notes.append("Where several hyperparameters are tuned, the others differ from dot to dot.")
    return notes


def _at_edge(study: Study) -> bool:
    return any(_shade(study, name) for name in study.chosen)


def _shade(study: Study, name: str) -> dict[str, float] | None:
    """Return from where to where a range is shaded: its outer tenth with the tuned value."""
    key, tried = _first(study.design.spaces[name].space)
    trial = study.chosen.get(name)
    if trial is None or not isinstance(tried, Range) or not (edge := tried.edge(trial.setting[key])):
        return None
    every = replace(tried, whole=False)
    ends = (0.0, 0.1) if edge == "lowest" else (0.9, 1.0)
    return {"from": every.at(ends[0]), "to": every.at(ends[1])}


def _trials(study: Study, name: str, key: str) -> Values:
    seed = study.design.trial_seeds[0]
    return [
        row | {"seed": seed, "value": rounded(trial.value(seed)), "diverged": trial.runs[seed].status == "diverged"}
        for trial in study.trials[name]
        if math.isfinite(trial.value(seed)) and (row := _row(study, trial, key))
    ]


def _candidates(study: Study, name: str, key: str) -> Values:
    found = [(trial, trial.values(study.design.candidate_seeds)) for trial in study.candidates[name]]
    return [
        row
        | {
            "mean": rounded(trial.mean(list(values))),
            "low": rounded(min(values.values())),
            "high": rounded(max(values.values())),
            "seeds": len(values),
        }
        for trial, values in found
        if len(values) > 1 and (row := _row(study, trial, key))
    ]


def _named(study: Study, name: str, key: str) -> Values:
    """Return where the own and the tuned setting are, what they are called, and on which side of them."""
    own, tuned = study.trials[name][0], study.chosen.get(name)
    kept = tuned is own
    shown = [(own, "own, kept" if kept else "own", _OWN_AT)]
    shown += [(tuned, "tuned", _TUNED_AT)] if tuned and not kept else []
    rows: Values = []
    for trial, what, at in shown:
        value = _ring(study, trial)
        if math.isfinite(value) and (row := _row(study, trial, key)):
            text = f"{what} {value_text(trial.setting[key])}"
            rows.append(row | {"value": rounded(value), "text": text, "at": at, "side": _side(study, name, row["x"])})
    return rows


def _ring(study: Study, trial: Trial) -> float:
    """Return the mean of a candidate, or what the dot of another trial shows."""
    is_candidate = trial in study.candidates[trial.configuration]
    return trial.mean(study.design.candidate_seeds) if is_candidate else trial.value(study.design.trial_seeds[0])


def _row(study: Study, trial: Trial, key: str) -> dict[str, Any] | None:
    """Return what all rows of a trial have; None if its value cannot lie on the axis."""
    value, scale = trial.setting[key], _scale(study, trial.configuration, key)
    if scale and (not is_number(value) or (scale == "log" and value <= 0)):
        return None
    return {
        "configuration": trial.configuration,
        "trial": trial.number,
        "setting": setting_text(trial.setting, {own: study.key_names[own] for own in trial.setting}),
        "x": value if scale else option_text(value),
    }


def _scale(study: Study, name: str, key: str) -> Scale | None:
    return study.design.spaces[name].space[key].scale


def _values(study: Study, name: str, key: str) -> list[Any]:
    """Return the values on an axis: those of all trials, and the ends of a range."""
    tried = study.design.spaces[name].space[key]
    ends = [tried.low, tried.high] if isinstance(tried, Range) else list(tried.values)
    rows = [row for trial in study.trials[name] if (row := _row(study, trial, key))]
    return [*ends, *(row["x"] for row in rows)]


def _side(study: Study, name: str, x: Any) -> str:
    """Return where a name stands beside its value, so that it stays in its panel."""
    key, _ = _first(study.design.spaces[name].space)
    scale = _scale(study, name, key)
    values = _values(study, name, key)
    if scale:
        position = Range(min(values), max(values), scale).position(x)
    else:
        choices = list(dict.fromkeys(map(option_text, values)))
        position = (choices.index(x) + 0.5) / len(choices)
    return "left" if position < _SIDE else "right" if position > 1 - _SIDE else "center"


def _x(study: Study, name: str, key: str, title: str) -> alt.X:
    values, scale = _values(study, name, key), _scale(study, name, key)
    if scale is None:
        choices = list(dict.fromkeys(map(option_text, values)))
        return alt.X("x:N", title=title, sort=choices, axis=alt.Axis(labelAngle=0))
    ticks = _powers(min(values), max(values)) if scale == "log" else None
    axis = alt.Axis(values=ticks, format="~g") if ticks else alt.Axis(tickCount=5, format="~g")
    domain = [min(values), max(values)]
    return alt.X("x:Q", title=title, scale=alt.Scale(type=scale, domain=domain, nice=False, padding=12), axis=axis)


def _powers(low: float, high: float) -> list[float]:
    """Return the powers of ten between two numbers, and twice and five times these where they are few."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1,) if high / low >= 100 else (1, 2, 5)
    ticks = [float(f"{factor}e{power}") for power in powers for factor in factors]
    return [tick for tick in ticks if low <= tick <= high]


def _y(data: dict[str, Values]) -> alt.Y:
    """Return the axis of accuracies, with room for names above."""
    found = [row["value"] for row in data["trials"]]
    found += [row[end] for row in data["candidates"] for end in ("low", "high")]
    low, high = min(found), max(found)
    room = (high - low or 0.1) / (1 - _ROOM)
    domain = [low - room * 0.05, high + room * _ROOM]
    scale = alt.Scale(domain=domain, nice=False, zero=False)
    return alt.Y("value:Q", title="validation accuracy", scale=scale, axis=alt.Axis(tickCount=6))


def _layers(style: Style, study: Study, name: str, x: alt.X, y: alt.Y) -> list[alt.Chart]:
    own = f"datum.configuration === {json.dumps(name)}"

    def base(data: str) -> alt.Chart:
        chart: alt.Chart = style.base(data).transform_filter(own).encode(x=x, color=style.row_colour)
        return chart

    shown = tooltip("configuration", "trial", "setting", "value")
    dots = base("trials").encode(y=y, tooltip=shown)
    finished = dots.transform_filter("!datum.diverged").mark_point(filled=True, size=40, opacity=0.8)
    crosses = dots.transform_filter("datum.diverged").mark_point(shape=CROSS, size=45, strokeWidth=2, opacity=1)
    candidates = base("candidates")
    seen = base("candidates").mark_point(shape="diamond", filled=True, size=70, opacity=1)
    return [
        *_shading(study, name, x),
        candidates.mark_rule(strokeWidth=2, opacity=0.7).encode(y=alt.Y("low:Q"), y2="high:Q"),
        finished.encode(shape=style.row_shape),
        crosses,
        seen.encode(y="mean:Q", tooltip=tooltip("configuration", "trial", "setting", "mean", "low", "high", "seeds")),
        *_names(style, own, x, y),
    ]


def _shading(study: Study, name: str, x: alt.X) -> list[alt.Chart]:
    if not (shade := _shade(study, name)):
        return []
    outer = alt.Chart(alt.InlineData([shade])).mark_rect(color="#888", opacity=0.16)
    return [outer.encode(x=_at(x, "from"), x2="to:Q")]


def _at(x: alt.X, field: str) -> alt.X:
    """Return the same axis for another column."""
    axis = x.copy()
    axis.shorthand = f"{field}:Q"
    return axis


def _names(style: Style, own: str, x: alt.X, y: alt.Y) -> Sequence[alt.Chart]:
    base = style.base("named").transform_filter(own).encode(x=x)
    rings = base.mark_point(filled=False, size=190, strokeWidth=1.6, color=_DARK, opacity=1).encode(y=y)
    lines = base.mark_rule(strokeWidth=0.8, strokeDash=[2, 2], color=_DARK, opacity=0.5)
    lines = lines.encode(y=alt.value(_LINE_FROM), y2=alt.value(_HEIGHT))
    texts = [
        base.transform_filter(f"datum.side === '{side}' && datum.at === {at}")
        .mark_text(align=side, fontSize=10.5, color=_DARK, dx={"left": 4, "right": -4}.get(side, 0))
        .encode(text="text:N", y=alt.value(at))
        for side in ("left", "center", "right")
        for at in (_TUNED_AT, _OWN_AT)
    ]
    return [lines, rings, *texts]
