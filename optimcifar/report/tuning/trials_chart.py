"""The accuracy of every trial over the hyperparameter that was tuned."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, Literal

import altair as alt

from optimcifar.report.charts.gallery import run_context
from optimcifar.report.charts.style import CROSS, DIVERGED, Figure, Style, Values, rounded, tooltip
from optimcifar.report.charts.value_axis import ValueAxis
from optimcifar.report.labels import setting_text, value_text
from optimcifar.report.tuning.study import Study, Trial
from optimcifar.spaces.dimensions import Dimension, Range
from optimcifar.spaces.values import distinct, is_number
from optimcifar.text import count

_WIDTH, _HEIGHT = 300, 210  # of a panel, in pixels

# The share of a panel's height that is kept for the names of settings, and the pixels from its top to each, and to the
# lines below them.
_ROOM, _TUNED_AT, _OWN_AT, _LINE_FROM = 0.2, 8, 22, 30

# A name stands beside its value, not above it, within this share of a panel's width from either side.
_SIDE = 0.25

# The pixels between a name and its value, by the side of the name that is at the value.
_SHIFTS: dict[Literal["left", "center", "right"], int] = {"left": 4, "center": 0, "right": -4}

_DARK = "#222"


def trials(style: Style, study: Study) -> Figure | None:
    """Return the accuracy of all trials over the first range of each space; None without any result.

    Over the first list of choices where a space has no range.
    """
    every = [_Panel(study, name) for name in study.design.spaces]
    drawn = [panel for panel in every if panel.trials]
    if not drawn:
        return None
    data = {
        "trials": [row for panel in drawn for row in panel.trials],
        "candidates": [row for panel in drawn for row in panel.candidates],
        "named": [row for panel in drawn for row in panel.named],
    }
    y = _y(data)
    panels = {panel.name: style.finish(_layers(style, panel, y), _HEIGHT, _WIDTH) for panel in drawn}
    runs = [run for own in study.tuning_runs.values() for run in own]
    context = run_context(runs, f"{count(study.design.trials, 'trial')} each")
    return Figure("trials", "Validation accuracy of the trials", _notes(study, drawn), panels, data, context=context)


class _Panel:
    """What is drawn of one configuration.

    Args:
        study: the study.
        name: the configuration's name.
    """

    def __init__(self, study: Study, name: str) -> None:
        self.name, self._study = name, study
        self._own, self._chosen = study.trials[name][0], study.chosen.get(name)
        self._key, self._tried = _first(study.design.spaces[name].space)
        values = [trial.setting[self._key] for trial in study.trials[name]]
        self.axis = _axis(study.key_names[self._key], self._tried, values)

    @cached_property
    def trials(self) -> Values:
        """A row per trial that has a result with the first tuning seed."""
        seed = self._study.design.trial_seeds[0]
        return [
            row | {"seed": seed, "value": rounded(trial.value(seed)), "diverged": trial.runs[seed].status == "diverged"}
            for trial in self._study.trials[self.name]
            if math.isfinite(trial.value(seed)) and (row := self._row(trial))
        ]

    @cached_property
    def candidates(self) -> Values:
        """A row per candidate that has several seeds."""
        seeds = self._study.design.candidate_seeds
        found = [(trial, list(trial.values(seeds).values())) for trial in self._study.candidates[self.name]]
        return [
            row
            | {
                "mean": rounded(trial.mean(seeds)),
                "low": rounded(min(values)),
                "high": rounded(max(values)),
                "seeds": len(values),
            }
            for trial, values in found
            if len(values) > 1 and (row := self._row(trial))
        ]

    @cached_property
    def named(self) -> Values:
        """Where the own and the tuned setting are, what they are called, and on which side of them."""
        kept = self._chosen is self._own
        shown = [(self._own, "own, kept" if kept else "own", _OWN_AT)]
        shown += [(self._chosen, "tuned", _TUNED_AT)] if self._chosen and not kept else []
        return [
            row
            | {
                "value": rounded(self._ring(trial)),
                "text": f"{what} {value_text(trial.setting[self._key])}",
                "at": at,
                "side": _side(self.axis.share(trial.setting[self._key])),
            }
            for trial, what, at in shown
            if math.isfinite(self._ring(trial)) and (row := self._row(trial))
        ]

    @cached_property
    def shade(self) -> dict[str, float] | None:
        """From where to where the range is shaded: its outer tenth with the tuned value."""
        if self._chosen is None or not isinstance(self._tried, Range):
            return None
        edge, every = self._tried.edge(self._chosen.setting[self._key]), replace(self._tried, whole=False)
        ends = {"lowest": (0.0, 0.1), "highest": (0.9, 1.0)}
        return dict(zip(("from", "to"), map(every.at, ends[edge]), strict=True)) if edge else None

    def _ring(self, trial: Trial) -> float:
        """Return the mean of a candidate, or what the dot of another trial shows."""
        design = self._study.design
        is_candidate = trial in self._study.candidates[self.name]
        return trial.mean(design.candidate_seeds if is_candidate else design.trial_seeds[:1])

    def _row(self, trial: Trial) -> dict[str, Any] | None:
        """Return what all rows of a trial have; None if its value cannot lie on the axis."""
        value = trial.setting[self._key]
        if self.axis.is_numeric and not is_number(value):
            return None
        names = {key: self._study.key_names[key] for key in trial.setting}
        return {
            "configuration": self.name,
            "trial": trial.number,
            "setting": setting_text(trial.setting, names),
            "x": self.axis.place(value),
        }


def _first(space: dict[str, Dimension]) -> tuple[str, Dimension]:
    ranges = ((key, tried) for key, tried in space.items() if isinstance(tried, Range))
    return next(ranges, next(iter(space.items())))


def _axis(title: str, tried: Dimension, values: Sequence[Any]) -> ValueAxis:
    """Return an axis of all that may be tried, and of the values of all trials."""
    every = [*((tried.low, tried.high) if isinstance(tried, Range) else tried.values), *values]
    if tried.scale is None:
        return ValueAxis(title, distinct(every), None)
    return ValueAxis(title, distinct(sorted(filter(is_number, every))), tried.scale)


def _side(share: float) -> str:
    return "left" if share < _SIDE else "right" if share > 1 - _SIDE else "center"


def _notes(study: Study, drawn: Sequence[_Panel]) -> list[str]:
    first, seeds = study.design.trial_seeds[0], len(study.design.candidate_seeds)
    read = ["Ringed: the own and the tuned setting."]
    if any(row["diverged"] for panel in drawn for row in panel.trials):
        read.append(f"{DIVERGED}: diverged, at chance level.")
    if any(panel.shade for panel in drawn):
        read.append("Grey: the edge at which the tuned value lies.")
    notes = [
        f"A dot per trial, with tuning seed {first}; diamond and line: mean and range of a candidate's {seeds} seeds.",
        " ".join(read),
    ]
    if any(len(own.space) > 1 for own in study.design.spaces.values()):
        notes.append("Where several hyperparameters are tuned, the others differ from dot to dot.")
    return notes


def _y(data: dict[str, Values]) -> alt.Y:
    """Return the axis of accuracies, with room for names above."""
    found = [row["value"] for row in data["trials"]]
    found += [row[end] for row in data["candidates"] for end in ("low", "high")]
    low, high = min(found), max(found)
    room = (high - low or 0.1) / (1 - _ROOM)
    domain = [low - room * 0.05, high + room * _ROOM]
    scale = alt.Scale(domain=domain, nice=False, zero=False)
    return alt.Y("value:Q", title="validation accuracy", scale=scale, axis=alt.Axis(tickCount=6))


def _layers(style: Style, panel: _Panel, y: alt.Y) -> list[alt.Chart]:
    own = f"datum.configuration === {json.dumps(panel.name)}"

    def base(data: str) -> alt.Chart:
        chart: alt.Chart = style.base(data).transform_filter(own).encode(x=panel.axis.x("x"), color=style.row_colour)
        return chart

    dots = base("trials").encode(y=y, tooltip=tooltip("configuration", "trial", "setting", "value"))
    finished = dots.transform_filter("!datum.diverged").mark_point(filled=True, size=40, opacity=0.8)
    crosses = dots.transform_filter("datum.diverged").mark_point(shape=CROSS, size=45, strokeWidth=2, opacity=1)
    ranges = base("candidates").mark_rule(strokeWidth=2, opacity=0.7)
    means = base("candidates").mark_point(shape="diamond", filled=True, size=70, opacity=1)
    shown = tooltip("configuration", "trial", "setting", "mean", "low", "high", "seeds")
    return [
        *_shading(panel),
        ranges.encode(y="low:Q", y2="high:Q"),
        finished.encode(shape=style.row_shape),
        crosses,
        means.encode(y="mean:Q", tooltip=shown),
        *_names(style.base("named").transform_filter(own).encode(x=panel.axis.x("x")), y),
    ]


def _shading(panel: _Panel) -> list[alt.Chart]:
    if not panel.shade:
        return []
    outer = alt.Chart(alt.InlineData([panel.shade])).mark_rect(color="#888", opacity=0.16)
    return [outer.encode(x=panel.axis.x("from"), x2="to:Q")]


def _names(base: alt.Chart, y: alt.Y) -> list[alt.Chart]:
    """Return a ring around each setting that has a name, a line, and the name above."""
    rings = base.mark_point(filled=False, size=190, strokeWidth=1.6, color=_DARK, opacity=1).encode(y=y)
    lines = base.mark_rule(strokeWidth=0.8, strokeDash=[2, 2], color=_DARK, opacity=0.5)
    texts = [
        base.transform_filter(f"datum.side === '{side}' && datum.at === {at}")
        .mark_text(align=side, fontSize=10.5, color=_DARK, dx=shift)
        .encode(text="text:N", y=alt.value(at))
        for side, shift in _SHIFTS.items()
        for at in (_TUNED_AT, _OWN_AT)
    ]
    return [lines.encode(y=alt.value(_LINE_FROM), y2=alt.value(_HEIGHT)), rings, *texts]
