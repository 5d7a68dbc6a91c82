"""All pictures of a comparison: for files, notebooks and the page."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import altair as alt

from optimcifar.report.analysis import Analysis
from optimcifar.report.charts.courses import Courses
from optimcifar.report.charts.curves import layer_curves, learning_curves
from optimcifar.report.charts.final import final_accuracy
from optimcifar.report.charts.forest import averages, differences
from optimcifar.report.charts.rates import learning_rates
from optimcifar.report.charts.step_losses import step_loss_curve
from optimcifar.report.charts.style import CONFIG, Figure, Style
from optimcifar.report.charts.target import shares_reached
from optimcifar.report.sentences import augmentations
from optimcifar.runs.results import RunResult
from optimcifar.text import count

# Vega does not break lines: characters of a title, and of a note, that are as wide as a chart.
_TITLE, _NOTE = 68, 100


def figures(analysis: Analysis, style: Style) -> list[Figure]:
    """Return the pictures that have anything to draw, the answer first."""
    courses = Courses(analysis)
    drawn = [
        differences(style, analysis),
        final_accuracy(style, analysis),
        *learning_curves(style, courses),
        step_loss_curve(style, analysis),
        *shares_reached(style, analysis, courses),
        learning_rates(style, analysis),
        averages(style, analysis),
        layer_curves(style, courses, "gradients"),
        layer_curves(style, courses, "updates"),
    ]
    return [figure for figure in drawn if figure is not None]


def draw_charts(analysis: Analysis) -> dict[str, alt.LayerChart | alt.ConcatChart]:
    """Return the charts by name, each with its title, what it was measured on, and a legend."""
    style, context = Style(analysis.names), chart_context(analysis)
    return {figure.name: with_words(figure, context) for figure in figures(analysis, style)}


def chart_context(analysis: Analysis) -> str:
    """Say in a line what was measured: ``Shapes10 · ConvNet · 5 seeds · cpu · torch 2.15.0``."""
    left_out = len(analysis.runs) - sum(len(analysis.ended(name)) for name in analysis.names)
    parts = [run_context(analysis.runs, _seeds(analysis))]
    return " · ".join([*parts, f"{count(left_out, 'run')} not finished, left out"] if left_out else parts)


def run_context(runs: Sequence[RunResult], seeds: str) -> str:
    """Say in a line what was measured.

    Args:
        runs: the runs.
        seeds: their seeds, in words.
    """
    summaries = [run.summary for run in runs]
    versions = [summary["versions"] for summary in summaries if "versions" in summary]
    found = [
        [str(summary["dataset"]) for summary in summaries if "dataset" in summary],
        [f"augmentation {augmentations(runs)}"] if augmentations(runs) else [],
        [str(summary["net"]).rpartition(".")[2] for summary in summaries if "net" in summary],
        [seeds],
        [str(summary["device"]) for summary in summaries if "device" in summary],
        [f"torch {own['torch']}" for own in versions if "torch" in own],
    ]
    return " · ".join(" and ".join(dict.fromkeys(values)) for values in found if values)


def _seeds(analysis: Analysis) -> str:
    numbers = sorted({row.seeds for row in analysis.configurations})
    return count(numbers[-1], "seed") if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]} seeds"


def with_words(figure: Figure, context: str) -> alt.LayerChart | alt.ConcatChart:
    """Return one chart of a figure's panels, with its title, its notes and what was measured."""
    notes = [line for text in (figure.context or context, *figure.notes) for line in textwrap.wrap(text, _NOTE)]
    title = alt.Title(textwrap.wrap(figure.title, _TITLE), subtitle=notes)
    if "" in figure.panels:
        chart = figure.panels[""].properties(title=title)
    else:
        panels = [panel.properties(title=alt.Title(name, fontSize=11)) for name, panel in figure.panels.items()]
        chart = alt.concat(*panels, columns=2, title=title).resolve_scale(y="shared")
    chart.config = CONFIG
    chart.datasets = figure.data  # not by `properties`, which would check and copy all of it once more
    return chart
