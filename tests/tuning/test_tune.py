"""Studies: the protocol, on a cluster that trains nothing."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import yaml
from fake_cluster import FakeCluster, accuracy

from optimcifar.errors import UsageError
from optimcifar.report.tuning.design import FIRST_TUNING_SEED, TuningDesign
from optimcifar.report.tuning.study import Study, read_study
from optimcifar.tuning import tune
from optimcifar.tuning.plan import TuningPlan, make_plan

OUT = Path("study")


def planned(*configs: str, **options: Any) -> TuningPlan:
    seeds = options.pop("seeds", 3)
    settings: dict[str, Any] = {
        "trials": 10,
        "tuning_seeds": 1,
        "space": None,
        "baseline": None,
        "target_acc": None,
        "out": OUT,
        "options": [],
        "jobs": None,
        "scheduler": None,
        "dashboard": False,
        "max_seeds": None,
        "until": None,
    }
    return make_plan(configs or ("sgd.yaml", "adam.yaml"), seeds, **settings | options)


def finished(*configs: str, **options: Any) -> Study:
    plan = planned(*configs, **options)
    tune.train(plan)
    return read_study(plan.out)


def trials(study: Study) -> dict[tuple[str, int, int], float]:
    """Return what was measured in every tuning run."""
    return {
        (name, trial.number, seed): trial.value(seed)
        for name, own in study.trials.items()
        for trial in own
        for seed in trial.runs
        if seed >= FIRST_TUNING_SEED
    }


def test_known_response_is_tuned_to_the_right_place_with_equal_budgets(cluster: FakeCluster) -> None:
    study = finished()
    for name, best in (("sgd", 0.1), ("adam", 0.001)):
        rates = [trial.setting["model.optimizer.lr"] for trial in study.trials[name]]
        assert len(rates) == 10
        assert rates[0] == 0.01  # the configuration's own
        nearest = min(rates, key=lambda rate: abs(math.log10(rate / best)))
        assert study.chosen[name].setting == {"model.optimizer.lr": nearest}
        seeds = [run.seed for run in cluster.trained if run.name.startswith(name) and run.seed >= 1000]
        assert sorted(seeds) == [1000] * 10 + [1001] * 3 + [1002] * 3
    assert {run.seed for run in cluster.trained if run.is_tested} == {0, 1, 2}
    assert all(run.is_tested for run in cluster.trained if run.seed < 1000)
    assert len(cluster.trained) == 2 * (10 + 2 * 3) + 2 * 2 * 3


def test_no_tuning_seed_is_in_a_verdict(cluster: FakeCluster) -> None:
    study = finished()
    assert {run.seed for run in (*study.comparison.runs, *study.own_comparison.runs)} == {0, 1, 2}
    (found,) = study.comparison.differences
    expected = [accuracy(_tree(study, "adam"), seed) - accuracy(_tree(study, "sgd"), seed) for seed in range(3)]
    assert found.mean == pytest.approx(sum(expected) / 3)
    assert (found.n, found.verdict) == (3, "better")


def _tree(study: Study, name: str) -> dict[str, Any]:
    classes = {"sgd": "torch.optim.SGD", "adam": "torch.optim.Adam"}
    rate = study.chosen[name].setting["model.optimizer.lr"]
    return {"model": {"optimizer": {"class_path": classes[name], "init_args": {"lr": rate}}}}


def test_gain_of_tuning_is_over_final_seeds(cluster: FakeCluster) -> None:
    study = finished()
    rate = study.chosen["sgd"].setting["model.optimizer.lr"]
    own = {"model": {"optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01}}}}
    gains = [accuracy(_tree(study, "sgd"), seed) - accuracy(own, seed) for seed in range(3)]
    assert rate != 0.01
    assert study.gains["sgd"].mean == pytest.approx(sum(gains) / 3)


def test_order_and_number_of_workers_change_nothing(cluster: FakeCluster) -> None:
    study = finished()
    expected, chosen = trials(study), {name: trial.number for name, trial in study.chosen.items()}
    cluster.is_backward, cluster.workers = True, 3
    again = finished(out=Path("other"))
    assert trials(again) == expected
    assert {name: trial.number for name, trial in again.chosen.items()} == chosen


def test_interrupted_study_ends_as_it_would_have(cluster: FakeCluster) -> None:
    # Within the trials, the candidates, and the final runs.
    for runs in (0, 7, 25, 40):
        cluster.stop_after = runs
        with pytest.raises(KeyboardInterrupt, match="to go on; see the results so far with optimcifar report study"):
            tune.train(planned())
    cluster.stop_after = None
    study = finished()
    assert len(cluster.trained) == len(set(cluster.trained)) == 44  # no run was repeated
    whole = finished(out=Path("whole"))
    assert trials(study) == trials(whole)
    assert Path("study/tuned/sgd.yaml").read_text() == Path("whole/tuned/sgd.yaml").read_text()


def test_more_trials_keep_those_that_there_are(cluster: FakeCluster) -> None:
    before = finished()
    trained = len(cluster.trained)
    study = finished(trials=16)
    added = cluster.trained[trained:]
    for name in ("sgd", "adam"):
        assert study.design.spaces[name].trials[:10] == before.design.spaces[name].trials
        assert [run.name for run in added if run.name.startswith(name) and run.seed == 1000] == [
            f"{name}-trial-{number}" for number in range(10, 16)
        ]
    assert study.design.comparison.looks == 2  # results were there
    with pytest.raises(UsageError, match="--trials was 16 in study before, and is now 10; choose another --out"):
        tune.train(planned())


def test_more_trials_before_any_final_run_are_no_other_look(cluster: FakeCluster) -> None:
    cluster.stop_after = 32
    with pytest.raises(KeyboardInterrupt):
        tune.train(planned())
    cluster.stop_after = None
    assert not any(run.is_tested for run in cluster.trained)
    assert finished(trials=12).design.comparison.looks == 1


def test_added_configuration_adds_its_runs_only(cluster: FakeCluster) -> None:
    finished("sgd.yaml")
    trained = len(cluster.trained)
    study = finished("sgd.yaml", "adam.yaml")
    assert all(run.name.startswith("adam") for run in cluster.trained[trained:])
    assert list(study.chosen) == ["sgd", "adam"]


def test_changed_space_is_refused(cluster: FakeCluster) -> None:
    finished("sgd.yaml:model.optimizer.lr=1e-3..1")
    files = sorted(OUT.rglob("*"))
    changed = "sgd was tuned in study before, and model.optimizer.lr was 0.001..1.0:log, and is now 0.001..10.0:log"
    with pytest.raises(UsageError, match=changed):
        tune.train(planned("sgd.yaml:model.optimizer.lr=1e-3..10"))
    assert sorted(OUT.rglob("*")) == files


def test_changed_settings_are_refused_before_any_run(cluster: FakeCluster) -> None:
    cluster.stop_after = 1
    with pytest.raises(KeyboardInterrupt):
        tune.train(planned())
    cluster.stop_after = None
    files = {path: path.stat().st_mtime_ns for path in OUT.rglob("*")}
    for options, change in (
        (["--trainer.max_epochs", "5"], "was made with other settings: trainer.max_epochs was 10, and is now 5"),
        (["--data.batch_size=32"], "was made with other settings: data.init_args.batch_size was 64, and is now 32"),
        (
            ["--model.optimizer.weight_decay=0.1"],
            "was made with other settings: model.optimizer.init_args.weight_decay",
        ),
    ):
        with pytest.raises(UsageError, match=change):
            tune.train(planned(options=options, trials=12))
    Path("sgd.yaml").write_text(Path("sgd.yaml").read_text().replace("lr: 0.01", "lr: 0.02"))
    for configs, change in (
        (["sgd.yaml"], "model.optimizer.lr was 0.000316..0.316:log, and is now 0.000632..0.632:log"),
        (["sgd.yaml:model.optimizer.lr=0.000316..0.316"], "its own model.optimizer.lr was 0.01, and is now 0.02"),
    ):
        with pytest.raises(UsageError, match=change):
            tune.train(planned(*configs))
    assert len(cluster.trained) == 1
    assert {path: path.stat().st_mtime_ns for path in OUT.rglob("*")} == files


def test_failed_trials_count_as_trials(cluster: FakeCluster, capsys: pytest.CaptureFixture[str]) -> None:
    def fails_above(tree: dict[str, Any], seed: int) -> float | None:
        return None if tree["model"]["optimizer"]["init_args"]["lr"] > 0.02 else accuracy(tree, seed)

    cluster.accuracy = fails_above
    study = finished()
    rates = [trial.setting["model.optimizer.lr"] for trial in study.trials["sgd"]]
    assert len(rates) == 10
    assert study.chosen["sgd"].setting["model.optimizer.lr"] == max(rate for rate in rates if rate <= 0.02)


def test_baseline_without_any_result_ends_the_study(cluster: FakeCluster) -> None:
    def fails(tree: dict[str, Any], seed: int) -> float | None:
        return None if "SGD" in tree["model"]["optimizer"]["class_path"] else accuracy(tree, seed)

    cluster.accuracy = fails
    with pytest.raises(RuntimeError, match="no trial of sgd has a result"):
        tune.train(planned())


def test_tuned_files_are_complete_configurations(cluster: FakeCluster) -> None:
    study = finished(options=["--trainer.max_epochs", "2"])
    tuned = yaml.safe_load(Path("study/tuned/sgd.yaml").read_text())
    assert tuned["trainer"] == {"max_epochs": 2}
    assert tuned["model"]["optimizer"]["init_args"] == {
        "lr": study.chosen["sgd"].setting["model.optimizer.lr"],
        "weight_decay": 0,
    }


def test_plan_says_what_the_study_takes_and_writes_nothing(cluster: FakeCluster) -> None:
    assert tune.describe(planned("sgd.yaml", "adam.yaml", seeds=5)) == (
        # A minute for each of 52 runs, by two workers.
        "2 configurations x (10 + 2 x 3) tuning runs + 2 x 2 x 5 final runs = 52 runs, about 26 minutes on 2 workers"
    )
    assert not OUT.exists()
    two = tune.describe(planned(tuning_seeds=2, seeds="auto"))
    assert two.startswith(
        "2 configurations x (10 x 2 + 1 x 3) tuning runs + 2 x 2 x 5 to 20 final runs = 66 to 126 runs, about"
    )
    finished(seeds=5)
    assert tune.describe(planned(seeds=5)).endswith("= 52 runs, all of which have ended")


def test_seeds_on_demand_go_to_both_settings_of_undecided_configurations(cluster: FakeCluster) -> None:
    study = finished(seeds="auto", max_seeds=10)
    assert study.comparison.differences[0].verdict == "better"  # after the first stage, of five seeds
    assert {run.seed for run in cluster.trained if run.is_tested} == {0, 1, 2, 3, 4}

    def nearly_equal(tree: dict[str, Any], seed: int) -> float:
        small = 0.004 if "Adam" in tree["model"]["optimizer"]["class_path"] else 0
        return 0.5 + small + 0.01 * math.sin(seed * seed + 1000 * small)

    cluster.accuracy = nearly_equal
    cluster.trained.clear()
    noisy = finished(
        *("sgd.yaml:model.optimizer.lr=1e-3..1", "adam.yaml:model.optimizer.lr=1e-3..1"),
        seeds="auto", max_seeds=10, out=Path("noisy"),
    )  # fmt: skip
    chosen = {f"{name}-trial-{trial.number}" for name, trial in noisy.chosen.items()}
    assert {run.name for run in cluster.trained if run.seed == 9} == chosen | {"sgd-trial-0", "adam-trial-0"}


def test_the_design_is_there_before_the_first_run(cluster: FakeCluster) -> None:
    cluster.stop_after = 0
    with pytest.raises(KeyboardInterrupt):
        tune.train(planned())
    assert TuningDesign.read(OUT) is not None
