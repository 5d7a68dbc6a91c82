"""Every schedule in sequences and chains, with two parameter groups, against formulas."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from helpers import quiet_trainer
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.cli import ReduceLROnPlateau as LightningPlateau
from schedule_forms import FORMS, RATES, configuration, one_cycle, schedule
from torch.optim import SGD, Adam, Optimizer, lr_scheduler
from torch.optim.lr_scheduler import CosineAnnealingLR, ExponentialLR, LinearLR, OneCycleLR, ReduceLROnPlateau, StepLR

from optimcifar import ChainedSchedule, ImageClassifier, MuonWithAux, ParamRule, SequentialSchedule, Shapes10DataModule
from optimcifar.training.schedule_plan import plan_rates

# The length of all combinations.
N = 13
STEP: Any = partial(StepLR, step_size=2)
Rate = Callable[[float, int], float]
Case = tuple[Any, Rate]


def of(name: str, length: int) -> Case:
    return schedule(name), lambda base, t: FORMS[name].rate(base, t, length)


def sequence(milestones: list[int], *cases: Case) -> Case:
    make = partial(SequentialSchedule, schedulers=[make for make, _ in cases], milestones=milestones)

    def rate(base: float, t: int) -> float:
        part = sum(t >= milestone for milestone in milestones)
        return cases[part][1](base, t - [0, *milestones][part])

    return make, rate


def chain(*cases: Case) -> Case:
    make = partial(ChainedSchedule, schedulers=[make for make, _ in cases])
    return make, lambda base, t: base * math.prod(rate(base, t) / base for _, rate in cases)


# The neighbours rewrite the rates that PyTorch's sequences start from.
PLACES: dict[str, Callable[[str], Case]] = {
    "first": lambda name: sequence([4, 9], of(name, 4), of("OneCycleLR", 5), of("ExponentialLR", 4)),
    "middle": lambda name: sequence([4, 9], of("OneCycleLR", 4), of(name, 5), of("CyclicLR", 4)),
    "last": lambda name: sequence([4, 9], of("CyclicLR", 4), of("ExponentialLR", 5), of(name, 4)),
    "first of a chain": lambda name: chain(of(name, N), of("ExponentialLR", N), of("LinearLR", N)),
    "last of a chain": lambda name: chain(of("ExponentialLR", N), of("LambdaLR", N), of(name, N)),
    "sequence in sequence": lambda name: sequence(
        [3], of("OneCycleLR", 3), sequence([4], of(name, 4), of("CosineAnnealingLR", 6))
    ),
    "chain in sequence": lambda name: sequence([3], of("OneCycleLR", 3), chain(of("ExponentialLR", 10), of(name, 10))),
    "chain first in sequence": lambda name: sequence([5], chain(of(name, 5), of("StepLR", 5)), of("OneCycleLR", 8)),
    "sequence in chain": lambda name: chain(of("LinearLR", N), sequence([5], of("OneCycleLR", 5), of(name, 8))),
    "chain in chain": lambda name: chain(of("LinearLR", N), chain(of(name, N), of("ExponentialLR", N))),
}


def optimizer_with_groups() -> Optimizer:
    return SGD([{"params": [torch.zeros(1)], "lr": rate} for rate in RATES], lr=0.5, momentum=0.9)


def settings(optimizer: Optimizer) -> list[tuple[float, float]]:
    return [(group["lr"], group["momentum"]) for group in optimizer.param_groups]


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", FORMS)
def test_schedule_in_its_place_sets_the_rates_of_the_formula(name: str, place: str) -> None:
    make, rate = PLACES[place](name)
    optimizer = optimizer_with_groups()
    built = make(optimizer, total_iters=N)
    for t in range(N):
        expected = [rate(base, t) for base in RATES]
        assert [group["lr"] for group in optimizer.param_groups] == pytest.approx(expected, rel=1e-9), t
        assert built.get_last_lr() == pytest.approx(expected, rel=1e-9)
        optimizer.step()
        built.step()


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", FORMS)
def test_schedule_in_its_place_goes_on_from_its_state(name: str, place: str) -> None:
    make, _ = PLACES[place](name)
    optimizer = optimizer_with_groups()
    built = make(optimizer, total_iters=N)
    states = []
    for _ in range(N):
        file = io.BytesIO()
        torch.save((optimizer.state_dict(), built.state_dict()), file)
        states.append((settings(optimizer), file))
        optimizer.step()
        built.step()
    for t in (0, 3, 4, 8, 9):  # around the milestones
        file = states[t][1]
        file.seek(0)
        saved, state = torch.load(file, weights_only=True)
        restored = optimizer_with_groups()
        goes_on = make(restored, total_iters=N)
        restored.load_state_dict(saved)
        goes_on.load_state_dict(state)
        for expected, _ in states[t:]:
            assert settings(restored) == expected
            restored.step()
            goes_on.step()


@pytest.mark.parametrize("name", FORMS)
def test_a_run_from_the_command_line_has_the_rates_of_the_formula(name: str, tmp_path: Path) -> None:
    in_chain = {"schedulers": [("ExponentialLR", {"gamma": 0.5}), (name, FORMS[name].arguments)]}
    parts = [(name, FORMS[name].arguments), ("ChainedScheduler", in_chain)]
    model = {
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": RATES[0], "momentum": 0.9}},
        "param_groups": [{"names": "net.fc3.*", "options": {"lr": RATES[1]}}],
        "lr_scheduler": configuration("SequentialLR", {"schedulers": parts, "milestones": [4]}),
    }
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"model": model, "trainer": {"max_epochs": N}}))
    options = ["--data", "Shapes10DataModule", "--data.train_images", "200", "--data.val_size", "20"]
    _, rate = sequence([4], of(name, 4), chain(of("ExponentialLR", 9), of(name, 9)))
    expected = [pytest.approx([rate(base, t) for base in RATES], rel=1e-9) for t in range(N)]
    assert plan_rates(["--config", "c.yaml", *options]).rates == expected


class Rates(Callback):
    """Records the rates and momenta of each step."""

    def __init__(self) -> None:
        self.found: list[list[tuple[float, float]]] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        self.found.append(settings(trainer.optimizers[0]))


@pytest.mark.parametrize("name", FORMS)
def test_a_run_from_python_has_the_rates_of_the_formula(name: str) -> None:
    make, rate = PLACES["middle"](name)
    rates = Rates()
    classifier = ImageClassifier(
        optimizer=lambda params: SGD(params, lr=RATES[0], momentum=0.9),
        lr_scheduler=make,
        param_groups=[ParamRule("net.fc3.*", options={"lr": RATES[1]})],
    )
    trainer = quiet_trainer(max_epochs=N, limit_train_batches=1, limit_val_batches=0, callbacks=[rates])
    trainer.fit(classifier, Shapes10DataModule(train_images=40, val_size=10, batch_size=8))
    expected = [pytest.approx([rate(base, t) for base in RATES], rel=1e-9) for t in range(N)]
    assert [[lr for lr, _ in step] for step in rates.found] == expected


def test_momentum_is_the_optimizers_own_before_and_after_a_cycle() -> None:
    cycle = partial(OneCycleLR, max_lr=1.0, pct_start=0.5, base_momentum=0.5, max_momentum=0.8)
    optimizer = SGD([torch.zeros(1)], lr=1.0, momentum=0.8)  # equal to the cycle's where it starts
    built = SequentialSchedule(optimizer, [STEP, cycle, STEP], [2, 8], 10)
    momenta = []
    for _ in range(10):
        momenta.append(optimizer.param_groups[0]["momentum"])
        optimizer.step()
        built.step()
    assert momenta == pytest.approx([0.8, 0.8, *(one_cycle(0.8, 0.5, 0.8, t, 6) for t in range(6)), 0.8, 0.8])


def test_betas_are_the_optimizers_own_after_a_cycle() -> None:
    optimizer = Adam([torch.zeros(1)], lr=1.0, betas=(0.7, 0.99))
    built = SequentialSchedule(optimizer, [partial(OneCycleLR, max_lr=1.0, pct_start=0.5), STEP], [4], 6)
    assert optimizer.param_groups[0]["betas"] == (0.95, 0.99)
    for _ in range(4):
        optimizer.step()
        built.step()
    assert optimizer.param_groups[0]["betas"] == (0.7, 0.99)


def test_rates_that_are_tensors_stay_the_same_tensors() -> None:
    rate = torch.tensor(1.0)
    optimizer = Adam([torch.zeros(1)], lr=rate)
    cycle = partial(OneCycleLR, max_lr=4.0, div_factor=2.0, pct_start=0.5)
    built = SequentialSchedule(optimizer, [partial(ExponentialLR, gamma=0.5), cycle], [2], 6)
    found = []
    for _ in range(3):
        found.append(float(rate))
        optimizer.step()
        built.step()
    assert found == [1.0, 0.5, 2.0]
    assert optimizer.param_groups[0]["lr"] is rate


def test_options_that_an_optimizer_keeps_for_itself_are_left_to_it() -> None:
    class Counting(SGD):
        def step(self, closure: Any = None) -> Any:
            self.param_groups[0]["weight_decay"] += 1
            return super().step(closure)

    optimizer = Counting([torch.zeros(1)], lr=1.0, weight_decay=0.0, momentum=0.5)
    built = SequentialSchedule(optimizer, [partial(OneCycleLR, max_lr=1.0), STEP], [2], 4)
    for _ in range(3):
        optimizer.step()
        built.step()
    assert optimizer.param_groups[0]["weight_decay"] == 3
    assert optimizer.param_groups[0]["momentum"] == 0.5


@pytest.mark.parametrize("combined", [SequentialSchedule, ChainedSchedule])
@pytest.mark.parametrize("plateau", [ReduceLROnPlateau, partial(LightningPlateau, monitor="val_acc")])
def test_a_schedule_that_follows_a_metric_is_refused_in_a_combination(combined: Any, plateau: Any) -> None:
    milestones = {"milestones": [2]} if combined is SequentialSchedule else {}
    with pytest.raises(ValueError, match=f"{combined.__name__} takes no ReduceLROnPlateau, which follows a metric"):
        combined(optimizer_with_groups(), [LinearLR, plateau], total_iters=5, **milestones)


def test_a_chain_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="ChainedSchedule needs at least one schedule"):
        ChainedSchedule(optimizer_with_groups(), [])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            partial(OneCycleLR, max_lr=0.5),
            r"OneCycleLR would replace the rates .*\(1, 0.1\) by one: give max_lr a list",
        ),
        (
            partial(lr_scheduler.CyclicLR, base_lr=0.1, max_lr=1.0, step_size_up=2),
            r"CyclicLR .*\(1, 0.1\) by one: give base_lr and max_lr a list with a rate for each of the 2 groups",
        ),
        (partial(lr_scheduler.CyclicLR, base_lr=[0.2, 0.1], max_lr=1.0), "by one: give max_lr a list"),
        (lambda optimizer: OneCycleLR(optimizer, 0.5, 10), "OneCycleLR would replace the rates"),
        (partial(SequentialSchedule, schedulers=[LinearLR, partial(OneCycleLR, max_lr=1.0)], milestones=[2]), "max_lr"),
        (partial(ChainedSchedule, schedulers=[partial(OneCycleLR, max_lr=1.0)]), "OneCycleLR would replace the rates"),
        (partial(OneCycleLR, max_lr=[1.0, 0.5, 0.1]), "3 values, param_groups has 2"),
    ],
)
def test_one_rate_for_groups_with_different_rates_is_refused(make: Any, message: str) -> None:
    rules = [ParamRule("net.fc3.*", options={"lr": 0.1})]
    classifier = ImageClassifier(
        optimizer=lambda p: SGD(p, lr=1.0, momentum=0.9), lr_scheduler=make, param_groups=rules
    )
    with pytest.raises(ValueError, match=message):
        quiet_trainer().fit(classifier, Shapes10DataModule(train_images=40, val_size=10))


@pytest.mark.parametrize(
    "make",
    [
        partial(OneCycleLR, max_lr=[0.5, 0.5]),  # asked for
        partial(OneCycleLR, max_lr=[0.5, 0.1]),
        partial(lr_scheduler.CyclicLR, base_lr=[0.1, 0.01], max_lr=[0.5, 0.1]),
        partial(lr_scheduler.LambdaLR, lr_lambda=float),  # starts from zero in all groups
    ],
)
def test_rates_for_each_group_are_accepted(make: Any) -> None:
    rules = [ParamRule("net.fc3.*", options={"lr": 0.1})]
    optimizer, _ = ImageClassifier(lr_scheduler=make, param_groups=rules).make_optimizer(10)
    assert len(optimizer.param_groups) == 2


def test_one_rate_is_accepted_for_groups_that_differ_in_something_else() -> None:
    rules = [ParamRule(max_ndim=1, options={"weight_decay": 0.1})]
    classifier = ImageClassifier(lr_scheduler=partial(OneCycleLR, max_lr=0.5), param_groups=rules)
    optimizer, _ = classifier.make_optimizer(10)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.02, 0.02])


def test_one_rate_for_muon_and_its_auxiliary_optimizer_is_refused() -> None:
    classifier = ImageClassifier(optimizer=partial(MuonWithAux, lr=0.01), lr_scheduler=partial(OneCycleLR, max_lr=0.5))
    with pytest.raises(ValueError, match=r"\(0.01, 0.001\) by one: give max_lr a list"):
        classifier.make_optimizer(10)


@pytest.mark.parametrize(
    ("kind", "arguments"), [(OneCycleLR, {"max_lr": 1.0}), (lr_scheduler.CyclicLR, {"base_lr": 0.1, "max_lr": 1.0})]
)
def test_one_momentum_for_groups_with_different_momenta_is_refused(kind: Any, arguments: dict[str, Any]) -> None:
    rules = [ParamRule("net.fc3.*", options={"momentum": 0.5})]
    classifier = ImageClassifier(lr_scheduler=partial(kind, **arguments), param_groups=rules)
    with pytest.raises(ValueError, match=r"the momenta .*\(0.9, 0.5\) by one: set cycle_momentum to false"):
        classifier.make_optimizer(10)
    kept = ImageClassifier(lr_scheduler=partial(kind, cycle_momentum=False, **arguments), param_groups=rules)
    assert [group["momentum"] for group in kept.make_optimizer(10)[0].param_groups] == [0.9, 0.5]


def torch_sequence(*parts: Callable[[Optimizer], Any]) -> Any:
    return lambda optimizer: lr_scheduler.SequentialLR(optimizer, [part(optimizer) for part in parts], [2])


def torch_chain(*parts: Callable[[Optimizer], Any]) -> Any:
    return lambda optimizer: lr_scheduler.ChainedScheduler([part(optimizer) for part in parts], optimizer)


EXPONENTIAL: Any = partial(ExponentialLR, gamma=0.9)
CYCLE: Any = partial(OneCycleLR, max_lr=1.0, total_steps=10)
WARM_RESTARTS: Any = partial(lr_scheduler.CosineAnnealingWarmRestarts, T_0=2)
LAMBDA: Any = partial(lr_scheduler.LambdaLR, lr_lambda=float)


@pytest.mark.filterwarnings("ignore:Detected call")  # PyTorch steps a sequence while it builds the outer one
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            torch_sequence(LinearLR, CYCLE),
            "SequentialLR sets wrong rates with OneCycleLR .*: use optimcifar.Sequential",
        ),
        (torch_sequence(CYCLE, LinearLR), "SequentialLR sets wrong rates with OneCycleLR"),
        (torch_sequence(LinearLR, torch_chain(LinearLR, EXPONENTIAL)), "SequentialLR .* with ChainedScheduler"),
        (torch_sequence(torch_sequence(LinearLR, EXPONENTIAL), LinearLR), "SequentialLR .* with SequentialLR"),
        (torch_chain(EXPONENTIAL, LAMBDA), "ChainedScheduler .* with LambdaLR .*: use optimcifar.ChainedSchedule"),
        (torch_chain(WARM_RESTARTS, EXPONENTIAL), "ChainedScheduler .* with CosineAnnealingWarmRestarts"),
        (torch_chain(LinearLR, torch_chain(EXPONENTIAL, CYCLE)), "ChainedScheduler .* with OneCycleLR"),
    ],
)
def test_what_pytorchs_own_combinations_get_wrong_is_refused(make: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ImageClassifier(lr_scheduler=make).make_optimizer(10)


@pytest.mark.parametrize(
    "make",
    [
        torch_sequence(LinearLR, partial(CosineAnnealingLR, T_max=5)),
        torch_chain(LinearLR, EXPONENTIAL),
        torch_chain(torch_chain(LinearLR, EXPONENTIAL), partial(StepLR, step_size=2)),
        torch_chain(CYCLE),
    ],
)
def test_what_pytorchs_own_combinations_get_right_is_accepted(make: Any) -> None:
    assert ImageClassifier(lr_scheduler=make).make_optimizer(10)[1] is not None
