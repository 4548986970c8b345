"""A second pair of eyes: while one statement is at work, another session reads from the server how far it has come."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from tasks.core import sql_files
from tasks.core.database import Connection, Database, connect
from tasks.core.progress import Progress

LOOK_EVERY_SECONDS = 0.5
log = logging.getLogger(__name__)


@asynccontextmanager
async def watched_vacuum(database: Database, connection: Connection, progress: Progress) -> AsyncIterator[None]:
    """Progress of the VACUUM or ANALYZE that the body runs on a connection."""
    pid = await connection.fetchval("SELECT pg_backend_pid()")

    async def look(watching: Connection) -> None:
        for row in await watching.fetch(sql_files.query("read_statement_progress"), pid):
            progress(row["what"], row["done"], row["total"] or None)

    progress("vacuum and statistics", 0, None)
    async with _looking(database, "vacuum watch", look):
        yield


@asynccontextmanager
async def watched_dump(database: Database, progress: Progress) -> AsyncIterator[None]:
    """Progress of the pg_dump that the body runs, in rows; how many there are is what the server's statistics say."""
    read: dict[tuple[int, int], int] = {}

    async def look(watching: Connection) -> None:
        rows = await watching.fetch(sql_files.query("read_dump_progress"))
        read.update({(row["pid"], row["table_id"]): row["done"] for row in rows})
        if rows:
            progress("rows dumped", sum(read.values()), max(rows[0]["total"], sum(read.values())))

    async with _looking(database, "dump watch", look):
        yield


@asynccontextmanager
async def _looking(
    database: Database, purpose: str, look: Callable[[Connection], Awaitable[None]]
) -> AsyncIterator[None]:
    async def go_on_looking() -> None:
        async with connect(database, purpose=purpose) as connection:
            while True:
                await asyncio.sleep(LOOK_EVERY_SECONDS)
                await look(connection)

    watcher = asyncio.create_task(go_on_looking())
    try:
        yield
    finally:
        watcher.cancel()
        (ended,) = await asyncio.gather(watcher, return_exceptions=True)
        if isinstance(ended, Exception):
            log.warning("the %s ended early: %s", purpose, ended)
