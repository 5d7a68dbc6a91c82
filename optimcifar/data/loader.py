"""The loader of the training images, which a resumed run can start in the middle of an epoch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

from torch.utils.data import DataLoader

from optimcifar.data.images import Images


class ResumableLoader(DataLoader[Images]):
    """A ``DataLoader`` whose first iteration after a resume leaves out the batches that were trained on before.

    Lightning keeps the states of such loaders in checkpoints, and counts the batches itself.

    Args:
        args: those of ``DataLoader``.
        batches_done: returns the number of batches of the current epoch that the run has trained on.
        kwargs: those of ``DataLoader``.
    """

    def __init__(self, *args: Any, batches_done: Callable[[], int] = lambda: 0, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.batches_done = batches_done
        self._saved: dict[str, int] | None = None

    def state_dict(self) -> dict[str, int]:
        """Return what gives the number of batches a meaning."""
        return {"batch_size": self.batch_size or 1, "processes": getattr(self.sampler, "num_replicas", 1)}

    def load_state_dict(self, state_dict: dict[str, int]) -> None:
        """Leave out the batches that are done in the next iteration."""
        self._saved = state_dict

    def __iter__(self) -> Iterator[Images]:  # type: ignore[override]  # DataLoader's iterators are private classes
        """Return an iterator over the batches."""
        saved, self._saved = self._saved, None
        return super().__iter__() if saved is None else self._rest(saved)

    def _rest(self, saved: dict[str, int]) -> Iterator[Images]:
        # Counted with the first batch: Lightning creates the iterator before it knows whether the epoch goes on.
        done = self.batches_done()
        if done and saved != self.state_dict():
            raise ValueError(
                f"the checkpoint is from the middle of an epoch with {_text(saved)}, and this run has "
                f"{_text(self.state_dict())}: keep them, or go on from a checkpoint of an epoch's end"
            )
        yield from islice(super().__iter__(), done, None)


def _text(state: dict[str, int]) -> str:
    return f"batch_size {state['batch_size']} on {state['processes']} device{'s' * (state['processes'] > 1)}"
