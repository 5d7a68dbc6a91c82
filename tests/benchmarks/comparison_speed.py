"""How much faster ``optimcifar compare --jobs 2`` is than the same runs one after the other with ``optimcifar fit``.

    python tests/benchmarks/comparison_speed.py --rounds 3 --out lightning_logs/benchmarks

Two configurations over four seeds on Shapes10; both ways in turn in every round, as commands. Prints the ratio of their
times, with and without the time before the first run starts, and writes ``comparison_speed.json``.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from circumstances import circumstances

CONFIGS = Path(__file__).parents[2] / "configs"
NAMES, SEEDS = ("sgd", "adam"), 4


def timed(*arguments: object) -> float:
    """Run a command and return its seconds."""
    start = time.perf_counter()
    subprocess.run([sys.executable, "-m", "optimcifar", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - start


def under_way(folders: list[Path]) -> float:
    """Return the seconds from the moment at which the first of these runs was set up to the end of the last one."""
    started = min((folder / "config.yaml").stat().st_mtime for folder in folders)
    return max((folder / "summary.json").stat().st_mtime for folder in folders) - started


def one_after_the_other(out: Path, options: list[str]) -> tuple[float, float]:
    """Return the seconds of all runs, whole and without their starts."""
    whole = without = 0.0
    for name in NAMES:
        for seed in range(SEEDS):
            root = out / f"{name}-{seed}"
            own = ("--seed_everything", seed, "--trainer.default_root_dir", root)
            whole += timed("fit", "--config", CONFIGS / f"{name}.yaml", *options, *own)
            without += under_way([root / "lightning_logs" / "version_0"])
    return whole, without


def compared(out: Path, options: list[str]) -> tuple[float, float]:
    """Return the same of a comparison."""
    configs = [CONFIGS / f"{name}.yaml" for name in NAMES]
    whole = timed("compare", *configs, "--seeds", SEEDS, "--jobs", 2, "--out", out, *options)
    return whole, under_way(list(out.glob("runs/*/seed-*")))


def main(args: list[str] | None = None) -> None:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("lightning_logs/benchmarks"))
    options = parser.parse_args(args)
    of_fit = ["--data", "Shapes10DataModule", "--data.train_images", str(options.images), "--data.val_size", "500"]
    of_fit += ["--data.test_images", "500", "--trainer.max_epochs", str(options.epochs), "--trainer.accelerator", "cpu"]
    rows = []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory() as folder:
            fits = one_after_the_other(Path(folder) / "fits", of_fit)
            comparison = compared(Path(folder) / "comparison", of_fit)
        row = {"fit_s": fits[0], "compare_s": comparison[0], "ratio": fits[0] / comparison[0]}
        row |= {"fit_without_start_s": fits[1], "compare_without_start_s": comparison[1]}
        rows.append(
            {key: round(value, 3) for key, value in (row | {"ratio_without_start": fits[1] / comparison[1]}).items()}
        )
        print(f"round {number + 1}: {rows[-1]}", flush=True)
    for key, text in (("ratio", "whole"), ("ratio_without_start", "without start-up")):
        values = [row[key] for row in rows]
        print(f"{text}: {statistics.median(values):.2f} times as fast, {min(values):.2f} to {max(values):.2f}")
    options.out.mkdir(parents=True, exist_ok=True)
    about = {"images": options.images, "epochs": options.epochs, "runs": len(NAMES) * SEEDS, **circumstances()}
    (options.out / "comparison_speed.json").write_text(json.dumps({**about, "rounds": rows}, indent=2) + "\n")


if __name__ == "__main__":
    main()
