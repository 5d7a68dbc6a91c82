"""Measure the time of training."""

from __future__ import annotations

import torch

from optimcifar.callbacks.base import synchronized_time


class TrainingClock:
    """Measures seconds of training without validation, and counts training images.

    Attributes:
        epoch_seconds: those of the current epoch, up to the last pause.
        images: those that this process has trained on.
    """

    def __init__(self) -> None:
        self.epoch_seconds = 0.0
        self.images = 0
        self._earlier_seconds = 0.0  # of the epochs before
        self._since: float | None = None  # when it was started; None while it is stopped
        self._device = torch.device("cpu")

    @property
    def seconds(self) -> float:
        """Seconds of all epochs, up to the last pause."""
        return self._earlier_seconds + self.epoch_seconds

    def start(self, device: torch.device) -> None:
        """Start the clock, or start it again."""
        self._device, self._since = device, synchronized_time(device)

    def new_epoch(self) -> None:
        """Count the seconds of a new epoch."""
        self._earlier_seconds, self.epoch_seconds = self.seconds, 0.0

    def pause(self) -> None:
        """Stop the clock; it may be stopped already."""
        if self._since is not None:
            self.epoch_seconds += synchronized_time(self._device) - self._since
            self._since = None

    def images_per_second(self, processes: int) -> float | None:
        """Return the throughput of all processes together, or None before anything was measured."""
        return round(self.images * processes / self.seconds, 1) if self.images and self.seconds else None

    def state_dict(self) -> dict[str, float]:
        """Return what has been measured so far; the clock goes on."""
        running = 0.0 if self._since is None else synchronized_time(self._device) - self._since
        return {"earlier": self._earlier_seconds, "epoch": self.epoch_seconds + running, "images": self.images}

    def load_state_dict(self, state_dict: dict[str, float]) -> None:
        """Go on from what a checkpoint's run had measured."""
        self._earlier_seconds, self.epoch_seconds = state_dict["earlier"], state_dict["epoch"]
        self.images = int(state_dict["images"])
