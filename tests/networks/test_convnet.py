from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from optimcifar import ConvNet
from optimcifar.networks.convnet import convolutions_on_cpu

MEMORY_FORMATS = [torch.contiguous_format, torch.channels_last]


class TutorialNet(nn.Module):
    """The tutorial's code, which pools after ReLU, as an independent reference."""

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


class ImagesElsewhere(Tensor):
    """Images in main memory that claim to be on another device, so that the CPU computes what a GPU would."""

    @property
    def device(self) -> torch.device:  # type: ignore[override]  # PyTorch declares an attribute
        return torch.device("meta")


@pytest.mark.parametrize("kind", [Tensor, ImagesElsewhere])
@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
def test_equals_the_tutorial_network_on_the_cpu_and_elsewhere(
    memory_format: torch.memory_format, kind: type[Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind is ImagesElsewhere:
        monkeypatch.setattr(
            "optimcifar.networks.convnet.convolutions_on_cpu", lambda *args: pytest.fail("took the path for CPUs")
        )
    reference, net = TutorialNet(), ConvNet()
    net.load_state_dict(reference.state_dict())
    images = torch.randn(8, 3, 32, 32).to(memory_format=memory_format)
    labels = torch.arange(8)
    logits, expected = net(images.as_subclass(kind)).as_subclass(Tensor), reference(images)
    torch.testing.assert_close(logits, expected)
    for output in (logits, expected):
        F.cross_entropy(output, labels).backward()
    for (name, parameter), other in zip(net.named_parameters(), reference.parameters(), strict=True):
        torch.testing.assert_close(parameter.grad, other.grad, msg=name)


@pytest.mark.parametrize("memory_format", MEMORY_FORMATS)
def test_fast_convolutions_on_the_cpu_equal_the_plain_ones(memory_format: torch.memory_format) -> None:
    # In double precision: the two sum in different orders.
    net = ConvNet().double().to(memory_format=memory_format)
    images = torch.randn(8, 3, 32, 32).double().to(memory_format=memory_format).requires_grad_()
    plain = net.conv2(F.max_pool2d(F.relu(net.conv1(images)), 2))
    fast = convolutions_on_cpu(net.conv1, net.conv2, images)
    torch.testing.assert_close(fast, plain)
    inputs = [images, *net.conv1.parameters(), *net.conv2.parameters()]
    weights = torch.randn_like(plain)
    expected = torch.autograd.grad(plain, inputs, weights)
    torch.testing.assert_close(torch.autograd.grad(fast, inputs, weights), expected)


def test_runs_on_other_devices() -> None:
    assert ConvNet().to("meta")(torch.empty(2, 3, 32, 32, device="meta")).shape == (2, 10)


def test_second_derivatives_exist() -> None:
    # Second-order optimizers need them.
    net = ConvNet()
    loss = F.cross_entropy(net(torch.randn(4, 3, 32, 32)), torch.arange(4))
    first = torch.autograd.grad(loss, list(net.parameters()), create_graph=True)
    sum(gradient.square().sum() for gradient in first).backward()  # type: ignore[union-attr]
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in net.parameters())


def test_initial_weights_equal_those_of_the_tutorial_network() -> None:
    torch.manual_seed(3)
    reference = TutorialNet().state_dict()
    torch.manual_seed(3)
    net = ConvNet().state_dict()
    assert net.keys() == reference.keys()
    assert all(torch.equal(net[name], reference[name]) for name in net)


def test_zero_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        ConvNet(num_classes=0)


def test_hooks_of_layers_are_called_on_a_cpu() -> None:
    net, images = ConvNet(), torch.randn(2, 3, 32, 32)
    expected = net(images)
    seen: list[torch.Size] = []
    net.conv1.register_forward_hook(lambda module, inputs, output: seen.append(output.shape))
    torch.testing.assert_close(net(images), expected)
    assert seen == [(2, 6, 28, 28)]


def test_pruned_layers_are_pruned_on_a_cpu() -> None:
    net, images = ConvNet(), torch.randn(2, 3, 32, 32)
    torch.nn.utils.prune.l1_unstructured(net.conv1, "weight", 0.5)
    torch.nn.utils.parametrizations.weight_norm(net.conv2)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01)
    for _ in range(2):
        before = net(images)
        before.sum().backward()
        optimizer.step()
        assert not torch.equal(net(images), before)
    assert (net.conv1.weight == 0).sum() == 225
