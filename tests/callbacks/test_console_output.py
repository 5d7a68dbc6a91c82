from __future__ import annotations

import torch
from helpers import CONFIGS, Command
from torch.optim.lr_scheduler import CyclicLR

from optimcifar.callbacks.descriptions import schedule_text


def test_run_describes_itself_and_then_every_epoch(optimcifar: Command, small: list[str]) -> None:
    outcome = optimcifar("fit", "--config", CONFIGS / "sgd_steplr.yaml", *small)
    lines = outcome.out.splitlines()
    assert lines[0] == "ConvNet, 62,006 parameters, on Shapes10: 800 training images, 200 for validation, seed 0; cpu"
    assert lines[1].startswith(
        "optimizer  torch.optim.SGD(lr=0.01, momentum=0.9, dampening=0.0, weight_decay=0.0, nesterov="
    )
    assert lines[2] == "schedule   torch.optim.lr_scheduler.StepLR(step_size=2, gamma=0.1), every epoch"
    assert lines[3].startswith("epoch 1/2  lr 0.01      train loss 2.")
    assert "  val acc 0." in lines[4]
    assert lines[4].endswith(" s")
    assert outcome.err == ""


def test_a_schedule_is_described_by_its_arguments_without_methods_of_their_names() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=0.1, momentum=0.9)
    text = "torch.optim.lr_scheduler.CyclicLR(mode='triangular', gamma=1.0, scale_mode='cycle', cycle_momentum=True)"
    assert schedule_text(CyclicLR(optimizer, base_lr=0.1, max_lr=0.2)) == text
