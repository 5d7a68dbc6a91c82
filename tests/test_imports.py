"""Imports run one way, and light modules stay light."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from helpers import ROOT

PACKAGE = ROOT / "optimcifar"

# From the top floor down. A module imports from its own room, or from a room on a lower floor.
FLOORS = [
    {"__main__"},
    {"cli"},
    {"comparison"},
    {"training"},
    {"callbacks"},
    {"optim", "networks"},
    {"data", "runs"},
    {"errors"},
    {"text"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path: Path) -> set[str]:
    """Return the package's modules that a module imports, anywhere in its code, without the package's name."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "optimcifar":
            base = node.module.removeprefix("optimcifar").lstrip(".")
            for name in (alias.name for alias in node.names):
                is_module = (PACKAGE / base.replace(".", "/") / f"{name}.py").exists()
                found.add(".".join(filter(None, (base, name if is_module else ""))))
        elif isinstance(node, ast.Import):
            names = (alias.name for alias in node.names)
            found |= {name.removeprefix("optimcifar.") for name in names if name.startswith("optimcifar.")}
    return found - {""}


# The package's own __init__.py maps public names to modules and imports none of them before it is asked.
MODULES = {module_name(path): imports(path) for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"}


def test_every_module_has_a_floor() -> None:
    assert {name.split(".")[0] for name in MODULES} == FLOOR_OF.keys()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_module_imports_from_its_own_room_or_from_below(module: str) -> None:
    room = module.partition(".")[0]
    for imported in MODULES[module]:
        other = imported.partition(".")[0]
        assert other == room or FLOOR_OF[other] > FLOOR_OF[room], f"{module} imports {imported}"


def test_no_imports_go_in_a_circle() -> None:
    TopologicalSorter(MODULES).prepare()  # raises CycleError


@pytest.mark.parametrize(
    "module",
    [
        *("cli", "comparison.commands", "comparison.plan", "comparison.settings", "comparison.worker"),
        *("runs.atomic", "runs.folder", "runs.metrics", "runs.provenance", "runs.results"),
    ],
)
def test_module_imports_no_torch(module: str) -> None:
    program = f"import sys, optimcifar.{module}; sys.exit('torch' in sys.modules or 'lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
