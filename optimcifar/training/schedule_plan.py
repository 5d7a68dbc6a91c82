"""The learning rates of a run, computed without training: ``optimcifar schedule``."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import altair as alt
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder, StochasticWeightAveraging
from rich.text import Text
from torch.optim.lr_scheduler import ReduceLROnPlateau

from optimcifar.callbacks.base import INDENT
from optimcifar.callbacks.console_output import schedule_lines
from optimcifar.errors import UsageError
from optimcifar.optim.horizons import run_length
from optimcifar.optim.replay import stepping_alone
from optimcifar.optim.schedule_notes import check_reaches_end
from optimcifar.optim.types import LRInterval
from optimcifar.paths import expand_path
from optimcifar.runs.atomic import write_atomically
from optimcifar.text import count
from optimcifar.training.run import training_run

# The picture has fewer pixels than this.
_MOST_POINTS = 2000


@dataclass(frozen=True)
class PlannedRates:
    """The learning rates of a run.

    Attributes:
        unit: how often the schedule steps: every ``"epoch"`` or every ``"step"``.
        rates: the rates of all parameter groups, for each epoch or step in order, at least one.
        lines: a description of the schedule.
        done: how many epochs or steps the run had made before these.
    """

    unit: LRInterval
    rates: list[tuple[float, ...]]
    lines: list[Text]
    done: int = 0

    def write_csv(self, path: Path) -> None:
        """Write a row per epoch or step, counted from the run's first."""
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow([self.unit, *self._names()])
        writer.writerows([number, *rates] for number, rates in enumerate(self.rates, self.done + 1))
        write_atomically(expand_path(path), text.getvalue())

    def write_png(self, path: Path) -> None:
        """Draw the rates over epochs or steps."""
        every = -(-len(self.rates) // _MOST_POINTS)
        values = [
            {"number": number, "group": name, "rate": rate}
            for number, rates in islice(enumerate(self.rates, self.done + 1), 0, None, every)
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
        title = alt.Title(self.lines[0].plain.removeprefix("schedule").strip(), limit=520, fontSize=11)
        line.properties(title=title).save(content, format="png", scale_factor=2)
        write_atomically(expand_path(path), content.getvalue())

    def describe(self) -> list[Text]:
        """Describe the schedule and its rates, in a line each."""
        rates = [rates[0] for rates in self.rates]
        number = f"{count(len(rates), self.unit)}{f' after the first {self.done:,}' if self.done else ''}"
        span = f"{number}: from {rates[0]:.4g}, highest {max(rates):.4g}, at last {rates[-1]:.4g}"
        return [*self.lines, Text(f"rates      {span}")]

    def _names(self) -> list[str]:
        groups = len(self.rates[0])
        return ["lr", *(f"lr_group_{number}" for number in range(2, groups + 1))]


def plan_rates(options: Sequence[str]) -> PlannedRates:
    """Return the rates that ``optimcifar fit`` would use with these options; downloads nothing.

    Raises:
        UsageError: the rates depend on what the run will measure, or the run has no end, or is over.
    """
    planner = _SchedulePlanner()
    with training_run(options, only=[planner]) as run:
        run.use_blank_images()
        outcome = run.fit()
        averaging, finder = run.uses(StochasticWeightAveraging), run.uses(BatchSizeFinder)
        to_be_found = run.uses(LearningRateFinder) and not run.trainer.ckpt_path
    if outcome.error:
        raise outcome.error
    if to_be_found:
        raise UsageError("LearningRateFinder chooses the rate: it is not known before training")
    if finder and planner.unit == "step":
        raise UsageError("BatchSizeFinder chooses the batch size: the number of steps is not known before the run")
    if not planner.rates:
        raise UsageError("the run that goes on is over: there are no rates left to plan, unless max_epochs is raised")
    note = [
        Text(f"{' ' * INDENT}note: weight averaging sets rates of its own once it starts, not drawn here")
    ] * averaging
    return PlannedRates(planner.unit, planner.rates, planner.lines + note, planner.done)


class _SchedulePlanner(Callback):
    """Steps the schedule through what is left of the run when training starts, and stops the run."""

    def __init__(self) -> None:
        self.unit: LRInterval = "epoch"
        self.rates: list[tuple[float, ...]] = []
        self.lines: list[Text] = []
        self.done = 0

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Compute the rates."""
        configs, groups = trainer.lr_scheduler_configs, trainer.optimizers[0].param_groups
        if configs:
            self.unit = configs[0].interval  # type: ignore[assignment]  # ImageClassifier sets one of the two
        length = run_length(trainer, self.unit)
        if length is None:
            raise UsageError("the run has no end to plan up to: set max_epochs")
        if configs and isinstance(configs[0].scheduler, ReduceLROnPlateau):
            raise UsageError(f"ReduceLROnPlateau follows {configs[0].monitor}: its rates are not known before the run")
        check_reaches_end(trainer)
        self.lines = schedule_lines(trainer)
        self.done = trainer.current_epoch if self.unit == "epoch" else trainer.global_step
        with stepping_alone():
            for _ in range(self.done, length):
                self.rates.append(tuple(float(group["lr"]) for group in groups))
                for config in configs:
                    config.scheduler.step()  # type: ignore[call-arg]  # ReduceLROnPlateau is refused above
        trainer.should_stop = True
