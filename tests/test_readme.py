"""The READMEs: their examples run, their links lead somewhere, and their tables are complete."""

from __future__ import annotations

import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from fake_cluster import FakeCluster
from helpers import CONFIGS, ROOT, Command, make_comparison, metrics_without_times, tracked_files
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

from optimcifar.comparison.plan import make_plan
from optimcifar.comparison.workload_plan import parse_workloads, plan_workloads
from optimcifar.training.lightning_cli import TrainingCLI
from optimcifar.training.process import command_line_settings

FOLDERS = (".", "configs", "optimcifar", "optimcifar/comparison", "optimcifar/tuning", "tests", "tests/benchmarks")
READMES = [ROOT / folder / "README.md" for folder in FOLDERS]
SPANISH = ROOT / "configs/LEEME.md"
README, CATALOGUE, MAP, COMPARISONS = (path.read_text(encoding="utf-8") for path in READMES[:4])
EVERYTHING = "\n".join(path.read_text(encoding="utf-8") for path in READMES)

FIRST = "fit --config configs/rmsprop.yaml --data Shapes10DataModule"
TEST = 'pip install -e ".[test]" && pytest'


def fenced(language: str, text: str = EVERYTHING) -> list[str]:
    return re.findall(rf"^```{language}\n(.+?)^```", text, re.DOTALL | re.MULTILINE)


def examples(command: str) -> list[str]:
    """Return the different options that all READMEs show for a command."""
    found = re.findall(rf"^(?:.+ && )?optimcifar ({command} .+)$", "\n".join(fenced("sh")), re.MULTILINE)
    return list(dict.fromkeys(found))


def rows(text: str, folder: str = "") -> dict[str, list[str]]:
    """Return the cells of the first table that has a configuration, by name, given the folder that the names link."""
    lines = re.findall(rf"^\| \[(\w+)\]\({folder}\1\.yaml\) \| (.+) \|$", text, re.MULTILINE)
    return {name: [cell.strip() for cell in cells.split(" |")] for name, cells in reversed(lines)}


def anchors(text: str) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.+?^```", "", text, flags=re.DOTALL | re.MULTILINE), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def public_classes(module: object, base: type) -> set[str]:
    found = inspect.getmembers(module, inspect.isclass)
    return {name for name, kind in found if issubclass(kind, base) and name[0] != "_" and kind is not base}


def modules_of_the_map() -> Iterator[str]:
    (tree,) = (block for block in fenced("text", MAP) if "comparison/" in block)
    folder = ""
    for indent, name in re.findall(r"^( *)(\S+)", tree, re.MULTILINE):
        if name.endswith("/"):
            folder = name
        else:
            yield (folder if indent else "") + name


def test_every_readme_is_checked_here() -> None:
    assert {path for path in tracked_files() if path.name == "README.md"} == {path.resolve() for path in READMES}


def test_readme_can_be_read_in_two_minutes() -> None:
    assert len(README.split()) <= 1000
    assert 1 <= len(rows(README, "configs/tuned/")) <= 8


def test_readme_has_the_two_commands_first() -> None:
    shown = fenced("sh", README.partition("## What you can do")[0])
    assert f"pip install -e . && optimcifar {FIRST}\n" in shown
    assert f"{TEST}\n" in shown


def test_readme_shows_figures_of_the_catalogue() -> None:
    complete = rows(CATALOGUE, "tuned/")
    for name, cells in rows(README, "configs/tuned/").items():
        assert cells == complete[name][: len(cells)]


def test_catalogue_has_every_configuration() -> None:
    assert rows(CATALOGUE).keys() == {path.stem for path in tracked_files() if path.match("configs/*.yaml")}
    assert "JPEG copy" in CATALOGUE
    assert "seeds 0, 1 and 2" in CATALOGUE


def test_tables_of_optimizers_and_schedules_have_every_public_class() -> None:
    verdicts = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", CATALOGUE, re.MULTILINE))
    works = {name for name, verdict in verdicts.items() if verdict == "works"}
    # test_optimizer and test_schedule run for these.
    expected = public_classes(torch.optim, Optimizer) | public_classes(lr_scheduler, LRScheduler)
    assert works == expected - {"SparseAdam"}
    assert verdicts["SparseAdam"] == "refused"


def test_map_has_every_module() -> None:
    package = ROOT / "optimcifar"
    modules = [path for path in tracked_files() if path.suffix == ".py" and path.is_relative_to(package)]
    assert sorted(modules_of_the_map()) == sorted(
        path.relative_to(package).as_posix() for path in modules if path.name != "__init__.py"
    )


@pytest.mark.parametrize(
    "readme", [*READMES, SPANISH, ROOT / "CHANGELOG.md"], ids=lambda path: str(path.relative_to(ROOT))
)
def test_links_lead_somewhere(readme: Path) -> None:
    text = readme.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!http)([^)#]*)(?:#([^)]+))?\)", text):
        linked = readme.parent / target if target else readme
        assert linked.exists(), target
        assert not anchor or anchor in anchors(linked.read_text(encoding="utf-8")), f"{target}#{anchor}"


def test_commands_in_spanish_are_those_in_english() -> None:
    shown = {line for block in fenced("sh", SPANISH.read_text(encoding="utf-8")) for line in block.splitlines()}
    assert shown
    assert shown <= {line for block in fenced("sh") for line in block.splitlines()}


@pytest.mark.parametrize("command", examples("fit"))
def test_example_of_fit_trains(command: str, optimcifar: Command, image_folders: Path, tmp_path: Path) -> None:
    (tmp_path / "my_file.py").write_text(
        "import torch\n"
        "class MyOptimizer(torch.optim.SGD):\n"
        "    def __init__(self, params, lr: float):\n"
        "        super().__init__(params, lr=lr)\n"
    )
    (tmp_path / "configs").symlink_to(CONFIGS)
    image_folders.rename(tmp_path / "data")
    small = ("--data.val_size", 20, "--trainer.max_epochs", 7, "--trainer.limit_train_batches", 3)
    outcome = optimcifar(*shlex.split(command, comments=True), *small)
    assert (outcome.status, outcome.err) == (0, "")
    if command == FIRST:
        optimizer, schedule = outcome.out.splitlines()[1:3]
        assert f"\n{optimizer}\n{schedule}\n" in README


@pytest.mark.parametrize("command", examples("schedule"))
def test_example_of_schedule_draws(command: str, optimcifar: Command, image_folders: Path, tmp_path: Path) -> None:
    (tmp_path / "configs").symlink_to(CONFIGS)
    image_folders.rename(tmp_path / "data")
    outcome = optimcifar(*shlex.split(command), "--data.val_size", 20)
    assert (outcome.status, outcome.err) == (0, "")
    assert (tmp_path / "schedule.png").exists()


@pytest.mark.parametrize("command", examples("configs"))
def test_example_of_configs_works(command: str, optimcifar: Command) -> None:
    outcome = optimcifar(*shlex.split(command, comments=True))
    assert (outcome.status, outcome.err) == (0, "")


@pytest.mark.parametrize("command", [*examples("sweep"), *examples("tune")])
def test_example_of_a_sweep_or_a_study_trains_what_it_says(
    command: str, optimcifar: Command, cluster: FakeCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "configs").symlink_to(CONFIGS)
    for file in tmp_path.glob("*.yaml"):
        file.unlink()  # a file would take precedence over a name
    cluster.accuracy = lambda tree, seed: 0.5 + seed / 1e5
    for shown in ("show_sweep", "show_study"):
        monkeypatch.setattr(f"optimcifar.tuning.commands.{shown}", lambda *_: None)
    words = shlex.split(command)
    outcome = optimcifar(*words)
    assert (outcome.status, outcome.err) == (0, "")
    numbers = re.search(r"= (?:\d+ to )?(\d+) runs", outcome.out)
    assert numbers
    if "--plan" not in words:
        assert 0 < len(cluster.trained) <= int(numbers[1])


@pytest.mark.parametrize("example", [example for example in fenced("python") if "Trainer(" in example])
def test_example_in_python_trains(example: str, tmp_path: Path) -> None:
    scope: dict[str, object] = {}
    exec(example.replace("Shapes10DataModule()", "Shapes10DataModule(train_images=1000, val_size=100)"), scope)
    assert {"metrics.csv", "summary.json"} <= {path.name for path in (tmp_path / "lightning_logs/version_0").iterdir()}
    if "trained" in scope:
        trained, classifier = scope["trained"], scope["classifier"]
        weights = zip(trained.parameters(), classifier.parameters(), strict=True)  # type: ignore[attr-defined]
        assert all((a == b).all() for a, b in weights)


def test_python_example_on_top_prints_losses_and_can_be_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (example,) = fenced("python", README)
    runs = []
    for seed in (1, 2):
        torch.manual_seed(seed)  # whatever came before
        scope: dict[str, Any] = {}
        exec(example.replace("Shapes10DataModule()", "Shapes10DataModule(train_images=1000, val_size=100)"), scope)
        losses = re.findall(r"epoch (\d)/2 .*train loss ([\d.]+)  val loss ([\d.]+)", capsys.readouterr().out)
        assert [epoch for epoch, *_ in losses] == ["1", "2"]
        runs.append((losses, [*scope["trainer"].lightning_module.parameters()]))
    (losses, weights), (losses_again, weights_again) = runs
    assert losses == losses_again
    assert all((a == b).all() for a, b in zip(weights, weights_again, strict=True))


@pytest.mark.slow
def test_python_example_on_top_gives_the_same_weights_in_two_processes(tmp_path: Path) -> None:
    (example,) = fenced("python", README)
    for _ in range(2):
        subprocess.run([sys.executable, "-c", example], check=True, capture_output=True)
    first, second = (tmp_path / "lightning_logs" / f"version_{number}" for number in range(2))
    assert metrics_without_times(first) == metrics_without_times(second)
    (one,), (other,) = (
        [torch.load(path, weights_only=True)["state_dict"] for path in run.glob("checkpoints/*.ckpt")]
        for run in (first, second)
    )
    assert one.keys() == other.keys()
    assert all((one[name] == other[name]).all() for name in one)


def test_example_of_a_comparison_in_python_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_comparison(tmp_path / "lightning_logs/comparison", ["sgd", "adam"])
    (example,) = fenced("python", COMPARISONS)
    training = re.compile(r"^comparison = optimcifar\.compare\(.+\)\n", re.MULTILINE)  # takes minutes
    assert training.search(example)
    scope: dict[str, Any] = {}
    exec(training.sub("", example), scope)
    printed = "adam: better, +0.050 over 3 seeds\nadam: 0.350 after 8 s of training\n"
    assert capsys.readouterr().out == printed
    assert [record["configuration"] for record in scope["records"]] == ["adam", "sgd"]


def test_example_of_workloads_is_planned(tmp_path: Path) -> None:
    names = []
    for text in fenced("yaml", COMPARISONS):
        names.append(text.splitlines()[0].removeprefix("# "))
        (tmp_path / names[-1]).write_text(text)
    (command,) = (command for command in examples("compare") if "--workload" in command)
    assert [word for word in shlex.split(command) if word.endswith(".yaml")] == names
    plan = plan_workloads(make_plan(["sgd", "muon"], 1, out="out"), parse_workloads(names))
    nets = []
    for run in (run for own in plan.plans.values() for run in own.runs([0])):
        with command_line_settings():
            tree = yaml.safe_load(TrainingCLI("fit", run.options, only=[]).resolved())
        nets.append((tree["model"]["net"]["class_path"], tree["data"]["init_args"]["augment"]))
    assert nets == [("optimcifar.ConvNet", None)] * 2 + [("optimcifar.ResNet20", "crop_flip")] * 2


def test_every_dependency_says_who_needs_it() -> None:
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    named = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    assert named
    for dependency in named:
        comment = re.search(rf'^  "{re.escape(dependency)}",\s+# (.+)', text, re.MULTILINE)
        assert comment, dependency
        for path in re.findall(r"[\w/]+\.py", comment[1]):
            assert (ROOT / path).exists() or (ROOT / "optimcifar" / path).exists(), path


def test_top_level_holds_what_a_reader_expects() -> None:
    names = {path.relative_to(ROOT).parts[0] for path in tracked_files()}
    files = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"}
    folders = {"optimcifar", "configs", "tests"}
    assert {name for name in names if not name.startswith(".")} - {"lightning_logs"} == files | folders
