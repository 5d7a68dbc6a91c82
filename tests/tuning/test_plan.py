"""The plan of a study, and what is refused before any run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from test_tune import planned

from optimcifar.errors import UsageError
from optimcifar.spaces.dimensions import Choices, Range
from optimcifar.tuning.plan import tuning_space
from optimcifar.tuning.resolved import ResolvedConfiguration

pytestmark = pytest.mark.usefixtures("two_configurations")

ONE_CYCLE = {
    "model": {
        "optimizer": {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01}},
        "lr_scheduler": {"class_path": "torch.optim.lr_scheduler.OneCycleLR", "init_args": {"max_lr": 0.05}},
    }
}


def resolved(tree: dict[str, Any]) -> ResolvedConfiguration:
    return ResolvedConfiguration(yaml.safe_dump(tree))


def test_ranges_and_choices_in_an_entry_are_tried_and_other_values_hold_for_all_trials() -> None:
    plan = planned("sgd.yaml:model.optimizer.lr=1e-3..1:model.optimizer.weight_decay=0,1e-4:trainer.max_epochs=3")
    assert [entry.name for entry in plan.entries] == ["sgd-max_epochs=3"]
    assert plan.spaces["sgd-max_epochs=3"] == (
        {"model.optimizer.lr": Range(0.001, 1, "log"), "model.optimizer.weight_decay": Choices((0, 0.0001))},
        "the command",
    )


def test_a_path_with_two_dots_is_no_range() -> None:
    assert planned("sgd.yaml:data.root=../images", "adam.yaml:data.root=a/../b").spaces == {}


def test_space_of_an_entry_comes_from_the_command_else_from_the_file_else_from_its_rate() -> None:
    Path("space.yaml").write_text("sgd: {model.optimizer.lr: 1e-2..1}\nadam: {model.optimizer.lr: 1e-4..1e-2}\n")
    Path("muon.yaml").write_text(Path("sgd.yaml").read_text())
    plan = planned("sgd.yaml:model.optimizer.lr=0.1..2", "adam.yaml", "muon.yaml", space="space.yaml")
    own = resolved(ONE_CYCLE | {"model": {"optimizer": ONE_CYCLE["model"]["optimizer"]}})
    spaces = {name: tuning_space(plan, name, own) for name in ("sgd", "adam", "muon")}
    assert {name: str(space.space["model.optimizer.lr"]) for name, space in spaces.items()} == {
        "sgd": "0.1..2.0:log",
        "adam": "0.0001..0.01:log",
        "muon": "0.000316..0.316:log",  # three decades around 0.01
    }
    assert [space.source for space in spaces.values()] == ["the command", "space.yaml", "default"]


def test_space_of_the_package_has_a_name_and_suits_own_configurations_too() -> None:
    plan = planned(
        "sgd", "muon", "adam.yaml:model.optimizer.lr=0.1..2", space="cifar10"
    )  # sgd.yaml and adam.yaml are here
    assert {name: source for name, (_, source) in plan.spaces.items()} == {
        "sgd": "cifar10.yaml",
        "muon": "cifar10.yaml",
        "adam": "the command",
    }
    assert list(planned("sgd", space="cifar10").spaces) == ["sgd"]  # sections of others are no mistake


def test_rates_that_a_schedule_ties_together_keep_their_ratio() -> None:
    for key, other, factor in (
        ("model.optimizer.lr", "model.lr_scheduler.max_lr", 5),
        ("model.lr_scheduler.max_lr", "model.optimizer.lr", 0.2),
        ("model.optimizer.init_args.lr", "model.lr_scheduler.max_lr", 5),
    ):
        space = tuning_space(planned(f"sgd.yaml:{key}=1e-3..1"), "sgd", resolved(ONE_CYCLE))
        assert space.follows == {other: key}
        assert all(trial[other] == pytest.approx(factor * trial[key], rel=1e-5) for trial in space.trials)
    default = tuning_space(planned("sgd.yaml"), "sgd", resolved(ONE_CYCLE))
    assert str(default.space["model.lr_scheduler.max_lr"]) == "0.00158..1.58:log"  # around the greatest rate, 0.05


def test_rates_that_are_both_tried_do_not_follow_each_other() -> None:
    plan = planned("sgd.yaml:model.optimizer.lr=1e-3..1:model.lr_scheduler.max_lr=1e-3..1")
    assert tuning_space(plan, "sgd", resolved(ONE_CYCLE)).follows == {}


def test_a_number_that_yaml_takes_for_a_text_is_a_number() -> None:
    configuration = ResolvedConfiguration(
        "model: {optimizer: {class_path: torch.optim.Adam, init_args: {eps: 1e-08, betas: [0.9, 1e-3]}}}"
    )
    assert configuration.own(["model.optimizer.eps", "model.optimizer.betas", "model.optimizer"]) == {
        "model.optimizer.eps": 1e-8,
        "model.optimizer.betas": [0.9, 0.001],
        "model.optimizer": "torch.optim.Adam",
    }


def test_arguments_of_callbacks_are_found_in_the_last_that_has_them() -> None:
    configuration = ResolvedConfiguration(
        "trainer: {callbacks: [{class_path: A, init_args: {a: 1, b: 2}}, {class_path: B, init_args: {b: 3}}]}"
    )
    assert configuration.own(["trainer.callbacks.a", "trainer.callbacks.b", "trainer.callbacks.c"]) == {
        "trainer.callbacks.a": 1,
        "trainer.callbacks.b": 3,
        "trainer.callbacks.c": None,
    }


@pytest.mark.parametrize(
    ("configs", "options", "message"),
    [
        (
            ["sgd.yaml:model.optimizer.lr=1..1"],
            {},
            "model.optimizer.lr: LOW must be less than HIGH in a range",
        ),
        (["sgd.yaml:model.optimizer.lr=1..1e-3"], {}, r"LOW must be less than HIGH"),
        (["sgd.yaml:model.optimizer.lr=0..1:log"], {}, r"both ends of a range on a log scale must be positive"),
        (["sgd.yaml", "sgd.yaml"], {}, "sgd is named twice"),
        (["sgd.yaml"], {"baseline": "adam"}, "--baseline must be one of sgd; got 'adam'"),
        (["sgd.yaml"], {"trials": 1}, "--trials must be at least 2, got 1"),
        (["sgd.yaml"], {"tuning_seeds": 0}, "--tuning_seeds must be at least 1, got 0"),
        (["sgd.yaml"], {"jobs": 0}, "--jobs must be at least 1, got 0"),
        (
            ["sgd.yaml"],
            {"seeds": [0, 1000]},
            "--seeds must be below 1000: the seeds from there on are for tuning",
        ),
        (["sgd.yaml", "adam.yaml"], {"seeds": "auto", "max_seeds": 1001}, "--seeds must be below 1000"),
        (
            ["sgd.yaml"],
            {"space": "{sdg: {model.optimizer.lr: 1e-3..1}}"},
            "section sdg is not the name of a configuration; did you mean sgd?",
        ),
        (["sgd.yaml"], {"space": "{sgd: 0.1}"}, "sgd must be a mapping of options to ranges"),
        (["sgd.yaml"], {"space": "{sgd: {model.optimizer.lr: 1..0}}"}, "LOW must be less than HIGH"),
        (["sgd.yaml"], {"space": "{sgd: {model.optimizer.lr: [0.1]}}"}, "or several values; got '0.1'"),
        (["none.yaml"], {}, "there is no configuration none.yaml"),
    ],
)
def test_wrong_arguments_are_refused_in_a_line(configs: list[str], options: dict[str, Any], message: str) -> None:
    if "space" in options:
        Path("space.yaml").write_text(options["space"])
        options = options | {"space": Path("space.yaml")}
    with pytest.raises(UsageError) as error:
        planned(*configs, **options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_section_for_a_configuration_that_is_not_tuned_is_ignored() -> None:
    Path("space.yaml").write_text("sgd: {model.optimizer.lr: 1e-2..1}\nadam: {model.optimizer.lr: 1e-4..1e-2}\n")
    assert list(planned("adam.yaml", space="space.yaml").spaces) == ["adam"]


def test_a_section_of_an_entry_goes_before_that_of_its_file() -> None:
    Path("space.yaml").write_text(
        "sgd: {model.optimizer.lr: 1e-2..1}\nsgd-max_epochs=3: {model.optimizer.lr: 0.1..1}\n"
    )
    plan = planned("sgd.yaml", "sgd.yaml:trainer.max_epochs=3", space="space.yaml")
    ranges = {name: str(space["model.optimizer.lr"]) for name, (space, _) in plan.spaces.items()}
    assert ranges == {"sgd": "0.01..1.0:log", "sgd-max_epochs=3": "0.1..1.0:log"}


def test_spaces_that_are_too_small_are_refused_with_their_name() -> None:
    with pytest.raises(UsageError, match="sgd: the space has only 3 settings, fewer than --trials 10"):
        tuning_space(planned("sgd.yaml:model.optimizer.nesterov=true,false"), "sgd", resolved(ONE_CYCLE))


def test_a_configuration_without_a_rate_needs_a_space() -> None:
    tree = {"model": {"optimizer": {"class_path": "mine.Optimizer", "init_args": {"step": 1}}}}
    with pytest.raises(UsageError, match=r"sgd has no model.optimizer.lr to tune: say what to try"):
        tuning_space(planned("sgd.yaml"), "sgd", resolved(tree))
