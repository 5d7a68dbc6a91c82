from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from optimcifar import ResNet20


def reference(weights: dict[str, Tensor], x: Tensor) -> Tensor:
    """Return the logits in evaluation mode, with every layer written out from the paper's table 6."""

    def norm(x: Tensor, name: str) -> Tensor:
        mean, var = (weights[f"{name}.running_{kind}"][:, None, None] for kind in ("mean", "var"))
        scale, shift = (weights[f"{name}.{kind}"][:, None, None] for kind in ("weight", "bias"))
        return (x - mean) / (var + 1e-5).sqrt() * scale + shift

    x = norm(F.conv2d(x, weights["conv.weight"], padding=1), "norm").relu()
    for stage, channels in ((1, 16), (2, 32), (3, 64)):
        for block in range(3):
            name = f"stage{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = norm(F.conv2d(x, weights[f"{name}.conv1.weight"], stride=stride, padding=1), f"{name}.norm1").relu()
            y = norm(F.conv2d(y, weights[f"{name}.conv2.weight"], padding=1), f"{name}.norm2")
            if stride == 2:
                x = torch.cat([x[:, :, ::2, ::2], torch.zeros(len(x), channels // 2, *y.shape[2:])], 1)
            x = (x + y).relu()
    return x.flatten(2).mean(2) @ weights["fc.weight"].T + weights["fc.bias"]


def test_has_the_papers_number_of_parameters() -> None:
    assert sum(p.numel() for p in ResNet20().parameters()) == 269_722
    assert sum(isinstance(module, (nn.Conv2d, nn.Linear)) for module in ResNet20().modules()) == 20


@pytest.mark.parametrize("size", [32, 17])
def test_computes_the_papers_function(size: int) -> None:
    net = ResNet20(num_classes=7)
    images = torch.randn(4, 3, size, size)
    net(images)  # gives BatchNorm other statistics than those of the start
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
    net.eval()
    torch.testing.assert_close(net(images), reference(net.state_dict(), images), atol=1e-4, rtol=1e-4)


def test_weights_start_with_the_variance_of_he_et_al() -> None:
    weight = ResNet20().state_dict()["stage3.2.conv2.weight"]
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.02)


def test_too_few_classes_are_refused() -> None:
    with pytest.raises(ValueError, match="num_classes must be at least 1, got 0"):
        ResNet20(num_classes=0)
