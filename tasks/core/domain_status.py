"""Two truths about a domain's status become one: what results say beside the domain's own status, and the way back.

Some installations keep dns_validation_results and http_keyword_results beside generated_domains.dns_status and .http_status.
The SQL stands in settle-domain-status.sql, which also runs by hand; here it is done in batches that keep nobody waiting.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from uuid import UUID

from tasks.core import locks, run, scripts, sql_files
from tasks.core.database import Connection
from tasks.core.models import DomainStatusResult, LockHold, Model
from tasks.core.pace import Pacer, next_size
from tasks.core.progress import Progress
from tasks.core.settings import LockLimits, MigrateParameters, Pace

log = logging.getLogger(__name__)
COMPARED = "tables of results compared with domains"
FIRST_BATCH = 100
LARGEST_BATCH = 5000
RESTORE_BATCH_MS = 100
PAUSE_BETWEEN_ROUNDS_SECONDS = 0.2
LEAST_KEY = UUID(int=0)
KINDS = {"dns_status": "dns", "http_status": "http"}

# Writes the statuses of domains that are locked, in the transaction that is open.
Work = Callable[[list[UUID]], Awaitable[None]]


class RestoredStatuses(Model):
    """Statuses that the way back gave back, and those that stay as somebody else has changed them since."""

    restored: int = 0
    kept: int = 0


def results_query() -> str:
    """The query that finds the tables of results and writes the statements that read them; it changes nothing."""
    return (
        sql_files.blocks(sql_files.script("settle-domain-status"))["domain_status"].split("$results$")[1].strip("; \n")
    )


async def settle(
    connection: Connection, parameters: MigrateParameters, run_id: str, progress: Progress, holds: list[LockHold]
) -> list[DomainStatusResult]:
    """Fill missing domain statuses from the newest result and settle contradictions as `parameters.domain_status` says.

    Every change is recorded, in the transaction that makes it. After the metrics' triggers are there, so that they follow.

    Returns: what was found and done for each table of results; nothing where there is none.

    Raises:
        LockNotGranted: where some domains stay locked by others. What is settled stays settled.
    """
    if not await connection.fetch(results_query()):
        return []
    blocks = sql_files.blocks(sql_files.script("settle-domain-status"))
    await locks.set_limits(connection, parameters.locks, locks=False)
    async with connection.transaction():
        await connection.execute(blocks["domain_status_rows"] + blocks["domain_status"])
    progress(COMPARED, 0, None)
    async with scripts.heard(connection, COMPARED, progress):
        found = await connection.fetch("SELECT * FROM migration_status_plan($1)", parameters.domain_status)
    total = await connection.fetchval("SELECT count(*) FROM migration_domain_status_plan")
    if total:
        await _keep_rows(connection, parameters.locks, run_id, "transform", holds)

    async def write(domains: list[UUID]) -> None:
        changed = await connection.fetchval("SELECT migration_status_apply($1)", domains)
        await run.note(connection, run_id, "transform", f"domain statuses up to {domains[-1]}: {changed}")

    batches = _Batches(connection, parameters.locks, Pacer(connection, parameters.pace, progress), parameters.batch_ms)
    await batches.work_off("planned", write, lambda done: progress("domain statuses settled", done, total))
    await _let_rows_go(connection, parameters.locks, run_id, holds)
    await locks.set_limits(connection, parameters.locks, locks=False)
    changes = await connection.fetchrow(sql_files.query("count_status_changes"))
    assert changes is not None
    await connection.execute(blocks["domain_status_end"])
    domains: dict[tuple[str, str], Counter[str]] = {}
    for row in found:
        domains.setdefault((row["table_name"], row["column_name"]), Counter())[row["verdict"]] = row["domains"]
    return [
        DomainStatusResult(
            table_name=table,
            column_name=column,
            agreeing=count["agrees"],
            missing=count["missing"],
            contradicting=count["result newer"] + count["domain newer"],
            waiting=count["waits"],
            filled=changes[f"{KINDS[column]}_filled"],
            settled=changes[f"{KINDS[column]}_settled"],
        )
        for (table, column), count in domains.items()
    ]


async def count_restorable(connection: Connection) -> RestoredStatuses:
    """What the way back would restore and keep. Changes nothing."""
    if not await connection.fetchval(sql_files.query("has_status_changes")):
        return RestoredStatuses()
    row = await connection.fetchrow(sql_files.query("count_restorable_statuses"))
    assert row is not None
    return RestoredStatuses(**dict(row))


async def restore(
    connection: Connection, limits: LockLimits, run_id: str, progress: Progress, holds: list[LockHold]
) -> RestoredStatuses:
    """Give the domains back what stood there before `settle`, in batches, so that 000035 down finds it done.

    Raises:
        LockNotGranted: where some domains stay locked by others. Calling it again goes on from what is done.
    """
    if not await connection.fetchval(sql_files.query("has_status_changes")):
        return RestoredStatuses()
    blocks = sql_files.blocks(sql_files.migration(35, "down"))
    await locks.set_limits(connection, limits, locks=False)
    await connection.execute(blocks["domain_status_rows"] + blocks["restore_domain_status"])
    total = await connection.fetchval("SELECT count(*) FROM migration_domain_status_changes")
    if total:
        await _keep_rows(connection, limits, run_id, "rollback", holds)
    counted: Counter[str] = Counter()

    async def write(domains: list[UUID]) -> None:
        row = await connection.fetchrow("SELECT restored, kept FROM migration_status_restore($1)", domains)
        assert row is not None
        await run.note(connection, run_id, "rollback", f"{row['restored']} domain status(es) back up to {domains[-1]}")
        counted.update(dict(row))

    batches = _Batches(connection, limits, Pacer(connection, Pace(), progress), RESTORE_BATCH_MS)
    await batches.work_off("changed", write, lambda done: progress("domain statuses restored", done, total))
    return RestoredStatuses(**counted)


async def _keep_rows(connection: Connection, limits: LockLimits, run_id: str, step: str, holds: list[LockHold]) -> None:
    """Bring in the trigger that keeps the other columns, only where the application's own would stamp them."""

    async def before(inside: Connection) -> None:
        await run.note(inside, run_id, step, "trigger zzz_migration_keep_domain")

    found = await connection.fetchrow(sql_files.query("needs_status_guard"))
    assert found is not None
    if found["is_needed"]:
        tables = {"generated_domains": "SHARE ROW EXCLUSIVE"}
        call = "migration_status_keep_rows()"
        await locks.under_lock(connection, call, tables, "SELECT " + call, limits, holds, before=before)


async def _let_rows_go(connection: Connection, limits: LockLimits, run_id: str, holds: list[LockHold]) -> None:
    """Take that trigger away again, one that a killed run has left included."""
    statement = "DROP TRIGGER zzz_migration_keep_domain ON generated_domains"

    async def before(inside: Connection) -> None:
        await run.note(inside, run_id, "transform", statement)

    found = await connection.fetchrow(sql_files.query("needs_status_guard"))
    assert found is not None
    if found["is_there"]:
        tables = {"generated_domains": "ACCESS EXCLUSIVE"}
        await locks.under_lock(connection, statement, tables, statement, limits, holds, before=before)


class _Batches:
    """Short transactions over a list of domains, each as large as the time that it may take. Rows that others hold are
    passed over and taken in a later round.
    """

    def __init__(self, connection: Connection, limits: LockLimits, pacer: Pacer, target_ms: int) -> None:
        self.connection = connection
        self.limits = limits
        self.pacer = pacer
        self.target_ms = target_ms

    async def work_off(self, which: str, write: Work, report: Callable[[int], None]) -> None:
        """Write all domains of a list, `planned` or `changed`.

        Raises:
            LockNotGranted: when nothing could be done for as long as a lock may be waited for.
        """
        await locks.set_limits(self.connection, self.limits)
        size, done, rounds = FIRST_BATCH, 0, 0
        after = (LEAST_KEY, LEAST_KEY)
        deadline = time.monotonic() + self.limits.lock_wait_limit_seconds
        while True:
            await self.pacer.wait_for_others()
            began = time.monotonic()
            try:
                last, taken = await self._take(which, write, after, size)
                left = [] if taken else await self._left(which)
            except locks.RETRIED as error:
                # At commit the campaigns' rows are wanted, too; who holds one of them may hold it for long.
                log.info("the batch waits: %s", error)
                last, taken, left = None, 0, ["whose domain or campaign is locked"]
                size = max(1, size // 2)
            now = time.monotonic()
            if taken and last is not None:
                done, after = done + taken, last
                size = next_size(size, (now - began) * 1000, self.target_ms, LARGEST_BATCH)
                deadline = now + self.limits.lock_wait_limit_seconds
                report(done)
                continue
            if not left:
                return
            if now > deadline:
                what = f"The batch of domains {', '.join(left)}"
                raise await locks.not_granted(self.connection, what, "generated_domains", self.limits, rounds + 1)
            after, rounds = (LEAST_KEY, LEAST_KEY), rounds + 1
            await asyncio.sleep(PAUSE_BETWEEN_ROUNDS_SECONDS)

    async def _take(
        self, which: str, write: Work, after: tuple[UUID, UUID], size: int
    ) -> tuple[tuple[UUID, UUID] | None, int]:
        async with self.connection.transaction():
            # A batch that a crash of the server takes with it is simply done again.
            await self.connection.execute("SET LOCAL synchronous_commit = off")
            rows = await self.connection.fetch(sql_files.query(f"lock_{which}_domains"), *after, size)
            if not rows:
                return None, 0
            domains = list(dict.fromkeys(row["last_key"] for row in rows))
            await write(domains)
        return (rows[-1]["first_key"], rows[-1]["last_key"]), len(domains)

    async def _left(self, which: str) -> list[str]:
        rows = await self.connection.fetch(sql_files.query(f"list_{which}_domains"))
        return [row[0] for row in rows]
