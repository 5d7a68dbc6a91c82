"""Networks and data that have to fit each other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers import Command, quiet_trainer, read_weights
from jsonargparse import dict_to_namespace
from torch import nn

from optimcifar import ConvNet, ImageClassifier, ImageDataModule, ResNet20
from optimcifar.errors import UsageError
from optimcifar.training.network_for_data import check_network, network_for

DATA = """
import torch
from optimcifar import ImageDataModule
from optimcifar.data.images import Images

class Patches(ImageDataModule):
    class_names = tuple(f"class {number}" for number in range(20))
    dataset_name = "Patches"
    image_size = 24

    def __init__(self, batch_size: int = 10, val_size: int = 20, seed: int = 0) -> None:
        super().__init__(batch_size, val_size, seed=seed)
        self.save_arguments()

    def read_train(self) -> Images:
        return Images(torch.zeros(60, 24, 24, 3, dtype=torch.uint8), torch.arange(60) % 20)

    read_test = read_train
"""


@pytest.fixture
def patches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> type[ImageDataModule]:
    """Return data of twenty classes, in images of 24x24 pixels."""
    (tmp_path / "patches.py").write_text(DATA)
    monkeypatch.syspath_prepend(tmp_path)
    import patches  # type: ignore[import-not-found]

    found: type[ImageDataModule] = patches.Patches
    return found


@pytest.mark.parametrize("net", [[], ["--model.net", "ResNet20"]])
def test_the_packages_networks_are_built_for_the_data(
    net: list[str], optimcifar: Command, patches: type, tmp_path: Path
) -> None:
    short = ("--trainer.max_epochs", 1, "--trainer.limit_train_batches", 1)
    outcome = optimcifar("fit", "--data", "patches.Patches", *net, *short)
    assert (outcome.status, outcome.err) == (0, "")
    run = tmp_path / "lightning_logs/version_0"
    settings = yaml.safe_load((run / "config.yaml").read_text())["model"]["net"]["init_args"]
    assert settings == {"num_classes": 20} | ({} if net else {"image_size": 24})
    # From its checkpoint alone, by the command line and in Python.
    assert optimcifar("test", "--ckpt_path", run).status == 0
    loaded = ImageClassifier.load_from_checkpoint(run / "checkpoints/last.ckpt", weights_only=True)
    assert loaded(torch.zeros(1, 3, 24, 24)).shape == (1, 20)
    assert loaded.state_dict().keys() == read_weights(run / "checkpoints/last.ckpt").keys()


@pytest.mark.parametrize(
    ("net", "message"),
    [
        (["ConvNet", "--model.net.num_classes=12"], "the network has 12 outputs, the data 20 classes: give it as many"),
        (["torchvision.models.resnet18", "--model.net.num_classes=10"], "the network has 10 outputs, the data 20"),
        (["ConvNet", "--model.net.image_size=64"], "ConvNet cannot take the data's images of 24x24 pixels: "),
    ],
)
def test_a_network_that_does_not_fit_is_refused_before_training(
    net: list[str], message: str, optimcifar: Command, patches: type
) -> None:
    outcome = optimcifar("fit", "--data", "patches.Patches", "--model.net", *net)
    assert (outcome.status, outcome.out) == (2, "")
    assert message in outcome.err
    assert outcome.err.count("\n") == 1
    assert not Path("lightning_logs").exists()


def test_an_argument_of_the_data_that_is_out_of_range_is_refused_in_one_line(optimcifar: Command) -> None:
    outcome = optimcifar("fit", "--data", "Shapes10DataModule", "--data.val_size", -1)
    assert (outcome.status, outcome.err) == (2, "optimcifar: val_size must be at least 0, got -1\n")


def test_a_network_made_in_python_is_checked(patches: type) -> None:
    with pytest.raises(UsageError, match="the network has 10 outputs, the data 20 classes"):
        quiet_trainer().fit(ImageClassifier(ConvNet(image_size=24)), patches())


def test_checking_leaves_the_network_as_it_is(patches: type) -> None:
    net = ResNet20(num_classes=20)
    net.stage1.eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    check_network(net, patches())
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert (net.training, net.stage1.training, net.stage2.training) == (True, False, True)


@pytest.mark.parametrize("net", [nn.LazyLinear(10), nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 25))])
def test_lazy_networks_and_those_with_more_outputs_are_taken(net: nn.Module, patches: type) -> None:
    check_network(net, patches())


@pytest.mark.parametrize(
    "settings",
    [None, {"class_path": "optimcifar.ConvNet"}, {"class_path": "torchvision.models.resnet18", "init_args": {}}],
)
def test_settings_stay_where_nothing_has_to_change(settings: dict[str, Any] | None, patches: type) -> None:
    data = patches()
    if settings is None or "ConvNet" in settings["class_path"]:
        data.image_size, data.class_names = 32, tuple("abcdefghij")
    given = dict_to_namespace(settings) if settings else None
    assert network_for(data, given) is given
