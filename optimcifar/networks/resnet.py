"""The residual network for small images."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ResNet20(nn.Module):
    """Residual network of 20 layers for small RGB images, 269,722 parameters for ten classes.

    conv 3->16 3x3, three stages of three blocks with 16, 32 and 64 channels, global average pooling, linear
    64-classes. A block is two 3x3 convolutions with BatchNorm, added to its input. The first block of the second and
    of the third stage halves height and width: its shortcut takes every other pixel, and adds channels of zeros.
    Weights start as He et al. draw them: normal, of variance 2 / (inputs of a unit).

    Args:
        num_classes: number of logits, at least 1.

    Raises:
        ValueError: ``num_classes`` is smaller than 1.

    Source: K. He et al., "Deep Residual Learning for Image Recognition", 2015, section 4.2, n = 3 with shortcuts of
    type A.

    Example:
        >>> import torch
        >>> ResNet20(num_classes=100)(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 100])
    """

    def __init__(self, num_classes: int = 10) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(16)
        self.stage1 = _stage(16, 16)
        self.stage2 = _stage(16, 32)
        self.stage3 = _stage(32, 64)
        self.fc = nn.Linear(64, num_classes)
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (N, num_classes), of ``images``, (N, 3, H, W) float32."""
        x = F.relu_(self.norm(self.conv(images)))  # (N, 16, H, W)
        x = self.stage1(x)
        x = self.stage2(x)  # (N, 32, H / 2, W / 2)
        x = self.stage3(x)  # (N, 64, H / 4, W / 4)
        logits: Tensor = self.fc(x.mean((2, 3)))  # (N, num_classes)
        return logits


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with BatchNorm, added to their input.

    Args:
        in_channels: channels of the input.
        out_channels: channels of the output, at least ``in_channels``. If they are more, the block halves height and
            width.
    """

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.stride = 1 if in_channels == out_channels else 2
        self.new_channels = out_channels - in_channels
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, self.stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        """Return the block's output, (N, out_channels, H / stride, W / stride), of ``x``, (N, in_channels, H, W)."""
        residual = self.norm2(self.conv2(F.relu_(self.norm1(self.conv1(x)))))
        shortcut = x
        if self.new_channels:
            shortcut = F.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.new_channels))
        return F.relu_(residual + shortcut)


def _stage(in_channels: int, out_channels: int) -> nn.Sequential:
    return nn.Sequential(
        ResidualBlock(in_channels, out_channels),
        ResidualBlock(out_channels, out_channels),
        ResidualBlock(out_channels, out_channels),
    )
