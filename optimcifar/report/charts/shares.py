"""Curves of shares, 0 to 100 %, of which many are equal."""

from __future__ import annotations

import altair as alt

from optimcifar.report.charts.style import Style

# Equal shares are drawn side by side: the distance between two of them, and the most between the first and the last.
_APART, _ALTOGETHER = 0.008, 0.06

#: The note on that for a reader.
SIDE_BY_SIDE = "Equal shares are side by side."


def drawn_share(share: float, number: int, lines: int) -> float:
    """Return where a share is drawn, so that no line hides an equal one.

    Args:
        share: 0 to 1.
        number: the number of the line, from 0.
        lines: how many lines there are.
    """
    return round(share + min(_APART, _ALTOGETHER / lines) * (number - (lines - 1) / 2), 4)


def share_curves(style: Style, data: str, x: alt.X, of: str, shown: list[alt.Tooltip]) -> alt.LayerChart:
    """Return a step for each configuration, with a point where it rises.

    Args:
        style: the looks of the configurations.
        data: the name of the rows: ``drawn`` is the height, and ``event`` is true where a point stands.
        x: the horizontal axis.
        of: what the shares are of.
        shown: what is shown beside the pointer at a point.
    """
    y_axis = alt.Axis(format="%", values=[0, 0.25, 0.5, 0.75, 1])
    y_scale = alt.Scale(domain=[-_ALTOGETHER / 2, 1 + _ALTOGETHER / 2])
    y = alt.Y("drawn:Q", title=f"share of {of}", axis=y_axis, scale=y_scale)
    base = style.base(data).encode(x=x, y=y, color=style.colour)
    line = base.mark_line(interpolate="step-after", strokeWidth=2).encode(strokeDash=style.dash)
    points = base.transform_filter("datum.event").mark_point(filled=True, size=28, opacity=1)
    return style.finish([line, points.encode(shape=style.shape, tooltip=shown)])
