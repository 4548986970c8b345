"""Locks: nobody waits long for us, we wait with an end, and whoever is in our way is named."""

from __future__ import annotations

import asyncio
import re
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import pytest

from tasks.core import core_migrations, errors, locks, rollback, run, sql_files, state, transform
from tasks.core.database import Connection, Database, connect
from tasks.core.models import State
from tasks.core.progress import unheard
from tasks.core.sample import build_sample_database, create_database
from tasks.core.server import PostgresServer
from tasks.core.settings import LockLimits, MigrateParameters, RollbackParameters
from tests.kill.waiting import until_logged, until_true

LIMITS = LockLimits(lock_timeout_ms=100, lock_wait_limit_seconds=1.0)
PARAMETERS = MigrateParameters(mode="apply", locks=LIMITS)
# Beyond the lock timeout: what a busy machine takes to give a lock back.
SLACK_SECONDS = 0.1
WRITE = (
    "UPDATE campaigns SET successful_items = successful_items WHERE id = (SELECT max(id::text)::uuid FROM campaigns)"
)
WAITS_FOR_US = """
    SELECT coalesce(max(extract(EPOCH FROM clock_timestamp() - l.waitstart)), 0)::float8
    FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid
    WHERE NOT l.granted AND a.datname = current_database() AND a.application_name = 'writer' AND EXISTS (
        SELECT FROM pg_stat_activity AS ours
        WHERE ours.pid = ANY (pg_blocking_pids(a.pid)) AND ours.application_name LIKE 'campaign-phases-migration %')
"""
LONG = "UPDATE campaigns SET metadata = metadata WHERE id = (SELECT id FROM campaigns LIMIT 1)"


@asynccontextmanager
async def a_run(database: Database) -> AsyncIterator[str]:
    run_id = str(uuid.uuid4())
    async with run.exclusive_run(database, "public", PARAMETERS, run_id, "test"):
        yield run_id


async def do_transform(database: Database, parameters: MigrateParameters = PARAMETERS) -> Any:
    async with a_run(database) as run_id:
        return await transform.transform(database, parameters, run_id, unheard)


async def do_contract(database: Database, parameters: MigrateParameters = PARAMETERS) -> Any:
    async with a_run(database) as run_id:
        return await core_migrations.apply_core_migrations(database, parameters, run_id, unheard)


@asynccontextmanager
async def long_transaction(database: Database, statement: str = LONG) -> AsyncIterator[Connection]:
    """Somebody who has written to a table and does not come to an end."""
    async with connect(database, settings={"application_name": "batch job"}) as connection:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(statement)
        try:
            yield connection
        finally:
            await transaction.rollback()


@dataclass
class Watched:
    """What writers went through.

    Attributes:
        writes: how many statements they were done with.
        longest_wait: for a lock, with a session of a run in the way (s), as the server sees it.
    """

    writes: int = 0
    longest_wait: float = 0.0


@asynccontextmanager
async def writers(database: Database, sessions: int = 3) -> AsyncIterator[Watched]:
    """Sessions that write to campaigns as fast as they can, and one that looks whether they wait for us."""
    seen = Watched()

    async def write() -> None:
        async with connect(database, settings={"application_name": "writer"}) as connection:
            while True:
                try:
                    await connection.execute(WRITE)
                except asyncpg.UndefinedColumnError:
                    return
                seen.writes += 1
                await asyncio.sleep(0.005)

    async def watch() -> None:
        async with connect(database, settings={"application_name": "watch"}) as connection:
            while True:
                seen.longest_wait = max(seen.longest_wait, await connection.fetchval(WAITS_FOR_US))
                await asyncio.sleep(0.005)

    tasks = [asyncio.create_task(work()) for work in [watch, *[write] * sessions]]
    await asyncio.sleep(0.2)
    try:
        yield seen
    finally:
        for task in tasks:
            task.cancel()
        for ended in await asyncio.gather(*tasks, return_exceptions=True):
            assert ended is None or isinstance(ended, asyncio.CancelledError), ended


async def test_giving_up_names_the_session_its_query_and_its_age_and_leaves_nothing_half_done(
    legacy_database: Database,
) -> None:
    async with long_transaction(legacy_database) as blocker:
        before = await schema_of(legacy_database)
        await asyncio.sleep(0.2)
        began = time.monotonic()
        with pytest.raises(errors.LockNotGranted) as refused:
            await do_transform(legacy_database)
        assert 1.0 <= time.monotonic() - began < 10
        said = str(refused.value)
        assert f"session {blocker.get_server_pid()} of postgres (batch job, idle in transaction" in said
        assert LONG in said
        assert float(re.findall(r"transaction open for ([\d.]+) s", said)[0]) > 1
        assert refused.value.fields["attempts"] > 2
        assert await schema_of(legacy_database) == before
        async with connect(legacy_database) as connection:
            assert await state.read_state(connection) is State.LEGACY
    result = await do_transform(legacy_database)
    assert result.campaigns == 60


async def schema_of(database: Database) -> list[Any]:
    """Columns, triggers, constraints and indexes of the two tables."""
    async with connect(database) as connection:
        return await connection.fetch(
            """
            SELECT attrelid::regclass::text, attname::text FROM pg_attribute
            WHERE attrelid IN ('campaigns'::regclass, 'generated_domains'::regclass) AND NOT attisdropped
            UNION ALL SELECT tgrelid::regclass::text, tgname FROM pg_trigger
            WHERE tgrelid IN ('campaigns'::regclass, 'generated_domains'::regclass)
            UNION ALL SELECT conrelid::regclass::text, conname FROM pg_constraint
            WHERE conrelid IN ('campaigns'::regclass, 'generated_domains'::regclass)
            UNION ALL SELECT indrelid::regclass::text, indexrelid::regclass::text FROM pg_index
            WHERE indrelid IN ('campaigns'::regclass, 'generated_domains'::regclass)
            ORDER BY 1, 2
            """
        )


@pytest.mark.parametrize("work", ["transform", "contract"])
async def test_writers_queue_behind_us_no_longer_than_the_lock_timeout(legacy_database: Database, work: str) -> None:
    """With a long transaction in the way, every attempt of ours makes writers wait; none of them longer than that."""
    if work == "contract":
        await do_transform(legacy_database)
    go: Callable[..., Any] = do_transform if work == "transform" else do_contract
    async with long_transaction(legacy_database, "LOCK TABLE campaigns IN ROW EXCLUSIVE MODE"):
        async with writers(legacy_database) as seen:
            with pytest.raises(errors.LockNotGranted):
                await go(legacy_database)
    assert seen.writes > 50
    assert seen.longest_wait > 0, "nobody queued behind us: the test proves nothing"
    assert seen.longest_wait < LIMITS.lock_timeout_ms / 1000 + SLACK_SECONDS


async def test_our_attempts_come_at_irregular_times_and_less_and_less_often(
    legacy_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="tasks.core.locks")
    pauses: list[list[float]] = []
    for _ in range(2):
        caplog.clear()
        async with long_transaction(legacy_database):
            with pytest.raises(errors.LockNotGranted):
                await do_transform(legacy_database)
        pauses.append([float(record.args[3]) for record in caplog.records if "no lock within" in record.msg])  # type: ignore[index,arg-type]  # log arguments are typed loosely
    assert pauses[0] != pauses[1]
    for series in pauses:
        assert series[-1] > series[0]
        assert max(series) <= 1.5 * locks.LONGEST_PAUSE_SECONDS


async def test_it_goes_on_by_itself_once_the_way_is_free(
    legacy_database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="tasks.core.locks")
    patient = MigrateParameters(mode="apply")
    async with long_transaction(legacy_database, "DELETE FROM generated_domains WHERE false") as blocker:
        going = asyncio.create_task(do_transform(legacy_database, patient))
        await until_logged(caplog, f"in its way: session {blocker.get_server_pid()}")
    result = await going
    (install,) = [hold for hold in result.locks if "install_metrics" in hold.statement]
    assert install.mode == "SHARE ROW EXCLUSIVE"
    assert install.attempts > 1
    # The wait is not counted as a hold.
    assert install.held_ms < 100


async def test_a_reader_who_is_in_nobodys_way_is_not_blamed(legacy_database: Database) -> None:
    """SHARE ROW EXCLUSIVE goes well with readers: of a long reader and a long writer the writer is named."""
    await do_transform(legacy_database)
    async with (
        long_transaction(legacy_database, "SELECT FROM generated_domains LIMIT 1") as reader,
        long_transaction(legacy_database, "DELETE FROM generated_domains WHERE false") as writer,
        connect(legacy_database) as connection,
    ):
        said = await locks.describe_holders(connection, {"generated_domains": "SHARE ROW EXCLUSIVE"})
        assert f"session {writer.get_server_pid()} " in said
        assert f"session {reader.get_server_pid()} " not in said
        said = await locks.describe_holders(connection, {"generated_domains": "ACCESS EXCLUSIVE"})
        assert f"session {reader.get_server_pid()} " in said


async def test_the_contract_gives_up_on_a_long_transaction_and_both_models_stay_live(legacy_database: Database) -> None:
    await do_transform(legacy_database)
    async with long_transaction(legacy_database, "SELECT FROM campaigns LIMIT 1") as blocker:
        with pytest.raises(errors.LockNotGranted, match=f"session {blocker.get_server_pid()} ") as refused:
            await do_contract(legacy_database)
        assert refused.value.fields["statement"] == "migration_add_checks()"
    async with connect(legacy_database) as connection:
        assert await state.read_state(connection) is State.DUAL
        await connection.execute("SELECT migration_add_checks(), migration_validate_checks()")
    # Further on: the checks are there, so that 000035 itself is what waits. (Dropping an index waits for readers, too.)
    keeping = PARAMETERS.model_copy(update={"keep_duplicates": True})
    async with long_transaction(legacy_database, "SELECT FROM campaigns LIMIT 1") as blocker:
        with pytest.raises(errors.LockNotGranted, match=f"session {blocker.get_server_pid()} ") as refused:
            await do_contract(legacy_database, keeping)
        assert refused.value.fields["statement"] == "000035 up"
    async with connect(legacy_database) as connection:
        assert await state.read_state(connection) is State.DUAL
        assert await connection.fetchval("SELECT count(*) FROM campaigns WHERE campaign_type IS NULL") == 0
    await do_contract(legacy_database)


async def test_the_way_back_gives_up_on_a_long_transaction_and_the_next_one_goes_all_the_way(
    migrated_database: Database,
) -> None:
    parameters = RollbackParameters(mode="apply", confirm=migrated_database.database, locks=LIMITS)
    async with long_transaction(migrated_database, "DELETE FROM generated_domains WHERE false") as blocker:
        with pytest.raises(errors.LockNotGranted, match=f"session {blocker.get_server_pid()} ") as refused:
            async with a_run(migrated_database) as run_id:
                await rollback.roll_back(migrated_database, parameters, run_id, unheard)
        assert refused.value.fields["statement"] == "000036 down"
        async with connect(migrated_database) as connection:
            # Both models live, everything of the legacy one is back but its defaults.
            assert await state.read_state(connection) is State.RETURNING
            assert await connection.fetchval("SELECT count(*) FROM campaigns WHERE status IS NULL") == 0
    async with a_run(migrated_database) as run_id:
        report = await rollback.roll_back(migrated_database, parameters, run_id, unheard)
    assert report.state_after is State.LEGACY


async def test_rows_that_somebody_holds_are_filled_last_and_never_waited_for(legacy_database: Database) -> None:
    patient = MigrateParameters(mode="apply")
    await expand_only(legacy_database)
    async with long_transaction(legacy_database, "SELECT FROM campaigns ORDER BY id LIMIT 5 FOR UPDATE"):
        filling = asyncio.create_task(do_transform(legacy_database, patient))
        await until_true(legacy_database, "SELECT count(*) = 5 FROM campaign_metrics_baseline")
        assert not filling.done()
    assert (await filling).campaigns == 60


async def test_rows_that_stay_held_are_named_with_their_holder(legacy_database: Database) -> None:
    await expand_only(legacy_database)
    async with long_transaction(legacy_database, "SELECT FROM campaigns ORDER BY id LIMIT 1 FOR UPDATE") as blocker:
        with pytest.raises(errors.LockNotGranted, match=f"session {blocker.get_server_pid()} ") as refused:
            await do_transform(legacy_database)
    async with connect(legacy_database) as connection:
        first = await connection.fetchval("SELECT id FROM campaigns ORDER BY id LIMIT 1")
    assert refused.value.fields["statement"] == f"The batch of campaigns {first}"


async def test_a_table_that_is_closed_for_a_while_only_delays_the_batches(legacy_database: Database) -> None:
    await expand_only(legacy_database)
    async with long_transaction(legacy_database, "LOCK TABLE campaigns IN SHARE MODE"):
        filling = asyncio.create_task(do_transform(legacy_database))
        await asyncio.sleep(1)
    assert (await filling).campaigns == 60


async def expand_only(database: Database) -> None:
    """Leave the database as a run does that was killed after it had expanded: nothing is counted or filled."""
    async with a_run(database) as run_id, run.work_session(database, "public", run_id, "expand") as connection:
        await transform.expand(connection, PARAMETERS, run_id)


async def test_maintenance_is_waited_for_without_a_writer_noticing(legacy_database: Database) -> None:
    """A manual VACUUM or a concurrent index build does not go away for us, and whoever writes does not queue behind it."""
    patient = MigrateParameters(mode="apply")
    async with writers(legacy_database) as seen:
        async with long_transaction(legacy_database, "LOCK TABLE campaigns IN SHARE UPDATE EXCLUSIVE MODE"):
            going = asyncio.create_task(do_transform(legacy_database, patient))
            await asyncio.sleep(3)
            assert not going.done()
            assert seen.writes > 50
            assert seen.longest_wait == 0
        await going


async def test_an_autovacuum_gives_way(private_server: PostgresServer) -> None:
    """It does so only for a lock that has waited for deadlock_timeout, longer than writers may be kept waiting."""
    database = await with_an_autovacuum_at_work(private_server)
    result = await do_transform(database)
    (install,) = [hold for hold in result.locks if "install_metrics" in hold.statement]
    assert install.held_ms < 100
    assert "canceling autovacuum task" in private_server.log.read_text()


@pytest.mark.parametrize("file", ["000035 up", "000035 down", "migrate-campaign-data"])
async def test_by_hand_too_an_autovacuum_gives_way(private_server: PostgresServer, file: str) -> None:
    script = {
        "000035 up": sql_files.migration(35, "up"),
        "000035 down": sql_files.migration(35, "down"),
        "migrate-campaign-data": sql_files.script("migrate-campaign-data"),
    }[file]
    database = await with_an_autovacuum_at_work(private_server, migrated=file == "000035 down")
    async with connect(database) as connection:
        await connection.execute(script)
    assert "canceling autovacuum task" in private_server.log.read_text()


@pytest.mark.parametrize("script", ["000035 up", "migrate-campaign-data"])
async def test_by_hand_after_the_transform_domains_are_not_waited_for(legacy_database: Database, script: str) -> None:
    """The metrics are there: whoever maintains generated_domains, an anti-wraparound vacuum, say, is in nobody's way."""
    text = sql_files.migration(35, "up") if script == "000035 up" else sql_files.script(script)
    async with connect(legacy_database) as connection:
        await connection.execute(sql_files.script("migrate-campaign-data"))
        async with long_transaction(legacy_database, "LOCK TABLE generated_domains IN SHARE UPDATE EXCLUSIVE MODE"):
            await connection.execute(text)


async def with_an_autovacuum_at_work(server: PostgresServer, *, migrated: bool = False) -> Database:
    """A sample database whose domains are being vacuumed, so slowly that it does not end."""
    async with connect(server.database()) as connection:
        await connection.execute("ALTER SYSTEM SET autovacuum_naptime = '1s'")
    await asyncio.to_thread(server.restart)
    database = await create_database(server.database(), "vacuumed")
    await build_sample_database(database, campaigns=60, domains=6_000)
    async with connect(database) as connection:
        if migrated:
            await connection.execute(sql_files.migration(35, "up"))
        await connection.execute(
            "ALTER TABLE generated_domains SET (autovacuum_vacuum_threshold = 0, autovacuum_vacuum_scale_factor = 0,"
            " autovacuum_vacuum_cost_delay = 100, autovacuum_vacuum_cost_limit = 1)"
        )
        await connection.execute("UPDATE generated_domains SET http_title = 'dead rows'")
    await until_true(
        database, "SELECT count(*) FROM pg_stat_progress_vacuum WHERE relid = 'generated_domains'::regclass"
    )
    return database
