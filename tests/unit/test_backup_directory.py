"""Where a backup goes when nobody says so."""

from __future__ import annotations

from pathlib import Path

from tasks.backup import backup_directory
from tasks.core.settings import MigrateParameters


def test_each_run_that_reports_to_one_directory_makes_a_backup_of_its_own(tmp_path: Path) -> None:
    made = []
    for _ in range(3):
        made.append(backup_directory(tmp_path, MigrateParameters()))
        made[-1].mkdir()

    assert [path.name for path in made] == ["backup", "backup-2", "backup-3"]


def test_a_directory_that_was_named_is_taken_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()

    assert backup_directory(tmp_path, MigrateParameters(backup_directory=tmp_path / "mine")) == tmp_path / "mine"
