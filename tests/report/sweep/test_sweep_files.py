"""The files of a sweep's report, and what it prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from helpers import read_rows, unwrapped
from made_up_sweeps import BETAS, LR, MOMENTUM, make_sweep

from optimcifar.report.records import to_csv
from optimcifar.report.sweep.files import write_sweep_report
from optimcifar.report.sweep.page import sweep_page
from optimcifar.report.sweep.records import sweep_records
from optimcifar.report.sweep.results import read_sweep
from optimcifar.report.sweep.terminal import print_sweep


@pytest.fixture(autouse=True)
def pipe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    for name in ("FORCE_COLOR", "NO_COLOR"):
        monkeypatch.delenv(name, raising=False)


def outcome(name: str, values: tuple[Any, ...], seed: int) -> Any:
    """Return a rise to 0.1 and a collapse at 1, with a run that failed and one that was not started."""
    lr = values[0]
    if lr == 1.0:
        return {"accuracies": [0.3], "status": "diverged"} if seed else 0.1
    if lr == 0.01 and seed == 2:
        return {"accuracies": [0.5], "status": "failed"}
    if name == "adam" and lr == 0.1 and seed == 2:
        return None
    return {"accuracies": [0.7, 0.4 + lr + 0.01 * seed], "train_seconds": 12.25}


def make(folder: Path) -> None:
    own: dict[str, tuple[Any, ...]] = {"sgd": (0.01,), "adam": (0.05,)}
    make_sweep(folder, {LR: "1e-2..1"}, [(0.01,), (0.1,), (1.0,)], outcome, own)


def test_sweep_csv_has_a_row_per_run(tmp_path: Path) -> None:
    make(tmp_path)
    (tmp_path / "sweep.csv").write_text(to_csv(sweep_records(read_sweep(tmp_path))))
    rows = read_rows(tmp_path / "sweep.csv")
    assert len(rows) == 3 * 3 + 4 * 3 - 1
    cells = [tuple(row[name] for name in ("configuration", LR, "seed", "is_own", "status")) for row in rows]
    assert cells[0] == ("sgd", "0.01", "0", "True", "finished")
    assert cells[2] == ("sgd", "0.01", "2", "True", "failed")
    assert cells[7] == ("sgd", "1", "1", "False", "diverged")
    assert {own[1] for own in cells if own[0] == "adam" and own[3] == "True"} == {"0.05"}
    first = rows[3]
    measured = ("val_acc", "best_val_acc", "best_epoch", "train_loss", "val_loss", "train_seconds", "optimizer_step_ms")
    assert [first[name] for name in measured] == ["0.5", "0.7", "1", "1.8", "1.9", "12.25", "0.25"]
    assert [row["at_chance"] for row in rows[6:9]] == ["True", "False", "False"]
    assert (tmp_path / "runs" / first["folder"] / f"seed-{first['seed']}").exists()


def test_cells_of_settings_can_be_given_to_fit_again(tmp_path: Path) -> None:
    points: list[tuple[Any, ...]] = [([0.9, 0.999], None), ([0.5, 0.999], True)]
    over = {BETAS: "[0.9,0.999],[0.5,0.999]", "model.optimizer.amsgrad": "null,true"}
    make_sweep(tmp_path, over, points, lambda *_: 0.5, {"adam": points[0]}, seeds=1)
    records = sweep_records(read_sweep(tmp_path))
    assert [list(record.values())[1:3] for record in records] == [["[0.9, 0.999]", "null"], ["[0.5, 0.999]", "true"]]


def test_what_is_printed_fits_80_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path)
    print_sweep(read_sweep(tmp_path), tmp_path / "report.html")
    text = capsys.readouterr().out
    *lines, last = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert last == f"the report is {tmp_path / 'report.html'}"
    table = [re.split(r"\s\s+", line.strip()) for line in lines if re.match(r"\s*(lr|[\d.]+)\s\s", line)]
    assert table[:4] == [
        ["lr", "seeds", "val acc", "train loss", "s/run", "note", "collapsed"],
        ["0.01", "2/3", "0.415 ± 0.064", "1.885", "12.2", "own"],
        ["0.1", "3", "0.510 ± 0.025", "1.790", "12.2", "best"],
        ["1", "3", "0.100 ± 0.000", "2.067", "8.0", "2 diverged, 1 at chance"],
    ]
    shown = unwrapped(text)
    assert "sgd: The best is lr 0.1" in shown
    assert "adam: The best is lr 0.1" in shown
    assert "data Shapes10; training images 800; device cpu; " in shown


def test_table_of_two_hyperparameters_fits_80_columns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    points = [(0.00237, 0.0), (0.00237, 0.99), (0.0133, 0.0), (0.0133, 0.99)]
    accuracies = dict(zip(points, (0.5, 0.503, 0.501, 0.2), strict=True))

    def even(_: str, values: tuple[Any, ...], seed: int) -> float:
        point = (values[0], values[1])
        return accuracies[point] + 0.01 * seed * (1, -1, 1, -1)[points.index(point)]

    make_sweep(tmp_path, {LR: "1e-3..1", MOMENTUM: "0,0.99"}, points, even, {"sgd": points[0]})
    print_sweep(read_sweep(tmp_path), tmp_path / "report.html")
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines[:-1])) <= 80
    head = next(place for place, line in enumerate(lines) if re.match(r"\s*lr\s+momentum\s", line))
    rows = [re.split(r"\s\s+", line.strip()) for line in lines[head:] if line.strip().startswith(("lr ", "0.0"))]
    assert rows[0] == ["lr", "momentum", "val acc", "train loss", "s/run", "note"]
    assert rows[1] == ["0.00237", "0", "0.510 ± 0.025", "1.790", "8.0", "may be best, own"]
    assert rows[3] == ["0.0133", "0", "0.511 ± 0.025", "1.789", "8.0", "best"]
    assert rows[4][:3] == ["0.0133", "0.99", "0.190 ± 0.025"]


def test_page_says_the_answer_and_shows_every_point(tmp_path: Path) -> None:
    make(tmp_path)
    page = sweep_page(read_sweep(tmp_path))
    assert "<h1>sgd and adam over lr, 20 runs</h1>" in page
    text = re.sub(r"<[^>]*>", " ", page.partition('<script type="application/json"')[0])
    assert "sgd: The best is lr 0.1, with a validation accuracy of 0.510" in text
    assert "The highest of several means is a little too high" in text
    tables = re.findall(r"<tbody>(.*?)</tbody>", page, re.DOTALL)
    names = [re.findall(r'<th scope="row"[^>]*>(.*?)</th>', table) for table in tables]
    assert names == [["0.01", "0.1", "1"], ["0.01", "0.05", "0.1", "1"]]
    assert "1 failed" in tables[0]
    assert "1 not started" in tables[1]
    # No bar of colour in a cell without a note.
    assert '<td class="verdict" data-value="" data-label="note"></td>' in tables[0]


@pytest.mark.slow
def test_all_files_are_written(tmp_path: Path) -> None:
    make(tmp_path / "out")
    write_sweep_report(read_sweep(tmp_path / "out"), tmp_path / "report")
    charts = {"val_acc_over_lr", "train_loss_over_lr", "train_seconds_over_lr", "optimizer_step_ms_over_lr"}
    charts |= {"val_acc_by_epoch", "train_loss_by_epoch"}
    pictures = {f"{chart}.{ending}" for chart in charts for ending in ("png", "svg")}
    assert {path.name for path in (tmp_path / "report").iterdir()} == {
        *pictures,
        *("sweep.csv", "summary.md", "report.html"),
    }
    for chart in charts:
        assert (tmp_path / "report" / f"{chart}.png").stat().st_size > 10_000
    summary = (tmp_path / "report/summary.md").read_text()
    assert summary.startswith("sgd: The best is lr 0.1,")
    assert "\n## adam\n\n| lr | note | val acc |" in summary
    assert "\n| 0.1 | best | 0.510 ± 0.025 |" in summary
