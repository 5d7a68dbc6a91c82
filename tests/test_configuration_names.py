"""Configurations by name: which file a name means, the list of names, and copies of the files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from helpers import CONFIGS, ROOT, Command, file_contents

from optimcifar.comparison.plan import make_plan
from optimcifar.configurations import (
    copy_shipped,
    find_configuration,
    find_space,
    shipped_configurations,
)
from optimcifar.engine.runs import parse_entries
from optimcifar.engine.worker import check_options
from optimcifar.errors import UsageError


@pytest.fixture
def package_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put another folder in place of that of the shipped configurations, with some in sub-folders."""
    folder = tmp_path / "package"
    for name in ("sgd.yaml", "adam.yaml", "tuned/sgd.yaml", "spaces/cifar10.yaml", "results/config.yaml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"# Of {name}. More.\nmodel: {{}}\n")
    monkeypatch.setattr("optimcifar.configurations._folder", lambda: folder)
    return folder


def test_a_name_means_the_file_that_comes_with_the_package_unless_there_is_one_here() -> None:
    Path("sgd").mkdir()  # a folder is no configuration
    assert find_configuration("sgd") == CONFIGS / "sgd.yaml"
    assert find_space("cifar10") == CONFIGS / "spaces/cifar10.yaml"
    Path("sgd.yaml").touch()
    Path("sgd/own.v2.yaml").touch()
    assert find_configuration("sgd") == find_configuration("sgd.yaml") == Path("sgd.yaml")
    assert find_configuration("sgd/own.v2") == Path("sgd/own.v2.yaml")
    Path("adam").touch()
    assert find_configuration("adam") == Path("adam")
    os.mkfifo("pipe")  # as in --config <(sed ...)
    assert find_configuration("pipe") == Path("pipe")


def test_names_in_sub_folders_are_paths_and_results_have_none(package_folder: Path) -> None:
    assert list(shipped_configurations()) == ["adam", "sgd", "tuned/sgd"]
    assert find_configuration("tuned/sgd") == package_folder / "tuned/sgd.yaml"
    assert [entry.name for entry in parse_entries(["sgd", "tuned/sgd", "adam"])] == ["sgd", "tuned_sgd", "adam"]


@pytest.mark.parametrize(
    ("typed", "message"),
    [
        ("rmsporp", "there is no configuration rmsporp: did you mean rmsprop?"),
        ("RMSprop", "there is no configuration RMSprop: did you mean rmsprop?"),
        ("sgd.yml", "there is no configuration sgd.yml: did you mean sgd?"),
        ("warmup", "there is no configuration warmup: did you mean sgd_warmup_cosine?"),
        ("cosine", "there is no configuration cosine: did you mean adamw_cosine, sgd_cosine or sgd_warmup_cosine?"),
        # A path gets a file in its folder, else a name.
        ("mine/adma.yaml", "there is no configuration mine/adma.yaml: did you mean mine/adam.yaml?"),
        ("mien", "there is no configuration mien: did you mean mine.yaml?"),
        ("configs/rmsprop.yaml", "there is no configuration configs/rmsprop.yaml: did you mean rmsprop?"),
        ("a", "there is no configuration a: optimcifar configs lists those that have a name"),
        ("xyz", "there is no configuration xyz: optimcifar configs lists those that have a name"),
        ("mine", "mine is a folder, not a configuration"),
        (".", ". is a folder, not a configuration"),
        ("tuned/sdg", "there is no configuration tuned/sdg: did you mean tuned/sgd?"),
    ],
)
def test_unknown_configuration_gets_the_nearest_ones(typed: str, message: str, request: pytest.FixtureRequest) -> None:
    if typed.startswith("tuned"):
        request.getfixturevalue("package_folder")
    Path("mine").mkdir()
    for file in ("mine/adam.yaml", "mine.yaml"):
        Path(file).touch() if typed != "mine" else None
    with pytest.raises(UsageError) as raised:
        find_configuration(typed)
    assert str(raised.value) == message


def test_list_has_a_line_for_each_that_fits_a_terminal(optimcifar: Command) -> None:
    lines = optimcifar("configs").out.splitlines()
    assert all(len(line) <= 80 and not line.endswith("...") for line in lines)
    spaces = lines.index("spaces:")
    assert lines[0] == "configurations:"
    names = sorted(path.stem for path in CONFIGS.glob("*.yaml"))
    names += sorted(f"tuned/{path.stem}" for path in CONFIGS.glob("tuned/*.yaml"))
    assert [line.split()[0] for line in lines[1 : spaces - 1]] == names
    assert "  adamax                   Adamax: Adam scaled by the largest recent gradient." in lines
    assert "  tuned/sgd                Tuned to lr 0.00418, momentum 0.95." in lines
    assert lines[spaces + 1] == "  cifar10                  What to tune for each configuration on CIFAR-10."


def test_a_long_comment_is_cut_in_the_list(package_folder: Path, optimcifar: Command) -> None:
    (package_folder / "adam.yaml").write_text(f"# {'word ' * 10}\n# {'word ' * 10}\nmodel: {{}}\n")
    lines = optimcifar("configs").out.splitlines()
    assert lines[1] == f"  adam       {'word ' * 12}..."
    assert lines[3] == "  tuned/sgd  Of tuned/sgd.yaml."


def test_copies_are_equal_and_replace_no_other_file(optimcifar: Command) -> None:
    outcome = optimcifar("configs", "--copy", "new/mine")
    assert (outcome.status, outcome.out) == (0, f"{len(shipped_configurations()) + 1} files in new/mine\n")
    assert Path("new/mine/spaces/cifar10.yaml").read_bytes() == (CONFIGS / "spaces/cifar10.yaml").read_bytes()
    assert all(Path("new/mine", path.name).read_bytes() == path.read_bytes() for path in CONFIGS.glob("*.yaml"))
    Path("new/mine/adam.yaml").write_text("mine\n")
    Path("new/mine/muon.yaml").unlink()
    before = file_contents(Path())
    with pytest.raises(UsageError, match=r"^new/mine/adam\.yaml: already exists with different content"):
        copy_shipped(Path("new/mine"))
    assert file_contents(Path()) == before
    Path("new/mine/adam.yaml").unlink()
    kept = Path("new/mine/sgd.yaml").stat()
    copy_shipped(Path("new/mine"))
    assert os.path.samestat(kept, Path("new/mine/sgd.yaml").stat())
    assert {path.name for path in Path("new/mine").glob("*.yaml")} == {path.name for path in CONFIGS.glob("*.yaml")}


def test_comparison_takes_names() -> None:
    plan = make_plan(["sgd", "adam", "sgd:model.optimizer.lr=0.03"], range(2), out="out")
    assert [entry.name for entry in plan.entries] == ["sgd", "adam", "sgd-lr=0.03"]


def test_run_by_name_is_the_run_by_path_so_either_goes_on_with_the_other(
    optimcifar: Command, small: list[str], tmp_path: Path
) -> None:
    by_name, by_path = (parse_entries([typed])[0] for typed in ("adam", os.path.relpath(CONFIGS / "adam.yaml")))
    assert by_name.name == by_path.name
    assert check_options(None, by_name.options) == check_options(None, by_path.options)
    outcome = optimcifar("fit", "--config", "adam", *small, "--trainer.max_epochs", 1)
    assert (outcome.status, outcome.err) == (0, "")
    run = tmp_path / "lightning_logs/version_0"
    assert str(ROOT) not in (run / "config.yaml").read_text()
    outcome = optimcifar("validate", "--config", "adam", *small, "--ckpt_path", run / "checkpoints/last.ckpt")
    assert (outcome.status, outcome.err) == (0, "")
