"""The tuned settings as configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
import yaml
from distributed import Client
from helpers import CONFIGS, make_run
from test_tune import planned

from optimcifar.engine.runs import Run
from optimcifar.engine.worker import check_options
from optimcifar.report.tuning.design import TuningDesign, trial_entry
from optimcifar.report.tuning.study import read_study
from optimcifar.runs.folder import comparison_run
from optimcifar.tuning.plan import tuning_space
from optimcifar.tuning.resolved import ResolvedConfiguration
from optimcifar.tuning.tuned_files import write_tuned

# What a study sets of each run, beside the configuration.
_OF_A_RUN = ("logger", "enable_progress_bar")


def resolved(options: tuple[str, ...]) -> dict[str, Any]:
    tree: dict[str, Any] = yaml.safe_load(check_options(None, options))
    tree["trainer"] = {key: value for key, value in tree["trainer"].items() if key not in _OF_A_RUN}
    return tree


# The callback of sgd_swa is tuned, beside one that all runs add.
FILES = [CONFIGS / "sgd_swa.yaml", *sorted(set(CONFIGS.glob("*.yaml")) - {CONFIGS / "sgd_swa.yaml"})]


@pytest.mark.parametrize(
    "files", [FILES[:1], pytest.param(FILES[1:], marks=pytest.mark.slow)], ids=["sgd_swa", "others"]
)
def test_tuned_files_of_shipped_configurations_repeat_their_runs(
    files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def check_runs(client: object, runs: list[Run]) -> list[str]:
        return [check_options(None, run.options) for run in runs]

    monkeypatch.setattr("optimcifar.tuning.tuned_files.check_runs", check_runs)
    options = ["--trainer.max_epochs", "4", "--trainer.callbacks+=WeightAverages"]
    plan = planned(*map(str, files), trials=3, space=CONFIGS / "spaces/cifar10.yaml", options=options)
    texts = check_runs(None, plan.runs(plan.entries, [0]))
    spaces = {
        entry.name: tuning_space(plan, entry.name, ResolvedConfiguration(text))
        for entry, text in zip(plan.entries, texts, strict=True)
    }
    TuningDesign(spaces, 1, plan.comparison).write(plan.out)
    for name in spaces:
        make_run(comparison_run(plan.out, trial_entry(name, 2), 1000).path, 1000, [0.5])  # the only trial with a result
    write_tuned(cast("Client", None), plan, read_study(plan.out))
    for entry in plan.entries:
        (run,) = plan.runs([plan.trial(entry, spaces[entry.name], 2)], [7])
        tuned = plan.out / "tuned" / f"{entry.name}.yaml"
        assert resolved(run.options) == resolved(("--config", str(tuned), "--seed_everything", "7")), entry.name
        assert "    root: data\n" in tuned.read_text()  # it can be taken to another machine
        assert str(Path.cwd()) not in tuned.read_text()
        assert "ckpt_path" not in tuned.read_text()  # nothing that says nothing
