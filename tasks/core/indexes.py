"""The indexes of 000036, built CONCURRENTLY ahead of it from its own list."""

from __future__ import annotations

import asyncio
import logging

import asyncpg

from tasks.core import errors, locks, run, sql_files
from tasks.core.database import Connection, Database, connect
from tasks.core.progress import Progress
from tasks.core.settings import LockLimits

log = logging.getLogger(__name__)
POLL_SECONDS = 1.0


async def build(database: Database, schema: str, limits: LockLimits, run_id: str, progress: Progress) -> int:
    """Build what is missing of the list in 000036; an invalid leftover is dropped and built again.

    Returns: how many were built.

    Raises:
        StepFailed: if one of the names is taken by another definition, or a build fails.
    """
    definitions = sql_files.blocks(sql_files.migration(36, "up"))["index_definitions"]
    async with connect(database, schema=schema, purpose="index build") as connection:
        await connection.execute(definitions)
        await locks.set_limits(connection, limits, locks=False)
        wanted = await connection.fetch(sql_files.query("list_missing_indexes"))
        built = 0
        for number, index in enumerate(wanted, start=1):
            if index["valid"] and index["same"]:
                continue
            if index["present"] and not index["same"]:
                raise errors.StepFailed(
                    step="index build",
                    sqlstate="42710",
                    reason=f"index {index['index_name']} is there with another definition",
                    remedy="Rename it and run again.",
                )
            await _build_one(database, connection, index, run_id, progress, f"index {number} of {len(wanted)}")
            built += 1
    return built


async def _build_one(
    database: Database, connection: Connection, index: asyncpg.Record, run_id: str, progress: Progress, label: str
) -> None:
    name = index["index_name"]
    # Written down before it is there, so that the way back finds it even if we are killed in the middle.
    await connection.execute(sql_files.query("save_added_index"), name)
    if index["present"]:
        log.info("dropping the invalid index %s, left by an interrupted build", name)
        await connection.execute(
            await connection.fetchval("SELECT format('DROP INDEX CONCURRENTLY %I', $1::text)", name)
        )
    statement = index["definition"].replace("CREATE INDEX ", "CREATE INDEX CONCURRENTLY ", 1)
    watcher = asyncio.create_task(_watch(database, connection.get_server_pid(), f"{label}: {name}", progress))
    try:
        await connection.execute(statement)
    except asyncpg.PostgresError as error:
        raise errors.StepFailed(
            step=f"building index {name}",
            sqlstate=error.sqlstate,
            reason=str(error),
            remedy="Run again: the invalid leftover is dropped and built anew.",
        ) from error
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)
    await connection.execute(
        await connection.fetchval(
            "SELECT format('COMMENT ON INDEX %I IS %L', index_name, purpose) FROM phases_index_definitions()"
            " WHERE index_name = $1",
            name,
        )
    )
    await run.note(connection, run_id, "core-migrations", f"built index {name}")


async def _watch(database: Database, pid: int, label: str, progress: Progress) -> None:
    """Report how far a build has come, and who holds it up, until cancelled."""
    async with connect(database, purpose="index watch") as connection:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            row = await connection.fetchrow(sql_files.query("read_index_progress"), pid)
            if row is None:
                continue
            if row["phase"].startswith("waiting"):
                blockers = await connection.fetch(sql_files.query("find_blockers"), pid)
                if blockers:
                    log.warning("%s waits for %s", label, "; ".join(row["description"] for row in blockers))
            progress(f"{label}, {row['phase']}", row["blocks_done"] or 0, row["blocks_total"] or None)
