"""The rates that a run is going to use, without the run: ``optimcifar schedule``."""

from __future__ import annotations

import csv
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import altair as alt
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import StochasticWeightAveraging
from torch.optim.lr_scheduler import ReduceLROnPlateau

from optimcifar.callbacks.console_output import schedule_lines
from optimcifar.errors import UsageError
from optimcifar.optim.horizons import run_length
from optimcifar.optim.types import LRInterval
from optimcifar.runs.atomic import write_atomically
from optimcifar.text import count
from optimcifar.training.lightning_cli import TrainingCLI, run

# Points of a picture: more than its pixels.
_MOST_POINTS = 2000


@dataclass(frozen=True)
class PlannedRates:
    """The rates of a run.

    Attributes:
        unit: what the schedule moves with, ``"epoch"`` or ``"step"``.
        rates: for each of them, in order, the rate of every parameter group.
        lines: what is to be said of the schedule.
    """

    unit: LRInterval
    rates: list[tuple[float, ...]]
    lines: list[str]

    def write_csv(self, path: Path) -> None:
        """Write a row per epoch or step, counted from 1."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([self.unit, *self._names()])
        writer.writerows([number, *rates] for number, rates in enumerate(self.rates, start=1))
        write_atomically(path, text.getvalue())

    def write_png(self, path: Path) -> None:
        """Draw the rates over epochs or steps."""
        every = -(-len(self.rates) // _MOST_POINTS)
        values = [
            {"number": number, "group": name, "rate": rate}
            for number, rates in islice(enumerate(self.rates, start=1), 0, None, every)
            for name, rate in zip(self._names(), rates, strict=True)
        ]
        axis = alt.Axis(format=",d", tickMinStep=1, tickCount=10)
        chart = alt.Chart(alt.Data(values=values), width=460, height=240)  # type: ignore[no-untyped-call]
        line = chart.mark_line(point=len(self.rates) <= 40, interpolate="step-after" if every == 1 else "linear")
        one = len(self._names()) == 1
        line = line.encode(
            x=alt.X("number:Q", title=self.unit, axis=axis, scale=alt.Scale(zero=False)),
            y=alt.Y("rate:Q", title="learning rate"),
            color=alt.Color("group:N", title=None, legend=None if one else alt.Legend()),
        )
        content = io.BytesIO()
        line.properties(title=alt.Title(self.lines[0].removeprefix("schedule").strip(), limit=520, fontSize=11)).save(
            content, format="png", scale_factor=2
        )
        write_atomically(path, content.getvalue())

    def describe(self) -> str:
        """Say what the schedule is, and what rates it comes to."""
        rates = [rates[0] for rates in self.rates]
        span = f"{count(len(rates), self.unit)}: from {rates[0]:.4g}, highest {max(rates):.4g}, at last {rates[-1]:.4g}"
        return "\n".join([*self.lines, f"rates      {span}"])

    def _names(self) -> list[str]:
        groups = len(self.rates[0])
        return ["lr", *(f"lr_group_{number}" for number in range(2, groups + 1))]


def plan(options: Sequence[str]) -> PlannedRates:
    """Return the rates that ``optimcifar fit`` with these options is going to use.

    Raises:
        UsageError: they depend on what the run will measure, or the run has no end.
    """
    cli = run(["fit", *options], _PlanningCLI)
    assert isinstance(cli, _PlanningCLI)
    return cli.planned


class _PlanningCLI(TrainingCLI):
    """Makes the run that the options of ``fit`` come to, and ends it before its first step."""

    def instantiate_trainer(self, **kwargs: Any) -> Trainer:
        """Make the trainer, which writes nothing."""
        self.config_init.fit.trainer.logger = False
        trainer = super().instantiate_trainer(**kwargs)
        self._averaging = next((c for c in trainer.callbacks if isinstance(c, StochasticWeightAveraging)), None)  # type: ignore[attr-defined]
        self._planner = _Planner()
        trainer.callbacks = [self._planner]  # type: ignore[attr-defined]
        return trainer

    def after_fit(self) -> None:
        """Keep what was planned."""
        unit, rates, lines = self._planner.unit, self._planner.rates, self._planner.lines
        if self._averaging:
            lines = [*lines, "           note: weight averaging sets rates of its own once it starts, not drawn here"]
        self.planned = PlannedRates(unit, rates, lines)


class _Planner(Callback):
    """Moves the schedule through the whole run when training starts, and stops."""

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Do so."""
        configs, groups = trainer.lr_scheduler_configs, trainer.optimizers[0].param_groups
        self.unit: LRInterval = configs[0].interval if configs else "epoch"  # type: ignore[assignment]
        length = run_length(trainer, self.unit)
        if length is None:
            raise UsageError("the run has no end to plan up to: set max_epochs")
        if configs and isinstance(configs[0].scheduler, ReduceLROnPlateau):
            raise UsageError(f"ReduceLROnPlateau follows {configs[0].monitor}: its rates are not known before the run")
        self.lines = schedule_lines(trainer)
        self.rates: list[tuple[float, ...]] = []
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Detected call of `lr_scheduler.step")  # before any optimizer.step
            for _ in range(length):
                self.rates.append(tuple(float(group["lr"]) for group in groups))
                for config in configs:
                    config.scheduler.step()  # type: ignore[call-arg]  # not ReduceLROnPlateau's, seen to above
        trainer.should_stop = True
