from __future__ import annotations

from pathlib import Path

from optimcifar.runs.step_table import StepTable


def test_column_that_comes_later_is_empty_before(tmp_path: Path) -> None:
    path = tmp_path / "validations.csv"
    table = StepTable("seconds", "val_acc")
    table.add(1, 13, {"seconds": 0.5, "val_acc": 0.25})
    table.add(2, 26, {"seconds": 1.0, "val_acc_swa": 0.5})
    table.write(path)
    assert path.read_text() == "epoch,step,seconds,val_acc,val_acc_swa\n1,13,0.5,0.25,\n2,26,1.0,,0.5\n"
    again = StepTable("seconds", "val_acc")
    again.go_on(path, step=26)
    again.write(tmp_path / "again.csv")
    assert (tmp_path / "again.csv").read_text() == path.read_text()


def test_resumed_table_keeps_the_rows_before_its_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "steps.csv"
    # Two validations after the same step, as with accumulated gradients.
    path.write_text("epoch,step,val_acc\n1,4,0.1\n2,4,0.2\n2,5,0.3\n")
    by_step, by_number, missing = StepTable(), StepTable(), StepTable()
    by_step.go_on(path, step=4)
    by_number.go_on(path, step=4, most=1)
    missing.go_on(tmp_path / "missing.csv", step=4)
    assert [len(table) for table in (by_step, by_number, missing)] == [2, 1, 0]
