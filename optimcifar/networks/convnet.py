"""The convolutional network that optimizers are compared on by default."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

# Channels that a CPU pools at a time; it pools leftover channels one by one.
_LANES = 8

# The smallest size that leaves a pixel after both convolutions and poolings.
_SMALLEST_IMAGE = 16


class ConvNet(nn.Module):
    """LeNet-style network for RGB images, 62,006 parameters for 32x32 pixels and ten classes.

    conv 3->6 5x5, ReLU, 2x2 max pool, conv 6->16 5x5, ReLU, 2x2 max pool, linear 400-120-84-classes with ReLU between,
    where 400 is for 32x32 pixels; PyTorch's default initialisation. Same network and state-dict names as in PyTorch's
    tutorial "Training a Classifier": each loads the other's state dict.

    Args:
        num_classes: number of logits, at least 1.
        image_size: height and width of the images in pixels, at least 16.

    Raises:
        ValueError: an argument is too small.

    Example:
        >>> import torch
        >>> ConvNet()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10, image_size: int = 32) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        if image_size < _SMALLEST_IMAGE:
            raise ValueError(f"image_size must be at least {_SMALLEST_IMAGE}, got {image_size}")
        super().__init__()
        pooled = ((image_size - 4) // 2 - 4) // 2  # each convolution takes 4 pixels away
        self.num_classes = num_classes
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * pooled * pooled, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (N, num_classes), of ``images``, (N, 3, image_size, image_size) float32.

        Comments give the shapes for 32 pixels.
        """
        if images.device.type == "cpu" and _is_plain(self.conv1) and _is_plain(self.conv2):
            x = convolutions_on_cpu(self.conv1, self.conv2, images)  # (N, 16, 10, 10)
        else:
            # Pooling commutes with ReLU, which then has a quarter of the values to process.
            x = F.relu_(F.max_pool2d(self.conv1(images), 2))  # (N, 6, 14, 14)
            x = self.conv2(x)  # (N, 16, 10, 10)
        x = F.relu_(F.max_pool2d(x, 2))  # (N, 16, 5, 5)
        x = x.flatten(1)  # (N, 400)
        x = F.relu_(self.fc1(x))  # (N, 120)
        x = F.relu_(self.fc2(x))  # (N, 84)
        logits: Tensor = self.fc3(x)  # (N, num_classes)
        return logits


def _is_plain(conv: nn.Conv2d) -> bool:
    """Return whether a layer does no more than its class says: no hook, such as that of pruning, and no subclass."""
    return type(conv) is nn.Conv2d and not (
        conv._forward_pre_hooks or conv._forward_hooks or conv._backward_pre_hooks or conv._backward_hooks
    )


def convolutions_on_cpu(conv1: nn.Conv2d, conv2: nn.Conv2d, images: Tensor) -> Tensor:
    """Return ``conv2(relu(max_pool2d(conv1(images), 2)))``, faster on a CPU."""
    x = F.relu_(convolve_and_pool(conv1, images))  # (N, 8, 14, 14), the last two channels are zero
    weight = F.pad(conv2.weight, (0, 0, 0, 0, 0, _LANES - conv2.in_channels))
    return F.conv2d(x, weight, conv2.bias)  # (N, 16, 10, 10)


def convolve_and_pool(conv: nn.Conv2d, images: Tensor) -> Tensor:
    """Return ``max_pool2d(conv(images), 2)`` padded with zeros to ``_LANES`` channels, faster on a CPU.

    A single convolution of stride 2 computes the four values of every pooling window as separate channels: 4 x 8
    channels fill a CPU's registers, 6 do not, and the images are read only once.
    """
    extra, size = _LANES - conv.out_channels, conv.kernel_size[0] + 1
    # The kernel at each of its four positions in a kernel one row and one column larger.
    weight = F.pad(conv.weight, (1, 1, 1, 1, 0, 0, 0, extra)).unfold(2, size, 1).unfold(3, size, 1)
    weight = weight.permute(2, 3, 0, 4, 5, 1).reshape(4 * _LANES, size, size, conv.in_channels)
    x = F.conv2d(images, weight.permute(0, 3, 1, 2), stride=2)  # (N, 4 * lanes, H, W)
    batch, _, height, width = x.shape
    x = x.permute(0, 2, 3, 1).reshape(batch, height * width, 4, _LANES).permute(0, 3, 1, 2)
    x = F.max_pool2d(x, (1, 4)).view(batch, _LANES, height, width)
    assert conv.bias is not None, "ConvNet's convolutions have one; the type of nn.Conv2d allows None"
    # The bias does not change which value is largest; after pooling there are a quarter of the values to add it to.
    return x + F.pad(conv.bias, (0, extra)).view(-1, 1, 1)
