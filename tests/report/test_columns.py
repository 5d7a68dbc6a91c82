"""The columns of the tables for readers."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from helpers import make_run

from optimcifar.report.analysis import Configuration
from optimcifar.report.columns import cost_columns, metric_columns, verdict_columns
from optimcifar.report.comparison import read_comparison
from optimcifar.report.comparison_page import comparison_page
from optimcifar.report.tables import Column


def test_tables_answer_first_and_count_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    finals = {"sgd": [0.50, 0.52, 0.48, 0.51, 0.49], "adam": [0.60, 0.63, 0.57, 0.61, 0.60]}
    finals["muon"] = [0.51, 0.55, 0.44, 0.54, 0.47]
    for name, accuracies in finals.items():
        for seed, accuracy in enumerate(accuracies):
            status = "diverged" if (name, seed) == ("muon", 2) else "finished"
            columns = {"val_acc_ema": [0.1, accuracy + 0.01 + 0.001 * seed]}
            make_run(tmp_path / "runs" / name / f"seed-{seed}", seed, [0.1, accuracy], columns, status=status)
    make_run(tmp_path / "runs/adam/seed-5", 5, [0.1], status="interrupted")
    analysis = read_comparison(tmp_path, baseline="sgd", target_acc=0.505)
    rows = {row.name: row for row in analysis.configurations}

    def texts(columns: list[Column[Configuration]], name: str) -> dict[str, str]:
        return {column.title: column.text(rows[name]) for column in columns}

    verdicts = verdict_columns(analysis)
    assert [column.title for column in verdicts] == [
        *("configuration", "verdict", "Δ val acc vs sgd", "val acc", "pairs", "adjusted p"),
        *("diverged", "not finished", "seeds needed"),
    ]
    muon, adam = texts(verdicts, "muon"), texts(verdicts, "adam")
    # 1 - 0.05 ** (1 / 5), by hand.
    assert (muon["diverged"], adam["diverged"]) == ("1 of 5", "0 of 5 (true rate at most 45 %)")
    assert (adam["verdict"], adam["pairs"], adam["not finished"], adam["seeds needed"]) == ("better", "5", "1", "")
    assert muon["verdict"] == "no difference shown; diverged in 1 of 5 seeds"
    assert int(muon["seeds needed"].replace(",", "")) > 1000  # a mean of 0.002 with a standard deviation of 0.032
    assert texts(cost_columns(analysis), "sgd")["reached val acc 0.505"] == "2 of 5, median 2 epochs, 4.0 s"
    assert texts(metric_columns(analysis), "adam")["Δ ema vs final weights"].startswith("+0.012 [")

    monkeypatch.setattr("vl_convert.javascript_bundle", lambda *arguments, **options: "")  # takes seconds
    words = re.findall(
        r'<td class="verdict"[^>]*><span style="color: (#\w+)">([^<]+)</span>', comparison_page(analysis)
    )
    assert [word for _, word in words] == [adam["verdict"], muon["verdict"]]
    assert words[0][0] != words[1][0]
