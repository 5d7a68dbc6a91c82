from __future__ import annotations

import hashlib
import os
import pickle
import threading
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import make_archive, use_mirrors
from lightning.pytorch import Trainer
from PIL import Image

from optimcifar import CIFAR10DataModule, CIFAR100DataModule, ImageClassifier
from optimcifar.data import cifar_archive
from optimcifar.data.images import DataError

LABELS = [i % 10 for i in range(20)]


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
    use_mirrors(monkeypatch, *(path.as_uri() for path in mirrors))
    root = tmp_path / "apart" / "new" / "root"
    (tmp_path / "apart").mkdir()
    check_batches(read(root), archive)
    assert (root / archive.name).read_bytes() == archive.read_bytes()


def test_two_simultaneous_first_downloads_both_succeed(
    archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, archive.as_uri())
    both = threading.Barrier(2)
    md5 = cifar_archive._md5

    def wait_for_the_other(path: Path) -> str:
        found = md5(path)
        both.wait(30)  # both download before either unpacks
        return found

    monkeypatch.setattr(cifar_archive, "_md5", wait_for_the_other)
    root = tmp_path / "root"
    root.mkdir()
    with ThreadPoolExecutor(2) as threads:
        for future in [threads.submit(CIFAR10DataModule(root).prepare_data) for _ in range(2)]:
            future.result()
    check_batches(read(root), archive)
    assert sorted(path.name for path in root.iterdir()) == ["cifar-10-batches-py", archive.name]


def test_failed_download_suggests_the_built_in_images(archive: Path, tmp_path: Path) -> None:
    root = tmp_path / "apart"
    root.mkdir()
    with pytest.raises(DataError, match="--data Shapes10DataModule"):
        read(root / "of" / "images")
    assert not list(root.iterdir())


def test_partial_download_is_removed(archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    partial = tmp_path / "partial.tar.gz"
    partial.write_bytes(archive.read_bytes()[:100])
    use_mirrors(monkeypatch, partial.as_uri())
    (tmp_path / "root").mkdir()
    with pytest.raises(DataError, match="its md5 is wrong"):
        read(tmp_path / "root")
    assert not list((tmp_path / "root").iterdir())


def test_damaged_batch_is_not_unpickled(archive: Path) -> None:
    batch = archive.parent / "cifar-10-batches-py" / "data_batch_3"
    batch.write_bytes(b"cos\nmkdir\n(S'executed'\ntR.")
    with pytest.raises(DataError, match="data_batch_3 is damaged: its md5 is wrong"):
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
    monkeypatch.setattr("optimcifar.data.class_folders._decode", lambda *args: pytest.fail("decoded again"))
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
        earlier.setattr("optimcifar.data.class_folders._CACHE_FORMAT", 0)
        expected = read(image_folders).read_train().pixels
    cache = image_folders / "train.npz"
    before = cache.read_bytes()
    assert torch.equal(read(image_folders).read_train().pixels, expected)
    assert cache.read_bytes() != before


def test_arrays_of_a_persons_own_are_not_overwritten(image_folders: Path) -> None:
    np.savez(image_folders / "train.npz", pixels=np.zeros(3))
    before = (image_folders / "train.npz").read_bytes()
    with pytest.warns(UserWarning, match=r"cannot cache the decoded images for the next run: .*/train\.npz is another"):
        images = CIFAR10DataModule(image_folders).read_train()
    assert len(images.labels) == 60
    assert (image_folders / "train.npz").read_bytes() == before


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


def test_only_the_batches_of_a_part_are_needed(archive: Path) -> None:
    batches = archive.parent / "cifar-10-batches-py"
    (batches / "test_batch").unlink()
    data = CIFAR10DataModule(batches)
    assert data.read_train().labels.tolist() == LABELS * 5
    with pytest.raises(DataError, match="test_batch is missing"):
        data.read_test()


def test_relative_root_is_stored_absolute(image_folders: Path) -> None:
    data = CIFAR10DataModule("folders")
    assert (data.root, data.hparams["root"]) == (image_folders, str(image_folders))


def test_data_set_keeps_its_name_when_its_images_are_gone(image_folders: Path) -> None:
    data = read(image_folders)
    assert data.dataset_name == "CIFAR-10, PNG copy"
    image_folders.rename(image_folders.with_name("elsewhere"))
    assert data.dataset_name == "CIFAR-10, PNG copy"


def test_any_lossy_file_makes_it_a_jpeg_copy(image_folders: Path) -> None:
    png = image_folders / "train" / "truck" / "0005.png"
    with Image.open(png) as image:
        image.save(png.with_suffix(".JPG"), "JPEG")
    png.unlink()
    assert read(image_folders).dataset_name == "CIFAR-10, JPEG copy"


@pytest.mark.parametrize("call", ["test", "validate", "predict"])
def test_only_a_new_run_downloads(call: str, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    use_mirrors(monkeypatch, archive.as_uri())
    trainer = Trainer(logger=False, enable_checkpointing=False, enable_progress_bar=False)
    with pytest.raises(DataError, match=r"there are no images in .*/data, and only a new run downloads any\n"):
        getattr(trainer, call)(ImageClassifier(), CIFAR10DataModule(val_size=10))
    assert not (tmp_path / "data").exists()


def test_file_names_need_not_be_utf8(image_folders: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read(image_folders).read_train()
    cat = image_folders / "train" / "cat"
    os.rename(cat / "0005.png", os.fsencode(cat) + b"/zz\xff\xe9.png")
    assert torch.equal(read(image_folders).read_train().pixels, expected.pixels)
    monkeypatch.setattr("optimcifar.data.class_folders._decode", lambda *args: pytest.fail("not cached"))
    assert torch.equal(read(image_folders).read_train().pixels, expected.pixels)


def test_images_are_decoded_and_downloaded_without_stderr(
    image_folders: Path, archive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_mirrors(monkeypatch, archive.as_uri())
    monkeypatch.setattr("sys.stderr", None)
    assert len(CIFAR10DataModule(image_folders).read_train().labels) == 60
    check_batches(read(Path("data").absolute()), archive)


@pytest.fixture
def archive100(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a small archive of CIFAR-100 in the official format; each of its two files has 200 images."""
    return make_archive(tmp_path / "made100", CIFAR100DataModule, 200, monkeypatch)


def test_class_names_of_cifar100_are_those_of_the_official_archive() -> None:
    from torchvision.datasets import CIFAR100

    coarse = (
        "aquatic_mammals fish flowers food_containers fruit_and_vegetables household_electrical_devices "
        "household_furniture insects large_carnivores large_man-made_outdoor_things large_natural_outdoor_scenes "
        "large_omnivores_and_herbivores medium_mammals non-insect_invertebrates people reptiles small_mammals trees "
        "vehicles_1 vehicles_2"
    )
    # The archive's file with the names, as Python 2 pickled it: each object is numbered, from 1.
    number = count(1)
    content = b"\x80\x02}q" + bytes([next(number)]) + b"("
    for key, names in (("fine_label_names", CIFAR100DataModule.class_names), ("coarse_label_names", coarse.split())):
        content += b"U" + bytes([len(key)]) + key.encode() + b"q" + bytes([next(number)])
        content += b"]q" + bytes([next(number)]) + b"("
        content += b"".join(b"U" + bytes([len(n)]) + n.encode() + b"q" + bytes([next(number)]) for n in names) + b"e"
    content += b"u."
    assert pickle.loads(content)["fine_label_names"] == sorted(CIFAR100DataModule.class_names)
    assert hashlib.md5(content, usedforsecurity=False).hexdigest() == CIFAR100.meta["md5"]


@pytest.mark.parametrize("form", ["torchvision's folder", "its files", "the archive", "a download beside CIFAR-10"])
def test_cifar100_is_read_with_its_fine_labels(
    form: str, archive100: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = {"torchvision's folder": archive100.parent, "its files": archive100.parent / "cifar-100-python"}.get(form)
    if root is None:
        root = tmp_path / "data"
        (root / "cifar-10-batches-py").mkdir(parents=True)
        if form == "the archive":
            (root / archive100.name).write_bytes(archive100.read_bytes())
        else:
            use_mirrors(monkeypatch, archive100.as_uri(), data=CIFAR100DataModule)
    data = CIFAR100DataModule(root, val_size=20)
    data.prepare_data()
    data.setup("fit")
    data.setup("test")
    batch = pickle.loads((archive100.parent / "cifar-100-python" / "train").read_bytes())
    images = data.read_train()
    expected = torch.from_numpy(batch["data"]).reshape(200, 3, 32, 32)
    assert torch.equal(images.pixels.permute(0, 3, 1, 2), expected)
    assert images.labels.tolist() == [*range(100)] * 2
    assert (data.num_classes, data.dataset_name, data.test_size) == (100, "CIFAR-100", 200)


def test_files_of_cifar100_are_named_when_they_cannot_be_used(
    archive100: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (archive100.parent / "cifar-100-python" / "train").write_bytes(b"cos\nmkdir\n(S'executed'\ntR.")
    with pytest.raises(DataError, match="cifar-100-python/train is damaged: its md5 is wrong"):
        CIFAR100DataModule(archive100.parent).read_train()
    assert not Path("executed").exists()
    archive100.write_bytes(b"x")
    with pytest.raises(DataError, match=r"is not CIFAR-100's archive cifar-100-python\.tar\.gz, or is damaged"):
        CIFAR100DataModule(archive100).prepare_data()
    # CIFAR-10's archive is not taken for CIFAR-100's, nor are class folders of other names.
    put = tmp_path / "folders" / "train" / "airplane" / "0.png"
    put.parent.mkdir(parents=True)
    put.write_bytes(b"x")
    with pytest.raises(DataError) as error:
        CIFAR100DataModule(tmp_path / "folders").prepare_data()
    assert str(error.value) == (
        f"{tmp_path}/folders is not CIFAR-100: found train; in train: airplane\n"
        "Expected cifar-100-python/, cifar-100-python.tar.gz, or train/ and test/ with the folders apple, "
        "aquarium_fish, baby, bear, beaver, bed and 94 more; an empty folder is where a download goes"
    )


def test_class_folders_of_cifar100_are_read(tmp_path: Path) -> None:
    for label, name in enumerate(CIFAR100DataModule.class_names):
        (tmp_path / "folders" / "train" / name.capitalize()).mkdir(parents=True)
        Image.new("RGB", (32, 32), (label, 0, 0)).save(tmp_path / "folders" / "train" / name.capitalize() / "a.jpg")
    data = CIFAR100DataModule(tmp_path / "folders")
    images = data.read_train()
    assert images.labels.tolist() == [*range(100)]
    assert (images.pixels[..., 0].float().mean((1, 2)) - torch.arange(100)).abs().max() <= 2  # JPEG is lossy
    assert data.dataset_name == "CIFAR-100, JPEG copy"


def test_blank_images_of_cifar100_are_as_many_as_the_official_ones(archive100: Path) -> None:
    data = CIFAR100DataModule(archive100.parent)
    data.use_blank_images()
    assert data.read_train().labels.bincount().tolist() == [500] * 100
    assert data.read_test().labels.bincount().tolist() == [100] * 100
