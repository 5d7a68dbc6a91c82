"""What all pictures share: the look of each configuration, sizes, axes, and the words around a chart."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import altair as alt

# Okabe and Ito's colours, which colour-blind readers can distinguish, without yellow, which is too light for lines.
# Beyond seven configurations the colours repeat with dashed lines and other points.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ([1, 0], [6, 3], [2, 2])
_SHAPES = ("circle", "triangle-up", "square")

#: The point of a run that diverged.
CROSS = "M-1,-1L1,1M-1,1L1,-1"

#: The same in a text.
DIVERGED = "\N{MULTIPLICATION SIGN}"

WIDTH, HEIGHT = 480, 280
_ROW = 26  # pixels of a row

# An axis of epochs has at most so many ticks.
_MOST_TICKS = 10

# A scale of powers is linear below the greatest value divided by this.
_RANGE = 1e4

#: Settings of every chart, as a file and on a page. Texts for each of a thousand points would help no one.
CONFIG: dict[str, Any] = {
    "aria": False,
    "axis": {
        "gridColor": "#eee",
        "domainColor": "#bbb",
        "tickColor": "#bbb",
        "labelColor": "#444",
        "labelFlush": False,
        "titleColor": "#444",
        "titleFontWeight": "normal",
        "titlePadding": 8,
    },
    "axisY": {"labelLimit": 400},
    "view": {"stroke": None},
    "title": {
        "anchor": "start",
        "frame": "bounds",
        "fontSize": 15,
        "offset": 14,
        "subtitleFontSize": 11,
        "subtitleColor": "#555",
        "subtitlePadding": 5,
        "subtitleLineHeight": 15,
    },
}

#: The version of Vega-Lite for which altair writes its charts, as vl_convert names it.
VEGA_LITE = ".".join(alt.SCHEMA_VERSION.removeprefix("v").split(".")[:2])

# The names beside rows.
_NAMES = alt.Axis(ticks=False, domain=False, labelPadding=8, grid=True)

Values = list[dict[str, Any]]


@dataclass(frozen=True)
class Look:
    """How a configuration is drawn in every picture.

    Attributes:
        colour: of its lines and points, as ``#RRGGBB``.
        dash: lengths in pixels of the strokes and gaps of its lines.
        shape: of its points, by Vega's name.
    """

    colour: str
    dash: list[int]
    shape: str


@dataclass(frozen=True)
class Figure:
    """A picture: one chart, or one for each layer of the network, with the words around it.

    Attributes:
        name: the name of its files.
        title: what is drawn.
        notes: sentences that say how to read it.
        panels: the charts by their titles, which is "" for a single one.
        data: the rows that the charts draw, by the names by which they refer to them. Figures may share them.
        key: the names and the looks of lines that stand for several configurations.
        rows: the configuration of each row, in order, where the chart has rows.
        context: what was measured, where it is not what the other pictures show.
    """

    name: str
    title: str
    notes: list[str]
    panels: dict[str, alt.LayerChart]
    data: dict[str, Values]
    key: dict[str, Look] = field(default_factory=dict)
    rows: dict[str, str] = field(default_factory=dict)
    context: str = ""


class Style:
    """Gives every configuration the same look in all pictures.

    Args:
        names: the configurations.
        interactive: for a page, which has a legend of its own that shows and hides configurations: the charts have
            no legend and draw only the configurations in their parameter ``shown``.

    Attributes:
        looks: the look of each configuration.
        colour, dash, shape: the channels of configurations' looks; a file shows their legend.
        row_colour, row_shape: the same, for charts whose rows say which configuration is which.
    """

    def __init__(self, names: Sequence[str], interactive: bool = False) -> None:
        self.looks = {name: _look(number) for number, name in enumerate(names)}
        self._interactive = interactive
        self.colour, self.dash, self.shape = self.channels("configuration", self.looks, orient="right")
        self.row_colour, _, self.row_shape = self.channels("configuration", self.looks)

    def channels(
        self, field: str, looks: Mapping[str, Look], **legend: Any
    ) -> tuple[alt.Color, alt.StrokeDash, alt.Shape]:
        """Return the channels of colours, dashes and shapes.

        Args:
            field: the column whose values have these looks.
            looks: the looks by value.
            legend: settings of the legend that a file has; without any, it has none.
        """
        shown = alt.Legend(title=None, labelLimit=0, symbolStrokeWidth=0, symbolOpacity=1, columns=1, **legend)
        legend_of_file = shown if legend and not self._interactive else None

        def channel(kind: Any, values: list[Any]) -> Any:
            scale = alt.Scale(domain=list(looks), range=values)
            return kind(f"{field}:N", scale=scale, sort=None, legend=legend_of_file)

        own = list(looks.values())
        return (
            channel(alt.Color, [look.colour for look in own]),
            channel(alt.StrokeDash, [look.dash for look in own]),
            channel(alt.Shape, [look.shape for look in own]),
        )

    def base(self, data: str) -> alt.Chart:
        """Return a chart of a figure's data, by name; on a page, only of the configurations that are shown."""
        base = alt.Chart(alt.NamedData(data))
        return base.transform_filter("indexof(shown, datum.configuration) >= 0") if self._interactive else base

    def rows(self, rows: Iterable[str], axis: alt.Axis | None = _NAMES) -> alt.Y:
        """Return the axis of a chart with a row for each name; only for those that are shown, on a page."""
        domain = alt.ExprRef("rows") if self._interactive else list(rows)
        return alt.Y("row:N", scale=alt.Scale(domain=domain), sort=None, title=None, axis=axis)

    def finish(
        self, layers: Sequence[alt.Chart], height: int = HEIGHT, width: int = WIDTH, rows: Sequence[str] = ()
    ) -> alt.LayerChart:
        """Return the chart of some layers: as wide as its place on a page.

        Args:
            layers: the layers, the last one on top.
            height: of the chart in pixels; rows have their own.
            width: of the chart in a file, in pixels.
            rows: the names of its rows.
        """
        height = _ROW * len(rows) or height
        if not self._interactive:
            return alt.LayerChart(layer=layers, width=width, height=height)
        parameters = [alt.param(name="shown", value=list(self.looks)), alt.param(name="rows", value=list(rows))]
        autosize = alt.AutoSizeParams(type="fit-x", contains="padding")
        chart = alt.LayerChart(layer=layers, width="container", height=height, autosize=autosize)
        return chart.add_params(*parameters[: 2 if rows else 1])


def _look(number: int) -> Look:
    """Return the look of a configuration by its number, from 0; up to 21 differ."""
    cycle = number // len(_COLOURS)
    return Look(_COLOURS[number % len(_COLOURS)], _DASHES[cycle % len(_DASHES)], _SHAPES[cycle % len(_SHAPES)])


def epoch_axis(last: int, first: int = 1) -> alt.Axis:
    """Return an axis with ticks at whole epochs: Vega would write a tick at 1.5 as 2."""
    steps = (step * 10**power for power in range(10) for step in (1, 2, 5))
    step = next(step for step in steps if (last - first) // step < _MOST_TICKS)
    ticks = [epoch for epoch in range(first, last + 1) if epoch % step == 0]
    return alt.Axis(values=ticks, format="d")


def power_scale(values: Iterable[float]) -> tuple[alt.Scale, alt.Axis]:
    """Return a scale and an axis that distinguish rates or norms of all sizes.

    Those far below the greatest, and zero, are drawn near zero, where they leave room for all others.
    """
    found = list(values)
    positive = [value for value in found if value > 0]
    most = max(positive, default=1.0)
    least = max(min(positive, default=1.0), most / _RANGE)
    lowest, highest = math.floor(math.log10(least)), math.ceil(math.log10(most))
    powers = [10.0**power for power in range(lowest, highest + 1)]
    if min(found) >= least:
        return alt.Scale(type="log"), alt.Axis(values=powers, format="~g")
    ticks = [0, *(power for power in powers if power > least)]
    return alt.Scale(type="symlog", constant=least), alt.Axis(values=ticks, format="~g")


def tooltip(*fields: str) -> list[alt.Tooltip]:
    """Return what is shown beside the pointer."""
    texts = ("configuration", "row", "verdict", "reached", "within", "line", "setting")
    formats = {"epoch": "d", "seed": "d", "seeds": "d", "trial": "d", "trials": "d", "step": ",d", "seconds": ".1f"}
    return [
        alt.Tooltip(f"{name}:N") if name in texts else alt.Tooltip(f"{name}:Q", format=formats.get(name, ".4~g"))
        for name in fields
    ]


def rounded(value: float, digits: int = 5) -> float | None:
    """Round a value to what can be seen; None if it is not finite."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else None
