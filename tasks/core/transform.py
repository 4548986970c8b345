"""The data transform: both models live, every row filled, in batches that commit with their line in the ledger."""

from __future__ import annotations

import asyncio
import logging
import time
from uuid import UUID

from tasks.core import collisions, domain_status, locks, run, sql_files, state, toolkit
from tasks.core.database import Connection, Database
from tasks.core.models import LockHold, TransformResult
from tasks.core.pace import Pacer, next_size
from tasks.core.progress import Progress, expected
from tasks.core.settings import MigrateParameters
from tasks.core.translation import translated

log = logging.getLogger(__name__)
FIRST_BATCH = 100
LARGEST_BATCH = 5000
PAUSE_BETWEEN_ROUNDS_SECONDS = 0.2


async def transform(
    database: Database, parameters: MigrateParameters, run_id: str, progress: Progress
) -> TransformResult:
    """Go from the legacy model to both models, from wherever an earlier run stopped.

    Raises:
        StepFailed: with the server's words, where a row or an object is not as preflight saw it.
        LockNotGranted: where a lock, or the last rows, cannot be had within the limits.
        ConnectionLost: calling it again goes on from what is done.
    """
    async with run.work_session(database, parameters.schema_name, run_id, "transform") as connection:
        with translated("transform", "Run again: it goes on from what is done."):
            await state.refuse_way_back(connection, "transform")
            await locks.set_limits(connection, parameters.locks, locks=False)
            if not await connection.fetchval(sql_files.query("has_legacy_columns")):
                return TransformResult(campaigns=0, seconds=0.0, scan_seconds=0.0, batches=0, longest_batch_ms=0.0)
            # Measured first and by itself, with the parallelism that the count has, so that their ratio says something.
            progress("timing one scan of generated_domains", 0, None)
            scan_seconds, domains = await _time_one_scan(connection)
            started = time.monotonic()
            holds = await expand(connection, parameters, run_id)
            await locks.set_limits(connection, parameters.locks, locks=False)
            async with expected(progress, "domains counted, about", domains, scan_seconds):
                await connection.fetchval("SELECT migration_count_metrics()")
            campaigns, batches, longest_ms = await _fill(connection, parameters, run_id, progress)
            seconds = time.monotonic() - started
            statuses = await domain_status.settle(connection, parameters, run_id, progress, holds)
    return TransformResult(
        campaigns=campaigns,
        seconds=round(seconds, 3),
        scan_seconds=round(scan_seconds, 3),
        batches=batches,
        longest_batch_ms=round(longest_ms, 3),
        locks=holds,
        domain_statuses=statuses,
    )


async def expand(connection: Connection, parameters: MigrateParameters, run_id: str) -> list[LockHold]:
    """Bring in the phases columns, the triggers that keep both models in step and those that keep the metrics.

    Returns: how long each lock that keeps writers out was held.
    """
    holds: list[LockHold] = []
    limits = parameters.locks
    holds += await collisions.keep_aside(connection, limits, run_id)
    await toolkit.install(connection)
    await toolkit.add_mappings(connection, parameters)
    await connection.fetchval("SELECT migration_backup_campaigns()")

    async def call(functions: str, tables: dict[str, str]) -> None:
        async def before(inside: Connection) -> None:
            await run.note(inside, run_id, "transform", functions)

        await locks.under_lock(
            connection, functions, {}, "SELECT " + functions, limits, holds, locked_inside=tables, before=before
        )

    done = await connection.fetchrow(sql_files.query("read_transform_progress"))
    assert done is not None
    if not done["expanded"]:
        await connection.execute("SELECT migration_find_inverse_mappings()")
        # What the lock's holder will read is read once before: the catalog's pages and the plans are there by then.
        await connection.execute("SELECT count(*) FROM migration_judge_phases_columns()")
        await connection.execute("SELECT migration_prepare_sync()")
        if parameters.prefer is None:
            await connection.execute("SELECT migration_refuse_contradictions()")
        # Together: a phases writer that found the columns without the triggers would leave rows that contradict themselves.
        await call("migration_expand_columns(), migration_install_sync()", {"campaigns": "ACCESS EXCLUSIVE"})
    await connection.execute("SELECT migration_refuse_unknown_values()")
    if parameters.prefer is None:
        await connection.execute("SELECT migration_refuse_contradictions()")
    if not done["measured"]:
        await connection.execute("SELECT migration_mark_uncounted()")
        await call("migration_install_metrics()", {"generated_domains": "SHARE ROW EXCLUSIVE"})
    await connection.execute("SELECT migration_hand_over()")
    return holds


async def _fill(
    connection: Connection, parameters: MigrateParameters, run_id: str, progress: Progress
) -> tuple[int, int, float]:
    total = await connection.fetchval("SELECT count(*) FROM campaign_metrics_baseline")
    size, after, done, batches, longest = FIRST_BATCH, None, 0, 0, 0.0
    deadline: float | None = None
    await locks.set_limits(connection, parameters.locks)
    pacer = Pacer(connection, parameters.pace, progress)
    while True:
        await pacer.wait_for_others()
        began = time.monotonic()
        try:
            last_id, filled = await _fill_batch(connection, parameters, run_id, after, size)
            left = [] if filled else await _left_over(connection)
        except locks.RETRIED as error:
            log.info("the batch waits: %s", error)
            filled, left = 0, ["whose table is locked"]
        took_ms = (time.monotonic() - began) * 1000
        if filled:
            done, batches, longest = done + filled, batches + 1, max(longest, took_ms)
            after, deadline = last_id, None
            size = next_size(size, took_ms, parameters.batch_ms, LARGEST_BATCH)
            progress("campaigns filled", done, total)
            continue
        # The end of a round. What is left was locked by somebody.
        if not left:
            return done, batches, longest
        deadline = deadline or time.monotonic() + parameters.locks.lock_wait_limit_seconds
        if time.monotonic() > deadline:
            what = f"The batch of campaigns {', '.join(left)}"
            raise await locks.not_granted(connection, what, "campaigns", parameters.locks, batches)
        after = None
        await asyncio.sleep(PAUSE_BETWEEN_ROUNDS_SECONDS)


async def _fill_batch(
    connection: Connection, parameters: MigrateParameters, run_id: str, after: UUID | None, size: int
) -> tuple[UUID | None, int]:
    """Fill one batch behind a key. Returns the last key and how many there were: none, or none that was not locked."""
    async with connection.transaction():
        # A batch that a crash of the server takes with it is simply filled again.
        await connection.execute("SET LOCAL synchronous_commit = off")
        row = await connection.fetchrow(
            "SELECT last_id, filled FROM migration_fill_batch($1, $2, $3)", after, size, parameters.prefer or ""
        )
        assert row is not None
        if row["filled"]:
            await run.note(connection, run_id, "transform", f"batch up to {row['last_id']}", row["filled"])
    return row["last_id"], row["filled"]


async def _left_over(connection: Connection) -> list[str]:
    """Up to 20 campaigns that are still to be filled; those deleted meanwhile are forgotten."""
    await connection.execute("SELECT migration_forget_deleted()")
    left: list[str] = await connection.fetchval(
        "SELECT array(SELECT campaign_id::text FROM campaign_metrics_baseline LIMIT 20)"
    )
    return left


async def _time_one_scan(connection: Connection) -> tuple[float, int]:
    """What one sequential aggregate takes (s), and how many domains there are."""
    await connection.execute("SET max_parallel_workers_per_gather = 0")
    began = time.monotonic()
    domains = await connection.fetchval(sql_files.query("count_metrics_once"))
    return time.monotonic() - began, int(domains or 0)
