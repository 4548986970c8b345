"""A backup is whole and proven, or it is not there; and nothing of it shows a password."""

from __future__ import annotations

import asyncio
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from tasks.core import backup as backup_module
from tasks.core import errors
from tasks.core.backup import make_backup, verify_backup
from tasks.core.database import Database, connect
from tasks.core.restore_check import scratch_name
from tasks.core.row_counts import STABLE_OUTPUT, read_contents
from tasks.core.server_installation import embedded_bin_directory


async def execute(database: Database, *statements: str) -> None:
    async with connect(database) as connection:
        for statement in statements:
            await connection.execute(statement)


async def scratch_databases(database: Database) -> list[str]:
    async with connect(database) as connection:
        beginning = scratch_name(database.database, "")
        rows = await connection.fetch("SELECT datname FROM pg_database WHERE starts_with(datname, $1)", beginning)
    return [row[0] for row in rows]


@pytest.mark.parametrize("dump_format", ["directory", "plain"])
async def test_a_backup_is_dumped_read_back_restored_and_compared(
    legacy_database: Database, tmp_path: Path, dump_format: Any
) -> None:
    target = tmp_path / "new" / "backup"
    manifest = await make_backup(legacy_database, "public", target, format=dump_format, restore_check=True)
    assert manifest.restore_checked
    assert manifest.directory == str(target)
    assert manifest.row_counts["public.generated_domains"] == 6_000
    assert manifest.row_counts["public.campaigns"] == 60
    assert set(manifest.checksums) == {"public.campaigns", "public.generated_domains", "public.users"}
    assert stat.S_IMODE(target.stat().st_mode) == 0o700
    assert manifest.bytes == sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) - (
        (target / "manifest.json").stat().st_size
    )
    expected = {"backup_pre_migration.sql"} if dump_format == "plain" else {"dump/toc.dat"}
    assert expected <= set(manifest.files)
    assert verify_backup(target) == manifest
    assert not list(target.parent.glob("*.partial*"))
    assert await scratch_databases(legacy_database) == []


async def test_a_backup_holds_one_moment_while_writers_go_on(legacy_database: Database, tmp_path: Path) -> None:
    stop = asyncio.Event()

    async def write() -> int:
        written = 0
        async with connect(legacy_database, purpose="writer") as connection:
            while not stop.is_set():
                await connection.execute(
                    "INSERT INTO generated_domains (domain_generation_campaign_id, domain_name)"
                    " SELECT id, $1 || name FROM campaigns LIMIT 5",
                    f"late-{written}-",
                )
                await connection.execute(
                    "UPDATE campaigns SET name = name || '.' WHERE id = (SELECT min(id::text)::uuid FROM campaigns)"
                )
                written += 5
        return written

    writer = asyncio.create_task(write())
    try:
        await asyncio.sleep(0.2)
        manifest = await make_backup(legacy_database, "public", tmp_path / "backup", restore_check=True)
    finally:
        stop.set()
        written = await writer
    assert manifest.restore_checked
    assert 6_000 < manifest.row_counts["public.generated_domains"] < 6_000 + written


async def test_enum_columns_and_names_that_need_quoting_are_compared_too(sample_factory: Any, tmp_path: Path) -> None:
    database = await sample_factory(schema='Mixed "Case"')
    await execute(
        database,
        'SET search_path = "Mixed ""Case""";'
        " DROP INDEX IF EXISTS none; CREATE TYPE mood AS ENUM ('calm', 'tense');"
        " ALTER TABLE campaigns ADD mood mood DEFAULT 'tense', ADD words tsvector, ADD note json DEFAULT '{}'",
    )
    manifest = await make_backup(database, 'Mixed "Case"', tmp_path / "backup", restore_check=True)
    assert manifest.row_counts['"Mixed ""Case""".campaigns'] == 60
    assert '"Mixed ""Case""".campaigns' in manifest.checksums


async def test_the_checksum_notices_one_changed_value_and_no_change_of_order(legacy_database: Database) -> None:
    async with connect(legacy_database, settings=STABLE_OUTPUT) as connection:
        before = await read_contents(connection, "public")
        await connection.execute("CLUSTER campaigns USING idx_campaigns_status")
        assert await read_contents(connection, "public") == before
        await connection.execute(
            "ALTER TABLE campaigns DISABLE TRIGGER USER;"
            " UPDATE campaigns SET name = name || '!' WHERE id = (SELECT min(id::text)::uuid FROM campaigns)"
        )
        after = await read_contents(connection, "public")
    changed = {name for name, contents in after.items() if contents != before[name]}
    assert changed == {"public.campaigns"}


async def test_a_target_that_holds_something_is_refused_and_left_alone(
    legacy_database: Database, tmp_path: Path
) -> None:
    (tmp_path / "precious").write_text("mine")
    with pytest.raises(errors.DirectoryUnusable, match=r"not empty.*--backup-directory"):
        await make_backup(legacy_database, "public", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["precious"]
    with pytest.raises(errors.DirectoryUnusable, match="not a directory"):
        await make_backup(legacy_database, "public", tmp_path / "precious")
    with pytest.raises(errors.DirectoryUnusable, match="--backup-directory"):
        await make_backup(legacy_database, "public", tmp_path / "precious" / "backup")


async def test_an_empty_target_is_taken(legacy_database: Database, tmp_path: Path) -> None:
    target = tmp_path / "empty"
    target.mkdir(mode=0o755)
    await make_backup(legacy_database, "public", target)
    assert verify_backup(target).row_counts["public.campaigns"] == 60
    assert stat.S_IMODE(target.stat().st_mode) == 0o700


async def test_a_failed_dump_is_reported_in_the_words_of_pg_dump_and_stays_partial(
    legacy_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backup_module, "LOCK_WAIT", "200ms")
    async with connect(legacy_database) as connection, connection.transaction():
        await connection.execute("LOCK TABLE lead_items IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(errors.BackupFailed, match=r"timeout.*LOCK TABLE public") as caught:
            await make_backup(legacy_database, "public", tmp_path / "backup")
    assert str(tmp_path / "backup.partial") in str(caught.value)
    assert not (tmp_path / "backup").exists()
    with pytest.raises(errors.BackupDamaged, match=r"manifest\.json"):
        verify_backup(tmp_path / "backup.partial")
    await make_backup(legacy_database, "public", tmp_path / "backup")
    assert verify_backup(tmp_path / "backup").row_counts["public.campaigns"] == 60


async def test_a_cancelled_backup_ends_pg_dump_and_stays_partial(legacy_database: Database, tmp_path: Path) -> None:
    async with connect(legacy_database) as connection, connection.transaction():
        await connection.execute("LOCK TABLE lead_items IN ACCESS EXCLUSIVE MODE")
        running = asyncio.create_task(make_backup(legacy_database, "public", tmp_path / "backup"))
        async with connect(legacy_database) as other:
            waiting = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'LOCK TABLE%'"
            )
            for _ in range(100):
                if await other.fetchval(waiting):
                    break
                await asyncio.sleep(0.05)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            for _ in range(100):
                if not await other.fetchval(waiting):
                    break
                await asyncio.sleep(0.05)
            assert await other.fetchval(waiting) == 0
    assert not (tmp_path / "backup").exists()
    assert (tmp_path / "backup.partial").is_dir()


async def test_a_restored_copy_that_differs_fails_the_backup_and_leaves_no_scratch_database(
    legacy_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def exaggerated(*arguments: Any) -> Any:
        contents = await read_contents(*arguments)
        users = contents["public.users"]
        return {**contents, "public.users": type(users)(count=users.count + 1, checksum=users.checksum)}

    monkeypatch.setattr(backup_module, "read_contents", exaggerated)
    with pytest.raises(errors.BackupFailed, match=r"public\.users has 200 rows, not 201"):
        await make_backup(legacy_database, "public", tmp_path / "backup", restore_check=True)
    assert not (tmp_path / "backup").exists()
    assert await scratch_databases(legacy_database) == []


async def test_a_cancelled_restore_check_drops_its_scratch_database(legacy_database: Database, tmp_path: Path) -> None:
    running = asyncio.create_task(make_backup(legacy_database, "public", tmp_path / "backup", restore_check=True))
    for _ in range(400):
        if await scratch_databases(legacy_database):
            break
        await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert await scratch_databases(legacy_database) == []


async def test_no_password_stands_on_a_command_line_or_in_the_backup(
    legacy_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines: list[str] = []
    start = asyncio.create_subprocess_exec

    async def recorded(*arguments: Any, **options: Any) -> Any:
        lines.append(" ".join(str(argument) for argument in arguments))
        return await start(*arguments, **options)

    monkeypatch.setattr(asyncio, "create_subprocess_exec", recorded)
    await make_backup(legacy_database, "public", tmp_path / "backup", restore_check=True)
    assert legacy_database.password is not None
    secret = legacy_database.password.get_secret_value()
    assert any("pg_dump" in line for line in lines)
    assert any("pg_restore" in line for line in lines)
    assert not any(secret in line for line in lines)
    for path in (tmp_path / "backup").rglob("*"):
        assert path.is_dir() or secret.encode() not in path.read_bytes()


async def test_a_newer_pg_restore_may_set_what_an_older_server_does_not_know(
    legacy_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wheel's programs are of version 18; on a server of 15 their SET transaction_timeout fails without harm."""
    monkeypatch.setenv("PATH", f"{embedded_bin_directory()}:{os.environ['PATH']}")
    for dump_format in ("directory", "plain"):
        manifest = await make_backup(
            legacy_database, "public", tmp_path / dump_format, format=dump_format, restore_check=True
        )
        assert manifest.pg_dump_version.startswith("18")
        assert manifest.restore_checked


async def test_any_change_to_a_backup_is_noticed_and_the_file_named(legacy_database: Database, tmp_path: Path) -> None:
    target = tmp_path / "backup"
    manifest = await make_backup(legacy_database, "public", target)
    victim = target / next(name for name in manifest.files if name.endswith(".dat.gz"))
    whole = victim.read_bytes()

    victim.write_bytes(whole[:-1])
    with pytest.raises(errors.BackupDamaged, match=victim.name):
        verify_backup(target)
    victim.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(errors.BackupDamaged, match="sha256"):
        verify_backup(target)
    victim.unlink()
    with pytest.raises(errors.BackupDamaged, match="missing"):
        verify_backup(target)
    victim.write_bytes(whole)
    (target / "stray").write_text("?")
    with pytest.raises(errors.BackupDamaged, match="stray"):
        verify_backup(target)
    (target / "stray").unlink()
    assert verify_backup(target) == manifest

    recorded = json.loads((target / "manifest.json").read_text())
    del recorded["files"]
    (target / "manifest.json").write_text(json.dumps(recorded))
    with pytest.raises(errors.BackupDamaged, match=r"manifest\.json: it is not a manifest"):
        verify_backup(target)
