"""Optimizers of torch.optim on the command line, Muon for whole networks, Schedule-Free, and parameter groups."""

from __future__ import annotations

import inspect
import json
import math
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
import schedulefree
import torch
import torch.nn.functional as F
from helpers import Outcome
from lightning.pytorch import Callback, LightningModule, Trainer, seed_everything
from torch import nn

from optimcifar import ConvNet, ImageClassifier, MuonWithAux, ParamRule, Shapes10DataModule

# Options on the command line, besides the name.
OPTIMIZERS: dict[str, list[str]] = {
    "ASGD": [],
    "Adadelta": [],
    "Adafactor": [],
    "Adagrad": [],
    "Adam": [],
    "AdamW": [],
    "Adamax": [],
    "LBFGS": ["--model.optimizer.max_iter", "3"],
    "Muon": [],
    "NAdam": [],
    "RAdam": [],
    "RMSprop": [],
    "Rprop": [],
    "SGD": ["--model.optimizer.lr", "0.05"],
    "SparseAdam": [],
}
NAMED = {"Muon": "MuonWithAux"}


def test_every_optimizer_of_pytorch_is_in_the_table() -> None:
    found = inspect.getmembers(torch.optim, inspect.isclass)
    assert {n for n, kind in found if issubclass(kind, torch.optim.Optimizer)} - {"Optimizer"} == OPTIMIZERS.keys()


@pytest.mark.parametrize("name", [name for name in OPTIMIZERS if name != "SparseAdam"])
def test_optimizer(name: str, optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path) -> None:
    named = NAMED.get(name, name)
    outcome = optimcifar("fit", *small, "--model.optimizer", named, *OPTIMIZERS[name])
    assert (outcome.status, outcome.err) == (0, "")
    run = tmp_path / "lightning_logs" / "version_0"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert summary["optimizer"].endswith(f".{named}")
    start = initial_weights()
    trained = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]
    assert all(not torch.equal(trained[key], start[key]) for key in start)
    assert math.isfinite(summary["train_loss"])


def initial_weights() -> dict[str, torch.Tensor]:
    seed_everything(0)
    return dict(ImageClassifier().state_dict())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "SparseAdam",
            "SparseAdam takes sparse gradients only, such as those of nn.Embedding(sparse=True); this network has "
            "none: use Adam",
        ),
        ("Muon", "Muon takes matrices only, and this network has other parameters: use optimcifar.MuonWithAux"),
    ],
)
def test_optimizer_that_cannot_train_this_network_is_refused(
    name: str, message: str, optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path
) -> None:
    outcome = optimcifar("fit", *small, "--model.optimizer", name)
    assert (outcome.status, outcome.err) == (2, f"optimcifar: {message}\n")
    assert not (tmp_path / "lightning_logs").exists()


def train(
    classifier: ImageClassifier, epochs: int = 1, callbacks: Iterable[Callback] = (), checkpoint: str | None = None
) -> Trainer:
    trainer = Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=list(callbacks),
    )
    data = Shapes10DataModule(train_images=300, val_size=100, batch_size=50)
    trainer.fit(classifier, data, ckpt_path=checkpoint, weights_only=True)
    return trainer


def batches(epochs: int = 1) -> Iterable[tuple[torch.Tensor, torch.Tensor]]:
    """Yield the batches of `train`, without Lightning."""
    data = Shapes10DataModule(train_images=300, val_size=100, batch_size=50)
    data.setup("fit")
    raw = data.read_train()
    values = ((raw.pixels.float() / 255 - 0.5) / 0.5).permute(0, 3, 1, 2)
    for epoch in range(epochs):
        for chosen in data.train_order(epoch).split(50):
            yield values[chosen], raw.labels[chosen]


def test_muon_with_aux_equals_pytorchs_muon_on_flattened_kernels_and_adamw_on_biases() -> None:
    seed_everything(0)
    net, other = ConvNet(), ConvNet()
    other.load_state_dict(net.state_dict())
    optimizer = MuonWithAux(net.parameters(), lr=0.02, aux=lambda rest: torch.optim.AdamW(rest, lr=0.003))
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3, 0.5)
    flat = {name: nn.Parameter(p.detach().flatten(1).clone()) for name, p in other.named_parameters() if p.ndim > 1}
    biases = {name: p for name, p in other.named_parameters() if p.ndim == 1}
    muon, adamw = torch.optim.Muon(flat.values(), lr=0.02), torch.optim.AdamW(biases.values(), lr=0.003)
    for step in range(7):
        muon.param_groups[0]["lr"], adamw.param_groups[0]["lr"] = 0.02 * 0.5 ** (step // 3), 0.003 * 0.5 ** (step // 3)
        for name, parameter in net.named_parameters():
            parameter.grad = torch.randn_like(parameter)
            own = flat[name] if name in flat else biases[name]
            own.grad = parameter.grad.reshape(own.shape).clone()
        optimizer.step()
        schedule.step()
        muon.step()
        adamw.step()
    for name, parameter in net.named_parameters():
        own = flat[name] if name in flat else biases[name]
        assert torch.equal(parameter.reshape(own.shape), own), name


@pytest.mark.parametrize("name", ["muon", "schedulefree", "groups"])
def test_training_resumed_from_a_checkpoint_equals_uninterrupted_training(name: str, tmp_path: Path) -> None:
    optimizers: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
        "muon": lambda p: MuonWithAux(p, lr=0.02, aux=lambda rest: torch.optim.SGD(rest, lr=0.01, momentum=0.9)),
        "schedulefree": lambda p: schedulefree.AdamWScheduleFree(p, lr=0.01, warmup_steps=3),
        "groups": lambda p: torch.optim.Adam(p, lr=0.01),
    }
    rules = [ParamRule("net.fc*", options={"lr": 0.002})] if name != "schedulefree" else None

    class Save(Callback):
        def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
            if trainer.global_step == 8:  # in the second epoch; saving must not change the run
                trainer.save_checkpoint(tmp_path / "within.ckpt")

        def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            if trainer.current_epoch == 0:
                trainer.save_checkpoint(tmp_path / "end.ckpt")

    def make() -> ImageClassifier:
        seed_everything(0)
        return ImageClassifier(optimizer=optimizers[name], param_groups=rules)

    whole, resumed = make(), make()
    train(whole, 3, [Save()])
    train(resumed, 3, checkpoint=str(tmp_path / "end.ckpt"))
    first, second = whole.state_dict(), resumed.state_dict()
    assert all(torch.equal(first[key], second[key]) for key in first)


def test_validation_and_checkpoints_use_the_evaluation_weights_of_schedulefree(tmp_path: Path) -> None:
    seed_everything(0)
    classifier = ImageClassifier(optimizer=lambda p: schedulefree.SGDScheduleFree(p, lr=0.1, warmup_steps=2))
    measured: list[dict[str, float]] = []

    class Save(Callback):
        def on_train_batch_end(self, trainer: Trainer, *args: Any) -> None:
            if trainer.global_step == 4:
                trainer.save_checkpoint(tmp_path / "within.ckpt")

        def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
            measured.append({name: value.item() for name, value in trainer.callback_metrics.items()})

    train(classifier, 1, [Save()])
    seed_everything(0)
    net = ImageClassifier().net
    optimizer = schedulefree.SGDScheduleFree(net.parameters(), lr=0.1, warmup_steps=2)
    optimizer.train()
    for step, (images, labels) in enumerate(batches(), start=1):
        optimizer.zero_grad()
        F.cross_entropy(net(images), labels).backward()
        optimizer.step()
        if step == 4:
            optimizer.eval()
            within = {f"net.{name}": value.clone() for name, value in net.state_dict().items()}
            optimizer.train()
    optimizer.eval()
    torch.testing.assert_close(dict(classifier.net.named_parameters()), dict(net.named_parameters()))
    saved = torch.load(tmp_path / "within.ckpt", weights_only=True)
    torch.testing.assert_close({name: saved["state_dict"][name] for name in within}, within)
    assert saved["optimizer_states"][0]["param_groups"][0]["train_mode"] is False
    data = Shapes10DataModule(train_images=300, val_size=100, batch_size=50)
    data.setup("fit")
    raw = data.read_train()
    held_out = data.val_positions
    values = ((raw.pixels[held_out].float() / 255 - 0.5) / 0.5).permute(0, 3, 1, 2)
    loss = F.cross_entropy(net(values), raw.labels[held_out]).item()
    assert measured[-1]["val_loss"] == pytest.approx(loss, abs=1e-5)


def test_rules_make_parameter_groups() -> None:
    rules = [
        ParamRule(max_ndim=1, options={"weight_decay": 0.0}),
        ParamRule(names="net.fc3.*", options={"lr": 0.5}),
    ]
    classifier = ImageClassifier(optimizer=lambda p: torch.optim.AdamW(p, lr=0.1, weight_decay=0.2), param_groups=rules)
    optimizer, _ = classifier.make_optimizer(None)
    found = {}
    for name, parameter in classifier.named_parameters():
        (group,) = (g for g in optimizer.param_groups if any(p is parameter for p in g["params"]))
        found[name.removeprefix("net.")] = (group["lr"], group["weight_decay"])
    assert found == {
        **{f"{layer}.weight": (0.1, 0.2) for layer in ("conv1", "conv2", "fc1", "fc2")},
        **{f"{layer}.bias": (0.1, 0.0) for layer in ("conv1", "conv2", "fc1", "fc2")},
        "fc3.weight": (0.5, 0.2),
        "fc3.bias": (0.5, 0.0),
    }
    assert (optimizer.param_groups[0]["lr"], len(optimizer.param_groups)) == (0.1, 4)


RULES = """
model:
  optimizer: {class_path: torch.optim.AdamW, init_args: {lr: 0.001, weight_decay: 0.1}}
  param_groups:
    - {max_ndim: 1, options: {weight_decay: 0.0}}
    - {names: net.conv?.weight, options: {lr: 0.002}}
"""


def test_rules_in_a_configuration_are_applied_and_printed(
    optimcifar: Callable[..., Outcome], small: list[str], tmp_path: Path
) -> None:
    (tmp_path / "rules.yaml").write_text(RULES)
    outcome = optimcifar("fit", "--config", "rules.yaml", *small)
    assert (outcome.status, outcome.err) == (0, "")
    assert "           group 2: 2 parameters, lr=0.002\n" in outcome.out
    assert "           group 3: 5 parameters, weight_decay=0.0\n" in outcome.out
    run = tmp_path / "lightning_logs" / "version_0"
    groups = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)["optimizer_states"][0]["param_groups"]
    assert [(len(g["params"]), g["lr"], g["weight_decay"]) for g in groups] == [
        (3, 0.001, 0.1),
        (2, 0.002, 0.1),
        (5, 0.001, 0.0),
    ]
    assert optimcifar("test", "--ckpt_path", run / "checkpoints" / "last.ckpt").status == 0
    assert optimcifar("fit", "--config", run / "config.yaml").status == 0


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        (
            {"names": "conv*"},
            "param_groups: no parameter matches 'conv*'; the names are net.conv1.weight, ",
        ),
        ({"max_ndim": 0}, "param_groups: no parameter with at most 0 dimensions matches '*'"),
        ({"options": {"weight_decy": 0}}, "param_groups: SGD has no option 'weight_decy'; it has lr, momentum, "),
    ],
)
def test_rule_without_effect_is_refused(
    rule: dict[str, Any], message: str, optimcifar: Callable[..., Outcome], small: list[str]
) -> None:
    outcome = optimcifar("fit", *small, "--model.param_groups", json.dumps([rule]))
    assert outcome.status == 2
    assert message in outcome.err


def test_muon_without_matrices_is_refused() -> None:
    with pytest.raises(ValueError, match="Muon needs a parameter with at least two dimensions, got none"):
        MuonWithAux([torch.zeros(3)])


@pytest.mark.slow
def test_package_works_without_muon_and_says_which_torch_has_it(small: list[str], tmp_path: Path) -> None:
    program = (
        "import sys, torch; del torch.optim.Muon\n"
        "from optimcifar.cli import main\n"
        "print(main(sys.argv[1:]), main([*sys.argv[1:], '--model.optimizer', 'MuonWithAux']))"
    )
    words = [sys.executable, "-c", program, "fit", *small, "--trainer.max_epochs", "1"]
    ended = subprocess.run(words, capture_output=True, text=True, check=True)
    assert ended.stdout.endswith("\n0 1\n")
    message = f"MuonWithAux needs torch.optim.Muon of torch 2.9 or newer, got torch {torch.__version__}"
    assert ended.stderr == f"optimcifar: {message}\n"
    assert [path.name for path in (tmp_path / "lightning_logs").iterdir()] == ["version_0"]


def test_muon_keeps_the_memory_format_of_kernels() -> None:
    net = ConvNet().to(memory_format=torch.channels_last)
    optimizer = MuonWithAux(net.parameters(), lr=0.1)
    before = net.conv2.weight.detach().clone()
    images, labels = next(iter(batches()))
    F.cross_entropy(net(images), labels).backward()
    optimizer.step()
    assert net.conv2.weight.is_contiguous(memory_format=torch.channels_last)
    assert not torch.equal(before, net.conv2.weight)
