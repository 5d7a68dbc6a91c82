from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers import file_contents, use_mirrors
from PIL import Image

from optimcifar import CIFAR10DataModule
from optimcifar.data.cifar_archive import Batches
from optimcifar.data.cifar_sources import find_images
from optimcifar.data.images import DataError, Images


def read(root: Path, part: str = "train") -> Images:
    source = find_images(root, CIFAR10DataModule.spec)
    source.prepare()
    return source.read(part)


@pytest.fixture
def home(tmp_path: Path, archive: Path, image_folders: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with ``batches/``, which holds torchvision's folder, ``archive/`` and ``folders/``.

    A download would work.
    """
    use_mirrors(monkeypatch, archive.as_uri())
    home = tmp_path / "home"
    (home / "archive").mkdir(parents=True)
    (home / "archive" / archive.name).write_bytes(archive.read_bytes())
    (archive.parent / "cifar-10-batches-py").rename(tmp_path / "cifar-10-batches-py")
    (home / "batches").mkdir()
    (tmp_path / "cifar-10-batches-py").rename(home / "batches" / "cifar-10-batches-py")
    image_folders.rename(home / "folders")
    return home


def capitals(home: Path, change: Callable[[str], str]) -> Path:
    for path in sorted((home / "folders").rglob("*"), reverse=True):
        path.rename(path.with_name(change(path.name)))
    return home / "folders"


def renamed(path: Path, name: str) -> Path:
    return path.rename(path.with_name(name))


def put(path: Path, content: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def linked(home: Path, target: str) -> Path:
    (home / "link").symlink_to(home / target)
    return home / "link"


def both(home: Path) -> Path:
    (home / "folders" / "train").rename(home / "batches" / "train")
    return home / "batches"


# Roots in which the official batches are found.
BATCHES: dict[str, Callable[[Path], Path]] = {
    "torchvision's folder": lambda home: home / "batches",
    "its files": lambda home: home / "batches" / "cifar-10-batches-py",
    "its files under another name": lambda home: renamed(home / "batches" / "cifar-10-batches-py", "py"),
    "a link": lambda home: linked(home, "batches"),
    "class folders beside it": both,
    "the archive's folder": lambda home: home / "archive",
    "the archive": lambda home: home / "archive" / "cifar-10-python.tar.gz",
    "the archive under another name": lambda home: renamed(home / "archive" / "cifar-10-python.tar.gz", "c (1).tgz"),
    "the archive beside other files": lambda home: put(home / "archive" / "notes.txt").parent,
    "the archive beside other folders": lambda home: put(home / "archive" / "train" / "0" / "0.png").parents[2],
    "nothing": lambda home: put(home.with_name("apart") / ".x").parent / "new" / "root",
    "nothing in a folder with images of another kind": lambda home: home.parent / "data",
    "an empty folder beside images": lambda home: put(home / "new" / ".x").parent,
    "a missing folder beside pictures of reports": lambda home: (
        put(put(home.with_name("apart") / "report" / "a.png").with_name("report.html")).parents[1] / "root"
    ),
    "hidden files": lambda home: put(home / "new" / ".gitkeep").parent,
    "a download that was cut off": lambda home: put(home / "new" / ".download-x" / "part").parents[1],
    "CIFAR-100's folder": lambda home: put(home / "new" / "cifar-100-python" / "train").parents[1],
    "CIFAR-100's archive": lambda home: put(home / "new" / "cifar-100-python.tar.gz").parent,
    "the folder of runs": lambda home: put(home / "new" / "lightning_logs" / "version_0" / "x").parents[2],
    "files of the system": lambda home: put(home / "new" / "Thumbs.db").parent,
}


@pytest.mark.parametrize("name", BATCHES)
def test_official_batches_are_found(name: str, home: Path, tmp_path: Path) -> None:
    expected = Batches(CIFAR10DataModule.spec, home / "batches" / "cifar-10-batches-py").read("train")
    found = read(BATCHES[name](home))
    assert torch.equal(found.pixels, expected.pixels)
    assert torch.equal(found.labels, expected.labels)


def test_archive_is_unpacked_once(home: Path) -> None:
    read(home / "archive" / "cifar-10-python.tar.gz")
    before = {path: path.stat().st_mtime_ns for path in (home / "archive").rglob("*")}
    read(home / "archive" / "cifar-10-python.tar.gz")
    assert {path: path.stat().st_mtime_ns for path in (home / "archive").rglob("*")} == before


def test_archive_in_a_read_only_folder_is_to_be_unpacked_elsewhere(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise OSError(30, "Read-only file system", "folder")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    with pytest.raises(DataError, match=r"gz cannot be unpacked in its folder: Read-only file system\nUnpack it"):
        read(home / "archive")


# Roots in which the class folders are found.
FOLDERS: dict[str, Callable[[Path], Path]] = {
    "as documented": lambda home: home / "folders",
    "a capital": lambda home: capitals(home, str.capitalize),
    "all capitals": lambda home: capitals(home, str.upper),
    "other files beside them": lambda home: put(home / "folders" / "labels.txt").parent,
    "the archive beside them": lambda home: (
        (home / "archive" / "cifar-10-python.tar.gz").rename(home / "folders" / "cifar-10-python.tar.gz").parent
    ),
    "hidden files in them": lambda home: put(home / "folders" / "train" / "cat" / "._0001.png").parents[2],
    "hidden folders in them": lambda home: put(home / "folders" / "train" / ".cache" / "x.png").parents[2],
    "files of the system in them": lambda home: put(home / "folders" / "train" / "cat" / "Thumbs.db").parents[2],
}


@pytest.mark.parametrize("name", FOLDERS)
def test_class_folders_are_found(name: str, home: Path) -> None:
    expected = {part: read(home / "folders", part) for part in ("train", "test")}
    for cache in (home / "folders").glob("*.npz"):
        cache.unlink()
    root = FOLDERS[name](home)
    for part, images in expected.items():
        assert torch.equal(read(root, part).pixels, images.pixels)
        assert torch.equal(read(root, part).labels, images.labels)


def digits(home: Path) -> Path:
    for part in ("train", "test"):
        for label, name in enumerate(CIFAR10DataModule.class_names):
            renamed(home / "folders" / part / name, str(label))
    return home / "folders"


def flat(home: Path) -> Path:
    for path in (home / "folders" / "train").iterdir():
        path.rename(home / "folders" / path.name)
    (home / "folders" / "train").rmdir()
    (home / "folders" / "test").rename(home / "away")
    return home / "folders"


def plural(home: Path) -> Path:
    for part in ("train", "test"):
        for name in CIFAR10DataModule.class_names:
            renamed(home / "folders" / part / name, f"{name}s")
    return home / "folders"


def nested(home: Path, inner: str) -> Path:
    (home / "outer").mkdir()
    (home / inner).rename(home / "outer" / inner)
    return home / "outer"


def without(home: Path, name: str) -> Path:
    (home / name).rename(home / "away")
    return (home / name).parents[name.count("/") - 1]


def repeated(home: Path, name: str, other: str) -> Path:
    put(home / "folders" / other / "x.png")
    return home / "folders"


def dangling(home: Path) -> Path:
    (home / "folders").rename(home / "away")
    (home / "link").symlink_to(home / "folders")
    return home / "link"


# Roots that are refused, and what the message says of them.
REFUSED: dict[str, tuple[Callable[[Path], Path], str]] = {
    "digits": (digits, "folders is not CIFAR-10: found test, train; in test: 0, 1, 2, 3, 4, 5 and 4 more; in train: 0"),
    "class folders without train": (flat, "found airplane, .* and 4 more\n.*the class folders belong in train/"),
    "the folder train": (lambda home: home / "folders" / "train", r"did you mean --data.root \S*/home/folders\?"),
    "a folder above": (lambda home: nested(home, "folders"), r"found folders\n.*--data.root \S*/outer/folders\?"),
    "a folder above the batches": (lambda home: nested(home, "batches"), r"--data.root \S*/outer/batches\?"),
    "a folder above the archive": (lambda home: nested(home, "archive"), r"--data.root \S*/outer/archive\?"),
    "no train": (lambda home: without(home, "folders/train"), "folders must hold one folder train.*: found test$"),
    "no dog": (lambda home: without(home, "folders/train/dog"), "/train must hold .*: found no dog\nThe classes are"),
    "another name": (
        lambda home: renamed(home / "folders" / "train" / "airplane", "plane").parents[1],
        "/train must hold .*: found no airplane, also plane\nThe classes are airplane, automobile",
    ),
    "another class": (lambda home: repeated(home, "cow", "train/cow"), "/train must hold .*: found also cow"),
    "a class twice": (lambda home: repeated(home, "Cat", "train/Cat"), "/train must hold .*: found also (C|c)at"),
    "train twice": (lambda home: repeated(home, "Train", "Train/cat"), "one folder train.*: found Train, test, train"),
    "an image beside the classes": (
        lambda home: put(home / "folders" / "train" / "x.png").parents[1],
        "/train must hold .*: found also x.png",
    ),
    "an image of a form that is not read": (
        lambda home: put(home / "folders" / "train" / "cat" / "1.webp").parents[2],
        r"cat/1.webp is not an image that can be read: expected files ending in \.png, \.jpg, \.jpeg",
    ),
    "a folder among a class's images": (
        lambda home: put(home / "folders" / "train" / "cat" / "more.png" / "1.png").parents[3],
        "cat/more.png is not an image that can be read",
    ),
    "a class without images": (
        lambda home: put(without(home, "folders/train/cat") / "train" / "cat" / ".hidden").parents[2],
        "train/cat holds no images: expected files ending in",
    ),
    "another archive": (
        lambda home: put(home / "archive" / "cifar-10-python.tar.gz"),
        r"\.tar\.gz is not CIFAR-10's archive .*, or is damaged: its md5 is 9dd4e461268c8034f5c8564e155c67a6, expected",
    ),
    "a damaged archive in a folder": (
        lambda home: put(home / "archive" / "cifar-10-python.tar.gz").parent,
        "its md5 is 9dd4e461268c8034f5c8564e155c67a6, expected",
    ),
    "another archive beside the batches": (
        lambda home: put(home / "batches" / "cifar-100-python.tar.gz"),
        "cifar-100-python.tar.gz is not CIFAR-10's archive",
    ),
    "an archive that is not there": (lambda home: home / "c.tar.gz", "there is no archive .*/c.tar.gz"),
    "a URL": (
        lambda home: home / "https:" / "x.org" / "cifar",
        "/https:/x.org/cifar looks like a URL: expected a folder",
    ),
    "a batch missing": (
        lambda home: without(home, "batches/cifar-10-batches-py/data_batch_2"),
        "data_batch_2 is missing",
    ),
    "an empty folder of batches": (
        lambda home: put(home / "new" / "cifar-10-batches-py" / ".x").parents[1],
        "data_batch_1 is missing",
    ),
    "other data": (lambda home: put(home / "data" / "MNIST" / "raw").parents[1], "data is not CIFAR-10: found MNIST\n"),
    "binary batches": (lambda home: put(home / "data" / "data_batch_1.bin").parent, "found data_batch_1.bin\n"),
    "a cache alone": (lambda home: put(home / "data" / "train.npz").parent, "found train.npz\n"),
    "a missing folder beside images": (
        lambda home: home / "folders" / "tran",
        r"tran does not exist, but there are images in \S*/folders\nUse them with --data.root \S*/folders, or",
    ),
    "an empty folder among images": (
        lambda home: put(home / "batches" / "new" / ".x").parent,
        r"new is empty, but there are images in \S*/batches\nUse them with --data.root \S*/batches, or",
    ),
    "a new class": (lambda home: home / "folders" / "train" / "newclass", r"newclass does not exist, but .*/train\n"),
    "a folder in a class": (lambda home: home / "folders" / "train" / "cat" / "x", r"x does not exist, but .*/cat\n"),
    "a folder far below images": (lambda home: home / "folders" / "a" / "b", r"b does not exist, but .*/folders\n"),
    "an empty folder far below images": (
        lambda home: put(home / "folders" / "a" / "b" / ".x").parent,
        r"b is empty, but there are images in \S*/folders\n",
    ),
    "a link to an empty folder among images": (
        lambda home: linked(home, str(put(home / "folders" / "a" / ".x").parent.relative_to(home))),
        r"link is empty, but there are images in \S*/folders\n",
    ),
    "train beside class folders": (
        lambda home: flat(home) / "train",
        r"train does not exist, but there are images in \S*/folders\nDownload CIFAR-10 to another folder",
    ),
    "a folder among photos": (
        lambda home: put(home / "photos" / "a.JPG").parent / "data",
        r"data does not exist, but there are images in \S*/photos\nDownload",
    ),
    "a folder among folders of photos": (
        lambda home: put(home / "photos" / "sea" / "a.webp").parents[1] / "data",
        r"data does not exist, but there are images in \S*/photos\nDownload",
    ),
    "a folder beside classes of other names": (
        lambda home: plural(home) / "cifar",
        r"cifar does not exist, but there are images in \S*/folders\nDownload",
    ),
    "a typo": (
        lambda home: home / "folder",
        r"folder does not exist, but .* \S*/folders: did you mean --data.root \S*/folders\?\nTo download",
    ),
    "a typo in a folder above": (
        lambda home: home.with_name("hom") / "folders",
        r"/hom/folders does not exist, but .*: did you mean --data.root \S*/home/folders\?\n",
    ),
    "a link to nothing": (dangling, "link is a link to .*/folders, which does not exist"),
    "a device": (lambda home: Path("/dev/null"), "/dev/null is neither a file nor a folder"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_root_is_refused_in_words_and_nothing_is_written(name: str, home: Path) -> None:
    make, message = REFUSED[name]
    root = make(home)
    before = file_contents(home)
    with pytest.raises(DataError) as error:
        read(root)
    assert re.search(message, str(error.value)), error.value
    assert len(str(error.value).splitlines()) <= 2
    assert max(map(len, str(error.value).replace(str(home), "").splitlines())) <= 260  # a longer line is cut
    assert file_contents(home) == before


def test_parts_need_not_both_be_there(home: Path) -> None:
    (home / "folders" / "test").rename(home / "folders" / "val")
    assert len(read(home / "folders").labels) == 60
    with pytest.raises(DataError, match=r"must hold one folder test.*: found train, train\.npz, val"):
        read(home / "folders", "test")


def test_folder_that_may_not_be_read_does_not_hide_the_message(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = put(home / "data" / "private" / "x").parents[1]
    is_dir = Path.is_dir

    def refuse(path: Path) -> bool:
        if "private" in path.parts:
            raise PermissionError(13, "Permission denied", str(path))
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", refuse)
    with pytest.raises(DataError, match="data is not CIFAR-10: found private\n"):
        read(root)


def test_class_folders_are_decoded_as_an_eye_sees_them(home: Path) -> None:
    Image.new("RGBA", (32, 32)).save(home / "folders" / "train" / "airplane" / "0000.png")
    assert (read(home / "folders").pixels[0] == 255).all()  # transparent is white, which Pillow makes black
