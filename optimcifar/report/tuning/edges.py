"""Tuned values at an edge of what was tried: better ones may lie beyond it."""

from __future__ import annotations

from dataclasses import dataclass

from optimcifar.report.labels import value_text
from optimcifar.report.tuning.study import Study
from optimcifar.spaces.dimensions import Range


@dataclass(frozen=True)
class Edge:
    """A tuned value in the lowest or highest tenth of its range, or outside of it.

    Attributes:
        configuration: the configuration's name.
        key: the hyperparameter, an option of ``fit`` without its dashes.
        value: the tuned value.
        tried: its range.
    """

    configuration: str
    key: str
    value: float
    tried: Range

    @property
    def place(self) -> str:
        """Where the value lies: ``in the lowest tenth of``, ``above``, ..."""
        if not self.tried.low <= self.value <= self.tried.high:
            return "below" if self.value < self.tried.low else "above"
        return f"in the {self.tried.edge(self.value)} tenth of"

    @property
    def following(self) -> str:
        """The range to try next, as the command takes it."""
        return str(self.tried.beyond(self.value))

    def sentence(self, name: str) -> str:
        """Return where the value lies, and what to try next.

        Args:
            name: what to call the hyperparameter.
        """
        return (
            f"{self.configuration}: the tuned {name}, {value_text(self.value)}, is {self.place} its range "
            f"{self.tried.describe()}; try {self.following} next."
        )


def edges(study: Study) -> list[Edge]:
    """Return the chosen values that lie at an edge, in the order of the configurations."""
    return [
        Edge(name, key, trial.setting[key], tried)
        for name, trial in study.chosen.items()
        for key, tried in study.design.spaces[name].space.items()
        if isinstance(tried, Range) and tried.edge(trial.setting[key])
    ]
