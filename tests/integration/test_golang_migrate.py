"""With golang-migrate on one database: its locks, its table, its way of sending a file, in any order of the two tools."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tasks.core import core_migrations, errors, golang_migrate, rollback, run, sql_files, state, transform
from tasks.core.database import Connection, Database, connect
from tasks.core.models import State
from tasks.core.preflight import run_preflight
from tasks.core.progress import unheard
from tasks.core.settings import LockLimits, MigrateParameters, RollbackParameters
from tests.kill.waiting import until_logged, until_true

LIMITS = LockLimits(lock_wait_limit_seconds=1.5)
TABLE = "CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)"
# Sessions whose snapshot an index build would wait for.
HOLDS_SNAPSHOT = """
    SELECT count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND application_name LIKE 'campaign-phases-migration core%' AND backend_xmin IS NOT NULL
        AND state <> 'active'
"""
BUILD_WAITS = (
    "SELECT pid FROM pg_stat_progress_create_index WHERE datname = current_database() AND phase LIKE 'waiting%'"
)
WAITS_FOR_ADVISORY = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"


class Golang:
    """What golang-migrate does on an open connection, from its source: lock, mark dirty, send the file, mark clean."""

    def __init__(self, connection: Connection, *, by_url: bool = True) -> None:
        self.connection = connection
        self.by_url = by_url

    async def key(self) -> int:
        row = await self.connection.fetchrow("SELECT current_schema() AS schema, current_database() AS name")
        assert row is not None
        return golang_migrate.lock_keys(row["schema"], row["name"])[0 if self.by_url else 1]

    async def lock(self) -> None:
        await self.connection.execute("SELECT pg_advisory_lock($1)", await self.key())

    async def unlock(self) -> None:
        await self.connection.execute("SELECT pg_advisory_unlock($1)", await self.key())

    async def set_version(self, version: int, *, dirty: bool) -> None:
        async with self.connection.transaction():
            await self.connection.execute("TRUNCATE schema_migrations")
            await self.connection.execute("INSERT INTO schema_migrations VALUES ($1, $2)", version, dirty)

    async def step(self, version: int, direction: str) -> None:
        """One `migrate up 1` or `migrate down 1`: the whole file as one simple query."""
        target = version if direction == "up" else version - 1
        await self.lock()
        try:
            await self.set_version(target, dirty=True)
            await self.connection.execute(sql_files.migration(version, direction))
            await self.set_version(target, dirty=False)
        finally:
            await self.unlock()


@asynccontextmanager
async def golang(database: Database, *, by_url: bool = True) -> AsyncIterator[Golang]:
    async with connect(database, settings={"application_name": "migrate"}) as connection:
        yield Golang(connection, by_url=by_url)


@pytest.fixture
async def at_34(legacy_database: Database) -> Database:
    async with connect(legacy_database) as connection:
        await connection.execute(f"{TABLE}; INSERT INTO schema_migrations VALUES (34, false)")
    return legacy_database


def parameters(**options: Any) -> MigrateParameters:
    return MigrateParameters(mode="apply", **{"locks": LIMITS, **options})


async def do_transform(database: Database) -> None:
    async with a_run(database) as run_id:
        await transform.transform(database, parameters(), run_id, unheard)


async def contract(database: Database, progress: Any = unheard, **options: Any) -> None:
    async with a_run(database) as run_id:
        await core_migrations.apply_core_migrations(database, parameters(**options), run_id, progress)


async def migrate(database: Database, **options: Any) -> None:
    await do_transform(database)
    await contract(database, **options)


async def go_back(database: Database) -> rollback.RollbackReport:
    async with a_run(database) as run_id:
        back = RollbackParameters(mode="apply", confirm=database.database, locks=LIMITS)
        return await rollback.roll_back(database, back, run_id, unheard)


@asynccontextmanager
async def a_run(database: Database) -> AsyncIterator[str]:
    run_id = str(uuid.uuid4())
    async with run.exclusive_run(database, "public", parameters(), run_id, "test"):
        yield run_id


async def version_of(database: Database) -> list[tuple[int, bool]]:
    async with connect(database) as connection:
        return [tuple(row) for row in await connection.fetch("SELECT version, dirty FROM schema_migrations")]


async def standing(database: Database) -> State:
    async with connect(database) as connection:
        return await state.read_state(connection)


async def force(database: Database, version: int, *, dirty: bool = False) -> None:
    async with golang(database) as tool:
        await tool.set_version(version, dirty=dirty)


async def found(database: Database, code: str) -> str | None:
    """The severity of a preflight finding, None where it was not made."""
    report = await run_preflight(database, parameters(), for_apply=False)
    return next((finding.severity for finding in report.findings if finding.code == code), None)


# Its locks


@pytest.mark.parametrize("caller", ["cli", "program"])
async def test_a_golang_migrate_at_work_is_waited_for_without_a_snapshot_and_named_in_the_end(
    at_34: Database, caller: str
) -> None:
    await do_transform(at_34)
    async with golang(at_34, by_url=caller == "cli") as tool:
        await tool.lock()
        contracting = asyncio.create_task(contract(at_34))
        for _ in range(10):
            await asyncio.sleep(0.1)
            assert await tool.connection.fetchval(HOLDS_SNAPSHOT) == 0
            assert (
                await tool.connection.fetchval(
                    "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
                )
                == 0
            )
        with pytest.raises(errors.LockNotGranted) as refused:
            await contracting
        said = str(refused.value)
        assert "The lock of golang-migrate" in said
        assert f"session {tool.connection.get_server_pid()} of postgres from 127.0.0.1 (migrate)" in said
        assert await standing(at_34) is State.DUAL
        assert await version_of(at_34) == [(34, False)]
        back = asyncio.create_task(go_back(at_34))
        with pytest.raises(errors.LockNotGranted, match="The lock of golang-migrate"):
            await back
        await tool.unlock()
    await contract(at_34)
    assert await version_of(at_34) == [(36, False)]


@pytest.mark.parametrize("caller", ["cli", "program"])
async def test_while_we_run_the_files_golang_migrate_waits_and_then_finds_its_work_done(
    at_34: Database, caller: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    await do_transform(at_34)
    waiting: list[asyncio.Task[None]] = []
    async with golang(at_34, by_url=caller == "cli") as tool:
        original = core_migrations.run_migration

        async def with_somebody_waiting(*args: Any) -> None:
            if not waiting:
                waiting.append(asyncio.create_task(tool.lock()))
                await until_true(
                    at_34, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND pid = $1",
                    tool.connection.get_server_pid(),
                )  # fmt: skip
            await original(*args)

        monkeypatch.setattr(core_migrations, "run_migration", with_somebody_waiting)
        await contract(at_34)
        await waiting[0]
        assert await tool.connection.fetchrow("SELECT version, dirty FROM schema_migrations") == (36, False)
        await tool.unlock()


async def test_index_builds_and_a_waiting_golang_migrate_do_not_deadlock(
    at_34: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """It waits for its lock, which another golang-migrate holds, with a snapshot that a concurrent build waits for."""
    caplog.set_level("INFO")
    await do_transform(at_34)
    async with golang(at_34) as at_work, golang(at_34) as waits, connect(at_34) as old:
        async with old.transaction(isolation="repeatable_read"):
            await old.fetchval(
                "SELECT count(*) FROM generated_domains"
            )  # holds the first build up, until all are there
            building = asyncio.create_task(contract(at_34, locks=LockLimits(lock_wait_limit_seconds=30)))
            await until_true(at_34, BUILD_WAITS)
            await at_work.lock()
            waiting = asyncio.create_task(waits.lock())
            await until_true(at_34, WAITS_FOR_ADVISORY)
        await until_logged(caplog, f"waits for session {waits.connection.get_server_pid()} of postgres (migrate")
        await asyncio.sleep(1.5)  # longer than the server takes to look for a deadlock
        assert not building.done()
        await at_work.unlock()
        await waiting
        await waits.unlock()
        await building
    assert await standing(at_34) is State.MIGRATED
    assert await version_of(at_34) == [(36, False)]


async def test_no_lock_of_golang_migrates_is_held_while_indexes_are_built(at_34: Database) -> None:
    await do_transform(at_34)
    held: set[bool] = set()
    async with golang(at_34) as one, golang(at_34, by_url=False) as other:
        keys = [await one.key(), await other.key()]
        count = (
            "SELECT EXISTS (SELECT FROM pg_stat_progress_create_index WHERE datname = current_database()) AS builds,"
            " EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND objid::bigint = ANY ($1::bigint[])) AS holds"
        )
        working = asyncio.create_task(contract(at_34))
        while not working.done():
            row = await one.connection.fetchrow(count, keys)
            assert row is not None
            if row["builds"]:
                held.add(row["holds"])
        await working
    assert held == {False}


# Its table


async def test_a_version_table_that_is_absent_stays_absent_unless_it_is_asked_for(
    legacy_database: Database,
) -> None:
    present = "SELECT to_regclass('schema_migrations') IS NOT NULL"
    async with connect(legacy_database) as connection:
        await migrate(legacy_database)
        assert not await connection.fetchval(present)
        await go_back(legacy_database)
        assert not await connection.fetchval(present)
        await migrate(legacy_database, create_version_table=True)
        assert await version_of(legacy_database) == [(36, False)]
        async with golang(legacy_database) as tool:
            await tool.step(36, "down")
            await tool.step(35, "down")
    assert await version_of(legacy_database) == [(34, False)]
    assert await standing(legacy_database) is State.LEGACY


async def test_from_34_to_36_and_back_to_34(at_34: Database) -> None:
    await do_transform(at_34)
    assert await version_of(at_34) == [(34, False)]
    await contract(at_34)
    assert await version_of(at_34) == [(36, False)]
    await go_back(at_34)
    assert await version_of(at_34) == [(34, False)]


async def test_another_predecessor_is_refused_until_it_is_named_and_comes_back(at_34: Database) -> None:
    await force(at_34, 21)
    assert await has_version_blocker(at_34)
    await do_transform(at_34)
    with pytest.raises(errors.VersionUnclear, match="--expected-version 21"):
        await contract(at_34)
    assert await standing(at_34) is State.DUAL
    await contract(at_34, expected_version=21)
    assert await version_of(at_34) == [(36, False)]
    await go_back(at_34)
    assert await version_of(at_34) == [(21, False)]


async def has_version_blocker(database: Database) -> bool:
    report = await run_preflight(database, parameters(), for_apply=False)
    return any(finding.code.startswith("version-") for finding in report.blockers)


@pytest.mark.parametrize("version", [34, 35, 36])
async def test_a_dirty_version_is_refused_by_preflight_by_the_core_and_on_the_way_back(
    at_34: Database, version: int
) -> None:
    await do_transform(at_34)
    await force(at_34, version, dirty=True)
    assert await found(at_34, "version-dirty") == "blocker"
    with pytest.raises(errors.VersionUnclear, match=f"says {version}, dirty.*migrate force 34"):
        await contract(at_34)
    with pytest.raises(errors.VersionUnclear, match=f"says {version}, dirty"):
        await go_back(at_34)
    assert await version_of(at_34) == [(version, True)]
    assert await standing(at_34) is State.DUAL
    await force(at_34, 34)
    await contract(at_34)
    assert await version_of(at_34) == [(36, False)]


@pytest.mark.parametrize("version", [35, 36, 40])
async def test_a_version_ahead_of_the_database_is_refused(at_34: Database, version: int) -> None:
    await do_transform(at_34)
    await force(at_34, version)
    assert await has_version_blocker(at_34)
    with pytest.raises(errors.VersionUnclear, match=f"says {version}, and "):
        await contract(at_34)
    assert await standing(at_34) is State.DUAL
    assert await version_of(at_34) == [(version, False)]


async def test_36_though_objects_of_000036_are_missing_is_made_true(at_34: Database) -> None:
    await migrate(at_34)
    async with connect(at_34) as connection:
        await connection.execute("DROP INDEX idx_campaigns_user_dashboard; DROP FUNCTION maintain_phases_indexes()")
    assert await standing(at_34) is State.CONTRACTED
    assert not await has_version_blocker(at_34)
    await contract(at_34)
    assert await standing(at_34) is State.MIGRATED
    assert await version_of(at_34) == [(36, False)]


async def test_34_though_the_work_of_000035_is_done_goes_on_with_000036(at_34: Database) -> None:
    """As after `psql -f 000035...up.sql`, which knows nothing of golang-migrate's table."""
    async with connect(at_34) as connection:
        await connection.execute(sql_files.migration(35, "up"))
    assert await version_of(at_34) == [(34, False)]
    assert not await has_version_blocker(at_34)
    await contract(at_34)
    assert await standing(at_34) is State.MIGRATED
    assert await version_of(at_34) == [(36, False)]
    await go_back(at_34)
    assert await version_of(at_34) == [(34, False)]


async def test_later_migrations_are_not_built_over_and_must_go_first_on_the_way_back(at_34: Database) -> None:
    await migrate(at_34)
    await force(at_34, 40)
    report = await run_preflight(at_34, parameters(), for_apply=True)
    assert report.state is State.MIGRATED
    assert report.blockers == []
    with pytest.raises(errors.VersionUnclear, match=r"says 40, and later migrations.*goto 36"):
        await go_back(at_34)
    assert await standing(at_34) is State.MIGRATED
    assert await version_of(at_34) == [(40, False)]


# Both tools, in any order


async def test_golang_migrate_all_the_way_then_there_is_nothing_left_for_us(at_34: Database) -> None:
    async with golang(at_34) as tool:
        await tool.step(35, "up")
        assert await standing(at_34) is State.CONTRACTED
        await tool.step(36, "up")
    report = await run_preflight(at_34, parameters(), for_apply=True)
    assert report.state is State.MIGRATED
    assert report.findings == [finding for finding in report.findings if finding.severity == "warning"]
    assert (report.migration_version, report.migration_dirty) == (36, False)
    # And back with ours.
    await go_back(at_34)
    assert await version_of(at_34) == [(34, False)]
    assert await standing(at_34) is State.LEGACY


async def test_golang_migrate_to_35_then_ours_builds_000036_without_keeping_writers_out(at_34: Database) -> None:
    async with golang(at_34) as tool:
        await tool.step(35, "up")
    steps: list[str] = []
    await contract(at_34, progress=lambda what, _done, _total: steps.append(what))
    assert "migration 000035" not in steps
    assert "migration 000036" in steps
    async with connect(at_34) as connection:
        built = await connection.fetch("SELECT detail FROM migration_ledger WHERE detail LIKE 'built index %'")
    assert len(built) == 6
    assert await standing(at_34) is State.MIGRATED
    assert await version_of(at_34) == [(36, False)]


async def test_our_transform_then_golang_migrates_files_then_our_way_back(at_34: Database) -> None:
    await do_transform(at_34)
    async with golang(at_34) as tool:
        await tool.step(35, "up")
        await tool.step(36, "up")
    assert await standing(at_34) is State.MIGRATED
    await go_back(at_34)
    assert await version_of(at_34) == [(34, False)]


async def test_ours_all_the_way_then_golang_migrate_back(at_34: Database) -> None:
    await migrate(at_34)
    async with golang(at_34) as tool:
        await tool.step(36, "down")
        await tool.step(35, "down")
    assert await version_of(at_34) == [(34, False)]
    assert await standing(at_34) is State.LEGACY
    await migrate(at_34)
    assert await version_of(at_34) == [(36, False)]


async def test_a_file_of_golang_migrates_that_fails_leaves_nothing_but_the_dirty_flag(at_34: Database) -> None:
    async with connect(at_34) as connection:
        await connection.execute("CREATE VIEW reader AS SELECT status FROM campaigns")
    async with golang(at_34) as tool:
        with pytest.raises(Exception, match="reader"):
            await tool.step(35, "up")
    assert await version_of(at_34) == [(35, True)]
    assert await standing(at_34) is State.LEGACY
    async with connect(at_34) as connection:
        assert await connection.fetchval("SELECT to_regclass('migration_saved_objects')") is None
        await connection.execute("DROP VIEW reader")
    assert await found(at_34, "version-dirty") == "blocker"
    await force(at_34, 34)
    await migrate(at_34)
    assert await version_of(at_34) == [(36, False)]


async def test_golang_migrate_first_then_ours_waits_and_finds_the_work_done(at_34: Database) -> None:
    await do_transform(at_34)
    async with golang(at_34) as tool:
        await tool.lock()
        contracting = asyncio.create_task(contract(at_34, locks=LockLimits(lock_wait_limit_seconds=30)))
        await asyncio.sleep(0.5)
        for version in (35, 36):
            await tool.set_version(version, dirty=True)
            await tool.connection.execute(sql_files.migration(version, "up"))
            await tool.set_version(version, dirty=False)
        assert not contracting.done()
        await tool.unlock()
    await contracting
    assert await standing(at_34) is State.MIGRATED
    assert await version_of(at_34) == [(36, False)]


async def test_golang_migrate_in_the_middle_of_our_index_builds_is_told_whom_to_wait_for(at_34: Database) -> None:
    """Our builds cannot hold its locks. Its file changes nothing then; what is to be done stands in both messages."""
    async with golang(at_34) as tool:
        await tool.step(35, "up")
        async with connect(at_34) as old, old.transaction(isolation="repeatable_read"):
            await old.fetchval("SELECT count(*) FROM generated_domains")
            contracting = asyncio.create_task(contract(at_34))
            await until_true(at_34, BUILD_WAITS)
            with pytest.raises(Exception, match=r"session \d+ is building the index; run this again when it has ended"):
                await tool.step(36, "up")
        assert await version_of(at_34) == [(36, True)]
        with pytest.raises(errors.VersionUnclear, match="migrate force 35"):
            await contracting
        await tool.set_version(35, dirty=False)
        await contract(at_34)
    assert await standing(at_34) is State.MIGRATED
    assert await version_of(at_34) == [(36, False)]
