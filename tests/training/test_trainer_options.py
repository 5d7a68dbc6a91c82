"""Every option of Lightning's Trainer: it works, with the right files and rows, or is refused before the first step."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from helpers import Command, read_rows, read_summary
from lightning.pytorch import Trainer

RUN = ("checkpoints/last.ckpt", "config.yaml", "metrics.csv", "summary.json")
WITHOUT_CHECKPOINT = ("config.yaml", "metrics.csv", "summary.json")


@dataclass(frozen=True)
class Case:
    """A value of an option, for two epochs of four batches.

    Attributes:
        value: as typed.
        steps: the number of optimizer steps at the end of each epoch.
        validated: whether each epoch has validation metrics; None for all.
        files: those of the run; a validation adds validations.csv.
        refusal: a part of the message if the value is refused.
    """

    value: str
    steps: tuple[int, ...] = (4, 8)
    validated: tuple[bool, ...] | None = None
    files: tuple[str, ...] = RUN
    refusal: str | None = None


def refused(value: str, message: str) -> Case:
    return Case(value, refusal=message)


CASES: dict[str, list[Case]] = {
    "accelerator": [Case("cpu"), Case("auto"), refused("tpu", "torch_xla")],
    "strategy": [Case("auto"), Case("ddp"), refused("fsdp", "requires a GPU"), refused("nothing", "nothing")],
    "devices": [Case("1"), Case("auto"), refused("0", "devices")],
    "num_nodes": [Case("1")],
    "precision": [Case(value) for value in ("32", "64-true", "bf16-true", "16-true", "bf16-mixed")],
    "logger": [Case("true"), Case("false"), refused("CsvLogger", "CsvLogger")],
    "callbacks": [Case("[]"), Case("null"), refused("NoCallback", "NoCallback")],
    "fast_dev_run": [Case("true", steps=(), files=()), Case("3", steps=(), files=())],
    "max_epochs": [Case("1", (4,)), refused("0", "there is nothing to train: max_epochs is 0"), refused("-3", "-3")],
    "min_epochs": [Case("1"), Case("2")],
    "max_steps": [
        *(Case("3", (3,), (False,)), Case("4", (4,)), Case("6", (4, 6), (True, False)), Case("99")),
        refused("0", "there is nothing to train: max_steps is 0"),
    ],
    "min_steps": [Case("3")],
    "max_time": [Case("00:01:00:00"), refused("00:00:00:00", "max_time is over before the first step")],
    "limit_train_batches": [
        *(Case("3", (3, 6)), Case("0.5", (2, 4)), Case("1.0")),
        refused("0", "there is nothing to train: limit_train_batches is 0"),
        refused("1.5", "1.5"),
    ],
    "limit_val_batches": [Case("1"), Case("0", validated=(False, False)), refused("0.5", "limit_val_batches")],
    "limit_test_batches": [Case("1")],
    "limit_predict_batches": [Case("1")],
    "overfit_batches": [Case("2", (2, 4)), refused("0.5", "overfit_batches")],
    "val_check_interval": [
        Case("0.5"),
        Case("0.4"),
        Case("3"),
        refused("9", "val_check_interval"),
        Case("00:00:01:00", validated=()),
    ],
    "check_val_every_n_epoch": [
        *(Case("2", validated=(False, True)), Case("3", validated=()), Case("null")),
        refused("0", "--trainer.check_val_every_n_epoch must be at least 1, got 0"),
    ],
    "num_sanity_val_steps": [Case("2"), Case("-1")],
    "log_every_n_steps": [Case("1"), Case("0")],
    "enable_checkpointing": [Case("true"), Case("false", files=WITHOUT_CHECKPOINT)],
    "enable_progress_bar": [Case("true"), Case("false")],
    "enable_model_summary": [Case("true"), Case("false")],
    "accumulate_grad_batches": [
        Case("3", (2, 4)),
        refused("0", "--trainer.accumulate_grad_batches must be at least 1, got 0"),
    ],
    "gradient_clip_val": [Case("0.1")],
    "gradient_clip_algorithm": [Case("value"), Case("norm"), refused("most", "most")],
    "deterministic": [Case("true"), Case("warn")],
    "benchmark": [Case("true")],
    "inference_mode": [Case("false")],
    "use_distributed_sampler": [Case("false")],
    "profiler": [Case("simple"), Case("advanced"), refused("quick", "simple")],
    "detect_anomaly": [Case("true")],
    "barebones": [Case("true", steps=(), files=())],
    "plugins": [Case("AsyncCheckpointIO"), Case("lightning.pytorch.plugins.io.TorchCheckpointIO")],
    "sync_batchnorm": [Case("true")],
    "reload_dataloaders_every_n_epochs": [Case("1")],
    "default_root_dir": [Case(".")],
    "enable_autolog_hparams": [Case("false")],
    "model_registry": [Case("mine")],
}


def test_every_option_of_the_trainer_is_in_the_table() -> None:
    assert CASES.keys() == inspect.signature(Trainer).parameters.keys()


@pytest.mark.filterwarnings("ignore:You requested to overfit", "ignore:.*`val_dataloader` shuffling")
@pytest.mark.parametrize(
    ("option", "case"), [pytest.param(name, case, id=f"{name}={case.value}") for name in CASES for case in CASES[name]]
)
def test_option(option: str, case: Case, optimcifar: Command, tmp_path: Path) -> None:
    data = ("--data", "Shapes10DataModule", "--data.train_images", 300, "--data.val_size", 44)
    outcome = optimcifar("fit", *data, "--trainer.max_epochs", 2, f"--trainer.{option}", case.value)
    found = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    if case.refusal is not None:
        assert outcome.status in (1, 2)
        assert case.refusal in outcome.err
        assert outcome.err.startswith("optimcifar: ")
        assert outcome.err.count("\n") <= 2
        assert found == set()
        return
    assert outcome.status == 0, outcome.err
    validated = (True,) * len(case.steps) if case.validated is None else case.validated
    files = (*case.files, "validations.csv") if case.files and any(validated) else case.files
    assert found == {f"lightning_logs/version_0/{name}" for name in files}
    assert f"finished after {max(len(case.steps), 1)} epoch" in outcome.out or not case.files
    if case.files:
        run = tmp_path / "lightning_logs" / "version_0"
        rows = read_rows(run / "metrics.csv")
        assert [int(row["step"]) for row in rows] == list(case.steps)
        assert all(row["train_loss"] and row["seconds"] and row["lr"] == "0.01" for row in rows)
        assert [bool(row["val_acc"]) for row in rows] == list(validated or (False,) * len(rows))
        assert read_summary(run)["steps"] == case.steps[-1]
        if "checkpoints/last.ckpt" in case.files:
            checkpoint = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
            assert checkpoint["global_step"] == case.steps[-1]
