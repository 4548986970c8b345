"""The contract with golang-migrate on the same database: its version table and its advisory locks.

Source: golang-migrate's database/postgres/postgres.go and database/util.go.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tasks.core import errors, sql_files
from tasks.core.database import Connection
from tasks.core.translation import CONNECTION_LOST, FOUND_CLOSED

TABLE = "schema_migrations"
_SALT = 1486364155
_POLL_SECONDS = 0.25
log = logging.getLogger(__name__)


def lock_keys(schema: str, database: str) -> tuple[int, int]:
    """The two keys that golang-migrate may hold: its CLI names the database "/app", a Go program "app".

    >>> lock_keys("public", "app")
    (1726534663, 1787120056)
    """

    def key(name: str) -> int:
        return zlib.crc32("\0".join((schema, TABLE, name)).encode()) * _SALT % 2**32

    return key("/" + database), key(database)


@asynccontextmanager
async def locked(connection: Connection, *, wait_seconds: float) -> AsyncIterator[None]:
    """Hold both of golang-migrate's locks. They are polled: who waits for one holds a snapshot, and CREATE INDEX
    CONCURRENTLY waits for snapshots.

    Raises:
        LockNotGranted: if golang-migrate does not end within `wait_seconds`.
    """
    row = await connection.fetchrow("SELECT current_schema() AS schema, current_database() AS database")
    assert row is not None
    keys = lock_keys(row["schema"], row["database"])
    deadline = time.monotonic() + wait_seconds
    attempts = 0
    while True:
        attempts += 1
        held = [key for key in keys if await connection.fetchval("SELECT pg_try_advisory_lock($1)", key)]
        if len(held) == len(keys):
            break
        for key in held:
            await connection.fetchval("SELECT pg_advisory_unlock($1)", key)
        if time.monotonic() > deadline:
            raise errors.LockNotGranted(
                statement="The lock of golang-migrate",
                seconds=wait_seconds,
                attempts=attempts,
                lock_timeout_ms=int(_POLL_SECONDS * 1000),
                blockers=await _describe_holders(connection, keys),
            )
        if attempts == 1:
            log.info(
                "golang-migrate is at work on this database; waiting for %s", await _describe_holders(connection, keys)
            )
        await asyncio.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        # A session that was lost has given its locks back; a failure to say so must not hide what went wrong before.
        if not connection.is_closed():
            with contextlib.suppress(*CONNECTION_LOST, *FOUND_CLOSED):
                for key in keys:
                    await connection.fetchval("SELECT pg_advisory_unlock($1)", key)


async def _describe_holders(connection: Connection, keys: tuple[int, int]) -> str:
    rows = [await connection.fetchrow(sql_files.query("find_lock_holder"), key) for key in keys]
    named = [
        f"session {row['pid']} of {row['usename']} from {row['address']} ({row['application_name'] or 'golang-migrate'})"
        for row in rows
        if row is not None
    ]
    return ", ".join(dict.fromkeys(named)) or "a golang-migrate that has just ended"


async def has_version_table(connection: Connection) -> bool:
    """Whether golang-migrate keeps its version here."""
    return bool(
        await connection.fetchval("SELECT to_regclass(format('%I.%I', current_schema(), $1::text)) IS NOT NULL", TABLE)
    )


async def read_version(connection: Connection) -> tuple[int, bool] | None:
    """The version and whether it is dirty; None for no table or an empty one."""
    if not await has_version_table(connection):
        return None
    row = await connection.fetchrow(sql_files.query("read_migration_version"))
    return (row["version"], row["dirty"]) if row is not None else None


async def create_version_table(connection: Connection, version: int) -> None:
    """Make golang-migrate's table, with this version, where it is absent."""
    if not await has_version_table(connection):
        async with connection.transaction():
            await connection.execute(sql_files.query("create_version_table"))
            await connection.execute(sql_files.query("insert_migration_version"), version)


async def write_version(connection: Connection, version: int) -> None:
    """Write the version as golang-migrate does: empty the table, then one row. Without its table nothing is written."""
    if not await has_version_table(connection):
        return
    await connection.execute("TRUNCATE schema_migrations")
    await connection.execute(sql_files.query("insert_migration_version"), version)
