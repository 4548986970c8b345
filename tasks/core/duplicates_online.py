"""Dropping what is superfluous while writers are at work, and building it again ahead of the way back."""

from __future__ import annotations

import logging

import asyncpg

from tasks.core import errors, indexes, locks, run, sql_files
from tasks.core.database import Connection, Database
from tasks.core.duplicates import Duplicate, find_foreign_keys, find_indexes
from tasks.core.models import LockHold
from tasks.core.progress import Progress
from tasks.core.settings import LockLimits
from tasks.core.translation import translated

log = logging.getLogger(__name__)
STEP = "core-migrations"
REMEDY = "Run again: it goes on from what is done."
# What an index or a foreign key stood on has been dropped since.
GONE = (asyncpg.UndefinedTableError, asyncpg.UndefinedColumnError, asyncpg.UndefinedObjectError)


async def drop_duplicates(
    database: Database, schema: str, limits: LockLimits, run_id: str, progress: Progress, *, keep: bool
) -> list[LockHold]:
    """Drop superfluous foreign keys and, CONCURRENTLY, superfluous indexes; each is recorded before it goes.

    Call it when the indexes of 000036 are built: some of the others are superfluous because of them.

    Args:
        keep: only bring to an end what an earlier run has begun to drop.

    Returns: how long each lock that keeps readers out was held.

    Raises:
        StepFailed, LockNotGranted: what was dropped before stays dropped and recorded.
    """
    holds: list[LockHold] = []
    async with run.work_session(database, schema, run_id, "duplicates") as connection:
        await locks.set_limits(connection, limits, locks=False)
        await _finish_drops(database, connection, progress)
        if keep:
            return holds
        for key in await find_foreign_keys(connection):
            with translated(f"dropping foreign key {key.name}", REMEDY):
                await _drop_foreign_key(connection, key, limits, run_id, holds)
        await locks.set_limits(connection, limits, locks=False)
        found = await find_indexes(connection, {})
        for number, index in enumerate(found, start=1):
            label = f"superfluous index {number} of {len(found)}: {index.name}"
            progress(label, number - 1, len(found))
            with translated(f"dropping index {index.name}", REMEDY):
                # Written down first: a drop that is interrupted leaves an index that serves no query.
                await connection.execute(sql_files.query("save_duplicate_index"), index.oid)
                async with indexes.watched(database, connection, label, progress):
                    await connection.execute(index.drop_statement)
            await run.note(connection, run_id, STEP, f"dropped index {index.name}: {index.reason}")
            log.info("dropped index %s (%d bytes): %s", index.name, index.bytes, index.reason)
    return holds


async def restore_duplicates(
    database: Database, schema: str, limits: LockLimits, run_id: str, progress: Progress
) -> list[LockHold]:
    """Build again, with writers at work, what was dropped; 000035 down then finds it there.

    Returns: how long each lock that keeps writers out was held.

    Raises:
        StepFailed, LockNotGranted: what was built before stays, and is superfluous again; nothing else was changed.
    """
    holds: list[LockHold] = []
    async with run.work_session(database, schema, run_id, "duplicates back") as connection:
        if not await connection.fetchval(
            "SELECT to_regclass(format('%I.migration_saved_objects', current_schema())) IS NOT NULL"
        ):
            return holds
        recorded = await connection.fetch(sql_files.query("list_recorded_duplicates"))
        missing = [record for record in recorded if not record["is_valid"]]
        for number, record in enumerate(missing, start=1):
            label = f"{record['kind'].removeprefix('duplicate ')} {number} of {len(missing)}: {record['identity']}"
            progress(label, number - 1, len(missing))
            try:
                with translated(f"bringing back {label}", REMEDY):
                    if record["kind"] == "duplicate index":
                        await _build_index(database, connection, record, limits, label, progress)
                    else:
                        await _add_foreign_key(connection, record, limits, holds)
            except errors.StepFailed as failed:
                if not isinstance(failed.__cause__, GONE):
                    raise
                log.warning("%s does not come back: %s", label, failed.__cause__)
                continue
            await run.note(connection, run_id, "rollback", f"back again: {record['kind']} {record['identity']}")
    return holds


async def _finish_drops(database: Database, connection: Connection, progress: Progress) -> None:
    for record in await connection.fetch(sql_files.query("list_recorded_duplicates")):
        if record["kind"] == "duplicate index" and record["is_there"] and not record["is_valid"]:
            log.info("dropping index %s, which an interrupted run has left half dropped", record["identity"])
            with translated(f"dropping index {record['identity']}", REMEDY):
                async with indexes.watched(database, connection, f"index {record['identity']}", progress):
                    await connection.execute(record["drop_concurrently"])


async def _drop_foreign_key(
    connection: Connection, key: Duplicate, limits: LockLimits, run_id: str, holds: list[LockHold]
) -> None:
    async def before(inside: Connection) -> None:
        await inside.execute(sql_files.query("save_duplicate_foreign_key"), key.oid)
        await run.note(inside, run_id, STEP, f"dropped foreign key {key.name}: {key.reason}")

    # The referencing table first, as writers do: the statement itself then locks the referenced one.
    statement = ";\n".join([key.lock_statement, locks.MARK.format("locked"), key.drop_statement])
    tables = dict.fromkeys(key.core_tables, "ACCESS EXCLUSIVE")
    await locks.under_lock(
        connection, key.drop_statement, {}, statement, limits, holds, locked_inside=tables, before=before
    )
    log.info("dropped foreign key %s: %s", key.name, key.reason)


async def _build_index(
    database: Database,
    connection: Connection,
    record: asyncpg.Record,
    limits: LockLimits,
    label: str,
    progress: Progress,
) -> None:
    await locks.set_limits(connection, limits, locks=False)
    (tablespace,) = record["options"] or [""]
    await connection.execute("SELECT set_config('default_tablespace', $1, false)", tablespace)
    async with indexes.watched(database, connection, label, progress):
        if record["is_there"]:
            await connection.execute(record["drop_concurrently"])
        await connection.execute(record["create_statement"].replace("CREATE INDEX ", "CREATE INDEX CONCURRENTLY ", 1))


async def _add_foreign_key(
    connection: Connection, record: asyncpg.Record, limits: LockLimits, holds: list[LockHold]
) -> None:
    """Add it without a look at the rows, then look at them without keeping writers out."""
    statement = record["create_statement"].removesuffix(" NOT VALID") + " NOT VALID"

    if not record["is_there"]:
        tables = dict.fromkeys(record["options"], "SHARE ROW EXCLUSIVE")
        await locks.under_lock(connection, statement, tables, statement, limits, holds)
    if not record["definition"].endswith(" NOT VALID"):
        await locks.set_limits(connection, limits, locks=False)
        await connection.execute(record["validate_statement"])
