"""Heat maps of metrics over the values of two hyperparameters."""

from __future__ import annotations

import math

import altair as alt

from optimcifar.report.charts.style import DIVERGED, Figure, Style, Values, rounded
from optimcifar.report.charts.value_axis import ValueAxis
from optimcifar.report.sweep.charts.axes import Metric, value_axis
from optimcifar.report.sweep.results import Response, Sweep, Tried

_ROW = 36  # pixels of a row

# Cells above this share of the colours are so light that their text is black.
_LIGHT = 0.55

# The largest text, and the pixels that all columns share on a phone, where the text must fit into its cell.
_LARGEST, _ROOM = 11, 380


def heat_map(style: Style, sweep: Sweep, metric: Metric) -> Figure | None:
    """Return the mean of a metric over the values of two hyperparameters, a panel per configuration.

    The hyperparameter with more values goes down, so that a narrow page has room for the columns. None if no run has
    the metric.
    """
    down, across = sorted(sweep.design.keys, key=lambda key: -len(sweep.values[key]))
    axes = value_axis(sweep, across), value_axis(sweep, down)
    rows = {response.name: _cells(response, (across, down), axes, metric) for response in sweep.responses}
    means = [row["mean"] for cells in rows.values() for row in cells if row["mean"] is not None]
    if not means:
        return None
    ends = min(means), max(means)
    panels, data = {}, {}
    for number, (name, cells) in enumerate(rows.items()):
        place = f"{metric.name}_cells_{number}"
        data[place] = [cell | {"light": _is_light(cell["mean"], *ends)} for cell in cells]
        panels[name if len(rows) > 1 else ""] = _panel(style, place, metric, axes, ends)
    title = f"{metric.title.capitalize()} over {axes[0].title} and {axes[1].title}"
    notes = ["Mean over seeds. Outlined: the cell with the highest mean accuracy (best), and the file's own values."]
    if any(cell["collapsed"] for cells in rows.values() for cell in cells):
        notes.append(f"{DIVERGED}: runs that diverged or ended at chance; {metric.note}.")
    return Figure(f"{metric.name}_heat_map", title, notes, panels, data)


def _cells(response: Response, keys: tuple[str, str], axes: tuple[ValueAxis, ValueAxis], metric: Metric) -> Values:
    cells: Values = []
    for tried in response.points:
        across, down = (axis.label(tried.point.setting.get(key)) for axis, key in zip(axes, keys, strict=True))
        own = tried.estimate(metric.name)
        cells.append(
            {
                "configuration": response.name,
                "across": across,
                "down": down,
                "mean": rounded(own.mean),
                "text": format(own.mean, metric.form) if math.isfinite(own.mean) else "",
                "low": rounded(own.low),
                "high": rounded(own.high),
                "seeds": own.n,
                "collapsed": tried.collapsed,
                "words": _words(tried),
                "marked": tried.is_best or tried.point.is_own,
            }
        )
    return cells


def _words(tried: Tried) -> str:
    """Write what a cell is: ``best, own``, ``failed``, or how many of its runs collapsed; nothing for most."""
    marks = {"best": tried.is_best, "own": tried.point.is_own}
    parts = [word for word, is_so in marks.items() if is_so]
    if tried.collapsed:
        parts.append(f"{tried.collapsed}/{len(tried.ended)} {DIVERGED}")
    return ", ".join(parts) if tried.ended else ", ".join([*parts, *tried.without_result])


def _is_light(mean: float | None, least: float, most: float) -> bool:
    return mean is None or (most > least and (mean - least) / (most - least) > _LIGHT)


def _panel(
    style: Style, data: str, metric: Metric, axes: tuple[ValueAxis, ValueAxis], ends: tuple[float, float]
) -> alt.LayerChart:
    across, down = axes
    labels = alt.Axis(labelAngle=0, labelLimit=120, grid=False, domain=False, ticks=False)
    base = style.base(data).encode(
        x=alt.X("across:N", title=across.title, sort=None, scale=alt.Scale(domain=across.labels), axis=labels),
        y=alt.Y("down:N", title=down.title, sort=None, scale=alt.Scale(domain=down.labels[::-1]), axis=labels),
    )
    legend = alt.Legend(orient="bottom", gradientLength=200) if ends[0] < ends[1] else None
    scale = alt.Scale(domain=list(ends), scheme=alt.SchemeParams(name="viridis"))
    colour = alt.Color("mean:Q", title=metric.title, scale=scale, legend=legend)
    fields = [alt.Tooltip("across:N", title=across.title), alt.Tooltip("down:N", title=down.title)]
    fields += [alt.Tooltip(f"{name}:Q", format=".4~g") for name in ("mean", "low", "high", "seeds", "collapsed")]
    valid = "isValid(datum.mean)"
    cells = base.transform_filter(valid).mark_rect(stroke="#fff", strokeWidth=1).encode(color=colour, tooltip=fields)
    outline = base.transform_filter("datum.marked").mark_rect(filled=False, stroke="#D55E00", strokeWidth=3)
    ink = alt.condition("datum.light", alt.value("#000"), alt.value("#fff"))
    font = _ROOM / len(across.labels) / 4.4  # the width of a cell in characters, some of them narrow
    texts = [
        base.transform_filter(f"{test} datum.words")
        .mark_text(dy=dy, fontSize=min(size, font))
        .encode(text=field, color=ink)
        for field, test, dy, size in (
            ("text:N", "!", 0, _LARGEST),
            ("text:N", "", -7, _LARGEST),
            ("words:N", "", 7, 10),
        )
    ]
    return style.finish([cells, outline, *texts], _ROW * len(down.labels))
