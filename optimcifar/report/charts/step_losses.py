"""The training loss by optimizer step, on a logarithmic axis that shows the first steps."""

from __future__ import annotations

import math
import statistics
from itertools import groupby

import altair as alt

from optimcifar.report.analysis import Analysis
from optimcifar.report.charts.curves import FEW, loss_scale
from optimcifar.report.charts.style import CROSS, DIVERGED, Figure, Style, Values, rounded, tooltip

# A point stands for steps that are less than this factor apart: the first ten one by one, 7,000 in about 80 points.
_GROUP = 1.1


def step_loss_curve(style: Style, analysis: Analysis) -> Figure | None:
    """Return the training loss by step: every seed thin, their mean thick; None if no run has ``steps.csv``."""
    seeds = _seeds(analysis)
    if not seeds:
        return None
    data = {"step_losses": seeds, "step_loss_means": _means(seeds), "step_loss_ends": _ends(analysis, seeds)}
    notes = [
        "Thick: mean over seeds, where all have a value; thin: every seed.",
        "After step 10, a point is the mean over several steps: about 10 at step 100, and 100 at step 1,000.",
    ]
    if data["step_loss_ends"]:
        notes.append(f"{DIVERGED}: the last finite loss of a run that diverged.")
    chart = style.finish(_layers(style, data))
    return Figure("train_loss_by_step", "Train loss by step", notes, {"": chart}, data)


def _layers(style: Style, data: dict[str, Values]) -> list[alt.Chart]:
    steps = [row["step"] for row in data["step_losses"]]
    first, last = min(steps), max(steps)
    scale, axis = loss_scale([row["train_loss"] for row in data["step_losses"]])
    x = alt.X(
        "step:Q",
        title="optimizer step",
        scale=alt.Scale(type="log", domain=[first, last], nice=False),
        axis=alt.Axis(values=_ticks(first, last), format=",d"),
    )
    y = alt.Y("train_loss:Q", title="train loss", scale=scale, axis=axis)

    def layer(name: str) -> alt.Chart:
        return style.base(name).encode(x=x, y=y, color=style.colour)

    few = len({row["configuration"] for row in data["step_losses"]}) <= FEW
    thin = layer("step_losses").mark_line(strokeWidth=0.8, opacity=0.4 if few else 0.2).encode(detail="run:N")
    thick = layer("step_loss_means").mark_line(strokeWidth=2.2).encode(strokeDash=style.dash)
    points = layer("step_loss_means").mark_point(filled=True, size=12, opacity=1)
    points = points.encode(shape=style.shape, tooltip=tooltip("configuration", "step", "train_loss", "seeds"))
    crosses = layer("step_loss_ends").mark_point(shape=CROSS, size=50, strokeWidth=2, opacity=1)
    crosses = crosses.encode(tooltip=tooltip("configuration", "seed", "step", "train_loss"))
    return [thin, thick, points, *([crosses] if data["step_loss_ends"] else [])]


def _ticks(first: int, last: int) -> list[int]:
    """Return those of 1, 2, 5, 10, 20 and so on that are on the axis; powers of ten alone on a long one."""
    factors = (1, 2, 5) if last <= 1000 * first else (1,)
    ticks = (factor * 10**power for power in range(12) for factor in factors)
    return [tick for tick in ticks if first <= tick <= last]


def _seeds(analysis: Analysis) -> Values:
    """Return a row for each group of steps of each run that is over."""
    rows: Values = []
    for name in analysis.names:
        for number, run in enumerate(analysis.ended(name)):
            own = {"configuration": name, "run": number}
            rows += [{**own, "step": step, "train_loss": rounded(loss)} for step, loss in _grouped(run.step_losses)]
    return rows


def _grouped(losses: list[tuple[int, float]]) -> list[tuple[int, float]]:
    """Return the last step and the mean loss of each group of steps; a loss that is not finite belongs to none."""
    finite = [(step, loss) for step, loss in losses if math.isfinite(loss)]
    groups = (list(group) for _, group in groupby(finite, key=lambda pair: math.floor(math.log(pair[0], _GROUP))))
    return [(group[-1][0], statistics.fmean(loss for _, loss in group)) for group in groups]


def _means(seeds: Values) -> Values:
    """Return the mean over the seeds of a configuration, at each step where all of them have a value."""
    runs: dict[str, set[int]] = {}
    found: dict[tuple[str, int], list[float]] = {}
    for row in seeds:
        runs.setdefault(row["configuration"], set()).add(row["run"])
        found.setdefault((row["configuration"], row["step"]), []).append(row["train_loss"])
    return [
        {"configuration": name, "step": step, "train_loss": rounded(statistics.fmean(losses)), "seeds": len(losses)}
        for (name, step), losses in found.items()
        if len(losses) == len(runs[name])
    ]


def _ends(analysis: Analysis, seeds: Values) -> Values:
    """Return the last row of each run that diverged."""
    last = {(row["configuration"], row["run"]): row for row in seeds}
    return [
        {**last[name, number], "seed": run.seed}
        for name in analysis.names
        for number, run in enumerate(analysis.ended(name))
        if run.status == "diverged" and (name, number) in last
    ]
