"""All pictures of a study, those of its comparison among them."""

from __future__ import annotations

import altair as alt

from optimcifar.report.charts.forest import Row, forest, paired
from optimcifar.report.charts.gallery import chart_context, figures, run_context, with_words
from optimcifar.report.charts.style import HEIGHT, WIDTH, Figure, Style, epoch_axis, rounded, tooltip
from optimcifar.report.sentences import MEASURES
from optimcifar.report.tuning.expectation import expectations
from optimcifar.report.tuning.study import Study
from optimcifar.report.tuning.trials_chart import trials
from optimcifar.text import count


def study_figures(study: Study, style: Style) -> list[Figure]:
    """Return the pictures that have anything to draw, the answers first."""
    compared = figures(study.comparison, style) if study.comparison.runs else []
    tuning = [tuning_gain(style, study), trials(style, study), expected_best(style, study)]
    answers = [figure for figure in compared if figure.name == "differences"]
    others = [figure for figure in compared if figure.name != "differences"]
    return [*answers, *(figure for figure in tuning if figure is not None), *others]


def draw_study_charts(study: Study) -> dict[str, alt.LayerChart | alt.ConcatChart]:
    """Return the charts by name, each with its title, what it was measured on, and a legend."""
    style, context = Style(list(study.design.spaces)), study_context(study)
    return {figure.name: with_words(figure, context) for figure in study_figures(study, style)}


def study_context(study: Study) -> str:
    """Say in a line what the final runs measured; nothing without any."""
    return chart_context(study.comparison) if study.comparison.runs else ""


def tuning_gain(style: Style, study: Study) -> Figure | None:
    """Return the differences of tuned settings from the configurations' own; None where nothing was compared."""
    rows = []
    for name, found in study.gains.items():
        seeds = paired(study.comparison.values(name), study.own_comparison.values(name), found)
        rows.append(Row(name, name, found, seeds))
    title = f"{MEASURES[study.comparison.measure].capitalize()}: tuned setting minus the configuration's own"
    notes = ["On the final seeds, which chose nothing: mean and interval of the paired differences; a dot per seed."]
    return forest("tuning_gain", title, notes, style, rows)


def expected_best(style: Style, study: Study) -> Figure | None:
    """Return the expected best of B trials over B, and over minutes; None unless every trial has two seeds."""
    data = [
        {
            "configuration": name,
            "trials": drawn,
            "minutes": rounded(drawn * found.minutes),
            "accuracy": rounded(accuracy),
        }
        for name, found in expectations(study).items()
        for drawn, accuracy in enumerate(found.accuracies, start=1)
    ]
    if not data:
        return None
    over = {
        "by trials": alt.X("trials:Q", title="trials", axis=epoch_axis(study.design.trials)),
        "by minutes": alt.X("minutes:Q", title="minutes of training", axis=alt.Axis(tickCount=6)),
    }
    panels = {name: style.finish(_lines(style, x), HEIGHT * 3 // 4, WIDTH * 5 // 8) for name, x in over.items()}
    runs = [run for own in study.tuning_runs.values() for run in own]
    return Figure(
        "expected_best",
        "Expected validation accuracy of the best of B trials",
        ["Each tuning seed ranks the trials in turn, and the others measure the best one. Minutes: all B together."],
        panels,
        {"expected_best": data},
        context=run_context(runs, count(len(study.design.trial_seeds), "tuning seed")),
    )


def _lines(style: Style, x: alt.X) -> list[alt.Chart]:
    y = alt.Y("accuracy:Q", title="validation accuracy", scale=alt.Scale(zero=False, padding=6))
    base = style.base("expected_best").encode(x=x, y=y, color=style.colour)
    points = base.mark_point(filled=True, size=28, opacity=1).encode(
        shape=style.shape, tooltip=tooltip("configuration", "trials", "minutes", "accuracy")
    )
    return [base.mark_line(strokeWidth=2.2).encode(strokeDash=style.dash), points]
