"""Where the time of a training step goes.

    python tests/benchmarks/step_profile.py --rounds 20 --threads 1

Times the parts of a step one by one, forward and backward, ten times each in every round; what ``optimcifar fit``
takes beyond the sum of its parts is Lightning's. Prints milliseconds, and writes ``step_profile.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from circumstances import circumstances, quiet
from contestants import BATCH, LR, MOMENTUM, Task, fit_epoch_seconds
from torch import Tensor

from optimcifar import ConvNet, Shapes10DataModule
from optimcifar.data.images import Images, SubsetInMemory
from optimcifar.networks.convnet import convolve_and_pool

_REPEATS = 10  # in a row: what lies in the caches stays there, as within a step


def _forward_backward(function: Callable[[Tensor], Tensor], inputs: Tensor) -> Callable[[], None]:
    gradient = torch.randn_like(function(inputs))

    def run() -> None:
        torch.autograd.backward(function(inputs), gradient)
        inputs.grad = None

    return run


def parts(task: Task) -> dict[str, Callable[[], object]]:
    """Return what a step consists of, each ready to be run by itself."""
    data, net = Shapes10DataModule(), ConvNet()
    subset = SubsetInMemory(Images(task.pixels, task.labels), torch.arange(len(task.labels)))
    indices = task.order[:BATCH].tolist()
    images, labels = data.on_after_batch_transfer(subset.__getitems__(indices), 0)

    def activations(*shape: int) -> Tensor:
        return torch.randn(BATCH, *shape).contiguous(memory_format=torch.channels_last).requires_grad_()

    def linear(x: Tensor) -> Tensor:
        return F.cross_entropy(net.fc3(F.relu(net.fc2(F.relu(net.fc1(x))))), labels)

    optimizer = torch.optim.SGD(net.parameters(), lr=LR, momentum=MOMENTUM)
    torch.autograd.backward(F.cross_entropy(net(images), labels))

    def step() -> None:
        optimizer.zero_grad()
        torch.autograd.backward(F.cross_entropy(net(images), labels))

    return {
        "loading": lambda: subset.__getitems__(indices),
        "normalising": lambda: data.on_after_batch_transfer(subset.__getitems__(indices), 0),
        "first convolution": _forward_backward(net.conv1, images),
        "pooling after it": _forward_backward(lambda x: F.max_pool2d(x, 2), activations(6, 28, 28)),
        "both as the network does": _forward_backward(lambda x: convolve_and_pool(net.conv1, x), images),
        "second convolution": _forward_backward(net.conv2, activations(6, 14, 14)),
        "pooling after that": _forward_backward(lambda x: F.max_pool2d(x, 2), activations(16, 10, 10)),
        "linear layers and loss": _forward_backward(linear, torch.randn(BATCH, 400, requires_grad=True)),
        "network, all of it": step,
        "optimizer": optimizer.step,
    }


def main(args: list[str] | None = None) -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=6_400, help="training images of the epoch of optimcifar fit")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("lightning_logs/benchmarks"))
    options = parser.parse_args(args)
    quiet()
    torch.set_num_threads(options.threads)
    measured: dict[str, list[float]] = {}
    contestants = parts(Task.of(BATCH))
    for _ in range(options.rounds):
        for name, run in contestants.items():
            start = time.perf_counter()
            for _ in range(_REPEATS):
                run()
            measured.setdefault(name, []).append(1000 * (time.perf_counter() - start) / _REPEATS)
    ms = {name: statistics.median(values) for name, values in measured.items()}
    ms["normalising"] -= ms["loading"]
    whole = 1000 * fit_epoch_seconds(options.images) / (options.images / BATCH)
    own = sum(ms[name] for name in ("loading", "normalising", "network, all of it", "optimizer"))
    ms["step of optimcifar fit"], ms["of it Lightning and logging"] = whole, whole - own
    for name, value in ms.items():
        print(f"{name:28} {value:6.2f} ms")
    options.out.mkdir(parents=True, exist_ok=True)
    about = {"threads": options.threads, "batch_size": BATCH, "rounds": options.rounds, **circumstances()}
    (options.out / "step_profile.json").write_text(json.dumps({**about, "ms": ms}, indent=2) + "\n")


if __name__ == "__main__":
    main()
