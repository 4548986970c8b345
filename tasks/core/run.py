"""One run at a time on a database, and what is written down about it.

Two advisory locks say who is at work. The run lock is held on a connection of its own from a run's first change to its
end. Every session that changes something for a run holds the session lock, shared, as long as it lives: the server
side of a process that was killed goes on with its statement for some seconds, and the next run waits for that.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import socket
import time
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import asyncpg
from pydantic import BaseModel

from tasks.core import errors, sql_files
from tasks.core.approval import Approval, settle_waiting_run
from tasks.core.database import Connection, Database, connect
from tasks.core.pooler import refuse_transaction_pooling
from tasks.core.translation import CONNECTION_LOST, FOUND_CLOSED, translated

# The server looks every 5 s whether a busy session's client is still there (client_connection_check_interval).
ORPHAN_SECONDS = 15.0
MOMENT_SECONDS = 1.0
POLL_SECONDS = 0.1
EXCLUSIVE, SHARED = "SELECT pg_try_advisory_lock($1)", "SELECT pg_try_advisory_lock_shared($1)"
# What a role or a database may have set, and what would end or falsify a long run.
SESSION_SETTINGS = {
    "statement_timeout": "1h",
    "lock_timeout": "10s",
    "idle_session_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "default_transaction_isolation": "read committed",
    "tcp_keepalives_idle": "60",
}
log = logging.getLogger(__name__)


def lock_key(schema: str) -> int:
    """The key of the run lock: one per schema, the same from every machine (64 bits, signed)."""
    return (0x50484153 << 32) | zlib.crc32(schema.encode())


def session_lock_key(schema: str) -> int:
    """The key that every session which works for a run holds shared."""
    return (0x50484154 << 32) | zlib.crc32(schema.encode())


@asynccontextmanager
async def exclusive_run(
    database: Database,
    schema: str,
    parameters: BaseModel,
    run_id: str,
    flow_name: str,
    *,
    approval: Approval | None = None,
    abandon: bool = False,
) -> AsyncIterator[Connection]:
    """Hold this tool's lock on a connection of its own while the body runs; the run's row says how it ended.

    Args:
        approval: of the run that has waited and that this one goes on with.
        abandon: give up a run that awaits approval.

    Raises:
        AnotherRunIsActive: names the session that holds the lock, or one that a dead run has left at work.
        RunAwaitsApproval: names the run that waits.
        TransactionPooling: a pooler in between shares sessions.
    """
    await refuse_transaction_pooling(database)
    purpose = f"{flow_name} run lock"
    async with connect(database, schema=schema, purpose=purpose, settings=SESSION_SETTINGS) as connection:
        with translated("beginning the run", "Nothing was changed; run again."):
            await _take_lock(connection, database, schema)
            async with connection.transaction():
                await settle_waiting_run(connection, database, schema, approval, abandon=abandon)
                await _begin(connection, parameters, run_id, flow_name)
            await connection.fetchval("SELECT pg_advisory_unlock($1)", session_lock_key(schema))
        outcome = "failed"
        try:
            yield connection
            outcome = "completed"
        except (asyncio.CancelledError, KeyboardInterrupt):
            outcome = "cancelled"
            raise
        finally:
            await _finish(connection, database, schema, run_id, outcome)


async def stand_aside(connection: Connection, database: Database, schema: str) -> None:
    """For what only looks, and must not look at a database that is just being changed.

    Raises:
        AnotherRunIsActive: names the session that is at work.
    """
    if await connection.fetchrow(sql_files.query("find_lock_holder"), lock_key(schema)) is not None:
        raise errors.AnotherRunIsActive(
            database=database.database, schema=schema, holder=await _holder(connection, lock_key(schema))
        )


@asynccontextmanager
async def work_session(database: Database, schema: str, run_id: str, purpose: str) -> AsyncIterator[Connection]:
    """A connection that changes the database for a run.

    Raises:
        AnotherRunIsActive: if another run has found this one dead and taken over, as may happen after a lost connection.
    """
    async with connect(database, schema=schema, purpose=purpose, settings=SESSION_SETTINGS) as connection:
        with translated(purpose, "Run again: it goes on from what is done."):
            # Another run may hold it exclusively for a moment, while it closes what dead runs have left.
            admitted = await _lock(connection, SHARED, session_lock_key(schema), seconds=ORPHAN_SECONDS)
            outcome = await connection.fetchval(sql_files.query("read_run_outcome"), UUID(run_id))
        if not admitted or outcome == "interrupted":
            raise errors.AnotherRunIsActive(
                database=database.database,
                schema=schema,
                holder=f"this run was taken for dead and closed by {await _holder(connection, lock_key(schema))}",
            )
        yield connection


async def _take_lock(connection: Connection, database: Database, schema: str) -> None:
    # A process that was killed a moment ago may hold it for another moment.
    if not await _lock(connection, EXCLUSIVE, lock_key(schema), seconds=MOMENT_SECONDS):
        raise errors.AnotherRunIsActive(
            database=database.database, schema=schema, holder=await _holder(connection, lock_key(schema))
        )
    await connection.execute(sql_files.query("create_ledger"))
    await _wait_for_orphans(connection, database, schema)


async def _begin(connection: Connection, parameters: BaseModel, run_id: str, flow_name: str) -> None:
    await connection.execute(sql_files.query("close_dead_runs"), UUID(run_id))
    await connection.execute(
        sql_files.query("insert_run"),
        UUID(run_id),
        flow_name,
        parameters.model_dump_json(),
        socket.gethostname(),
        os.getpid(),
        json.dumps(sql_files.fingerprints()),
    )


async def _wait_for_orphans(connection: Connection, database: Database, schema: str) -> None:
    """Take the session lock exclusively: from then on nothing of an earlier run is at work."""
    key = session_lock_key(schema)
    if await _lock(connection, EXCLUSIVE, key, seconds=0):
        return
    log.info("waiting for what an earlier run has left at work: %s", await _holder(connection, key))
    if not await _lock(connection, EXCLUSIVE, key, seconds=ORPHAN_SECONDS):
        holder = f"{await _holder(connection, key)}, left at work by a run that has lost its lock"
        raise errors.AnotherRunIsActive(database=database.database, schema=schema, holder=holder)


async def _lock(connection: Connection, statement: str, key: int, *, seconds: float) -> bool:
    """Ask for an advisory lock again and again: who waits for one holds a snapshot, which index builds wait for."""
    deadline = time.monotonic() + seconds
    while not await connection.fetchval(statement, key):
        if time.monotonic() >= deadline:
            return False
        await asyncio.sleep(POLL_SECONDS)
    return True


async def _finish(connection: Connection, database: Database, schema: str, run_id: str, outcome: str) -> None:
    """Write down how the run ended. What made it end counts more than a failure to do so."""
    values = (sql_files.query("finish_run"), UUID(run_id), outcome)
    try:
        await connection.execute(*values)
    except (*CONNECTION_LOST, *FOUND_CLOSED) as lost:
        log.info("the connection that held the run lock is gone (%s)", lost)
    else:
        return
    try:
        async with connect(database, schema=schema, purpose="end of run") as another:
            await another.execute(*values)
    except (errors.MigrationToolError, asyncpg.PostgresError) as error:
        log.warning("the end of run %s (%s) could not be written down: %s", run_id, outcome, error)


async def _holder(connection: Connection, key: int) -> str:
    row = await connection.fetchrow(sql_files.query("find_lock_holder"), key)
    if row is None:
        return "a run that has just ended; try again"
    since = (
        f"{row['backend_start']:%Y-%m-%d %H:%M:%S %Z}" if row["backend_start"] is not None else "not shown to this role"
    )
    described = (
        f"session {row['pid']} of {row['usename']} from {row['address']} ({row['application_name']}, since {since})"
    )
    if await connection.fetchval(sql_files.query("may_read_runs")):
        run = await connection.fetchrow(sql_files.query("find_running_run"))
        if run is not None:
            described += (
                f", run {run['run_id']} ({run['flow_name']}) of process {run['process_id']} on {run['host']},"
                f" started {run['started_at']:%Y-%m-%d %H:%M:%S %Z}"
            )
    return described


async def note(connection: Connection, run_id: str, step: str, detail: str = "", campaigns: int | None = None) -> None:
    """Add a line to the ledger, in the transaction that is open."""
    await connection.execute(sql_files.query("insert_ledger_line"), UUID(run_id), step, detail, campaigns)


async def left_unfinished(database: Database, schema: str, flow_name: str) -> bool:
    """Whether the last run of this flow did not come to its end: what it has not proved, the next one proves."""
    async with connect(database, schema=schema, purpose="standing") as connection:
        if not await connection.fetchval(
            "SELECT to_regclass(format('%I.migration_runs', current_schema())) IS NOT NULL"
        ):
            return False
        outcome = await connection.fetchval(sql_files.query("read_last_outcome"), [flow_name])
        return outcome is not None and outcome != "completed"
