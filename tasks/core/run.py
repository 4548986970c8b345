"""One run at a time on a database, and what is written down about it."""

from __future__ import annotations

import json
import os
import socket
import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

from pydantic import BaseModel

from tasks.core import errors, sql_files
from tasks.core.database import Connection, Database, connect


def lock_key(schema: str) -> int:
    """The key of our own advisory lock: one per schema, the same from every machine (64 bits, signed)."""
    return (0x50484153 << 32) | zlib.crc32(schema.encode())


@asynccontextmanager
async def exclusive_run(
    database: Database, schema: str, parameters: BaseModel, run_id: str, flow_name: str
) -> AsyncIterator[Connection]:
    """Hold this tool's lock on a connection of its own while the body runs; the run's row says how it ended.

    Raises:
        AnotherRunIsActive: names the session that holds the lock.
    """
    async with connect(database, schema=schema, purpose=f"{flow_name} run lock") as connection:
        if not await connection.fetchval("SELECT pg_try_advisory_lock($1)", lock_key(schema)):
            raise errors.AnotherRunIsActive(
                database=database.database, schema=schema, holder=await _holder(connection, schema)
            )
        await connection.execute(sql_files.query("create_ledger"))
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
        outcome = "failed"
        try:
            yield connection
            outcome = "completed"
        finally:
            if not connection.is_closed():
                await connection.execute(sql_files.query("finish_run"), UUID(run_id), outcome)


async def _holder(connection: Connection, schema: str) -> str:
    row = await connection.fetchrow(sql_files.query("find_lock_holder"), lock_key(schema))
    if row is None:
        return "a run that has just ended; try again"
    return (
        f"session {row['pid']} of {row['usename']} from {row['address']} ({row['application_name']},"
        f" since {row['backend_start']:%Y-%m-%d %H:%M:%S %Z})"
    )


async def note(connection: Connection, run_id: str, step: str, detail: str = "", campaigns: int | None = None) -> None:
    """Add a line to the ledger, in the transaction that is open."""
    await connection.execute(sql_files.query("insert_ledger_line"), UUID(run_id), step, detail, campaigns)
