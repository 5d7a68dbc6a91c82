"""Class folders of a person's own images, each of one grey value that no other has."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import draw_class_folders, file_contents
from PIL import Image

from optimcifar import ImageFolderDataModule
from optimcifar.data.images import DataError, Images

CLASSES = ("ant", "Bee", "cat fish")
NUMBER = 12  # of each class


def read(root: Path, **settings: Any) -> ImageFolderDataModule:
    data = ImageFolderDataModule(root, **settings)
    data.prepare_data()
    data.setup("fit")
    return data


def grey(images: Images, positions: torch.Tensor | slice = slice(None)) -> list[int]:
    """Return the grey value of each image, every pixel of which has it."""
    pixels = images.pixels[positions]
    values = pixels[:, 0, 0, 0]
    assert (pixels == values[:, None, None, None]).all()
    return values.tolist()


def parts(root: Path, **settings: Any) -> tuple[list[int], list[int], list[int]]:
    """Return the grey values of the training, the validation and the test images."""
    data = read(root, **settings)
    train = data.read_train()
    return grey(train, data.train_positions), grey(train, data.val_positions), grey(data.read_test())


@pytest.fixture
def flat(tmp_path: Path) -> tuple[Path, list[int]]:
    """Return a folder of class folders, and the values of the images by class and file name."""
    root = tmp_path / "my animals"
    return root, draw_class_folders(root, sorted(CLASSES), NUMBER)


def test_class_folders_are_read_whatever_their_files_are(flat: tuple[Path, list[int]]) -> None:
    root, values = flat
    data = ImageFolderDataModule(root, image_size=20, test_size=0)
    assert (data.num_classes, data.image_size, data.dataset_name) == (3, 20, "my animals")
    assert data.class_names == ("Bee", "ant", "cat fish")  # sorted as their names are, capitals first
    data.setup("fit")
    images = data.read_train()
    assert images.pixels.shape == (3 * NUMBER, 20, 20, 3)
    assert images.pixels.dtype == torch.uint8
    assert grey(images) == values
    assert images.labels.tolist() == [label for label in range(3) for _ in range(NUMBER)]
    assert (data.root, data.hparams["root"]) == (root, str(root))


def test_no_seed_moves_the_test_images(flat: tuple[Path, list[int]]) -> None:
    root, values = flat
    found = [parts(root, seed=seed, test_size=0.25, val_size=6) for seed in range(4)]
    label = {value: position // NUMBER for position, value in enumerate(values)}
    for train, val, test in found:
        assert test == found[0][2]
        assert sorted(train + val + test) == sorted(values)
        assert [sum(label[value] == c for value in val) for c in range(3)] == [2, 2, 2]
        assert [sum(label[value] == c for value in test) for c in range(3)] == [3, 3, 3]
    assert len({tuple(val) for _, val, _ in found}) == 4


# The sizes asked for, of 36 images, and the numbers of training, validation and test images.
SIZES: dict[str, tuple[dict[str, float], tuple[int, int, int]]] = {
    "the defaults": ({}, (29, 3, 4)),  # a tenth of 36 is 4, and of the 32 others 3
    "fractions": ({"val_size": 0.5, "test_size": 0.25}, (13, 14, 9)),  # half of 27 is 14, to the even number
    "numbers": ({"val_size": 1, "test_size": 20}, (15, 1, 20)),
    "the smallest fractions": ({"val_size": 0.001, "test_size": 0.001}, (34, 1, 1)),
    "no validation": ({"val_size": 0.0, "test_size": 1}, (35, 0, 1)),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_are_numbers_or_fractions(name: str, flat: tuple[Path, list[int]]) -> None:
    settings, numbers = SIZES[name]
    assert tuple(map(len, parts(flat[0], **settings))) == numbers


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"val_size": 1.0}, r"val_size must be a number of images, or a fraction from 0 to below 1, got 1\.0"),
        ({"test_size": -1}, "test_size must be a number of images, or a fraction from 0 to below 1, got -1"),
        ({"test_size": 36}, r"test_size must be from 0 to 35 \(of 36 images\), got 36"),
        ({"test_size": 0.5, "val_size": 18}, r"val_size must be from 0 to 17 \(of 18 images\), got 18"),
        ({"image_size": 0}, "image_size must be at least 1, got 0"),
        ({"root": None}, "root must be a folder, got nothing; the home folder is ~/"),
    ],
)
def test_sizes_out_of_range_are_refused(settings: dict[str, Any], message: str, flat: tuple[Path, list[int]]) -> None:
    with pytest.raises(ValueError, match=message):
        read(**({"root": flat[0]} | settings))


def test_without_test_images_there_is_no_test(flat: tuple[Path, list[int]]) -> None:
    data = ImageFolderDataModule(flat[0], test_size=0)
    with pytest.raises(ValueError, match=r"no test images: .*/my animals has no folder test, and test_size is 0"):
        data.setup("test")


@pytest.mark.parametrize("seed", [0, 1])
def test_folders_of_parts_are_used_as_they_are(seed: int, tmp_path: Path) -> None:
    train = draw_class_folders(tmp_path / "Train", CLASSES, 4)
    val = draw_class_folders(tmp_path / "val", CLASSES, 2, first=50)
    test = draw_class_folders(tmp_path / "test", CLASSES, 3, first=100)
    # Neither size has a part to be held out from.
    assert parts(tmp_path, seed=seed, val_size=0.5, test_size=0.5) == (train, val, test)
    assert read(tmp_path).val_labels.tolist() == [0, 0, 1, 1, 2, 2]


def test_parts_that_are_missing_are_held_out(tmp_path: Path) -> None:
    train = draw_class_folders(tmp_path / "train", CLASSES, 10)
    test = draw_class_folders(tmp_path / "test", CLASSES, 2, first=100)
    found = parts(tmp_path)
    assert (len(found[1]), sorted(found[0] + found[1]), found[2]) == (3, sorted(train), test)
    (tmp_path / "test").rename(tmp_path / "val")
    found = parts(tmp_path)
    assert (len(found[2]), sorted(found[0] + found[2]), found[1]) == (3, sorted(train), test)


def test_order_does_not_depend_on_the_file_system(
    flat: tuple[Path, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = parts(flat[0])
    scandir = os.scandir

    @contextmanager
    def backwards(path: Path) -> Iterator[Iterator[os.DirEntry[str]]]:
        with scandir(path) as entries:
            yield iter(sorted(entries, key=lambda entry: entry.name, reverse=True))

    monkeypatch.setattr("optimcifar.data.class_folders.os.scandir", backwards)
    (flat[0].parent / "my animals-32px.npz").unlink()
    assert parts(flat[0]) == expected


def test_caches_of_several_sizes_lie_side_by_side(
    flat: tuple[Path, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    root, _ = flat
    small, large = (ImageFolderDataModule(root, image_size=size, test_size=0) for size in (8, 16))
    before = small.read_train(), large.read_train()
    assert sorted(path.name for path in root.parent.glob("*.npz")) == ["my animals-16px.npz", "my animals-8px.npz"]
    with monkeypatch.context() as cached:
        cached.setattr("optimcifar.data.class_folders._decode", lambda *args: pytest.fail("decoded again"))
        for data, images in zip((small, large), before, strict=True):
            assert torch.equal(data.read_train().pixels, images.pixels)
    Image.new("L", (9, 9), 255).save(root / "ant" / "000.png")  # the first of its class
    for data in (small, large):
        assert (data.read_train().pixels[NUMBER] == 255).all()


def test_folder_that_is_not_writable_is_read_without_a_cache(
    flat: tuple[Path, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", "folder")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    with pytest.warns(UserWarning, match="cannot cache the decoded images for the next run"):
        assert len(ImageFolderDataModule(flat[0], test_size=6).read_train().labels) == 30
    assert not list(flat[0].parent.glob("*.npz"))


def test_blank_images_are_counted_and_not_decoded(
    flat: tuple[Path, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = read(flat[0])
    monkeypatch.setattr("optimcifar.data.class_folders.ClassFolders.read", lambda self: pytest.fail("decoded"))
    data = ImageFolderDataModule(flat[0])
    data.use_blank_images()
    data.setup("fit")
    assert torch.equal(data.train_positions, expected.train_positions)
    assert torch.equal(data.val_labels, expected.val_labels)
    assert data.read_train().pixels.shape == (32, 32, 32, 3)


def test_checkpoint_of_other_classes_is_refused(flat: tuple[Path, list[int]]) -> None:
    before = ImageFolderDataModule(flat[0]).state_dict()
    ImageFolderDataModule(flat[0]).load_state_dict(before)
    (flat[0] / "ant").rename(flat[0] / "aunt")
    with pytest.raises(DataError, match=r"my animals must hold the classes that .*: found no ant, also aunt$"):
        ImageFolderDataModule(flat[0]).load_state_dict(before)


def test_images_that_may_have_been_trained_on_are_refused_for_the_test(tmp_path: Path) -> None:
    draw_class_folders(tmp_path / "train", CLASSES, NUMBER)
    before = ImageFolderDataModule(tmp_path).state_dict()
    ImageFolderDataModule(tmp_path, seed=1, val_size=0).load_state_dict(before)
    message = "holds out other images for the test than the checkpoint's, which it may have been trained on\n"
    with pytest.raises(DataError, match=message):
        ImageFolderDataModule(tmp_path, test_size=9).load_state_dict(before)
    for number in range(9):
        Image.new("L", (9, 9)).save(tmp_path / "train" / "ant" / f"more{number}.png")
    with pytest.raises(DataError, match=message):
        ImageFolderDataModule(tmp_path).load_state_dict(before)
    draw_class_folders(tmp_path / "test", CLASSES, 2)
    data = ImageFolderDataModule(tmp_path)
    data.load_state_dict(before)  # these are images of their own
    trained_on_all = data.state_dict()
    (tmp_path / "test").rename(tmp_path / ".away")
    with pytest.raises(DataError, match=message):
        ImageFolderDataModule(tmp_path).load_state_dict(trained_on_all)


def with_file(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    return path


def moved(root: Path, name: str, to: str) -> Path:
    (root / to).parent.mkdir(parents=True, exist_ok=True)
    (root / name).rename(root / to)
    return root


# Changes to a folder with train/ and test/, the root that is read after them, and what is said of it.
REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "missing": (
        lambda root: root / "typo",
        "/typo does not exist\nExpected a folder of images for each class, or train",
    ),
    "a file": (lambda root: with_file(root / "images.zip"), "/images.zip is not a folder\nExpected"),
    "empty": (
        lambda root: with_file(root / "train" / "ant" / "x" / ".x").parent,
        "two classes: found nothing\nExpected",
    ),
    "a class": (
        lambda root: root / "train" / "ant",
        "/ant must hold class folders and nothing else: found also 001.bmp",
    ),
    "one class": (
        lambda root: moved(moved(root, "train/ant", "a/ant"), "train/Bee", "b/Bee") / "train",
        "/train must hold the folders of at least two classes: found cat fish\nExpected",
    ),
    "a folder above": (
        lambda root: moved(root, "train", "outer/inner") / "outer",
        r"/outer must hold .* two classes: found inner\ndid you mean --data.root \S*/outer/inner\?",
    ),
    "no train": (
        lambda root: moved(root, "train", "training"),
        "must hold one folder train, maybe val and test, and no others: found test, training$",
    ),
    "another part": (
        lambda root: with_file(root / "valid" / "ant" / "a.png").parents[2],
        "must hold one folder train, maybe val and test, and no others: found test, train, valid$",
    ),
    "train twice": (
        lambda root: with_file(root / "Train" / "ant" / "a.png").parents[2],
        "must hold one folder train, .* found Train, test, train$",
    ),
    "test without a class": (
        lambda root: moved(root, "test/ant", "test/aunt"),
        "/test must hold the classes of .*/train: found no ant, also aunt$",
    ),
    "test without classes": (
        lambda root: moved(moved(moved(root, "test/ant", ".a"), "test/Bee", ".b"), "test/cat fish", "test/x.png"),
        "/test must hold the folders of at least two classes: found x.png\nExpected",
    ),
    "an image beside the classes": (
        lambda root: with_file(root / "train" / "x.heic").parents[1],
        "/train must hold class folders and nothing else: found also x.heic",
    ),
    "an empty class": (
        lambda root: with_file(root / "train" / "dog" / ".x").parents[1],
        r"/train/dog holds no images: expected files ending in \.png, \.jpg",
    ),
    "another file among images": (
        lambda root: with_file(root / "train" / "ant" / "x.heic").parents[1],
        r"/ant/x\.heic is not an image that can be read: expected files ending in \.png, .*; convert it, or move it",
    ),
    "a broken image": (
        lambda root: with_file(root / "train" / "ant" / "x.png").parents[1],
        r"/ant/x\.png cannot be decoded as an image: replace or remove this file",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_folder_is_refused_in_words_and_nothing_is_written(name: str, tmp_path: Path) -> None:
    for part in ("train", "test"):
        draw_class_folders(tmp_path / "root" / part, CLASSES, 2)
    change, message = REFUSED[name]
    root = change(tmp_path / "root")
    before = file_contents(tmp_path)
    with pytest.raises(DataError) as error:
        read(root, val_size=1, test_size=1)
    text = str(error.value)
    assert re.search(message, text), text
    assert len(text.splitlines()) <= 2
    assert max(map(len, text.replace(str(tmp_path), "").splitlines())) <= 260
    assert file_contents(tmp_path) == before


def test_what_is_no_image_of_a_person_is_left_out(tmp_path: Path) -> None:
    values = draw_class_folders(tmp_path / "root" / "train", CLASSES, 4)
    for name in ("labels.csv", "train-32px.npz", "lightning_logs/version_0/x", "__MACOSX/train/ant/._1.png"):
        with_file(tmp_path / "root" / name)
    for name in (".DS_Store", "ant/Thumbs.db", "__MACOSX/x", "lightning_logs/version_0/x"):
        with_file(tmp_path / "root" / "train" / name)
    for root in (tmp_path / "root", tmp_path / "root" / "train"):
        assert grey(ImageFolderDataModule(root, test_size=0).read_train()) == values


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    values = draw_class_folders(tmp_path / "vehicles", ("bus", "train"), 3)
    data = ImageFolderDataModule(tmp_path / "vehicles", test_size=0)
    assert data.class_names == ("bus", "train")
    assert grey(data.read_train()) == values


def test_twelve_classes_keep_their_order(tmp_path: Path) -> None:
    names = [str(number) for number in range(12)]
    draw_class_folders(tmp_path / "digits", names, 2)
    data = read(tmp_path / "digits", test_size=12, val_size=6)
    assert data.class_names == ("0", "1", "10", "11", *"23456789")
    assert data.read_train().labels.tolist() == list(range(12))
    assert np.array_equal(np.sort(data.read_test().labels), range(12))
