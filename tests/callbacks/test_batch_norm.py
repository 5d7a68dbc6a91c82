"""BatchNorm in averages of weights: which statistics are recomputed, and on which images."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count

import pytest
import torch
from helpers import quiet_trainer
from lightning.pytorch import Callback, seed_everything
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from optimcifar import EpochEndWeightAveraging, ImageClassifier, WeightAverages


def network() -> nn.Sequential:
    """Return a network with a layer that may be frozen, whose statistics are wrong, and one that is trained."""
    layer = nn.BatchNorm2d(4)
    layer.running_mean = torch.full((4,), 3.0)
    layer.running_var = torch.full((4,), 9.0)
    layers = (nn.Conv2d(3, 4, 5, stride=4), layer, nn.ReLU(), nn.Flatten(), nn.BatchNorm1d(196))
    return nn.Sequential(*layers, nn.Linear(196, 10))


def in_evaluation_mode(layer: nn.BatchNorm2d) -> None:
    layer.eval()


def without_tracking(layer: nn.BatchNorm2d) -> None:
    layer.track_running_stats = False  # as Lightning's BaseFinetuning freezes layers


def without_momentum(layer: nn.BatchNorm2d) -> None:
    layer.momentum = 0.0


class Stream(IterableDataset[tuple[Tensor, int]]):
    """Images without a length, the same ones in every epoch; endless if there is no number."""

    def __init__(self, number: int | None = 64) -> None:
        self.number = number

    def __iter__(self) -> Iterator[tuple[Tensor, int]]:
        for i in count() if self.number is None else range(self.number):
            yield torch.full((3, 32, 32), (i % 7) / 7) + torch.linspace(0, 1, 32), i % 10


def loader(number: int | None = 64) -> DataLoader[tuple[Tensor, int]]:
    return DataLoader(Stream(number), 8)


def by_hand(layers: nn.Sequential, batches: int = 8) -> tuple[Tensor, Tensor]:
    """Return the means over batches of their mean and unbiased variance at the end of some layers."""
    values = [layers(images) for images, _ in list(loader())[:batches]]
    return torch.stack([v.mean(0) for v in values]).mean(0), torch.stack([v.var(0) for v in values]).mean(0)


@pytest.mark.filterwarnings("ignore:Found .* module.s. in eval mode")
@pytest.mark.parametrize("freeze", [in_evaluation_mode, without_tracking, without_momentum])
def test_layers_that_do_not_train_keep_their_statistics(freeze: Callable[[nn.BatchNorm2d], None]) -> None:
    seed_everything(0)
    net = network()
    freeze(net[1])  # type: ignore[arg-type]
    averages = WeightAverages(swa_epoch_start=None, ema_decay=0.0)  # the weights themselves
    trainer = quiet_trainer(max_epochs=2, callbacks=[averages])
    trainer.fit(ImageClassifier(net=net, optimizer=partial(torch.optim.SGD, lr=0.01)), loader(), loader())
    average = averages.state_dict()["ema"]
    assert average["module.1.running_mean"].tolist() == [3.0] * 4
    assert average["module.1.running_var"].tolist() == [9.0] * 4
    with torch.no_grad():
        frozen = net[:4]
        frozen.train(freeze is without_tracking)  # it is normalised by the batch then
        if freeze is without_momentum:
            frozen.train()
        mean, var = by_hand(frozen)
    torch.testing.assert_close(average["module.4.running_mean"], mean, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(average["module.4.running_var"], var, rtol=1e-4, atol=1e-5)


@pytest.mark.filterwarnings("ignore:Found .* module.s. in eval mode")
def test_average_with_a_schedule_leaves_frozen_layers_alone() -> None:
    net = network()
    in_evaluation_mode(net[1])  # type: ignore[arg-type]
    averaging = EpochEndWeightAveraging(swa_lrs=0.01, swa_epoch_start=1)
    quiet_trainer(max_epochs=2, callbacks=[averaging]).fit(ImageClassifier(net=net), loader(), loader())
    assert net[1].running_mean.tolist() == [3.0] * 4  # type: ignore[operator]
    assert net[4].num_batches_tracked == 8


def test_statistics_come_from_the_batches_that_the_run_trains_on() -> None:
    averages = WeightAverages(swa_epoch_start=1, ema_decay=None)
    classifier = ImageClassifier(net=network(), optimizer=partial(torch.optim.SGD, lr=0.0))
    quiet_trainer(callbacks=[averages], limit_train_batches=3).fit(classifier, loader(None))
    with torch.no_grad():
        mean, _ = by_hand(classifier.net[:1], batches=3)  # type: ignore[index]
    found = averages.state_dict()["swa"]["module.1.running_mean"]
    torch.testing.assert_close(found, mean.mean((1, 2)), rtol=1e-4, atol=1e-5)


def test_loader_without_a_length_is_averaged() -> None:
    averages = WeightAverages(swa_epoch_start=1)
    trainer = quiet_trainer(max_epochs=2, callbacks=[averages])
    trainer.fit(ImageClassifier(net=network()), loader(), loader())
    assert [int(state["n_averaged"]) for state in averages.state_dict().values()] == [2, 16]
    assert "val_acc_swa" in trainer.callback_metrics


def test_endless_loader_ends_with_the_steps_for_the_exponential_average() -> None:
    averages = WeightAverages(swa_epoch_start=None)
    quiet_trainer(max_epochs=-1, max_steps=5, callbacks=[averages]).fit(ImageClassifier(net=network()), loader(None))
    assert int(averages.state_dict()["ema"]["module.1.num_batches_tracked"]) == 5


@pytest.mark.parametrize(
    "averaging", [WeightAverages(swa_epoch_start=1), EpochEndWeightAveraging(swa_lrs=0.1, swa_epoch_start=1)]
)
def test_endless_loader_is_refused_where_epochs_have_to_end(averaging: Callback) -> None:
    trainer = quiet_trainer(max_epochs=-1, max_steps=5, callbacks=[averaging])
    with pytest.raises(ValueError, match="where epochs end, and the training loader has no length: set limit_train_b"):
        trainer.fit(ImageClassifier(net=network()), loader(None))
    assert trainer.global_step == 0
