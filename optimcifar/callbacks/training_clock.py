"""Measure the time of training."""

from __future__ import annotations

import torch

from optimcifar.callbacks.base import synchronized_time


class TrainingClock:
    """Measures seconds of training without validation, and counts training images.

    Attributes:
        seconds: those of all whole epochs.
        images: those that this process has trained on.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self.images = 0
        self._epoch_start = self._pause_start = 0.0

    def start_epoch(self, device: torch.device) -> None:
        """Start the clock of an epoch."""
        self._epoch_start = synchronized_time(device)

    def pause(self, device: torch.device) -> None:
        """Stop the clock for validation."""
        self._pause_start = synchronized_time(device)

    def resume(self, device: torch.device) -> None:
        """Start the clock again after validation."""
        self._epoch_start += synchronized_time(device) - self._pause_start

    def end_epoch(self, device: torch.device) -> float:
        """Return the epoch's seconds, and add them to ``seconds``."""
        seconds = synchronized_time(device) - self._epoch_start
        self.seconds += seconds
        return seconds

    def images_per_second(self, processes: int) -> float | None:
        """Return the throughput of all processes together, or None before the first whole epoch."""
        return round(self.images * processes / self.seconds, 1) if self.seconds else None

    def state_dict(self) -> dict[str, float]:
        """Return the totals."""
        return {"seconds": self.seconds, "images": self.images}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Go on from the totals of a checkpoint."""
        self.seconds, self.images = state_dict["seconds"], int(state_dict["images"])
