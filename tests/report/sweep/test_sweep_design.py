"""The file of a sweep, ``sweep.json``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from made_up_sweeps import LR

from optimcifar.report.sweep.design import SweepDesign, SweepPoint
from optimcifar.spaces.dimensions import Choices, Range

DEVICES, MAX_LR = "trainer.devices", "model.lr_scheduler.max_lr"
DESIGN = SweepDesign(
    {LR: Range(0.001, 1.0, "log"), DEVICES: Choices((1, "auto", None, True))},
    (
        SweepPoint("sgd", "sgd", {LR: 0.01, DEVICES: "auto"}, is_own=True),
        SweepPoint("sgd-devices=null", "sgd", {LR: 1e-08, DEVICES: None}),
        SweepPoint("sgd-devices=true", "sgd", {LR: 1, DEVICES: True}),
    ),
    (0, 7),
    {MAX_LR: LR},
)


def test_a_design_is_read_as_it_was_written(tmp_path: Path) -> None:
    DESIGN.write(tmp_path)
    found = SweepDesign.read(tmp_path)
    assert repr(found) == repr(DESIGN)  # true equals 1, and 1 equals 1.0


@pytest.mark.parametrize(
    "damage",
    [
        *({"over": {}}, {"over": {LR: 3}}, {"over": dict.fromkeys("abc", "1,2")}, {"points": []}, {"points": [3]}),
        {"points": [{"entry": "sgd", "configuration": "sgd", "setting": {}}]},
        {"points": [{"entry": "sgd", "configuration": "sgd", "setting": [1]}]},
        *({"points": [{"entry": 1, "configuration": "sgd", "setting": {LR: 1, DEVICES: 1}}]}, {"seeds": []}),
        *({"seeds": "01"}, {"seeds": 3}, {"follows": {MAX_LR: "model.optimizer.betas"}}, {"follows": {MAX_LR: 1}}),
    ],
)
def test_a_damaged_design_is_named(damage: dict[str, Any], tmp_path: Path) -> None:
    DESIGN.write(tmp_path)
    path = tmp_path / "sweep.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | damage))
    with pytest.raises(RuntimeError, match=r"sweep\.json is damaged: run the same sweep again"):
        SweepDesign.read(tmp_path)
