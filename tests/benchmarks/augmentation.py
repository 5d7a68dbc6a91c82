"""What augmentation adds to a training step, and what it looks like.

    python tests/benchmarks/augmentation.py --rounds 200

Loads a batch without augmentation, with each kind, and with torchvision's transforms of the same effect, in turn, and
trains ConvNet on one. Prints the additional time of a batch, and its share of a step, median (and quartiles) over the
rounds; writes ``augmentation.json`` and ``augmentation.png``, which shows four images and their versions in six epochs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
from circumstances import circumstances, quiet
from contestants import BATCH, Task
from PIL import Image
from torch import Tensor
from torchvision.transforms import v2

from optimcifar import ConvNet, Shapes10DataModule
from optimcifar.data.augmentation import AugmentedSubset
from optimcifar.data.images import Images, SubsetInMemory

_TRANSFORMS = v2.Compose([v2.RandomCrop(32, padding=4, padding_mode="reflect"), v2.RandomHorizontalFlip()])

# The picture: images, epochs, and how much larger each pixel is drawn.
_SHOWN, _EPOCHS, _SCALE, _GAP = 4, 6, 3, 4


def loads(task: Task) -> dict[str, Callable[[list[int]], Images]]:
    """Return the ways to load a batch, the one without augmentation first."""
    images, positions = Images(task.pixels, task.labels), torch.arange(len(task.labels))
    subsets = {
        "none": SubsetInMemory(images, positions),
        "flip": AugmentedSubset(images, positions, 0, "flip", None),
        "crop_flip": AugmentedSubset(images, positions, 0, "crop_flip", None),
        "torchvision's transforms": AugmentedSubset(images, positions, 0, None, _TRANSFORMS),
    }
    return {name: subset.__getitems__ for name, subset in subsets.items()}


def step(task: Task) -> Callable[[list[int]], None]:
    """Return what trains ConvNet on a batch without augmentation."""
    data, net, load = Shapes10DataModule(), ConvNet(), loads(task)["none"]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9)

    def train(indices: list[int]) -> None:
        images, labels = data.on_after_batch_transfer(load(indices), 0)
        optimizer.zero_grad()
        torch.autograd.backward(torch.nn.functional.cross_entropy(net(images), labels))
        optimizer.step()

    return train


def measure(rounds: int) -> list[dict[str, float | str]]:
    """Return the additional milliseconds of each kind, and their share of a step."""
    task = Task.of(rounds * BATCH)
    contestants: dict[str, Callable[[list[int]], object]] = {**loads(task), "step": step(task)}
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    for batch in torch.split(task.order, BATCH):
        for name, run in contestants.items():
            start = time.perf_counter()
            run(batch.tolist())
            seconds[name].append(time.perf_counter() - start)
    rows: list[dict[str, float | str]] = []
    for name in contestants:
        extra = [own - none for own, none in zip(seconds[name], seconds["none"], strict=True)]
        shares = [own / whole for own, whole in zip(extra, seconds["step"], strict=True)]
        low, median, high = statistics.quantiles(shares, n=4)
        row: dict[str, float | str] = {"augment": name, "ms": 1000 * statistics.median(extra)}
        rows.append({**row, "share": median, "lower_quartile": low, "upper_quartile": high})
    return [row for row in rows if row["augment"] not in ("none", "step")]


def picture() -> Image.Image:
    """Return images, each in a row, and their versions in several epochs."""
    pixels = Shapes10DataModule().read_train().pixels[:_SHOWN]
    subset = AugmentedSubset(Images(pixels, torch.arange(_SHOWN)), torch.arange(_SHOWN), 0, "crop_flip", None)
    columns: list[Tensor] = [pixels]
    for epoch in range(_EPOCHS):
        subset.epoch = epoch
        columns.append(subset.__getitems__(range(_SHOWN)).pixels)
    side = 32 * _SCALE + _GAP
    drawn = Image.new("RGB", (side * len(columns) + 2 * _GAP, side * _SHOWN), "white")
    for x, column in enumerate(columns):
        for y, image in enumerate(column):
            large = Image.fromarray(image.numpy()).resize((32 * _SCALE, 32 * _SCALE), Image.Resampling.NEAREST)
            # The originals stand apart.
            drawn.paste(large, (side * x + (3 * _GAP if x else 0), side * y))
    return drawn


def main(args: list[str] | None = None) -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("lightning_logs/benchmarks"))
    options = parser.parse_args(args)
    quiet()
    torch.set_num_threads(options.threads)
    rows = measure(options.rounds)
    for row in rows:
        quartiles = f"{row['lower_quartile']:.3f} to {row['upper_quartile']:.3f}"
        print(f"{row['augment']:25} {row['ms']:6.2f} ms a batch, {row['share']:.3f} ({quartiles}) of a step")
    options.out.mkdir(parents=True, exist_ok=True)
    about = {**circumstances(), "threads": options.threads, "batch_size": BATCH, "rounds": options.rounds}
    (options.out / "augmentation.json").write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
    picture().save(options.out / "augmentation.png", optimize=True)


if __name__ == "__main__":
    main()
