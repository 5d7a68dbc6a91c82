"""The file of a study, ``tuning.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_up_studies import LR, rate_space

from optimcifar.report.design import Design
from optimcifar.report.tuning.design import TuningDesign, TuningSpace
from optimcifar.spaces.dimensions import Choices

MAX_LR, NESTEROV = "model.lr_scheduler.max_lr", "model.optimizer.nesterov"
MIXED = TuningSpace(
    {LR: rate_space().space[LR], "trainer.devices": Choices((1, "auto", None)), NESTEROV: Choices((True, False))},
    "space.yaml",
    tuple(
        {LR: rate, "trainer.devices": devices, NESTEROV: nesterov, MAX_LR: rate}
        for rate, devices, nesterov in ((0.01, "auto", False), (1e-08, None, True), (1, 1, False))
    ),
    {MAX_LR: LR},
)
DESIGN = TuningDesign({"sgd": rate_space(trials=3), "adam": MIXED}, 1, Design(("sgd", "adam"), "sgd", seeds=(0, 1)))


def test_a_design_is_read_as_it_was_written(tmp_path: Path) -> None:
    DESIGN.write(tmp_path)
    found = TuningDesign.read(tmp_path)
    assert found == DESIGN
    # true equals 1, and 1 equals 1.0
    assert [repr(own.trials) for own in found.spaces.values()] == [repr(own.trials) for own in DESIGN.spaces.values()]


@pytest.mark.parametrize(
    ("place", "value"),
    [
        *((["spaces"], {}), (["spaces", "adam"], 3), (["spaces", "adam", "trials"], []), (["tuning_seeds"], 0)),
        *((["spaces", "sgd", "trials"], [{LR: 0.1}]), (["spaces", "sgd", "trials"], [1, 2, 3])),
        *((["spaces", "sgd", "trials"], [{}, {}, {}]), (["spaces", "sgd", "space"], {}), (["tuning_seeds"], "1")),
        *((["spaces", "sgd", "space", LR], 3), (["spaces", "adam", "follows", MAX_LR], "model.optimizer.betas")),
        *((["comparison", "baseline"], "muon"), (["comparison", "configurations"], ["sgd"])),
        *((["comparison", "seeds"], [0, 1000]), (["comparison", "stages"], [5, 2000])),
    ],
)
def test_a_damaged_design_is_named(place: list[str], value: Any, tmp_path: Path) -> None:
    DESIGN.write(tmp_path)
    path = tmp_path / "tuning.json"
    tree = node = json.loads(path.read_text())
    for name in place[:-1]:
        node = node[name]
    node[place[-1]] = value
    path.write_text(json.dumps(tree))
    with pytest.raises(RuntimeError, match=r"tuning\.json is damaged: choose another folder"):
        TuningDesign.read(tmp_path)
