"""The legacy model brought back with writers at work, ahead of 000035 down: that file then finds all that takes time done.

The legacy columns arrive empty, with a trigger that fills a row whenever it is written and keeps both models in step; the other
rows follow in batches. Then come their rules, not yet validated, and their indexes, CONCURRENTLY. What is to be done is read from
the catalog and from the rows, so that a run which was killed goes on from there.
"""

from __future__ import annotations

import logging
from uuid import UUID

import asyncpg

from tasks.core import batches, indexes, locks, run, sql_files, toolkit
from tasks.core.database import Connection, Database
from tasks.core.models import LockHold
from tasks.core.pace import Pacer
from tasks.core.progress import Progress
from tasks.core.settings import LockLimits, Pace

log = logging.getLogger(__name__)
STEP = "rollback"
BATCH_MS = 100
EXCLUSIVELY = {"campaigns": "ACCESS EXCLUSIVE"}


async def bring_back(
    database: Database,
    connection: Connection,
    limits: LockLimits,
    run_id: str,
    progress: Progress,
    holds: list[LockHold],
) -> None:
    """Go from phases only to both models with everything of the legacy one in place, from wherever an earlier run stopped.

    Raises:
        LockNotGranted: where a lock, or the last rows, cannot be had within the limits; what is done stays done.
        asyncpg.PostgresError: where a row or an object is not as it was: a recorded rule that rows break, a unique index over
            values that are no longer unique.
    """
    blocks = sql_files.blocks(sql_files.migration(35, "down"))
    await connection.execute(blocks["keep_row"] + blocks["legacy_back"])
    if not await connection.fetchval(sql_files.query("has_legacy_columns")):
        progress("legacy columns", 0, None)
        await connection.execute("SELECT migration_prepare_return()")
        await _under_lock(connection, "migration_return_columns()", limits, run_id, holds)
    await toolkit.hand_over(connection)
    await _fill(connection, limits, run_id, progress)
    progress("check constraints", 0, None)
    if await connection.fetchval(sql_files.query("lacks_legacy_checks")):
        await _under_lock(connection, "migration_return_checks()", limits, run_id, holds)
    await locks.set_limits(connection, limits, locks=False)
    await connection.execute("SELECT migration_validate_returned()")
    await _build_indexes(database, connection, limits, run_id, progress)
    if await connection.fetchval(sql_files.query("has_legacy_settings")):
        await _under_lock(connection, "migration_return_settings()", limits, run_id, holds)


async def drop_indexes(
    database: Database, connection: Connection, limits: LockLimits, run_id: str, progress: Progress
) -> None:
    """Drop the indexes of 000036 ahead of its down, which then finds next to nothing to do under its lock.

    Indexes on partitioned tables, which cannot go CONCURRENTLY, are left to it; so is what waits for others too long.
    """
    await locks.set_limits(connection, limits, locks=False)
    patience = f"{limits.lock_wait_limit_seconds * 1000:.0f}ms"
    await connection.execute("SELECT set_config('lock_timeout', $1, false)", patience)
    found = await connection.fetch(sql_files.query("list_phases_indexes"))
    for number, index in enumerate(found, start=1):
        label = f"phases index {number} of {len(found)}: {index['name']}"
        progress(label, number - 1, len(found))
        try:
            async with indexes.watched(database, connection, label, progress):
                await connection.execute(index["drop_statement"])
        except locks.RETRIED as error:
            log.info("%s and those after it are left to 000036 down: %s", label, error)
            return
        await run.note(connection, run_id, STEP, f"dropped index {index['name']}")


async def tidy_up(
    connection: Connection, limits: LockLimits, run_id: str, progress: Progress, holds: list[LockHold]
) -> None:
    """After 000035 down: phases columns that were there before get their values, in batches; then everything of ours goes.

    Raises:
        LockNotGranted: where the last rows, or a lock, cannot be had within the limits; what is done stays done.
    """
    if await connection.fetchval(sql_files.query("has_phases_to_restore")):
        await _restore_phases(connection, limits, run_id, progress)
        await _under_lock(connection, "migration_end_phases()", limits, run_id, holds)
    await locks.set_limits(connection, limits, locks=False)
    await connection.execute(sql_files.blocks(sql_files.migration(35, "down"))["tidy"])


async def _restore_phases(connection: Connection, limits: LockLimits, run_id: str, progress: Progress) -> None:
    async def take(_after: UUID | None, size: int) -> tuple[UUID | None, int]:
        async with connection.transaction():
            await connection.execute("SET LOCAL synchronous_commit = off")
            done: int = await connection.fetchval("SELECT migration_restore_phases($1)", size)
            if done:
                await run.note(connection, run_id, STEP, "former phases", done)
        return None, done

    async def left() -> list[str]:
        rows = await connection.fetch("SELECT campaign_id::text FROM migration_phases_to_restore LIMIT 20")
        return [row[0] for row in rows]

    total = await connection.fetchval("SELECT count(*) FROM migration_phases_to_restore")
    await batches.work_off(
        connection, limits, Pacer(connection, Pace(), progress), BATCH_MS, take, left,
        lambda done: progress("former phases", done, total),
    )  # fmt: skip


async def _under_lock(
    connection: Connection, call: str, limits: LockLimits, run_id: str, holds: list[LockHold]
) -> None:
    async def before(inside: Connection) -> None:
        await run.note(inside, run_id, STEP, call)

    await locks.under_lock(connection, call, EXCLUSIVELY, "SELECT " + call, limits, holds, before=before)


async def _fill(connection: Connection, limits: LockLimits, run_id: str, progress: Progress) -> None:
    async def take(after: UUID | None, size: int) -> tuple[UUID | None, int]:
        async with connection.transaction():
            # A batch that a crash of the server takes with it is simply done again.
            await connection.execute("SET LOCAL synchronous_commit = off")
            row = await connection.fetchrow("SELECT last_id, filled FROM migration_return_batch($1, $2)", after, size)
            assert row is not None
            if row["filled"]:
                await run.note(connection, run_id, STEP, f"legacy values up to {row['last_id']}", row["filled"])
        return row["last_id"], row["filled"]

    async def left() -> list[str]:
        return [row[0] for row in await connection.fetch("SELECT migration_list_unreturned()")]

    total = await connection.fetchval("SELECT count(*) FROM campaigns")
    await batches.work_off(
        connection, limits, Pacer(connection, Pace(), progress), BATCH_MS, take, left,
        lambda done: progress("legacy values", done, total),
    )  # fmt: skip


async def _build_indexes(
    database: Database, connection: Connection, limits: LockLimits, run_id: str, progress: Progress
) -> None:
    missing = await connection.fetch(sql_files.query("list_missing_legacy_indexes"))
    for number, index in enumerate(missing, start=1):
        label = f"index {number} of {len(missing)}: {index['identity']}"
        progress(label, number - 1, len(missing))
        await locks.set_limits(connection, limits, locks=False)
        async with indexes.watched(database, connection, label, progress):
            if index["is_there"]:
                log.info("dropping the invalid index %s, left by an interrupted build", index["identity"])
                await connection.execute(index["drop_concurrently"])
            await _build(connection, index)
        await run.note(connection, run_id, STEP, f"built index {index['identity']}")


async def _build(connection: Connection, index: asyncpg.Record) -> None:
    await connection.execute("SELECT set_config('default_tablespace', $1, false)", index["tablespace"])
    try:
        await indexes.build_in_spite_of_deadlocks(
            connection, index["identity"], index["create_concurrently"], leftover=False
        )
    finally:
        if not connection.is_closed():
            await connection.execute("SELECT set_config('default_tablespace', '', false)")
