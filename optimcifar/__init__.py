"""Optimizers, learning-rate schedules and weight averaging on CIFAR-10, compared honestly."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from optimcifar.averaging import EpochEndWeightAveraging as EpochEndWeightAveraging
    from optimcifar.averaging import WeightAverages as WeightAverages
    from optimcifar.cifar10 import CIFAR10DataModule as CIFAR10DataModule
    from optimcifar.classifier import ImageClassifier as ImageClassifier
    from optimcifar.datamodule import ImageDataModule as ImageDataModule
    from optimcifar.gradients_and_updates import GradientsAndUpdates as GradientsAndUpdates
    from optimcifar.muon import MuonWithAux as MuonWithAux
    from optimcifar.network import ConvNet as ConvNet
    from optimcifar.param_groups import ParamRule as ParamRule
    from optimcifar.run_folder import RunLogger as RunLogger
    from optimcifar.run_summary import RunSummary as RunSummary
    from optimcifar.schedules import ChainedSchedule as ChainedSchedule
    from optimcifar.schedules import SequentialSchedule as SequentialSchedule
    from optimcifar.shapes10 import Shapes10DataModule as Shapes10DataModule

# Read on first use (PEP 562): importing torch takes seconds, which `optimcifar --version` has no need of.
_MODULES = {
    "CIFAR10DataModule": "cifar10",
    "ChainedSchedule": "schedules",
    "ConvNet": "network",
    "EpochEndWeightAveraging": "averaging",
    "GradientsAndUpdates": "gradients_and_updates",
    "ImageClassifier": "classifier",
    "ImageDataModule": "datamodule",
    "MuonWithAux": "muon",
    "ParamRule": "param_groups",
    "RunLogger": "run_folder",
    "RunSummary": "run_summary",
    "SequentialSchedule": "schedules",
    "Shapes10DataModule": "shapes10",
    "WeightAverages": "averaging",
}
__all__ = ["__version__", *_MODULES]  # noqa: PLE0604  the names are strings


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
