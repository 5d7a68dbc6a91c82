"""The commands ``sweep`` and ``tune``: what they refuse, and what they print."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_cluster import FakeCluster
from helpers import Command

from optimcifar.runs.folder import DESIGNS

OVER = ["--over", "model.optimizer.lr=1e-3..1"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sweep", *OVER], "name the configurations to sweep"),
        (["sweep", "sgd.yaml"], "--over must be given once or twice, such as --over model.optimizer.lr=1e-3..1; got 0"),
        (
            ["sweep", "sgd.yaml", "--over", "lr"],
            "--over needs KEY=VALUES, such as model.optimizer.lr=1e-3..1; got",
        ),
        (["sweep", "sgd.yaml", *OVER, *OVER], "--over model.optimizer.lr is given twice"),
        (
            ["sweep", "sgd.yaml", "--over", "a=1,2", "--over", "b=1,2", "--over", "c=1,2"],
            "once or twice, such as --over model.optimizer.lr=1e-3..1; got 3",
        ),
        (
            ["sweep", "sgd.yaml", "--over", "a=1"],
            "--over a must be a range such as 1e-3..1",
        ),
        (["sweep", "sgd.yaml", "--over", "a=1..0.1"], "--over a: LOW must be less than HIGH"),
        (
            ["sweep", "sgd.yaml", "--over", "a=0..1:log"],
            "--over a: both ends of a range on a log scale",
        ),
        (["sweep", "sgd.yaml", *OVER, "--points", "1"], "--points must be at least 2, got 1"),
        (["sweep", "sgd.yaml", *OVER, "--seeds", "auto"], "a sweep needs a number of seeds"),
        (["sweep", "sgd.yaml", *OVER, "--seeds", "0"], "--seeds must be a number of seeds"),
        (["sweep", "sgd.yaml", "--over", "model.optimizer.lrr=1,2"], "has no argument 'lrr'"),
        (["sweep", "sgd.yaml", *OVER, "--seed_everything", "3"], "--seed_everything cannot be given here: use --seeds"),
        (["tune"], "name the configurations to tune"),
        (["tune", "sgd.yaml", "--trials", "1"], "--trials must be at least 2, got 1"),
        (["tune", "sgd.yaml", "--space", "none.yaml"], "there is no space none.yaml"),
        (["tune", "sgd.yaml:model.optimizer.lrr=1..2"], "has no argument 'lrr'"),
        (
            ["tune", "sgd.yaml:model.optimizer.lr=1e-3..1:model.optimizer.lr=0.1"],
            "model.optimizer.lr stands twice; say",
        ),
        (["tune", "sgd.yaml", "--data.val_size", "0"], "sgd: data.val_size is 0"),
    ],
)
def test_wrong_usage_gets_a_line_and_writes_nothing(
    arguments: list[str], message: str, cluster: FakeCluster, optimcifar: Command
) -> None:
    status, out, err = optimcifar(*arguments)
    assert (status, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert not cluster.trained
    assert sorted(path.name for path in Path().iterdir()) == ["adam.yaml", "sgd.yaml"]


@pytest.mark.parametrize(
    ("arguments", "purpose"),
    [(["sweep", "sgd.yaml", *OVER], "sweep"), (["tune", "sgd.yaml"], "study"), (["compare", "sgd.yaml"], "comparison")],
)
def test_a_folder_has_one_purpose(
    arguments: list[str], purpose: str, cluster: FakeCluster, optimcifar: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optimcifar.comparison.compare.connect", cluster.connect)
    for other in (name for name in DESIGNS if name != purpose):
        Path(other).mkdir()
        Path(other, DESIGNS[other]).write_text("{}")
        status, _, err = optimcifar(*arguments, "--out", other)
        message = f"{other} holds a {other}, and a {purpose} needs a folder of its own: choose another --out"
        assert (status, err) == (2, f"optimcifar: {message}\n")
        assert [path.name for path in Path(other).iterdir()] == [DESIGNS[other]]
