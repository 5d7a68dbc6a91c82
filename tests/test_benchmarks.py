from __future__ import annotations

import json
from pathlib import Path

import pytest
import training_speed
from contestants import CONTESTANTS


@pytest.mark.filterwarnings("ignore")
def test_training_speed_compares_all_contestants_and_draws_them(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    training_speed.main(["--images", "128", "--rounds", "2", "--threads", "1", "--out", str(tmp_path / "out")])
    result = json.loads((tmp_path / "out" / "training_speed.json").read_text())
    assert [row["contestant"] for row in result["rows"]] == list(CONTESTANTS)
    assert all(0 < row["ratio_least"] <= row["ratio"] <= row["ratio_most"] for row in result["rows"])
    assert result["rows"][0]["ratio"] == 1
    assert (result["dataset"], result["rounds"]) == ("Shapes10", 2)
    assert (tmp_path / "out" / "training_speed.png").read_bytes().startswith(b"\x89PNG")
    assert capsys.readouterr().out.count("ms/step") == len(CONTESTANTS)
