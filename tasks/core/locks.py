"""Short transactions under a lock: bounded waits, retries with jitter, and the time that the lock was held."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from types import MappingProxyType

import asyncpg

from tasks.core import errors, sql_files
from tasks.core.database import Connection
from tasks.core.models import LockHold
from tasks.core.settings import LockLimits

log = logging.getLogger(__name__)

# By the server's own clock: when a lock was granted, when the commit had returned, and the seconds in between.
MARK = "SELECT set_config('migration.{}_at', clock_timestamp()::text, false)"
HELD = (
    "SELECT extract(EPOCH FROM current_setting('migration.released_at')::timestamptz"
    " - nullif(current_setting('migration.locked_at'), '')::timestamptz)::float8"
)
# Only these pass by themselves; anything else would fail again.
RETRIED = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
FIRST_PAUSE_SECONDS = 0.05
LONGEST_PAUSE_SECONDS = 2.0
# Beyond the server's deadlock_timeout, when a waiting lock makes an autovacuum give way.
GIVE_WAY_MS = 500
# As pg_locks writes them: the modes that do not conflict with what we ask for.
HARMLESS = {
    "ACCESS EXCLUSIVE": [],
    "SHARE ROW EXCLUSIVE": ["AccessShareLock", "RowShareLock"],
}


async def set_limits(connection: Connection, limits: LockLimits, *, locks: bool = True) -> None:
    """Bound what follows in this session; `locks=False` for what waits without keeping anybody waiting (CONCURRENTLY)."""
    timeout = f"{limits.lock_timeout_ms}ms" if locks else "0"
    await connection.execute("SELECT set_config('lock_timeout', $1, false)", timeout)
    await connection.execute(
        "SELECT set_config('statement_timeout', $1, false)", f"{limits.statement_timeout_seconds:.0f}s"
    )


async def under_lock(
    connection: Connection,
    what: str,
    tables: Mapping[str, str],
    statement: str,
    limits: LockLimits,
    holds: list[LockHold],
    *,
    locked_inside: Mapping[str, str] = MappingProxyType({}),
    before: Callable[[Connection], Awaitable[object]] | None = None,
) -> None:
    """Run a statement in a transaction that first locks `tables` (table name to lock mode), and commit.

    Locks, statement and commit go to the server in one message: while the lock is held, nothing waits for this process. A
    lock that is not granted within the lock timeout is given back and asked for again after a pause with jitter. The hold is
    measured in the server, from the first grant to the return of the commit, and appended to `holds`. Before a table is
    locked against writers, whoever maintains it (vacuum, an index build) is waited for in a way that keeps no writer waiting.

    Args:
        statement: one or several, without parameters.
        locked_inside: what the statement locks itself, as late as it can; it says when in the setting migration.locked_at.
        before: what else belongs to the transaction; it runs before the lock, which is thus held the shorter.

    Raises:
        LockNotGranted: after `limits.lock_wait_limit_seconds`, naming who is in the way.
    """
    started = time.monotonic()
    attempts = 0
    in_the_way = "nobody any more: many short transactions took turns"
    grants = [await _lock_statement(connection, table, mode) for table, mode in tables.items()]
    marked = [*grants[:1], MARK.format("locked"), *grants[1:]] if grants else []
    message = ";\n".join([*marked, f"{statement}\n", "COMMIT", MARK.format("released")])
    while True:
        attempts += 1
        try:
            await connection.execute("BEGIN")
            try:
                await _wait_for_maintenance(connection, [*tables, *locked_inside])
                if before is not None:
                    await before(connection)
                await set_limits(connection, limits)
                await connection.execute("SELECT set_config('migration.locked_at', '', false)")
                if tables or locked_inside:
                    # Nobody waits for the disk while we hold the lock. A crash right now takes all of it back, and the next
                    # run does it again; what later transactions wrote to the disk cannot be there without it.
                    await connection.execute("SET LOCAL synchronous_commit = off")
                await connection.execute(message)
            finally:
                if not connection.is_closed() and connection.is_in_transaction():
                    await connection.execute("ROLLBACK")
            ended_at = time.time()
            # Asked when the lock is gone: a question more would have been a round trip more under it.
            held = await connection.fetchval(HELD)
            if held is not None:
                mode = ", ".join(sorted({*tables.values(), *locked_inside.values()})) or "ACCESS EXCLUSIVE"
                holds.append(
                    LockHold(
                        statement=what,
                        mode=mode,
                        held_ms=round(held * 1000, 3),
                        attempts=attempts,
                        ended_at=round(ended_at, 4),
                    )
                )
            return
        except RETRIED as error:
            waited = time.monotonic() - started
            wanted = {**tables, **locked_inside} or {"campaigns": "ACCESS EXCLUSIVE"}
            in_the_way = await describe_holders(connection, wanted) or in_the_way
            if waited > limits.lock_wait_limit_seconds:
                raise errors.LockNotGranted(
                    statement=what,
                    seconds=waited,
                    attempts=attempts,
                    lock_timeout_ms=limits.lock_timeout_ms,
                    blockers=in_the_way,
                ) from error
            pause = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(attempts, 10)) * random.uniform(0.5, 1.5)
            log.info(
                "%s: no lock within %d ms, attempt %d, again in %.1f s; in its way: %s",
                what, limits.lock_timeout_ms, attempts, pause, in_the_way,
            )  # fmt: skip
            await asyncio.sleep(pause)


async def not_granted(
    connection: Connection, what: str, table: str, limits: LockLimits, attempts: int
) -> errors.LockNotGranted:
    """The error for rows of a table that stay locked longer than the limits allow, with who holds the table."""
    return errors.LockNotGranted(
        statement=what,
        seconds=limits.lock_wait_limit_seconds,
        attempts=attempts,
        lock_timeout_ms=limits.lock_timeout_ms,
        blockers=await describe_holders(connection, {table: "ACCESS EXCLUSIVE"}) or "nobody any more",
    )


async def describe_holders(connection: Connection, wanted: Mapping[str, str]) -> str:
    """Who holds locks that conflict with those wanted (table name to lock mode), in words; empty where nobody does."""
    harmless = set.intersection(*(set(HARMLESS[mode]) for mode in wanted.values()))
    rows = await connection.fetch(sql_files.query("find_table_lock_holders"), list(wanted), list(harmless))
    return "; ".join(
        f"session {row['pid']} of {row['usename']} ({row['application_name']}, {row['state']},"
        f" transaction open for {row['seconds']} s, {row['modes']}): {row['query']}"
        for row in rows
    )


async def _lock_statement(connection: Connection, table: str, mode: str) -> str:
    statement: str = await connection.fetchval(
        "SELECT format('LOCK TABLE %I IN %s MODE', $1::text, $2::text)", table, mode
    )
    return statement


async def _wait_for_maintenance(connection: Connection, tables: Sequence[str]) -> None:
    """Lock out vacuum and index builds, but no writer: nobody who writes queues behind this.

    An autovacuum gives way to a lock that has waited for the server's deadlock_timeout, which is longer than writers may be
    kept waiting; so that wait is done here.
    """
    if not tables:
        return
    patience = await connection.fetchval(sql_files.query("read_deadlock_timeout")) + GIVE_WAY_MS
    await connection.execute("SELECT set_config('lock_timeout', $1, true)", f"{patience}ms")
    for table in tables:
        await connection.execute(await _lock_statement(connection, table, "SHARE UPDATE EXCLUSIVE"))
