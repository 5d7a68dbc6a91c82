"""CIFAR-10 or CIFAR-100 as class folders of 32x32 image files."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from optimcifar.data.cifar_specs import CIFARSpec
from optimcifar.data.class_folders import ClassFolders, visible
from optimcifar.data.decoding import COPIES
from optimcifar.data.images import DataError, Images
from optimcifar.text import differences, listing

#: The folders of the training and of the test images.
PARTS = ("train", "test")

_LOSSY_ENDINGS = (".jpg", ".jpeg")


@dataclass(frozen=True)
class CIFARFolders:
    """Images in ``train/<class>/*.png|jpg`` and ``test/<class>/...``; capitals do not matter.

    Args:
        spec: the data set.
        root: the folder that holds ``train`` and ``test``.
    """

    spec: CIFARSpec
    root: Path

    @property
    def found(self) -> bool:
        """Whether a class has a folder in one of the parts; whether all have is checked when they are read."""
        return any(entry.name.lower() in self.spec.class_names for folder in self._parts for entry in visible(folder))

    @cached_property
    def dataset_name(self) -> str:
        """Name of the data set with the file format; JPEG, which is lossy, if any file has it."""
        files = (file for part in self._parts for folder in visible(part) for file in visible(Path(folder)))
        lossy = any(file.name.lower().endswith(_LOSSY_ENDINGS) for file in files)
        return f"{self.spec.name}, {'JPEG' if lossy else 'PNG'} copy"

    def prepare(self) -> None:
        """Do nothing: the images are there."""

    def read(self, part: str) -> Images:
        """Read ``train`` or ``test``, ordered by class and file name; cached in ``<folder>.npz`` beside the folder.

        Raises:
            DataError: a folder is missing, or holds something else, or a file is not a 32x32 image.
        """
        folder = self._part(part)
        return ClassFolders(self._class_folders(folder), folder.with_suffix(".npz"), COPIES).read()

    @property
    def _parts(self) -> list[Path]:
        return [Path(entry) for entry in visible(self.root) if entry.name.lower() in PARTS and entry.is_dir()]

    def _part(self, part: str) -> Path:
        folders = [folder for folder in self._parts if folder.name.lower() == part]
        if len(folders) == 1:
            return folders[0]
        found = listing(entry.name for entry in visible(self.root))
        raise DataError(f"{self.root} must hold one folder {part}, with a folder for each class: found {found}")

    def _class_folders(self, folder: Path) -> tuple[Path, ...]:
        entries, names = visible(folder), self.spec.class_names
        folders = {entry.name.lower(): Path(entry) for entry in entries if entry.is_dir()}
        missing = [name for name in names if name not in folders]
        used = {folders[name].name for name in names if name in folders}
        others = [entry.name for entry in entries if entry.name not in used]
        if missing or others:
            raise DataError(
                f"{folder} must hold a folder for each class and nothing else: found {differences(missing, others)}\n"
                f"The classes are {self.spec.list_classes()}"
            )
        return tuple(folders[name] for name in names)
