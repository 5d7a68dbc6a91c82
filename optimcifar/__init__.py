"""Optimizers, learning-rate schedules and weight averaging on CIFAR-10, compared honestly."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from optimcifar.callbacks.console_output import EpochBar as EpochBar
    from optimcifar.callbacks.console_output import EpochLines as EpochLines
    from optimcifar.callbacks.epoch_end_weight_averaging import EpochEndWeightAveraging as EpochEndWeightAveraging
    from optimcifar.callbacks.gradients_and_updates import GradientsAndUpdates as GradientsAndUpdates
    from optimcifar.callbacks.run_summary import RunSummary as RunSummary
    from optimcifar.callbacks.step_losses import StepLosses as StepLosses
    from optimcifar.callbacks.weight_averages import WeightAverages as WeightAverages
    from optimcifar.comparison.compare import compare as compare
    from optimcifar.data.cifar import CIFAR10DataModule as CIFAR10DataModule
    from optimcifar.data.cifar import CIFAR100DataModule as CIFAR100DataModule
    from optimcifar.data.datamodule import ImageDataModule as ImageDataModule
    from optimcifar.data.image_folder import ImageFolderDataModule as ImageFolderDataModule
    from optimcifar.data.shapes10 import Shapes10DataModule as Shapes10DataModule
    from optimcifar.networks.convnet import ConvNet as ConvNet
    from optimcifar.networks.resnet import ResNet20 as ResNet20
    from optimcifar.optim.muon import MuonWithAux as MuonWithAux
    from optimcifar.optim.param_groups import ParamRule as ParamRule
    from optimcifar.optim.schedules import ChainedSchedule as ChainedSchedule
    from optimcifar.optim.schedules import SequentialSchedule as SequentialSchedule
    from optimcifar.report.comparison import read_comparison as read_comparison
    from optimcifar.runs.logger import RunLogger as RunLogger
    from optimcifar.training.classifier import ImageClassifier as ImageClassifier

# Read on first use (PEP 562): importing torch takes seconds, which `optimcifar --version` has no need of.
_MODULES = {
    "ChainedSchedule": "optim.schedules",
    "CIFAR10DataModule": "data.cifar",
    "CIFAR100DataModule": "data.cifar",
    "compare": "comparison.compare",
    "ConvNet": "networks.convnet",
    "EpochBar": "callbacks.console_output",
    "EpochEndWeightAveraging": "callbacks.epoch_end_weight_averaging",
    "EpochLines": "callbacks.console_output",
    "GradientsAndUpdates": "callbacks.gradients_and_updates",
    "ImageClassifier": "training.classifier",
    "ImageDataModule": "data.datamodule",
    "ImageFolderDataModule": "data.image_folder",
    "MuonWithAux": "optim.muon",
    "ParamRule": "optim.param_groups",
    "read_comparison": "report.comparison",
    "ResNet20": "networks.resnet",
    "RunLogger": "runs.logger",
    "RunSummary": "callbacks.run_summary",
    "SequentialSchedule": "optim.schedules",
    "Shapes10DataModule": "data.shapes10",
    "StepLosses": "callbacks.step_losses",
    "WeightAverages": "callbacks.weight_averages",
}
__all__ = ["__version__", *_MODULES]  # noqa: PLE0604  the names are strings


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
