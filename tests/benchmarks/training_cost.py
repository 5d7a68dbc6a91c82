"""What an image costs as batches and data sets grow.

    python tests/benchmarks/training_cost.py --rounds 3 --out lightning_logs/benchmarks

Runs ``optimcifar fit`` over several batch sizes and training sizes, in turn, and writes the microseconds per image of
the second epoch as ``training_cost.json`` and ``training_cost.png``.
"""

from __future__ import annotations

import argparse
import json
import statistics
from pathlib import Path
from typing import Any

import altair as alt
import torch
from circumstances import circumstances, quiet
from contestants import BATCH, fit_epoch_seconds

BATCH_SIZES = (16, 64, 256, 1024, 4096)
TRAINING_SIZES = (5_000, 10_000, 20_000, 50_000)
BATCH_IMAGES = 16_384  # what the batch sizes are measured on: a whole number of batches of each


def measure(settings: list[tuple[str, int, int]], rounds: int) -> list[dict[str, Any]]:
    """Return a row for each of the (panel, images, batch size) and round."""
    rows = []
    for _ in range(rounds):
        for panel, images, batch_size in settings:
            seconds = fit_epoch_seconds(images, "--data.batch_size", str(batch_size))
            rows.append({"panel": panel, "images": images, "batch_size": batch_size, "us": 1e6 * seconds / images})
    return rows


def draw(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    """Draw the cost of an image over batch sizes and over training sizes, a point a round and a line of medians."""

    def panel(name: str, field: str, label: str) -> Any:
        base = alt.Chart(alt.Data(values=[row for row in rows if row["panel"] == name])).encode(
            x=alt.X(f"{field}:O", title=label, axis=alt.Axis(labelAngle=0)),
            y=alt.Y("us:Q", title="microseconds per image", scale=alt.Scale(zero=True)),
        )
        line = base.mark_line(color="#0072B2").encode(y="median(us):Q")
        return (line + base.mark_point(color="#0072B2")).properties(width=300, height=220)

    chart = panel("batch", "batch_size", "batch size") | panel("size", "images", "training images, batches of 64")
    chart.properties(title=title).save(path, scale_factor=2)


def main(args: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch_sizes", type=int, nargs="+", default=BATCH_SIZES)
    parser.add_argument("--batch_images", type=int, default=BATCH_IMAGES, help="training images for the batch sizes")
    parser.add_argument("--training_sizes", type=int, nargs="+", default=TRAINING_SIZES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("lightning_logs/benchmarks"))
    options = parser.parse_args(args)
    quiet()
    torch.set_num_threads(options.threads)
    settings = [("batch", options.batch_images, size) for size in options.batch_sizes]
    settings += [("size", images, BATCH) for images in options.training_sizes]
    rows = measure(settings, options.rounds)
    for panel, images, batch_size in settings:
        measured = [r["us"] for r in rows if (r["panel"], r["images"], r["batch_size"]) == (panel, images, batch_size)]
        spread = f"{min(measured):.0f} to {max(measured):.0f}"
        print(f"{images:6,} images, batches of {batch_size:4}  {statistics.median(measured):5.0f} us/image  {spread}")
    about = {"rounds": options.rounds, "threads": options.threads, **circumstances()}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "training_cost.json").write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
    title = f"Shapes10, {options.rounds} rounds, CPU, {options.threads} thread(s), torch {torch.__version__}"
    draw(rows, title, options.out / "training_cost.png")


if __name__ == "__main__":
    main()
