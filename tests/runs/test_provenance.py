from __future__ import annotations

import torch

from optimcifar import ConvNet, __version__
from optimcifar.runs.provenance import import_path, versions


def test_import_path_is_the_shortest() -> None:
    assert import_path(torch.optim.RMSprop) == "torch.optim.RMSprop"
    assert import_path(ConvNet) == "optimcifar.ConvNet"


class Outer:
    class Inner:
        pass


def test_import_path_of_a_nested_class_names_the_outer_one() -> None:
    assert import_path(Outer.Inner) == f"{__name__}.Outer.Inner"


def test_versions_are_those_of_the_imported_packages() -> None:
    found = versions()
    assert found["optimcifar"] == __version__
    assert found["torch"] == torch.__version__.partition("+")[0]
