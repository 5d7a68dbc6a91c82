"""The pictures of a comparison."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import altair as alt

from optimcifar.report.analysis import Analysis
from optimcifar.runs.folder import AVERAGES
from optimcifar.statistics.estimates import Estimate, estimate
from optimcifar.statistics.verdicts import Difference

# Okabe and Ito's colours, which colour-blind readers can distinguish, without yellow, which is too light for lines.
# Beyond seven configurations the colours repeat with dashed lines and other points.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_DASHES = ([1, 0], [6, 3], [2, 2])
_SHAPES = ("circle", "triangle-up", "square")

WIDTH, HEIGHT = 340, 240
_ROW = 26  # pixels of a configuration's row

Values = list[dict[str, Any]]


class Charts:
    """Draws a comparison; a configuration has the same colour in every picture.

    Args:
        analysis: what the runs show.
        selection: lets the legend switch configurations on and off, for a page.
    """

    def __init__(self, analysis: Analysis, selection: bool = False) -> None:
        self._analysis = analysis
        names = analysis.names
        cycle = len(_COLOURS)
        colours = [_COLOURS[i % cycle] for i in range(len(names))]
        dashes = [_DASHES[i // cycle % len(_DASHES)] for i in range(len(names))]
        shapes = [_SHAPES[i // cycle % len(_SHAPES)] for i in range(len(names))]
        legend = alt.Legend(title=None, labelLimit=300, symbolStrokeWidth=0, symbolOpacity=1, columns=1)
        field = "configuration:N"

        def channel(kind: Any, values: list[Any], shown: alt.Legend | None) -> Any:
            return kind(field, scale=alt.Scale(domain=names, range=values), sort=None, legend=shown)

        self._colour = channel(alt.Color, colours, legend)
        self._dash = channel(alt.StrokeDash, dashes, legend)
        self._shape = channel(alt.Shape, shapes, legend)
        # Rows have the names beside them, but the one legend of a page switches rows too.
        in_rows = legend if selection else None
        self._row_colour, self._row_shape = channel(alt.Color, colours, in_rows), channel(alt.Shape, shapes, in_rows)
        self._zero = self._base([{"x": 0}]).mark_rule(color="#888", strokeDash=[3, 3]).encode(x="x:Q")
        self._selected = (
            alt.selection_point(name="shown", fields=["configuration"], bind="legend", toggle="true")
            if selection
            else None
        )

    def all(self) -> dict[str, alt.LayerChart | alt.ConcatChart]:
        """Return the pictures by name, without those that have nothing to draw."""
        charts = {
            "train_loss_by_epoch": self.curve("train_loss", "epoch"),
            "val_acc_by_epoch": self.curve("val_acc", "epoch"),
            "train_loss_by_seconds": self.curve("train_loss", "seconds"),
            "val_acc_by_seconds": self.curve("val_acc", "seconds"),
            "learning_rate": self.curve("lr", "epoch"),
            "final_accuracy": self.final(),
            "differences": self.differences(),
            "averages": self.averages(),
            "time_to_target": self.time_to_target(),
            "gradients": self.layers("grad_norm", "norm of the gradient, mean over an epoch's steps"),
            "updates": self.layers("update_ratio", "norm of the update divided by that of the weights"),
        }
        return {name: chart for name, chart in charts.items() if chart is not None}

    def curve(self, metric: str, over: str) -> alt.LayerChart | None:
        """Return the mean over seeds of a metric, with a band of its 95 % interval."""
        values = _curves(self._analysis, metric)
        if not values:
            return None
        titles = {
            "train_loss": "train loss",
            "val_acc": "validation accuracy",
            "lr": "learning rate",
            "epoch": "epoch",
            "seconds": "seconds of training (mean over seeds)",
        }
        axis = alt.Axis(format="d", tickMinStep=1) if over == "epoch" else alt.Axis()
        scale, y_axis = _rate_scale(values) if metric == "lr" else (alt.Scale(zero=False), alt.Axis())
        base = self._base(values).encode(
            x=alt.X(f"{over}:Q", title=titles[over], axis=axis, scale=alt.Scale(zero=False))
        )
        y = alt.Y("mean:Q", title=titles[metric], scale=scale, axis=y_axis)
        tooltip = _tooltip(("configuration", "epoch", "seconds", "mean", "low", "high", "seeds"))
        line = base.mark_line(strokeWidth=2).encode(y=y, color=self._colour, strokeDash=self._dash)
        # A single epoch has no line.
        points = base.mark_point(filled=True, size=24).encode(
            y=y, color=self._colour, shape=self._shape, tooltip=tooltip
        )
        layers = [line, points]
        if metric != "lr" and any(value["low"] is not None for value in values):
            layers.insert(0, base.mark_area(fillOpacity=0.15).encode(y="low:Q", y2="high:Q", color=self._colour))
        return self._finish(layers)

    def final(self) -> alt.LayerChart | None:
        """Return the final accuracy, one dot per run, with mean and interval."""
        values, means = [], []
        for row in self._analysis.configurations:
            for run in self._analysis.ended(row.name):
                value = self._analysis.measured(run)
                if math.isfinite(value):
                    values.append({"configuration": row.name, "seed": run.seed, "value": value})
            found = row.metrics[self._analysis.measure]
            if math.isfinite(found.mean):
                means.append({"configuration": row.name, "seeds": found.n, **_interval(found)})
        if not values:
            return None
        title = f"final {self._measure_title()}"
        x = alt.X("value:Q", title=title, scale=alt.Scale(zero=False))
        y = self._rows()
        dots = self._base(values).mark_point(filled=True, size=50)
        dots = dots.encode(
            x=x,
            y=y,
            color=self._row_colour,
            shape=self._row_shape,
            tooltip=_tooltip(("configuration", "seed", "value")),
        )
        spread = self._base(means).mark_rule(strokeWidth=2).encode(x="low:Q", x2="high:Q", y=y, color=self._row_colour)
        tick = (
            self._base(means)
            .mark_tick(thickness=2, size=14)
            .encode(
                x="mean:Q",
                y=y,
                color=self._row_colour,
                tooltip=_tooltip(("configuration", "mean", "low", "high", "seeds")),
            )
        )
        return self._finish([spread, tick, dots], alt.Step(_ROW))

    def differences(self) -> alt.LayerChart | None:
        """Return the differences from the baseline, paired by seed, with their corrected intervals."""
        values = []
        for found in self._analysis.differences:
            if math.isfinite(found.mean):
                own = {"configuration": found.configuration, "seeds": found.n, "verdict": found.verdict}
                values.append(own | _interval(found))
        if not values:
            return None
        title = f"{self._measure_title()}, difference from {self._analysis.baseline}"
        base = self._base(values).encode(y=self._rows(), color=self._row_colour)
        rule = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title), x2="high:Q")
        point = base.mark_point(filled=True, size=60).encode(
            x=alt.X("mean:Q", title=title),
            shape=self._row_shape,
            tooltip=_tooltip(("configuration", "mean", "low", "high", "seeds", "verdict")),
        )
        return self._finish([self._zero, rule, point], alt.Step(_ROW))

    def averages(self) -> alt.LayerChart | None:
        """Return the differences of averages from the final weights of the same runs, with corrected intervals."""
        values = []
        for name, average in self._analysis.averaged:
            found = self._analysis.gains[name, average]
            if math.isfinite(found.mean):
                interval = {"verdict": found.verdict, **_interval(found)}
                values.append({"configuration": name, "average": average, **interval})
        if not values:
            return None
        title = f"{self._measure_title()} of averages (○ swa, ◇ ema), difference from the final weights"
        offset = alt.YOffset("average:N", sort=list(AVERAGES))
        base = self._base(values).encode(y=self._rows(), yOffset=offset, color=self._row_colour)
        rule = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title), x2="high:Q")
        tooltip = _tooltip(("configuration", "average", "mean", "low", "high", "verdict"))
        mean = base.encode(x=alt.X("mean:Q", title=title), tooltip=tooltip)
        # Not by the shape channel, which encodes configurations.
        points = [
            mean.transform_filter(alt.datum.average == name).mark_point(filled=True, size=60, shape=shape)
            for name, shape in zip(AVERAGES, ("circle", "diamond"), strict=True)
        ]
        return self._finish([self._zero, rule, *points], alt.Step(_ROW / len(AVERAGES)))

    def layers(self, metric: str, title: str) -> alt.ConcatChart | None:
        """Return the mean over seeds of a metric that was logged for each layer, one small picture per layer."""
        names = [name for run in self._analysis.runs for row in run.rows for name in row if name.startswith(metric)]
        curves = {name: values for name in dict.fromkeys(names) if (values := _curves(self._analysis, name))}
        scale, axis = _rate_scale([value for values in curves.values() for value in values])
        small = []
        for name, values in curves.items():
            base = self._base(values).encode(
                x=alt.X("epoch:Q", axis=alt.Axis(format="d", tickMinStep=1), scale=alt.Scale(zero=False)),
                y=alt.Y("mean:Q", title=None, scale=scale, axis=axis),
                color=self._colour,
            )
            line = base.mark_line(strokeWidth=2).encode(strokeDash=self._dash)
            point = base.mark_point(filled=True, size=16).encode(shape=self._shape)
            layer = name.removeprefix(f"{metric}_")
            small.append(self._finish([line, point], HEIGHT / 2).properties(width=WIDTH / 2, title=layer))
        # Not a facet: altair 6 does not find the selection of layered pictures in it.
        return alt.concat(*small, columns=2, title=title).resolve_scale(y="shared") if small else None

    def time_to_target(self) -> alt.LayerChart | None:
        """Return the seconds of training to the target accuracy, one dot per run that reached it."""
        target = self._analysis.target_acc
        if target is None:
            return None
        values = []
        for run in self._analysis.runs:
            epochs, seconds = run.to_target(target)
            if math.isfinite(seconds):
                own = {"configuration": run.name, "seed": run.seed}
                values.append({**own, "seconds": seconds, "epochs": epochs})
        if not values:
            return None
        title = f"seconds of training to a validation accuracy of {target:g} (no dot: never reached)"
        dots = self._base(values).mark_point(filled=True, size=50)
        dots = dots.encode(
            x=alt.X("seconds:Q", title=title),
            y=self._rows(),
            color=self._row_colour,
            shape=self._row_shape,
            tooltip=_tooltip(("configuration", "seed", "seconds", "epochs")),
        )
        return self._finish([dots], alt.Step(_ROW))

    def _base(self, values: Values) -> alt.Chart:
        return alt.Chart(alt.Data(values=values))  # type: ignore[no-untyped-call]

    def _rows(self) -> alt.Y:
        # All configurations, also those without a value.
        scale = alt.Scale(domain=self._analysis.names)
        return alt.Y("configuration:N", scale=scale, sort=None, title=None, axis=alt.Axis(labelLimit=220))

    def _finish(self, layers: Sequence[alt.Chart], height: Any = HEIGHT) -> alt.LayerChart:
        if self._selected is not None:
            shown = alt.condition(self._selected, alt.value(1), alt.value(0))
            layers = [layer if layer is self._zero else layer.encode(opacity=shown) for layer in layers]
            layers[-1] = layers[-1].add_params(self._selected)
        return alt.LayerChart(layer=layers, width=WIDTH, height=height)

    def _measure_title(self) -> str:
        return {"val_acc": "validation accuracy", "test_acc": "test accuracy"}[self._analysis.measure]


def _curves(analysis: Analysis, metric: str) -> Values:
    values: Values = []
    for name in analysis.names:
        runs = [run for run in analysis.runs if run.name == name]
        seconds = 0.0
        for epoch in range(1, max((len(run.rows) for run in runs), default=0) + 1):
            rows = [run.rows[epoch - 1] for run in runs if len(run.rows) >= epoch]
            seconds += sum(row["seconds"] for row in rows) / len(rows)
            measured = [row[metric] for row in rows if math.isfinite(row.get(metric, math.nan))]
            if measured:
                found = _estimate_values(measured)
                if metric == "val_acc" and found["low"] is not None:
                    found |= {"low": max(found["low"], 0.0), "high": min(found["high"], 1.0)}
                values.append({"configuration": name, "epoch": epoch, "seconds": seconds, **found})
    return values


def _rate_scale(values: Values) -> tuple[alt.Scale, alt.Axis]:
    """Return a scale that distinguishes rates or norms of all sizes, and zero too if there is one."""
    rates = [value["mean"] for value in values if value["mean"] > 0]
    least, most = min(rates, default=1.0), max(rates, default=1.0)
    powers = [10.0**power for power in range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)]
    with_zero = any(value["mean"] <= 0 for value in values)
    scale = alt.Scale(type="symlog", constant=least) if with_zero else alt.Scale(type="log")
    return scale, alt.Axis(values=[0, *powers] if with_zero else powers, format="~g")


def _estimate_values(measured: list[float]) -> dict[str, Any]:
    found = estimate(measured)
    return {"seeds": found.n, **_interval(found)}


def _interval(found: Estimate | Difference) -> dict[str, float | None]:
    return {"mean": found.mean, "low": _finite(found.low), "high": _finite(found.high)}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _tooltip(fields: Sequence[str]) -> list[alt.Tooltip]:
    formats = {"epoch": "d", "epochs": "d", "seed": "d", "seeds": "d", "seconds": ".1f"}
    texts = ("configuration", "verdict", "average")
    return [
        alt.Tooltip(f"{field}:N") if field in texts else alt.Tooltip(f"{field}:Q", format=formats.get(field, ".4f"))
        for field in fields
    ]
