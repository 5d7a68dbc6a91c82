"""The convolutional network that every optimizer here is compared on."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn


class ConvNet(nn.Module):
    """LeNet-style network for 32x32 RGB images, 62,006 parameters for ten classes.

    conv 3->6 5x5, ReLU, 2x2 max pool, conv 6->16 5x5, ReLU, 2x2 max pool, linear 400-120-84-classes
    with ReLU between; PyTorch's default initialisation. It is the network of PyTorch's tutorial
    "Training a Classifier" and shares its state-dict names, so a state dict of either loads into the other.

    Args:
        num_classes: number of logits, at least 1.

    Raises:
        ValueError: ``num_classes`` is smaller than 1.

    Example:
        >>> import torch
        >>> ConvNet()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, num_classes: int = 10) -> None:
        if num_classes < 1:
            raise ValueError(f"num_classes must be at least 1, got {num_classes}")
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, (N, num_classes), of ``images``, (N, 3, 32, 32) float32."""
        # ReLU grows with its input, so pooling first gives the same values and gradients with a quarter of the ReLUs.
        x = F.relu(F.max_pool2d(self.conv1(images), 2))  # (N, 6, 14, 14)
        x = F.relu(F.max_pool2d(self.conv2(x), 2))  # (N, 16, 5, 5)
        x = x.flatten(1)  # (N, 400)
        x = F.relu(self.fc1(x))  # (N, 120)
        x = F.relu(self.fc2(x))  # (N, 84)
        logits: Tensor = self.fc3(x)  # (N, num_classes)
        return logits
