from __future__ import annotations

import inspect
import re
import shlex
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import CONFIGS, ROOT, Outcome
from torch.optim import Optimizer, lr_scheduler
from torch.optim.lr_scheduler import LRScheduler

README = (ROOT / "README.md").read_text()

COMMANDS = re.findall(r"^optimcifar (fit .+)$", README, re.MULTILINE)


def test_first_screen_has_the_two_commands() -> None:
    first = "\n".join(README.splitlines()[:45])
    for command in (
        "pip install -e . && optimcifar fit --config configs/rmsprop.yaml --data Shapes10DataModule",
        'pip install -e ".[test]" && pytest',
    ):
        assert f"```sh\n{command}\n```" in first


def test_table_has_every_configuration() -> None:
    linked = re.findall(r"^\| \[(\w+)\]\(configs/\1\.yaml\)", README, re.MULTILINE)
    assert sorted(linked) == sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    assert "JPEG copy" in README
    assert "3 seeds" in README


def public_classes(module: object, base: type) -> set[str]:
    found = inspect.getmembers(module, inspect.isclass)
    return {name for name, kind in found if issubclass(kind, base) and name[0] != "_" and kind is not base}


def test_tables_of_optimizers_and_schedules_have_a_test_for_every_row() -> None:
    rows = dict(re.findall(r"^\| `(\w+)` \| (\w+) \|", README, re.MULTILINE))
    works = {name for name, verdict in rows.items() if verdict == "works"}
    # Those that test_optimizer and test_schedule are run for.
    assert works == (public_classes(torch.optim, Optimizer) | public_classes(lr_scheduler, LRScheduler)) - {
        "SparseAdam"
    }
    assert rows["SparseAdam"] == "refused"


def test_links_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http|#)([^)]+)\)", README):
        assert (ROOT / target).exists(), target


@pytest.mark.parametrize("command", COMMANDS)
def test_command_trains(command: str, optimcifar: Callable[..., Outcome], image_folders: Path, tmp_path: Path) -> None:
    (tmp_path / "my_file.py").write_text(
        "import torch\n"
        "class MyOptimizer(torch.optim.SGD):\n"
        "    def __init__(self, params, lr: float):\n"
        "        super().__init__(params, lr=lr)\n"
    )
    (tmp_path / "configs").symlink_to(CONFIGS)
    image_folders.rename(tmp_path / "data")
    outcome = optimcifar(*shlex.split(command), "--data.val_size", 20, "--trainer.max_epochs", 7)
    assert (outcome.status, outcome.err) == (0, "")


def test_example_in_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (example,) = re.findall(r"```python\n(.+?)```", README, re.DOTALL)
    scope: dict[str, object] = {}
    exec(example.replace("Shapes10DataModule()", "Shapes10DataModule(train_images=1000, val_size=100)"), scope)
    trained, classifier = scope["trained"], scope["classifier"]
    assert {"metrics.csv", "summary.json"} <= {path.name for path in (tmp_path / "lightning_logs/version_0").iterdir()}
    weights = list(trained.parameters())  # type: ignore[attr-defined]
    assert all((a == b).all() for a, b in zip(weights, classifier.parameters(), strict=True))  # type: ignore[attr-defined]


def test_every_dependency_says_who_needs_it() -> None:
    text = (ROOT / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    named = [*project["dependencies"], *(d for extra in project["optional-dependencies"].values() for d in extra)]
    assert named
    for dependency in named:
        assert re.search(rf'^  "{re.escape(dependency)}",\s+# .+', text, re.MULTILINE), dependency


def test_top_level_holds_what_a_reader_expects() -> None:
    files, folders = {"pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md"}, {"optimcifar", "configs", "tests"}
    ignored = {"data", "build", "dist"}
    found = {path.name for path in ROOT.iterdir() if not path.name.startswith(".") and path.suffix != ".egg-info"}
    assert found - ignored == files | folders | {"lightning_logs"}
