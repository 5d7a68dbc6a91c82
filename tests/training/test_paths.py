"""A run reads the same files from every folder."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from helpers import INTERRUPT, Command, file_contents, make_run, read_summary, use_mirrors

from optimcifar.paths import absolute_path, is_to_be_expanded

RUN = Path("lightning_logs/version_0")
CHECKPOINT = RUN / "checkpoints" / "last.ckpt"
SMALL = ("--data.val_size", 20, "--trainer.max_epochs", 2)


@pytest.fixture
def elsewhere(tmp_path: Path, image_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return another folder, with class folders of the same relative name that are no images; a download fails."""
    use_mirrors(monkeypatch)
    folder = tmp_path / "elsewhere"
    (folder / "folders" / "train" / "cat").mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    "command",
    [
        "test --ckpt_path {run}/checkpoints/last.ckpt",
        "test --ckpt_path {run}",
        "validate --ckpt_path {run}/checkpoints/last.ckpt",
        "predict --ckpt_path {run}/checkpoints/last.ckpt",
        "fit --config {run}/config.yaml",
        "fit --config {run}/config.yaml --ckpt_path {run}/checkpoints/last.ckpt --trainer.max_epochs 3",
        "fit --config {run}/config.yaml --ckpt_path {run} --trainer.max_epochs 3",
    ],
)
def test_images_of_a_relative_root_are_found_from_another_folder(
    command: str, optimcifar: Command, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert optimcifar("fit", "--data.root", "folders", *SMALL).status == 0
    monkeypatch.chdir(elsewhere)
    outcome = optimcifar(*command.format(run=Path("..") / RUN).split())
    assert (outcome.status, outcome.err) == (0, "")


def test_interrupted_run_is_resumed_from_another_folder(
    optimcifar: Command, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert optimcifar("fit", "--data.root", "folders", *SMALL, INTERRUPT).status == 130
    monkeypatch.chdir(elsewhere)
    assert optimcifar("resume", Path("..") / RUN).status == 0
    assert read_summary(Path("..") / RUN)["epochs"] == 2


def test_continued_run_names_its_checkpoint_for_every_folder(
    optimcifar: Command, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert optimcifar("fit", "--data.root", "folders", *SMALL).status == 0
    assert optimcifar("fit", "--ckpt_path", CHECKPOINT, "--trainer.max_epochs", 3).status == 0
    monkeypatch.chdir(elsewhere)
    outcome = optimcifar("fit", "--config", "../lightning_logs/version_1/config.yaml")
    assert (outcome.status, outcome.err) == (0, "")


def test_run_stores_absolute_paths(optimcifar: Command, image_folders: Path) -> None:
    assert optimcifar("fit", "--data.root", "folders", *SMALL).status == 0
    config = yaml.safe_load((RUN / "config.yaml").read_text())
    checkpoint = torch.load(CHECKPOINT, weights_only=True)
    assert config["data"]["init_args"]["root"] == str(image_folders)
    assert checkpoint["datamodule_hyper_parameters"]["root"] == str(image_folders)
    assert read_summary(RUN)["hyperparameters"]["data.root"] == str(image_folders)


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("images", "here/images"),
        (".", "here"),
        ("./images/", "here/images"),
        ("..", ""),
        ("../there/images", "there/images"),
        ("a/../images", "here/images"),
        ("link", "here/link"),
        ("link/images", "here/link/images"),
        ("link/../images", "there/images"),  # above the link's target, which is there/inner
        ("../here/link", "here/link"),
        ("~/images", "there/images"),
        ("$PLACE/images", "there/images"),
        ("${HOME}/images", "there/images"),
        ("../$NAME/images", "there/images"),
        ("$5", "here/$5"),  # a folder of that name
    ],
)
def test_path_is_written_in_one_way(typed: str, expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("here", "there/inner"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "here" / "link").symlink_to(tmp_path / "there" / "inner")
    monkeypatch.chdir(tmp_path / "here")
    (tmp_path / "here" / "$5").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "there"))
    monkeypatch.setenv("PLACE", "~")
    monkeypatch.setenv("NAME", "there")
    assert absolute_path(typed) == tmp_path / expected


@pytest.mark.parametrize("where", ["an option", "a configuration"])
def test_tilde_is_the_home_folder(
    where: str, optimcifar: Command, image_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    image_folders.rename(tmp_path / "home" / "images")
    (tmp_path / "a.yaml").write_text("data: {class_path: CIFAR10DataModule, init_args: {root: ~/images}}\n")
    options = ("--data.root", "~/images") if where == "an option" else ("--config", "a.yaml")
    outcome = optimcifar("fit", *options, *SMALL)
    assert (outcome.status, outcome.err) == (0, "")
    RUN.parent.rename(tmp_path / "home" / "lightning_logs")
    outcome = optimcifar("test", "--ckpt_path", f"~/{CHECKPOINT}")
    assert (outcome.status, outcome.err) == (0, "")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.yaml", "home"]


@pytest.mark.parametrize(
    "folder",
    [
        ["--trainer.default_root_dir=~/runs"],
        ["--trainer", '{"default_root_dir": "~/runs"}'],
        ["--trainer.logger=optimcifar.RunLogger", "--trainer.logger.save_dir=~/runs"],
        ["--config=~/c.yaml"],
        ["--config=$HOME/variable.yaml"],
        ["--trainer.default_root_dir=${HOME}/runs"],
    ],
)
def test_tilde_is_the_home_folder_of_a_run(
    folder: list[str], optimcifar: Command, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "c.yaml").write_text("trainer: {default_root_dir: ~/runs}\n")
    (home / "variable.yaml").write_text("trainer: {default_root_dir: $HOME/runs}\n")
    monkeypatch.setenv("HOME", str(home))
    assert optimcifar("fit", *small, "--trainer.limit_train_batches=1", *folder).status == 0
    assert (home / "runs" / CHECKPOINT).exists()
    assert list(tmp_path.iterdir()) == [home]


def test_tilde_is_the_home_folder_of_a_report(
    optimcifar: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    make_run(tmp_path / "home" / "runs" / "a", 0, [0.1, 0.2])
    assert optimcifar("report", "~/runs/*", "--out=~/page").status == 0
    assert (tmp_path / "home" / "page" / "report.html").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["home"]


def test_tilde_is_the_home_folder_of_a_drawn_schedule(
    optimcifar: Command, small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    assert optimcifar("schedule", *small, "--csv=~/rates.csv", "--png=~/rates.png").status == 0
    assert sorted(path.name for path in (tmp_path / "home").iterdir()) == ["rates.csv", "rates.png"]


@pytest.mark.parametrize("text", ["sqlite:///$HOME/a.db", "$PROJECT", "costs $100", "a/$HOME", "net.*"])
def test_text_that_may_not_be_a_path_stays_as_it_is(text: str) -> None:
    assert not is_to_be_expanded(text)


@pytest.mark.parametrize("option", ["--data.root", "--ckpt_path", "--config", "--trainer.default_root_dir"])
def test_home_folder_that_does_not_exist_is_refused(option: str, optimcifar: Command, tmp_path: Path) -> None:
    outcome = optimcifar("fit", option, "~nobody-of-that-name/images")
    assert outcome.status == 2
    assert outcome.err.startswith("optimcifar: ~nobody-of-that-name/images: there is no home folder ~nobody")
    assert not list(tmp_path.iterdir())


def use_relative_root(checkpoint: Path) -> None:
    """Write the root into a checkpoint as earlier versions did."""
    content = torch.load(checkpoint, weights_only=True)
    content["datamodule_hyper_parameters"]["root"] = "folders"
    torch.save(content, checkpoint)


@pytest.mark.parametrize("command", ["test", "fit"])
@pytest.mark.parametrize("earlier", [False, True], ids=["now", "of an earlier version"])
def test_images_that_are_gone_are_not_replaced_by_a_download(
    command: str, earlier: bool, optimcifar: Command, image_folders: Path, tmp_path: Path
) -> None:
    assert optimcifar("fit", "--data.root", "folders", *SMALL).status == 0
    if earlier:
        use_relative_root(CHECKPOINT)
    image_folders.rename(tmp_path / "moved")
    before = file_contents(tmp_path)
    outcome = optimcifar(command, "--ckpt_path", CHECKPOINT)
    assert outcome.status == 1
    assert f"{CHECKPOINT} was trained with --data.root " in outcome.err
    assert "which does not exist: put it back, or say where it is now, with --data.root\n" in outcome.err
    assert file_contents(tmp_path) == before
    assert not image_folders.exists()
    options = ("--trainer.max_epochs", 3) if command == "fit" else ()
    assert optimcifar(command, "--ckpt_path", CHECKPOINT, "--data.root", "moved", *options).status == 0


@pytest.mark.parametrize("state", ["does not exist", "is empty"])
@pytest.mark.parametrize(
    "command",
    [
        f"test --ckpt_path {CHECKPOINT}",
        f"validate --ckpt_path {CHECKPOINT}",
        f"predict --ckpt_path {CHECKPOINT}",
        f"fit --ckpt_path {CHECKPOINT} --trainer.max_epochs 3",
        f"fit --config {RUN}/config.yaml",
        f"schedule --config {RUN}/config.yaml --model.lr_scheduler LinearLR --model.lr_interval step",
    ],
)
def test_nothing_is_downloaded_in_place_of_a_runs_images(
    command: str, state: str, optimcifar: Command, image_folders: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optimcifar.data.cifar_archive._download", lambda _, path: pytest.fail(f"download to {path}"))
    assert optimcifar("fit", "--data.root", "folders", *SMALL).status == 0
    image_folders.rename(tmp_path / "moved")
    if state == "is empty":
        image_folders.mkdir()
    before = file_contents(tmp_path)
    outcome = optimcifar(*command.split())
    assert outcome.status == 1
    assert f" was trained with --data.root {image_folders}, which {state}: put it back, or say where" in outcome.err
    outcome = optimcifar(*command.split(), "--data.root", "typo")
    assert outcome.status == 1
    assert f"optimcifar: --data.root {tmp_path}/typo does not exist, and only a new run downloads: " in outcome.err
    assert f" was trained with {image_folders}\n" in outcome.err
    assert file_contents(tmp_path) == before


def test_nothing_is_downloaded_beside_another_archive_in_place_of_a_runs_images(
    optimcifar: Command, tmp_path: Path
) -> None:
    (tmp_path / "images" / "cifar-100-python").mkdir(parents=True)
    RUN.mkdir(parents=True)
    (RUN / "summary.json").write_text("{}")
    data = {"class_path": "CIFAR10DataModule", "init_args": {"root": "images"}}
    (RUN / "config.yaml").write_text(yaml.safe_dump({"data": data}))
    outcome = optimcifar("fit", "--config", RUN / "config.yaml")
    assert outcome.status == 1
    assert outcome.err == (
        f"optimcifar: {RUN} was trained with --data.root {tmp_path}/images, which has no CIFAR-10 in it: put it back, "
        "or say where it is now, with --data.root\n"
    )


@pytest.mark.parametrize("checkpoint", [True, False], ids=["with a checkpoint", "without"])
def test_resumed_run_does_not_download_images_that_are_gone(
    checkpoint: bool, optimcifar: Command, image_folders: Path, tmp_path: Path
) -> None:
    assert optimcifar("fit", "--data.root", "folders", *SMALL, INTERRUPT).status == 130
    if not checkpoint:
        CHECKPOINT.unlink()
    image_folders.rename(tmp_path / "moved")
    outcome = optimcifar("resume", RUN)
    assert outcome.status == 1
    assert outcome.err == (
        f"optimcifar: {RUN} was trained with --data.root {image_folders}, which does not exist: put it back\n"
    )
    (tmp_path / "moved").rename(image_folders)
    # Without a checkpoint the run starts again, and is interrupted again.
    assert optimcifar("resume", RUN).status == (0 if checkpoint else 130)


def test_root_that_is_not_recognised_leaves_nothing_behind(optimcifar: Command, tmp_path: Path) -> None:
    (tmp_path / "mine" / "train" / "0").mkdir(parents=True)
    outcome = optimcifar("fit", "--data.root", "mine")
    assert outcome.status == 1
    assert outcome.err.startswith(f"optimcifar: {tmp_path}/mine is not CIFAR-10: found train; in train: 0\nExpected ")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine", "train", "0"]


@pytest.mark.parametrize("root", ["~", "null"])
def test_root_that_yaml_reads_as_nothing_is_refused(root: str, optimcifar: Command, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(f"data: {{class_path: CIFAR10DataModule, init_args: {{root: {root}}}}}\n")
    outcome = optimcifar("fit", "--config", "a.yaml")
    assert outcome.status == 2
    assert outcome.err == "optimcifar: root must be a folder or an archive, got nothing; the home folder is ~/\n"
