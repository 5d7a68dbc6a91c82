"""Evaluate a checkpoint: ``validate``, ``test`` and ``predict``."""

from __future__ import annotations

from collections.abc import Sequence

from optimcifar.data.datamodule import ImageDataModule
from optimcifar.training.lightning_cli import TrainingCLI
from optimcifar.training.process import command_line_settings


def evaluate(command: str, options: Sequence[str]) -> None:
    """Evaluate a checkpoint; the results are printed, and those of ``test`` and ``predict`` are written beside it.

    Args:
        command: ``validate``, ``test`` or ``predict``.
        options: the command's options; ``--ckpt_path`` names the checkpoint.

    Raises:
        UsageError: the options cannot be understood, or contradict each other.
        ValueError: an option's value is out of range.
        OSError, RuntimeError: the checkpoint or the images are missing or damaged.
    """
    with command_line_settings():
        cli = TrainingCLI(command, options)
        arguments = cli.command_arguments
        if command != "predict" and isinstance(cli.datamodule, ImageDataModule):
            arguments["verbose"] = False  # EvaluationSummary prints the results
        getattr(cli.trainer, command)(cli.model, datamodule=cli.datamodule, **arguments)
