"""configs/results/ and configs/tuned/: the tables that readers see, computed again from the runs' figures.

``OPTIMCIFAR_DATA`` is the folder with the images, as in ``--data.root``; without it, no run is made again.
"""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean
from typing import Any
from xml.etree import ElementTree

import pytest
import torch
import yaml
from helpers import CONFIGS, ROOT, read_rows, tracked_files
from scipy import stats
from statsmodels.stats.multitest import multipletests

from optimcifar.spaces.values import option_text

RESULTS = CONFIGS / "results"
SUMMARY = {row["configuration"]: row for row in read_rows(RESULTS / "summary.csv")}
RUNS = read_rows(RESULTS / "results.csv")
TRIALS = read_rows(RESULTS / "trials.csv")
COSTS = {row["configuration"]: row for row in read_rows(RESULTS / "costs/summary.csv")}
DATA = os.environ.get("OPTIMCIFAR_DATA", "")

ENGLISH, SPANISH, FRONT = CONFIGS / "README.md", CONFIGS / "LEEME.md", ROOT / "README.md"

# Where the runs were made. With another processor or torch, sums are rounded in another order, and the losses of a run
# drift apart within some steps.
MADE_WITH = ("2.15.0", "AVX512", "AuthenticAMD 25 17")

VERDICTS = {
    "no difference shown": "sin diferencia demostrada",
    "better": "mejor",
    "worse": "peor",
    "baseline": "referencia",
    "own setting kept": "se conservan los originales",
}


def tables(readme: Path, folder: str) -> dict[str, dict[str, str]]:
    """Return the cells of the tables that link configurations in a folder: by configuration, then by column."""
    found: dict[str, dict[str, str]] = defaultdict(dict)
    head: list[str] = []
    for line in readme.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")] if line.startswith("|") else []
        link = re.fullmatch(rf"\[(\w+)\]\((?:configs/)?{folder}\1\.yaml\)", cells[0]) if cells else None
        if link:
            found[link[1]] |= dict(zip(head[1:], cells[1:], strict=True))
        elif cells and not set(cells[0]) <= set("-:"):
            head = cells
    return found


def mean_and_half(row: dict[str, str], name: str) -> str:
    half = (float(row[f"{name}_high"]) - float(row[f"{name}_low"])) / 2
    return f"{float(row[name]):.3f} ± {half:.3f}"


def difference(row: dict[str, str], name: str) -> str:
    """Return a difference with its interval; nothing where there is none."""
    if not row[name]:
        return ""
    mean, low, high = (float(row[f"{name}{end}"]) for end in ("", "_low", "_high"))
    return f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


def accuracies(name: str) -> dict[int, float]:
    """Return the final validation accuracies of a tuned configuration, by seed."""
    return {int(run["seed"]): float(run["val_acc"]) for run in RUNS if run["configuration"] == name}


def accuracy_or_chance(run: dict[str, str]) -> float:
    """Return the final validation accuracy of a run; one that diverged counts as chance."""
    return float(run["val_acc"]) if run["status"] == "finished" else 0.1


def tuned_values(name: str) -> dict[str, str]:
    """Return the value that was chosen for every hyperparameter that was tuned."""
    chosen = next(trial for trial in TRIALS if trial["configuration"] == name and trial["is_chosen"] == "True")
    return {key: value for key, value in chosen.items() if key.startswith(("model.", "trainer.")) and value}


@pytest.mark.parametrize("readme", [ENGLISH, FRONT, SPANISH], ids=lambda path: path.name)
def test_tables_of_tuned_settings_show_the_figures_of_summary_csv(readme: Path) -> None:
    shown = tables(readme, "tuned/")
    assert shown.keys() <= SUMMARY.keys() if readme == FRONT else shown.keys() == SUMMARY.keys()
    for name, cells in shown.items():
        row = SUMMARY[name]
        _, setting, accuracy, found, verdict, averaged, *more = ["", *cells.values()]
        assert [accuracy, averaged] == [mean_and_half(row, "val_acc"), mean_and_half(row, "val_acc_ema")]
        assert found == difference(row, "difference")
        assert verdict in {row["verdict"], VERDICTS[row["verdict"]]}
        for key, value in tuned_values(name).items():
            assert f"{key.rpartition('.')[2]} {value}" in setting
        if more:
            seeds, gain, verdict_on_gain, test, averaged_test = more
            assert seeds == row["seeds"]
            assert gain == difference(row, "ema_gain")
            assert verdict_on_gain in {row["ema_verdict"], VERDICTS[row["ema_verdict"]]}
            assert [test, averaged_test] == [mean_and_half(row, "test_acc"), mean_and_half(row, "test_acc_ema")]
    means = [float(SUMMARY[name]["val_acc"]) for name in shown]
    assert means == sorted(means, reverse=True)


@pytest.mark.parametrize("readme", [ENGLISH, SPANISH], ids=lambda path: path.name)
def test_tables_of_what_tuning_brought_and_cost_show_the_figures_of_the_tables(readme: Path) -> None:
    shown = {name: cells for name, cells in tables(readme, "").items() if name in SUMMARY}
    assert shown.keys() == SUMMARY.keys()
    for name, cells in shown.items():
        row, cost = SUMMARY[name], COSTS[name]
        relative = float(COSTS["sgd"]["images_per_second"]) / float(cost["images_per_second"])
        *_, own, gain, verdict, runs, minutes, milliseconds, times, state = cells.values()
        seconds = int(row["tuning_runs"]) * 7040 * 64 / float(cost["images_per_second"])  # 10 epochs of 704 batches
        assert own == mean_and_half(row, "own_val_acc")
        assert gain == difference(row, "tuning_gain")
        assert verdict in {row["tuning_verdict"], VERDICTS[row["tuning_verdict"]]}
        assert (runs, minutes) == (row["tuning_runs"], f"{seconds / 60:.0f}")
        assert (milliseconds, times) == (f"{float(cost['optimizer_step_ms']):.2f}", f"{relative:.1f}")
        assert state == f"{int(cost['optimizer_state_bytes']) / 4 / 62_006:.1f}"


@pytest.mark.parametrize("name", SUMMARY)
def test_means_and_intervals_follow_from_the_runs(name: str) -> None:
    values, row = list(accuracies(name).values()), SUMMARY[name]
    low, high = stats.t.interval(0.95, len(values) - 1, loc=fmean(values), scale=stats.sem(values))
    found = [float(row[key]) for key in ("val_acc", "val_acc_low", "val_acc_high")]
    assert found == pytest.approx([fmean(values), low, high], abs=1e-6)
    assert int(row["seeds"]) == len(values) >= 5
    if name != "sgd":
        baseline = accuracies("sgd")
        mean = fmean(value - baseline[seed] for seed, value in accuracies(name).items())
        assert float(row["difference"]) == pytest.approx(mean, abs=1e-6)


def test_verdicts_follow_from_the_runs() -> None:
    # Two looks, after 5 and after 10 seeds, which may spend 5/15 and 10/15 of the 5 %.
    baseline = accuracies("sgd")
    undecided = [name for name in SUMMARY if name != "sgd"]
    verdicts = {}
    for seeds in (5, 10):
        p_values = []
        for name in undecided:
            values = {seed: value for seed, value in accuracies(name).items() if seed < seeds}
            is_new = len(values) == seeds
            pairs = [(value, baseline[seed]) for seed, value in values.items()]
            p_values.append(stats.ttest_rel(*zip(*pairs, strict=True)).pvalue if is_new else 1)
        rejected, *_ = multipletests(p_values, alpha=0.05 * seeds / 15, method="holm")
        for name, is_rejected in zip(list(undecided), rejected, strict=True):
            if is_rejected:
                verdicts[name] = "better" if float(SUMMARY[name]["difference"]) > 0 else "worse"
                undecided.remove(name)
    verdicts |= dict.fromkeys(undecided, "no difference shown")
    assert verdicts == {name: row["verdict"] for name, row in SUMMARY.items() if name != "sgd"}


def test_results_are_the_final_runs_of_the_chosen_trials() -> None:
    final = [trial for trial in TRIALS if trial["is_chosen"] == trial["is_final"] == "True"]
    columns = ("configuration", "seed", "status", "val_acc", "test_acc", "train_loss")
    assert sorted(tuple(run[name] for name in columns) for run in RUNS) == sorted(
        tuple(trial[name] for name in columns) for trial in final
    )


@pytest.mark.parametrize("name", SUMMARY)
def test_chosen_trial_has_the_highest_mean_over_the_tuning_seeds(name: str) -> None:
    means: dict[str, list[float]] = defaultdict(list)
    for trial in TRIALS:
        if trial["configuration"] == name and trial["is_final"] == "False":
            means[trial["trial"]].append(accuracy_or_chance(trial))
    assert len(means) == 10
    complete = {trial: fmean(values) for trial, values in means.items() if len(values) == 3}
    chosen = {t["trial"] for t in TRIALS if t["configuration"] == name and t["is_chosen"] == "True"}
    assert chosen == {max(complete, key=lambda trial: complete[trial])}


@pytest.mark.parametrize("name", SUMMARY)
def test_tuned_configuration_has_the_chosen_values(name: str) -> None:
    tree = yaml.safe_load((CONFIGS / f"tuned/{name}.yaml").read_text(encoding="utf-8"))
    own = yaml.safe_load((CONFIGS / f"{name}.yaml").read_text(encoding="utf-8"))
    for key, tuned in tuned_values(name).items():
        path = key.split(".")
        if path[0] == "trainer":  # an argument of a callback
            (found,) = (
                callback["init_args"][path[-1]]
                for callback in tree["trainer"]["callbacks"]
                if path[-1] in callback["init_args"]
            )
        else:
            found = argument(tree, path)
        assert option_text(found) == tuned or float(found) == float(tuned)
    assert tree["model"]["optimizer"]["class_path"] == own["model"]["optimizer"]["class_path"]
    assert tree["trainer"]["max_epochs"] == own["trainer"]["max_epochs"] == 10


def argument(tree: dict[str, Any], path: list[str]) -> Any:
    """Return an argument in a tree of class paths and their arguments."""
    for name in path:
        tree = tree.get("init_args", tree)[name]
    return tree


@pytest.mark.parametrize("readme", [ENGLISH, SPANISH], ids=lambda path: path.name)
def test_tables_of_sweeps_show_the_means_of_the_runs(readme: Path) -> None:
    found = re.findall(
        r"^\| (\w+) \| (sgd|adam|rmsprop) \| (.+: .+) \|$", readme.read_text(encoding="utf-8"), re.MULTILINE
    )
    assert {name for name, *_ in found} == {path.name for path in RESULTS.glob("sweeps/*")}
    for name, configuration, cells in found:
        values: dict[str, list[float]] = defaultdict(list)
        for row in read_rows(RESULTS / "sweeps" / name / "sweep.csv"):
            if row["configuration"] == configuration:
                values[row[f"model.optimizer.{name}"]].append(accuracy_or_chance(row))
        means = {value: fmean(seeds) for value, seeds in values.items()}
        best = max(means, key=lambda value: means[value])
        texts = {value: f"{value}: {mean:.3f}" for value, mean in means.items()}
        assert {cell.strip() for cell in cells.split(";")} == {
            f"**{text}**" if value == best else text for value, text in texts.items()
        }


def test_files_are_small_and_pictures_can_be_drawn() -> None:
    files = [path for path in tracked_files() if path.is_relative_to(CONFIGS)]
    assert {path.suffix for path in files if path.is_relative_to(RESULTS)} == {".csv", ".md", ".svg"}
    for path in files:
        assert path.stat().st_size < 300_000, path
        if path.suffix == ".svg":
            assert ElementTree.parse(path).getroot().tag.endswith("svg")


def processor() -> str:
    """Return the processor's vendor, family and model, where the system tells them."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return ""
    facts = {name.strip(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    return " ".join(facts.get(name, "") for name in ("vendor_id", "cpu family", "model"))


def run_again(run: dict[str, str], folder: Path) -> dict[str, Any]:
    """Train and test a run of results.csv as a user would, in an empty folder, and return its figures."""
    folder.mkdir()
    fit = ["fit", "--config", f"tuned/{run['configuration']}", "--seed_everything", run["seed"], "--data.root", DATA]
    for words in (fit, ["test", "--ckpt_path", "lightning_logs/version_0"]):
        command = [sys.executable, "-m", "optimcifar", *words]
        subprocess.run(command, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, cwd=folder)
    written = (folder / "lightning_logs/version_0" / name for name in ("summary.json", "checkpoints/last.test.json"))
    summary, test = (json.loads(path.read_text()) for path in written)
    return {**summary, **test}


@pytest.mark.slow
@pytest.mark.skipif(not DATA, reason="OPTIMCIFAR_DATA is not set to a folder with CIFAR-10")
def test_results_of_two_rows_at_random_are_found_again(tmp_path: Path) -> None:
    here = (torch.__version__.partition("+")[0], torch.backends.cpu.get_cpu_capability(), processor())
    tolerance = 1e-6 if here == MADE_WITH else 0.06
    for name in random.sample(sorted(SUMMARY), 2):
        run = random.choice([run for run in RUNS if run["configuration"] == name])
        found = run_again(run, tmp_path / name)
        for key in ("initial_weights_sha256", "first_epoch_order_sha256", "status"):
            assert found[key] == run[key], run
        for key in ("val_acc", "val_acc_swa", "val_acc_ema", "test_acc", "train_loss"):
            assert found[key] == pytest.approx(float(run[key]), abs=tolerance), (key, run)
