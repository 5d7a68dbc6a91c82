from __future__ import annotations

from pathlib import Path

import pytest

from optimcifar.runs.atomic import remove_partial_files, write_atomically


def test_missing_folders_are_created(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "table.csv"
    write_atomically(path, "text: é\n")
    assert path.read_bytes() == "text: é\n".encode()


def test_failed_write_keeps_the_old_file_and_leaves_no_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.csv"
    write_atomically(path, "old\n")

    def fail(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device", str(target))

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, "new\n")
    assert path.read_text() == "old\n"
    assert list(tmp_path.iterdir()) == [path]


def test_partial_files_of_killed_processes_are_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for kept in ("metrics.csv", ".hidden", "checkpoints/last.ckpt"):
        write_atomically(tmp_path / kept, "whole\n")
    # A killed process renames and removes nothing.
    monkeypatch.setattr(Path, "replace", lambda self, target: None)
    monkeypatch.setattr(Path, "unlink", lambda self, missing_ok: None)
    for part in ("metrics.csv", "checkpoints/last.ckpt"):
        write_atomically(tmp_path / part, "half")
    monkeypatch.undo()
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 5
    remove_partial_files(tmp_path)
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file()}
    assert left == {"metrics.csv", ".hidden", "checkpoints/last.ckpt"}
