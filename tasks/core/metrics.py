"""The metrics of campaigns against a recount, and their repair.

Triggers keep them exact. What writes past triggers is found here: logical replication, session_replication_role = replica,
partitions that are attached or detached.
"""

from __future__ import annotations

import asyncio
import logging
import time

from tasks.core import errors, locks, run, sql_files
from tasks.core.database import Connection, Database
from tasks.core.models import Model
from tasks.core.progress import Progress
from tasks.core.settings import LockLimits
from tasks.core.translation import translated

log = logging.getLogger(__name__)
METRICS = ("domains", "dns_validated_domains", "http_validated_domains", "leads")
NAMES_SHOWN = 3
PAUSE_SECONDS = 0.1


class Miscounted(Model):
    """A campaign whose metrics are not what a recount says.

    Attributes:
        stored, counted: in the order of `METRICS`.
    """

    campaign_id: str
    stored: list[int | None]
    counted: list[int]

    @property
    def apart(self) -> str:
        """The metrics that differ, such as "domains 12, counted 13"."""
        return "; ".join(
            f"{name} {'NULL' if stored is None else f'{stored:,}'}, counted {counted:,}"
            for name, stored, counted in zip(METRICS, self.stored, self.counted, strict=True)
            if stored != counted
        )

    def __str__(self) -> str:
        return f"{self.campaign_id} ({self.apart})"


class MetricsReport(Model):
    """What a recount found, and which campaigns were repaired."""

    found: list[Miscounted]
    repaired: list[Miscounted]

    @property
    def figures(self) -> str:
        """The counts alone, for the name of the step."""
        if not self.found:
            return "equal a recount"
        return f"{len(self.found)} campaigns differ from a recount, {len(self.repaired)} repaired"

    @property
    def summary(self) -> str:
        """In a sentence."""
        if not self.found:
            return "All metrics equal a recount."
        more = f" and {len(self.found) - NAMES_SHOWN} more" if len(self.found) > NAMES_SHOWN else ""
        named = f"{', '.join(map(str, self.found[:NAMES_SHOWN]))}{more}"
        if self.repaired:
            return f"Metrics of {len(self.repaired)} campaign(s) were repaired, which differed from a recount: {named}."
        return f"Metrics of {len(self.found)} campaign(s) differ from a recount: {named}; --repair-metrics writes it."


async def recount(
    database: Database, schema: str, run_id: str, limits: LockLimits, progress: Progress, *, repair: bool
) -> MetricsReport:
    """Count all domains once, and where asked for write the count into campaigns that say something else.

    Each campaign is a transaction of its own, which holds its row as long as its domains take to be counted again. Who writes
    domains of it meanwhile waits at the commit and loses nothing. updated_at and all other columns keep their values.

    Args:
        run_id: the run that is the only one on this database.

    Raises:
        NotMigrated: where this migration does not keep metrics.
        LockNotGranted: where a campaign stays locked by others. What is repaired stays repaired.
    """
    async with run.work_session(database, schema, run_id, "metrics") as connection:
        with translated("metrics", "Run again: it goes on from what is done."):
            if not await connection.fetchval(sql_files.query("has_metrics")):
                raise errors.NotMigrated(name="metrics of this migration", database=database.database, schema=schema)
            await locks.set_limits(connection, limits)
            await connection.execute("SET row_security = off")
            progress("campaigns recounted", 0, None)
            rows = await connection.fetch(sql_files.query("list_miscounted_campaigns"))
            found = [Miscounted(**dict(row)) for row in rows]
            repaired: list[Miscounted] = []
            for one in found if repair else []:
                counted = await _repair(connection, one, run_id, limits)
                if counted is not None:
                    repaired.append(one.model_copy(update={"counted": counted}))
                    log.info("repaired: %s", repaired[-1])
                progress("campaigns repaired", len(repaired), len(found))
    return MetricsReport(found=found, repaired=repaired)


async def _repair(connection: Connection, one: Miscounted, run_id: str, limits: LockLimits) -> list[int] | None:
    """What was written; None if the campaign is gone, or has become right."""
    deadline, attempts = time.monotonic() + limits.lock_wait_limit_seconds, 0
    while True:
        attempts += 1
        try:
            async with connection.transaction():
                await connection.execute("SELECT FROM campaigns WHERE id = $1::uuid FOR NO KEY UPDATE", one.campaign_id)
                # As where differences are folded: the application's updated_at is not stamped.
                await connection.execute("SELECT set_config('campaign_metrics.folding', 'on', true)")
                counted: list[int] | None = await connection.fetchval(
                    sql_files.query("repair_metrics"), one.campaign_id
                )
                if counted is not None:
                    detail = str(one.model_copy(update={"counted": counted}))
                    await run.note(connection, run_id, "metrics", detail, 1)
                return counted
        except locks.RETRIED as error:
            if time.monotonic() > deadline:
                what = f"The repair of campaign {one.campaign_id}"
                raise await locks.not_granted(connection, what, "campaigns", limits, attempts) from error
            await asyncio.sleep(PAUSE_SECONDS)
