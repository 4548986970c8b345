"""Back from the backup: beside the old database, compared with the manifest, and a damaged backup is refused by its file."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from tasks.core import errors, forget, restore, run
from tasks.core.backup import make_backup
from tasks.core.database import Database, connect
from tasks.core.progress import unheard
from tasks.core.sample import drop_database
from tasks.core.settings import LockLimits, RollbackParameters
from tasks.core.toolkit import install


@pytest.mark.parametrize("form", ["directory", "plain"])
async def test_a_backup_is_restored_beside_the_old_database(
    legacy_database: Database, server: Database, tmp_path: Path, form: str
) -> None:
    await make_backup(legacy_database, "public", tmp_path / "backup", format=form)  # type: ignore[arg-type]  # a parametrized literal
    async with connect(legacy_database) as connection:
        await connection.execute("DELETE FROM campaigns WHERE status = 'paused'")
    report = await restore.restore_backup(legacy_database, "public", tmp_path / "backup", unheard)
    try:
        assert report.swap_statements[1].endswith(f"RENAME TO {legacy_database.database}")
        restored = legacy_database.model_copy(update={"database": report.database})
        async with connect(restored) as connection:
            assert await connection.fetchval("SELECT count(*) FROM campaigns") == 60
            grants = await connection.fetchval("SELECT relacl::text FROM pg_class WHERE relname = 'campaigns'")
            assert "campaign_app" in grants
        async with connect(legacy_database) as connection:
            assert await connection.fetchval("SELECT count(*) FROM campaigns") < 60
        async with connect(server) as connection:
            for statement in report.swap_statements:
                await connection.execute(statement)
        async with connect(legacy_database) as connection:
            assert await connection.fetchval("SELECT count(*) FROM campaigns") == 60
    finally:
        async with connect(server) as connection:
            left = await connection.fetch(
                "SELECT datname FROM pg_database WHERE datname LIKE $1 || '%' AND datname <> $2",
                legacy_database.database[:40], legacy_database.database,
            )  # fmt: skip
        for row in left:
            await drop_database(server, row["datname"])


@pytest.mark.parametrize("damage", ["changed", "truncated", "removed"])
async def test_a_damaged_backup_is_refused_with_the_files_name(
    legacy_database: Database, tmp_path: Path, damage: str
) -> None:
    await make_backup(legacy_database, "public", tmp_path / "backup", format="directory")
    file = max((tmp_path / "backup" / "dump").glob("*.dat*"), key=lambda path: path.stat().st_size)
    if damage == "removed":
        file.unlink()
    elif damage == "truncated":
        file.write_bytes(file.read_bytes()[:-10])
    else:
        content = bytearray(file.read_bytes())
        content[len(content) // 2] ^= 1
        file.write_bytes(bytes(content))
    with pytest.raises(errors.BackupDamaged, match=file.name):
        await restore.restore_backup(legacy_database, "public", tmp_path / "backup", unheard)


async def test_forgetting_drops_our_backup_tables_and_nothing_else(legacy_database: Database) -> None:
    run_id = str(uuid.uuid4())
    async with connect(legacy_database) as connection:
        await install(connection)
        await connection.execute("SELECT migration_backup_campaigns()")
        await connection.execute("CREATE TABLE campaigns_pre_rollback_backup_of_mine (id int)")
    async with run.exclusive_run(legacy_database, "public", RollbackParameters(), run_id, "test"):
        report = await forget.forget_backups(legacy_database, "public", LockLimits(), run_id)
    assert report.tables == ["campaigns_backup_000035", "campaigns_pre_migration_backup"]
    async with connect(legacy_database) as connection:
        assert await connection.fetchval("SELECT to_regclass('campaigns_pre_rollback_backup_of_mine') IS NOT NULL")
        assert await connection.fetchval("SELECT to_regclass('campaigns_backup_000035') IS NULL")
