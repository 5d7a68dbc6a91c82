from __future__ import annotations

import hashlib
import pickle
import tarfile
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision.datasets
from PIL import Image

from optimcifar import CIFAR10DataModule
from optimcifar.data import cifar10_archive
from optimcifar.data.images import DataError

LABELS = [i % 10 for i in range(20)]


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a small archive in the official format, with the expected md5s patched to match it."""
    folder = tmp_path / "made" / "cifar-10-batches-py"
    folder.mkdir(parents=True)
    generator = np.random.default_rng(0)
    for name in [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]:
        pixels = generator.integers(0, 256, (20, 3072), dtype=np.uint8)
        (folder / name).write_bytes(pickle.dumps({"data": pixels, "labels": LABELS}))
    (folder / "batches.meta").write_bytes(pickle.dumps({"label_names": list(CIFAR10DataModule.class_names)}))
    known = torchvision.datasets.CIFAR10
    monkeypatch.setattr(known, "train_list", [[name, md5(folder / name)] for name, _ in known.train_list])
    monkeypatch.setattr(known, "test_list", [[name, md5(folder / name)] for name, _ in known.test_list])
    monkeypatch.setattr(known, "meta", known.meta | {"md5": md5(folder / "batches.meta")})
    path = tmp_path / "made" / "cifar-10-python.tar.gz"
    with tarfile.open(path, "w:gz") as tar:
        tar.add(folder, folder.name)
    monkeypatch.setattr(cifar10_archive, "ARCHIVE_MD5", md5(path))
    monkeypatch.setattr(cifar10_archive, "MIRRORS", ())
    return path


def read(root: Path) -> CIFAR10DataModule:
    data = CIFAR10DataModule(str(root), val_size=10)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    return data


def check_batches(data: CIFAR10DataModule, archive: Path) -> None:
    """Assert that the data module has the images of the archive."""
    batch = pickle.loads((archive.parent / "cifar-10-batches-py" / "data_batch_1").read_bytes())
    images = data.read_train()
    assert images.pixels.shape == (100, 32, 32, 3)
    expected = torch.from_numpy(batch["data"]).reshape(20, 3, 32, 32)
    assert torch.equal(images.pixels[:20].permute(0, 3, 1, 2), expected)
    assert images.labels.tolist() == LABELS * 5
    assert data.read_test().labels.tolist() == LABELS
    assert data.dataset_name == "CIFAR-10"


def test_reads_torchvisions_folder(archive: Path) -> None:
    check_batches(read(archive.parent), archive)


def test_unpacks_the_official_archive(archive: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / archive.name).write_bytes(archive.read_bytes())
    check_batches(read(root), archive)
    assert sorted(path.name for path in root.iterdir()) == ["cifar-10-batches-py", archive.name]


def test_downloads_from_the_first_mirror_with_an_intact_archive(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    partial = tmp_path / "partial.tar.gz"
    partial.write_bytes(archive.read_bytes()[:100])
    mirrors = [tmp_path / "missing.tar.gz", partial, archive]
    monkeypatch.setattr(cifar10_archive, "MIRRORS", [path.as_uri() for path in mirrors])
    root = tmp_path / "new" / "root"
    check_batches(read(root), archive)
    assert md5(root / archive.name) == md5(archive)


def test_two_simultaneous_first_downloads_both_succeed(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar10_archive, "MIRRORS", [archive.as_uri()])
    both = threading.Barrier(2)
    intact = cifar10_archive._is_intact

    def wait_for_the_other(path: Path) -> bool:
        verified = intact(path)
        both.wait(30)  # both download before either unpacks
        return verified

    monkeypatch.setattr(cifar10_archive, "_is_intact", wait_for_the_other)
    root = tmp_path / "root"
    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(cifar10_archive.ensure_batches, root) for _ in range(2)]:
            future.result()
    check_batches(read(root), archive)
    assert sorted(path.name for path in root.iterdir()) == ["cifar-10-batches-py", archive.name]


def test_damaged_archive_is_downloaded_again_and_not_unpacked(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / archive.name).write_bytes(archive.read_bytes()[:-50])
    monkeypatch.setattr(cifar10_archive, "MIRRORS", [archive.as_uri()])
    check_batches(read(root), archive)
    assert "is damaged or partial (its md5 is wrong): downloading it again" in capsys.readouterr().out


def test_failed_download_suggests_the_built_in_images(archive: Path, tmp_path: Path) -> None:
    root = tmp_path / "root"
    with pytest.raises(DataError, match="--data Shapes10DataModule"):
        read(root)
    assert not list(root.iterdir())


def test_partial_download_is_removed(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = tmp_path / "partial.tar.gz"
    partial.write_bytes(archive.read_bytes()[:100])
    monkeypatch.setattr(cifar10_archive, "MIRRORS", [partial.as_uri()])
    with pytest.raises(DataError, match="its md5 is wrong"):
        read(tmp_path / "root")
    assert not list((tmp_path / "root").iterdir())


def test_damaged_batch_is_not_unpickled(archive: Path) -> None:
    batch = archive.parent / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(b"cos\nmkdir\n(S'executed'\ntR.")
    with pytest.raises(DataError, match="incomplete or damaged: delete this folder"):
        read(archive.parent)
    assert not Path("executed").exists()


def test_reads_class_folders_by_class_and_file_name(image_folders: Path) -> None:
    data = read(image_folders)
    images = data.read_train()
    assert images.labels.tolist() == [label for label in range(10) for _ in range(6)]
    expected = np.array(Image.open(image_folders / "train" / "bird" / "0004.png"))
    assert np.array_equal(images.pixels[2 * 6 + 4], expected)
    assert len(data.read_test().labels) == 20
    assert data.dataset_name == "CIFAR-10, PNG copy"


def test_class_folders_are_decoded_once(image_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = read(image_folders).read_train()
    monkeypatch.setattr("optimcifar.data.image_folders._decode", lambda *args: pytest.fail("decoded again"))
    assert torch.equal(read(image_folders).read_train().pixels, first.pixels)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "other files"])
def test_damaged_or_outdated_cache_is_rebuilt(image_folders: Path, damage: str) -> None:
    expected = read(image_folders).read_train().pixels
    cache = image_folders / "train.npz"
    content = bytearray(cache.read_bytes())
    if damage == "truncated":
        cache.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 1
        cache.write_bytes(content)
    else:
        first, second = (image_folders / "train" / "airplane" / f"000{i}.png" for i in (0, 1))
        first.write_bytes(second.read_bytes())
        expected = expected.clone()
        expected[0] = expected[1]
    assert torch.equal(read(image_folders).read_train().pixels, expected)


def test_cache_of_another_format_is_rebuilt(image_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as earlier:
        earlier.setattr("optimcifar.data.image_folders._CACHE_FORMAT", 0)
        expected = read(image_folders).read_train().pixels
    cache = image_folders / "train.npz"
    before = cache.read_bytes()
    assert torch.equal(read(image_folders).read_train().pixels, expected)
    assert cache.read_bytes() != before


def test_read_only_folder_is_read_without_a_cache(image_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise PermissionError(13, "Permission denied", "folder")

    monkeypatch.setattr("tempfile.TemporaryDirectory", refuse)
    with pytest.warns(UserWarning, match="cannot cache the decoded images"):
        images = CIFAR10DataModule(str(image_folders)).read_train()
    assert len(images.labels) == 60
    assert not (image_folders / "train.npz").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no image", "cannot be decoded as an image"), (None, "must be 32x32 pixels, got 16x8")],
)
def test_error_names_the_file_that_is_not_a_32x32_image(
    image_folders: Path, content: bytes | None, message: str
) -> None:
    path = image_folders / "train" / "cat" / "0002.png"
    if content is None:
        Image.new("RGB", (16, 8)).save(path)
    else:
        path.write_bytes(content)
    with pytest.raises(DataError, match=f"0002.png {message}"):
        read(image_folders)


def test_error_names_the_class_without_images(image_folders: Path) -> None:
    (image_folders / "train" / "dog").rename(image_folders / "train" / "cow")
    with pytest.raises(DataError, match="dog holds no images"):
        read(image_folders)
