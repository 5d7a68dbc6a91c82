from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from optimcifar import ConvNet


class TutorialNet(nn.Module):
    """The network written out plainly, with pooling after ReLU, as an independent reference."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(400, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        x = torch.flatten(x, 1)
        x = F.relu(self.fc2(F.relu(self.fc1(x))))
        y: Tensor = self.fc3(x)
        return y


def test_has_62006_parameters() -> None:
    assert sum(p.numel() for p in ConvNet().parameters()) == 62_006


@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_computes_what_the_tutorials_network_computes(memory_format: torch.memory_format) -> None:
    reference, net = TutorialNet(), ConvNet()
    net.load_state_dict(reference.state_dict())
    images = torch.randn(8, 3, 32, 32).to(memory_format=memory_format)
    labels = torch.arange(8)
    for module in (reference, net):
        F.cross_entropy(module(images), labels).backward()
    torch.testing.assert_close(net(images), reference(images))
    for mine, theirs in zip(net.parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(mine.grad, theirs.grad)


def test_computes_without_the_cpus_way_on_other_devices() -> None:
    assert ConvNet().to("meta")(torch.empty(2, 3, 32, 32, device="meta")).shape == (2, 10)


def test_gradients_can_be_differentiated_again() -> None:
    # Second-order optimizers need it.
    net = ConvNet()
    loss = F.cross_entropy(net(torch.randn(4, 3, 32, 32)), torch.arange(4))
    first = torch.autograd.grad(loss, list(net.parameters()), create_graph=True)
    sum(gradient.square().sum() for gradient in first).backward()  # type: ignore[union-attr]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in net.parameters())


def test_starts_from_the_same_weights_as_the_tutorials_network() -> None:
    torch.manual_seed(3)
    reference = TutorialNet().state_dict()
    torch.manual_seed(3)
    net = ConvNet().state_dict()
    assert net.keys() == reference.keys()
    assert all(torch.equal(net[name], reference[name]) for name in net)


def test_refuses_to_tell_no_classes_apart() -> None:
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        ConvNet(num_classes=0)
