"""How fast ``optimcifar fit`` trains, beside the loops that a person would write instead.

    python tests/benchmarks/training_speed.py --images 12800 --rounds 5 --threads 1 2 --out lightning_logs/benchmarks

All contestants take their turn in every round, and are compared within the round, because the machine's speed changes
between rounds. Prints a table, and writes ``training_speed.json`` and ``training_speed.png``.
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
from contestants import BATCH, CONTESTANTS, Task

BASELINE = "tensor loop"


def measure(images: int, rounds: int, threads: int) -> dict[str, list[float]]:
    """Return, for every contestant, the seconds of each round."""
    torch.set_num_threads(threads)
    task = Task.of(images)
    seconds: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    for _ in range(rounds):
        for name, contestant in CONTESTANTS.items():
            torch.manual_seed(0)
            seconds[name].append(contestant(task))
    return seconds


def compare(seconds: dict[str, list[float]], images: int, threads: int) -> list[dict[str, Any]]:
    """Return a row per contestant: milliseconds per step, and its time over the baseline's of the same round."""
    rows = []
    for name, values in seconds.items():
        ratios = [value / base for value, base in zip(values, seconds[BASELINE], strict=True)]
        rows.append(
            {
                "contestant": name,
                "threads": threads,
                "ms_per_step": round(1000 * statistics.median(values) / (images / BATCH), 3),
                "ratio": round(statistics.median(ratios), 3),
                "ratio_least": round(min(ratios), 3),
                "ratio_most": round(max(ratios), 3),
            }
        )
    return rows


def draw(rows: list[dict[str, Any]], title: str, path: Path) -> None:
    """Draw the ratios with their spread over the rounds."""
    order = list(CONTESTANTS)
    threads = sorted({row["threads"] for row in rows})
    points = alt.Chart().encode(
        y=alt.Y("contestant:N", sort=order, title=None, axis=alt.Axis(labelLimit=300)),
        yOffset=alt.YOffset("threads:O", sort=threads),
        color=alt.Color("threads:O", scale=alt.Scale(range=["#0072B2", "#D55E00"]), title="threads"),
    )
    chart = alt.layer(
        points.mark_rule().encode(x="ratio_least:Q", x2="ratio_most:Q"),
        points.mark_point(filled=True, size=50).encode(
            x=alt.X("ratio:Q", title=f"time of an epoch over that of the {BASELINE} (median, least to most)")
        ),
        data=alt.Data(values=rows),
    )
    chart.properties(title=title, width=480, height=alt.Step(14)).save(path, scale_factor=2)


def main(args: list[str] | None = None) -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12_800, help="training images of an epoch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--out", type=Path, default=Path("lightning_logs/benchmarks"))
    options = parser.parse_args(args)
    quiet()
    rows = []
    for threads in options.threads:
        rows += compare(measure(options.images, options.rounds, threads), options.images, threads)
    for row in rows:
        spread = f"{row['ratio_least']:.2f} to {row['ratio_most']:.2f}"
        figures = f"{row['ms_per_step']:7.2f} ms/step {row['ratio']:6.2f}  {spread}"
        print(f"{row['threads']} threads  {row['contestant']:32} {figures}")
    about = {"images": options.images, "batch_size": BATCH, "rounds": options.rounds, **circumstances()}
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "training_speed.json").write_text(json.dumps({**about, "rows": rows}, indent=2) + "\n")
    title = f"Shapes10, {options.images:,} images of an epoch, batch {BATCH}, {options.rounds} rounds, CPU, torch "
    draw(rows, title + torch.__version__, options.out / "training_speed.png")


if __name__ == "__main__":
    main()
