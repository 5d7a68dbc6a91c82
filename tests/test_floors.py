"""The oldest versions that .ci/run tests are those that pyproject.toml allows."""

from __future__ import annotations

import re
import tomllib

from helpers import ROOT
from packaging.requirements import Requirement
from packaging.version import Version


def test_floors_are_the_oldest_versions_that_the_package_allows() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    named = [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"]["test"])]
    oldest = {
        requirement.name: [Version(limit.version) for limit in requirement.specifier if limit.operator == ">="]
        for requirement in named
    }
    lines = (ROOT / "tests/floors.txt").read_text(encoding="utf-8").splitlines()
    floors = [re.fullmatch(r"([a-z-]+)==([\d.]+)", line) for line in lines if not line.startswith("#")]
    assert {floor[1]: [Version(floor[2])] for floor in floors if floor} == oldest
    assert all(floors)
