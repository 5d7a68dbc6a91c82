"""Print the results of evaluating a checkpoint, and write them beside it."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import BasePredictionWriter
from torch import Tensor

from optimcifar.callbacks.base import device_name, print_line
from optimcifar.data.datamodule import image_data
from optimcifar.runs.atomic import write_atomically
from optimcifar.runs.folder import predictions, test_result
from optimcifar.runs.metrics import shortest_float32
from optimcifar.runs.provenance import versions
from optimcifar.text import count


class EvaluationSummary(Callback):
    """Prints the loss and accuracy of a checkpoint; writes those on the test images to ``<checkpoint>.test.json``."""

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Print the results, unless the validation is part of training."""
        data = image_data(trainer)
        if data and trainer.state.fn == "validate" and trainer.is_global_zero:
            _print_result("validation", "val", trainer, len(data.val_positions), data.dataset_name)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and print the results."""
        data = image_data(trainer)
        if data is None or not trainer.is_global_zero or trainer.ckpt_path is None:
            return
        checkpoint = Path(trainer.ckpt_path)
        values = {
            "checkpoint": checkpoint.name,
            "dataset": data.dataset_name,
            "test_images": data.test_size,
            **{name: shortest_float32(value.item()) for name, value in trainer.callback_metrics.items()},
            "device": device_name(trainer),
            "versions": versions(),
        }
        path = test_result(checkpoint)
        write_atomically(path, json.dumps(values, indent=2) + "\n")
        _print_result("test", "test", trainer, data.test_size, data.dataset_name)
        print_line(f"written to {path}")


class PredictionWriter(BasePredictionWriter):
    """Writes the predicted class of every validation image to ``<checkpoint>.predictions.csv``.

    Columns: ``image`` (its position among all training images), ``label`` and ``predicted`` (class names), and
    ``probability`` (of the predicted class).
    """

    def __init__(self) -> None:
        super().__init__(write_interval="epoch")

    def write_on_epoch_end(
        self, trainer: Trainer, pl_module: LightningModule, predictions_of_batches: Sequence[Any], batch_indices: Any
    ) -> None:
        """Write the file and print its name."""
        data = image_data(trainer)
        if data is None or trainer.ckpt_path is None:
            return
        probabilities = [row for batch in predictions_of_batches for row in batch]
        text = io.StringIO(newline="")
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(("image", "label", "predicted", "probability"))
        rows = zip(data.val_positions.tolist(), data.val_labels.tolist(), probabilities, strict=False)
        writer.writerows(_row(data.class_names, *row) for row in rows)
        path = predictions(Path(trainer.ckpt_path))
        write_atomically(path, text.getvalue())
        print_line(f"{count(len(probabilities), 'validation image')} of {data.dataset_name} predicted")
        print_line(f"written to {path}")


def _print_result(kind: str, prefix: str, trainer: Trainer, images: int, dataset: str) -> None:
    accuracy, loss = (trainer.callback_metrics[f"{prefix}_{metric}"] for metric in ("acc", "loss"))
    print_line(
        f"{kind} accuracy {accuracy:.4f}, {kind} loss {loss:.4f} ({count(images, f'{kind} image')} of {dataset})"
    )


def _row(class_names: tuple[str, ...], position: int, label: int, probabilities: Tensor) -> tuple[int, str, str, str]:
    probability, predicted = probabilities.max(0)
    return position, class_names[label], class_names[int(predicted)], f"{probability:.4f}"
