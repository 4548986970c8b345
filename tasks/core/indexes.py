"""The indexes of 000036, built CONCURRENTLY ahead of it from its own list."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import asyncpg

from tasks.core import errors, locks, run, sql_files
from tasks.core.database import Connection, Database, connect
from tasks.core.index_parts import build_parts
from tasks.core.models import LockHold
from tasks.core.progress import Progress
from tasks.core.settings import LockLimits
from tasks.core.translation import translated

log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
# How often the same session in the way is named again.
REMIND_SECONDS = 30.0
# How often one index is begun before its build gives up over deadlocks.
DEADLOCKED_BUILDS = 10
STEP = "index build"


async def build(
    database: Database,
    schema: str,
    limits: LockLimits,
    run_id: str,
    progress: Progress,
    holds: list[LockHold] | None = None,
) -> int:
    """Build what is missing of the list in 000036; an invalid leftover is dropped and built again.

    Args:
        holds: where to note the short locks that an index over a partitioned table needs.

    Returns: how many were built.

    Raises:
        StepFailed: if one of the names is taken by another definition, or a build fails.
        LockNotGranted: if somebody else is building one of them and does not come to an end.
    """
    definitions = sql_files.blocks(sql_files.migration(36, "up"))["index_definitions"]
    async with run.work_session(database, schema, run_id, STEP) as connection:
        with translated(STEP, "Run again: it goes on from what is done."):
            await locks.set_limits(connection, limits, locks=False)
            await connection.execute(definitions)
            wanted = await _wait_for_other_builders(connection, limits)
            _refuse_other_definitions(wanted)
            missing = [index for index in wanted if not index["valid"]]
            for number, index in enumerate(missing, start=1):
                label = f"index {number} of {len(missing)}: {index['index_name']}"
                await _build_one(
                    database, connection, index, limits, run_id, progress, label, [] if holds is None else holds
                )
    return len(missing)


def online_statement(definition: str) -> str:
    """What is sent to build an index of the list: CONCURRENTLY, and the column's own type decides what its zero is."""
    return definition.replace("(0)::numeric", "0").replace("CREATE INDEX ", "CREATE INDEX CONCURRENTLY ", 1)


async def _wait_for_other_builders(connection: Connection, limits: LockLimits) -> list[asyncpg.Record]:
    """The list, once nobody else is building one of it: an unfinished index of somebody's is not a leftover."""
    started, attempts = time.monotonic(), 0
    while True:
        attempts += 1
        wanted = await connection.fetch(sql_files.query("list_missing_indexes"))
        building = [index for index in wanted if index["builder"] is not None]
        if not building:
            return wanted
        named = ", ".join(f"session {index['builder']}, which builds {index['index_name']}" for index in building)
        waited = time.monotonic() - started
        if waited > limits.lock_wait_limit_seconds:
            raise errors.LockNotGranted(
                statement="The index build",
                seconds=waited,
                attempts=attempts,
                lock_timeout_ms=int(POLL_SECONDS * 1000),
                blockers=named,
            )
        if attempts == 1:
            log.info("waiting for %s", named)
        await asyncio.sleep(POLL_SECONDS)


def _refuse_other_definitions(wanted: list[asyncpg.Record]) -> None:
    taken = [f"{index['index_name']} ({index['found']})" for index in wanted if index["present"] and not index["same"]]
    if taken:
        raise errors.StepFailed(
            step=STEP,
            sqlstate="42710",
            reason=f"names of 000036 are taken by another definition: {'; '.join(taken)}",
            remedy="Rename or drop what bears the name, then run again.",
        )


async def _build_one(
    database: Database,
    connection: Connection,
    index: asyncpg.Record,
    limits: LockLimits,
    run_id: str,
    progress: Progress,
    label: str,
    holds: list[LockHold],
) -> None:
    name = index["index_name"]
    # Written down before it is there, so that the way back finds it even if we are killed in the middle.
    await connection.execute(sql_files.query("save_added_index"), name)

    def watch(part: str) -> AbstractAsyncContextManager[None]:
        return watched(database, connection, f"{label}, {part}", progress)

    if await build_parts(connection, name, limits, run_id, watch, holds):
        return
    async with watched(database, connection, label, progress):
        if index["present"]:
            log.info("dropping the invalid index %s, left by an interrupted build", name)
        with translated(f"building index {name}", "Run again: the invalid leftover is dropped and built anew."):
            await build_in_spite_of_deadlocks(
                connection, name, online_statement(index["definition"]), leftover=index["present"]
            )
    await connection.execute(
        await connection.fetchval(
            "SELECT format('COMMENT ON INDEX %I IS %L', index_name, purpose) FROM phases_index_definitions()"
            " WHERE index_name = $1",
            name,
        )
    )
    await run.note(connection, run_id, "core-migrations", f"built index {name}")


async def build_in_spite_of_deadlocks(connection: Connection, name: str, statement: str, *, leftover: bool) -> None:
    """Build, and build again where a TRUNCATE or a DDL of somebody's came in between: it waits for our lock, and the build
    for its transaction, so the server ends one of the two. Nobody else is in a position to.
    """
    drop = await connection.fetchval("SELECT format('DROP INDEX CONCURRENTLY IF EXISTS %I', $1::text)", name)
    for attempt in range(1, DEADLOCKED_BUILDS + 1):
        try:
            if leftover:
                await connection.execute(drop)
            await connection.execute(statement)
            return
        except asyncpg.DeadlockDetectedError as error:
            if attempt == DEADLOCKED_BUILDS:
                raise
            log.warning("index %s: %s; building it again", name, error)
            leftover = True
            await asyncio.sleep(locks.FIRST_PAUSE_SECONDS)


@asynccontextmanager
async def watched(database: Database, connection: Connection, label: str, progress: Progress) -> AsyncIterator[None]:
    """While the body runs: report how far a build has come and who holds it up, from a connection of its own."""
    # Asked of the server: a pooler in between gives a number of its own.
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    watcher = asyncio.create_task(_watch(database, pid, label, progress))
    try:
        yield
    finally:
        watcher.cancel()
        (ended,) = await asyncio.gather(watcher, return_exceptions=True)
        if isinstance(ended, Exception):
            log.warning("the watch over the index build ended early: %s", ended)


async def _watch(database: Database, pid: int, label: str, progress: Progress) -> None:
    told, told_at = "", 0.0
    async with connect(database, purpose="index watch") as connection:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            blockers = await connection.fetch(sql_files.query("find_blockers"), pid)
            named = "; ".join(row["description"] for row in blockers)
            # The age in it changes from one look to the next; the sessions are what counts.
            who = ", ".join(row["description"].partition("(")[0] for row in blockers)
            if who and (who != told or time.monotonic() - told_at > REMIND_SECONDS):
                log.warning("%s waits for %s", label, named)
                told_at = time.monotonic()
            told = who
            row = await connection.fetchrow(sql_files.query("read_index_progress"), pid)
            if row is not None:
                progress(f"{label}, {row['phase']}", row["done"], row["total"] or None)
