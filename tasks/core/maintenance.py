"""The weekly maintenance: fresh statistics, indexes looked over, invalid and bloated ones rebuilt where asked for."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg

from tasks.core import errors, locks, scripts, sql_files
from tasks.core.bloat import IndexBloat, bloated, measure_bloat, rebuild
from tasks.core.database import Connection, Database, connect
from tasks.core.models import Model
from tasks.core.settings import LockLimits
from tasks.core.translation import translated
from tasks.core.upkeep_settings import BloatLimits

log = logging.getLogger(__name__)
WATCH_SECONDS = 5.0
NAMES_SHOWN = 3
ORDINARY = BloatLimits()


class MaintenanceAction(Model):
    """What was found or done: an index, or for ANALYZE a table."""

    index_name: str
    action: (
        str  # found: kept, unused, missing, different, invalid, analyzed; done: rebuilt, dropped, failed, left alone
    )
    details: str


class MaintenanceReport(Model):
    """What the maintenance found and did."""

    found: list[MaintenanceAction]  # the rows of maintain_phases_indexes()
    invalid: list[str]  # indexes that were invalid when it began
    done: list[MaintenanceAction]  # one for each invalid or bloated index, where rebuilding was asked for
    still_invalid: list[str]
    bloat: list[IndexBloat]  # of every b-tree
    bloated: list[IndexBloat]  # those over both limits
    seconds: float

    @property
    def figures(self) -> str:
        """The counts alone, for the name of the step."""
        seen = [row.action for row in (*self.found, *self.done)]
        counts = [f"{seen.count('analyzed')} tables analyzed"]
        actions = ("missing", "different", "unused", "rebuilt", "dropped", "failed", "left alone")
        counts += [f"{seen.count(action)} {action}" for action in actions if action in seen]
        return ", ".join([*counts, f"{len(self.still_invalid)} invalid", f"{len(self.bloated)} bloated"])

    @property
    def summary(self) -> str:
        """The figures in a sentence or two."""
        tables = [row.index_name for row in self.found if row.action == "analyzed"]
        parts = [f"Statistics are fresh for {' and '.join(tables)}." if tables else "No table was analyzed."]
        for action in ("missing", "different", "unused"):
            names = [row.index_name for row in self.found if row.action == action]
            if names:
                more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
                parts.append(f"{len(names)} index(es) {action}: {', '.join(names[:NAMES_SHOWN])}{more}.")
        for action in ("rebuilt", "dropped", "failed", "left alone"):
            names = [row.index_name for row in self.done if row.action == action]
            if names:
                parts.append(f"{action.capitalize()}: {', '.join(names)}.")
        if self.still_invalid:
            parts.append(f"Invalid: {', '.join(self.still_invalid)}; --rebuild-invalid rebuilds them.")
        rebuilt = {row.index_name for row in self.done if row.action == "rebuilt"}
        waiting = [one for one in self.bloated if one.index_name not in rebuilt]
        if waiting:
            named = ", ".join(f"{one.index_name} ({one.sentence})" for one in waiting)
            parts.append(f"Bloated: {named}; --rebuild-bloated rebuilds them.")
        elif not self.bloated and self.bloat:
            worst = max(self.bloat, key=lambda one: one.bloat_bytes)
            parts.append(f"No index is bloated over the limits; the most air has {worst.index_name}: {worst.sentence}.")
        return " ".join(parts)


async def maintain(
    database: Database,
    schema: str,
    *,
    rebuild_invalid: bool,
    limits: LockLimits,
    rebuild_bloated: bool = False,
    bloat_limits: BloatLimits = ORDINARY,
) -> MaintenanceReport:
    """Run maintain_phases_indexes() and look for invalid and bloated indexes of the core tables and their partitions.

    CONCURRENTLY waits without a lock timeout, since giving up would leave one more invalid index; the statement timeout
    bounds it, and who is in its way is logged. A rebuild that fails is reported, and the others go on.

    Args:
        rebuild_invalid: rebuild invalid indexes and drop what an interrupted REINDEX CONCURRENTLY left behind.
        rebuild_bloated: rebuild indexes that are bloated over the limits.

    Raises:
        NotMigrated: if the database has no maintain_phases_indexes().
        StepFailed: if that function could not run.
    """
    started = time.monotonic()
    # ANALYZE may wait longer for its lock than DDL may: whoever writes does not queue behind it.
    bounds = scripts.SESSION_LIMITS | {"statement_timeout": f"{limits.statement_timeout_seconds:.0f}s"}
    async with connect(database, schema=schema, purpose="maintenance", settings=bounds) as connection:
        function = "maintain_phases_indexes()"
        with translated(function, scripts.REMEDY):
            try:
                rows = await connection.fetch(sql_files.query("maintain_indexes"))
            except asyncpg.UndefinedFunctionError as error:
                raise errors.NotMigrated(name=function, database=database.database, schema=schema) from error
        found = [MaintenanceAction(**row) for row in rows]
        invalid = await _list_invalid(connection)
        measured = await measure_bloat(connection)
        unfit = {index["index_name"] for index in invalid}
        airy = bloated(
            [one for one in measured if one.index_name not in unfit],
            percent=bloat_limits.percent,
            megabytes=bloat_limits.megabytes,
        )
        done: list[MaintenanceAction] = []
        wanted = (invalid if rebuild_invalid else [], airy if rebuild_bloated else [])
        if any(wanted):
            await locks.set_limits(connection, limits, locks=False)
            async with _watched(database, await connection.fetchval("SELECT pg_backend_pid()")):
                done = [await _mend(connection, index) for index in wanted[0]]
                done += [await _thin_out(connection, one) for one in wanted[1]]
                # A rebuild that failed has left a half-made copy behind.
                known = {index["index_name"] for index in invalid}
                late = [index for index in await _list_invalid(connection) if index["leftover"]]
                done += [await _mend(connection, index) for index in late if index["index_name"] not in known]
        return MaintenanceReport(
            found=found,
            invalid=[index["index_name"] for index in invalid],
            done=done,
            still_invalid=[index["index_name"] for index in await _list_invalid(connection)],
            bloat=measured,
            bloated=airy,
            seconds=time.monotonic() - started,
        )


async def _list_invalid(connection: Connection) -> list[asyncpg.Record]:
    return await connection.fetch(sql_files.query("list_invalid_indexes"))


async def _mend(connection: Connection, index: asyncpg.Record) -> MaintenanceAction:
    name: str = index["index_name"]
    if index["building"]:
        return MaintenanceAction(
            index_name=name, action="left alone", details="another session is building an index there"
        )
    if index["partitioned"]:
        return MaintenanceAction(
            index_name=name,
            action="left alone",
            details="it becomes valid when every partition has its part of it attached",
        )
    log.info("%s", index["remedy"])
    try:
        await connection.execute(index["remedy"])
    except asyncpg.PostgresError as error:
        log.warning("%s failed: %s", index["remedy"], error)
        return MaintenanceAction(
            index_name=name, action="failed", details=f"{index['remedy']}: {error} ({error.sqlstate})"
        )
    return MaintenanceAction(
        index_name=name, action="dropped" if index["leftover"] else "rebuilt", details=index["remedy"]
    )


async def _thin_out(connection: Connection, one: IndexBloat) -> MaintenanceAction:
    log.info("%s", one.remedy)
    well, details = await rebuild(connection, one)
    if not well:
        log.warning("%s", details)
    return MaintenanceAction(index_name=one.index_name, action="rebuilt" if well else "failed", details=details)


@asynccontextmanager
async def _watched(database: Database, pid: int) -> AsyncIterator[None]:
    watcher = asyncio.create_task(_log_blockers(database, pid))
    try:
        yield
    finally:
        watcher.cancel()
        await asyncio.gather(watcher, return_exceptions=True)


async def _log_blockers(database: Database, pid: int) -> None:
    """Name those whom a rebuild waits for, every few seconds, until cancelled."""
    async with connect(database, purpose="maintenance watch") as connection:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            rows = await connection.fetch(sql_files.query("find_blockers"), pid)
            if rows:
                log.warning("the rebuild waits for %s", "; ".join(row["description"] for row in rows))
