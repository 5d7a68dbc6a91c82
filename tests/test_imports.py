"""Imports between folders go one way, and some modules do not import torch."""

from __future__ import annotations

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from helpers import ROOT

PACKAGE = ROOT / "optimcifar"

# From top to bottom. A module imports from its own folder, or from a folder in a lower layer.
LAYERS = [
    {"__main__"},
    {"cli"},
    {"tuning"},
    {"comparison"},
    {"engine"},
    {"training", "report"},
    {"callbacks"},
    {"optim", "networks", "configurations"},
    {"data", "runs", "statistics", "spaces"},
    {"errors", "console"},
    {"text", "paths", "output", "environment", "help"},
]
LAYER_OF = {folder: layer for layer, folders in enumerate(LAYERS) for folder in folders}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def imports(path: Path) -> set[str]:
    """Return the names of the package's modules that a module imports, anywhere in its code."""
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


# Without the package's own __init__.py, which imports modules on first use.
MODULES = {module_name(path): imports(path) for path in PACKAGE.rglob("*.py") if path != PACKAGE / "__init__.py"}


def test_every_module_is_in_a_layer() -> None:
    assert {name.split(".")[0] for name in MODULES} == LAYER_OF.keys()


@pytest.mark.parametrize("module", sorted(MODULES))
def test_module_imports_from_its_own_folder_or_a_lower_layer(module: str) -> None:
    folder = module.partition(".")[0]
    for imported in MODULES[module]:
        other = imported.partition(".")[0]
        assert other == folder or LAYER_OF[other] > LAYER_OF[folder], f"{module} imports {imported}"


def test_no_imports_are_circular() -> None:
    TopologicalSorter(MODULES).prepare()  # raises CycleError


@pytest.mark.parametrize(
    "module",
    [
        *("cli", "comparison.commands", "comparison.plan", "configurations"),
        *("engine.runs", "engine.settings", "engine.worker"),
        *("runs.atomic", "runs.folder", "runs.metrics", "runs.provenance", "runs.results"),
        *("spaces.files", "spaces.points"),
    ],
)
def test_module_imports_no_torch(module: str) -> None:
    program = f"import sys, optimcifar.{module}; sys.exit('torch' in sys.modules or 'lightning' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
