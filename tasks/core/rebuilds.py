"""Indexes that grew while domain statuses were settled are built anew, CONCURRENTLY.

A row that is written again gets a new entry in every index. Where the entry says what the old one said, the server clears old
ones away as soon as a page is full; where it holds the status itself, it splits the page, and both halves stay half empty.
"""

from __future__ import annotations

import logging

import asyncpg

from tasks.core import errors, indexes, locks, run, sql_files
from tasks.core.database import Connection, Database
from tasks.core.progress import Progress
from tasks.core.settings import LockLimits
from tasks.core.translation import translated

log = logging.getLogger(__name__)
STEP = "core-migrations"
# Of the domains: where fewer were settled, the room that pages are built with holds the new entries.
LEAST_SHARE = 0.05


async def rebuild_grown(database: Database, schema: str, limits: LockLimits, run_id: str, progress: Progress) -> None:
    """Build the indexes anew that hold a domain's status, where settling has written many; what is done is not done again.

    No index is missing meanwhile, and nothing depends on it: one that cannot be built anew is named and stays as large as it
    is. Neither a rebuild nor what an earlier one has left is waited for longer than a lock may be.

    Raises:
        ConnectionLost: calling it again goes on from what is done.
    """
    async with run.work_session(database, schema, run_id, "index rebuilds") as connection:
        await drop_leftovers(connection, limits)
        found = await find_grown(connection)
        for number, index in enumerate(found, start=1):
            name = index["name"]
            label = f"grown index {number} of {len(found)}: {name}"
            progress(label, number - 1, len(found))
            await connection.execute(sql_files.query("save_rebuilt_index"), name)
            try:
                with translated(f"rebuilding index {name}", "flows.maintain --rebuild-bloated does it later."):
                    async with indexes.watched(database, connection, label, progress):
                        await connection.execute(index["statement"])
            except errors.StepFailed as failed:
                await drop_leftovers(connection, limits)
                # The copy is another index. Where it bears the name already, only the old one could not go.
                if await connection.fetchval("SELECT to_regclass($1)::oid::bigint", name) == index["oid"]:
                    log.warning("index %s stays as large as it is: %s", name, failed)
                    continue
            size = await connection.fetchval("SELECT pg_relation_size($1::text::regclass)", name)
            await run.note(connection, run_id, STEP, f"rebuilt index {name}")
            log.info("rebuilt index %s: %d bytes before, %d now", name, index["bytes"], size)


async def drop_leftovers(connection: Connection, limits: LockLimits) -> None:
    """Drop the half-made copies that interrupted rebuilds of ours have left: they take writes and serve no query.

    One that cannot go now is named; the next run drops it, or 000036 down does.

    Raises:
        ConnectionLost: the others are left, too.
    """
    # No writer queues behind these locks; sessions that are older are waited for, but not for ever.
    await locks.set_limits(connection, limits, locks=False)
    patience = f"{limits.lock_wait_limit_seconds * 1000:.0f}ms"
    await connection.execute("SELECT set_config('lock_timeout', $1, false)", patience)
    if not await connection.fetchval(sql_files.query("has_saved_objects")):
        return
    for row in await connection.fetch(sql_files.query("list_rebuild_leftovers")):
        log.info("dropping %s, which an interrupted rebuild has left", row["name"])
        try:
            with translated(f"dropping {row['name']}", "The next run does it."):
                await connection.execute(row["statement"])
        except errors.StepFailed as failed:
            log.warning("%s, which an interrupted rebuild has left, stays for now: %s", row["name"], failed)


async def find_grown(connection: Connection, *, to_settle: int = 0) -> list[asyncpg.Record]:
    """The indexes that are to be built anew; rows of list_status_indexes.sql.

    Args:
        to_settle: domains that will have been settled by then, beside those that are.
    """
    settled = to_settle
    if await connection.fetchval(sql_files.query("has_status_changes")):
        settled += await connection.fetchval("SELECT count(*) FROM migration_domain_status_changes")
    sizes = await connection.fetchrow(sql_files.query("measure_tables"))
    assert sizes is not None
    few = LEAST_SHARE * sizes["domains_rows"]
    if settled <= few:
        return []
    found = await connection.fetch(sql_files.query("list_status_indexes"))
    if to_settle > few:
        return found
    # Ours are marked as such, but not if a run was killed between the two.
    ours = {row["identity"] for row in await connection.fetch(sql_files.query("list_added_indexes"))}
    found = [index for index in found if not ours & {index["name"], index["bare_name"]}]
    if not await connection.fetchval("SELECT to_regclass(format('%I.migration_ledger', current_schema())) IS NOT NULL"):
        return found
    names = [index["name"] for index in found]
    done = await connection.fetch(sql_files.query("list_status_rebuilds"), names, few - to_settle)
    return [index for index in found if index["name"] not in {row["name"] for row in done}]
