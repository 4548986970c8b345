"""Two sessions that watch: who waits for the migration, and whether what must agree at every commit does."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise
from pathlib import Path
from random import Random
from statistics import median
from typing import Any
from uuid import UUID

import asyncpg

from tasks.core.database import APPLICATION_NAME, Connection, connect
from tests.load import child, statements
from tests.load.models import Check, MonitorOrders, MonitorResult, Wait

LOOK_EVERY_SECONDS = 0.005
CHECK_EVERY_SECONDS = 0.2
FAVOURITES = 40
COUNTED_AT_ONCE = 6
# Counting the domains of a larger one at every look would be a load of its own.
LARGEST_COUNTED = 4000

LOOK = """
SELECT a.pid, a.application_name AS writer, left(a.query, 120) AS query, b.application_name AS blocker,
    coalesce(l.mode, '') AS mode, coalesce(l.place, '') AS relation, l.waitstart
FROM pg_stat_activity AS a
CROSS JOIN LATERAL unnest(pg_blocking_pids(a.pid)) AS blocking (pid)
JOIN pg_stat_activity AS b ON b.pid = blocking.pid AND starts_with(b.application_name, $1)
LEFT JOIN LATERAL (
    SELECT mode, coalesce(relation::regclass::text, locktype) AS place, waitstart
    FROM pg_locks WHERE pid = a.pid AND NOT granted LIMIT 1
) AS l ON true
WHERE a.wait_event_type = 'Lock' AND a.datname = current_database() AND starts_with(a.application_name, 'load writer')
"""
SMALL_CAMPAIGNS = """
SELECT domain_generation_campaign_id FROM generated_domains GROUP BY 1 HAVING count(*) < $1 ORDER BY 1
"""
# The catalog is read in the same snapshot as the rows: a state belongs to the rows that it is about.
STATE = """
SELECT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('campaigns') AND tgname = 'zzy_migration_sync_models')
    AS synced,
    EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('campaign_metric_changes')
            AND tgname = 'campaign_metric_changes_fold') AS counting
"""
AGREEMENT = """
SELECT count(*) FILTER (WHERE s.filled) AS filled, count(*) FILTER (WHERE s.contradicts) AS contradicting,
    count(*) FILTER (WHERE s.settled AND s.progress_off) AS progress_off,
    count(*) FILTER (WHERE s.settled AND s.legacy_off) AS legacy_off,
    (array_agg(s.shown) FILTER (WHERE s.contradicts OR s.settled AND (s.progress_off OR s.legacy_off)))[1:3] AS examples
FROM (
    SELECT c.current_phase IS NOT NULL AND c.campaign_type IS NOT NULL AND c.status IS NOT NULL AS filled,
        c.current_phase IS NOT NULL AND c.campaign_type NOT IN ('comprehensive', 'automated')
            AND migration_map_current_phase(c.campaign_type) IS DISTINCT FROM c.current_phase
            AND migration_map_campaign_type(c.current_phase) IS DISTINCT FROM c.campaign_type
        OR c.phase_status IS NOT NULL AND c.status IS NOT NULL
            AND migration_map_phase_status(c.status) IS DISTINCT FROM c.phase_status AS contradicts,
        b.campaign_id IS NULL AND NOT way_back.has_begun AND EXISTS (
            SELECT FROM pg_trigger WHERE tgrelid = to_regclass('campaign_metric_changes')
            AND tgname = 'campaign_metric_changes_fold') AS settled,
        c.progress IS DISTINCT FROM migration_map_progress(
            c.current_phase, c.phase_status, c.progress_percentage,
            c.domains, c.dns_validated_domains, c.http_validated_domains, c.leads) AS progress_off,
        (v.campaign_type, v.status, v.launch_sequence) IS DISTINCT FROM (c.campaign_type, c.status, c.launch_sequence)
            AS legacy_off,
        to_jsonb(c)::text || ' ' || to_jsonb(v)::text AS shown
    FROM campaigns AS c
    CROSS JOIN (
        -- From there on progress is the application's, and what was kept is no longer written.
        SELECT EXISTS (SELECT FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid
                       WHERE t.tgrelid = to_regclass('campaigns') AND p.proname = 'migration_return_values') AS has_begun
    ) AS way_back
    LEFT JOIN campaign_metrics_baseline AS b ON b.campaign_id = c.id
    LEFT JOIN migration_legacy_values AS v ON v.campaign_id = c.id
    WHERE EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('campaigns')
                  AND tgname = 'zzy_migration_sync_models')
) AS s
"""
METRICS = """
SELECT count(*) AS counted, count(*) FILTER (WHERE wrong) AS miscounted, array_agg(shown) FILTER (WHERE wrong) AS examples
FROM (
    SELECT (c.domains, c.dns_validated_domains, c.http_validated_domains, c.leads)
            IS DISTINCT FROM (d.domains, d.dns, d.http, d.leads) AS wrong, c.id || ' ' || d::text AS shown
    FROM campaigns AS c
    CROSS JOIN LATERAL (
        SELECT count(*) AS domains, count(*) FILTER (WHERE g.dns_status = 'ok') AS dns,
            count(*) FILTER (WHERE g.http_status = 'ok') AS http, count(*) FILTER (WHERE g.lead_score > 0) AS leads
        FROM generated_domains AS g WHERE g.domain_generation_campaign_id = c.id
    ) AS d
    WHERE c.id = ANY ($1::uuid[]) AND NOT EXISTS (SELECT FROM campaign_metrics_baseline AS b WHERE b.campaign_id = c.id)
      AND EXISTS (SELECT FROM pg_trigger WHERE tgrelid = to_regclass('campaign_metric_changes')
                  AND tgname = 'campaign_metric_changes_fold')
) AS s
"""
# What a look runs into when 000035 takes away what it reads.
OVERTAKEN = (asyncpg.UndefinedColumnError, asyncpg.UndefinedTableError, asyncpg.UndefinedFunctionError)


async def watch_waits(connection: Connection, stopped: asyncio.Event) -> tuple[list[Wait], list[float]]:
    """Look at who waits for us until told to stop."""
    open_waits: dict[tuple[Any, ...], Wait] = {}
    ended: list[Wait] = []
    looks: list[float] = []
    look = await connection.prepare(LOOK)
    while not stopped.is_set():
        now = time.monotonic()
        looks.append(now)
        seen = {}
        for row in await look.fetch(APPLICATION_NAME):
            key = (row["pid"], row["waitstart"], row["query"])
            wait = open_waits.get(key)
            began = wait.began if wait is not None else now
            seen[key] = Wait(
                began=began, seconds=now - began + LOOK_EVERY_SECONDS, writer=row["writer"], mode=row["mode"],
                relation=row["relation"], query=row["query"], blocker=row["blocker"],
            )  # fmt: skip
        ended += [wait for key, wait in open_waits.items() if key not in seen]
        open_waits = seen
        await asyncio.sleep(max(0.0, LOOK_EVERY_SECONDS - (time.monotonic() - now)))
    return ended + list(open_waits.values()), looks


async def check_agreement(connection: Connection, seed: int, stopped: asyncio.Event) -> list[Check]:
    """Look at what must agree until told to stop."""
    random = Random(seed)
    small = [row[0] for row in await connection.fetch(SMALL_CAMPAIGNS, LARGEST_COUNTED)]
    favourites = await _favourites(connection, seed, set(small))
    checks: list[Check] = []
    while not stopped.is_set():
        try:
            checks.append(await _check(connection, random.sample(favourites, min(3, len(favourites)))
                                       + random.sample(small, min(COUNTED_AT_ONCE - 3, len(small)))))  # fmt: skip
        except OVERTAKEN:
            continue
        await asyncio.sleep(CHECK_EVERY_SECONDS)
    return checks


async def _favourites(connection: Connection, seed: int, small: set[UUID]) -> list[UUID]:
    """Those that the writers meet in most often, by the draw that they all make."""
    campaigns = [row[0] for row in await connection.fetch(statements.LIST_CAMPAIGNS)]
    Random(seed).shuffle(campaigns)
    return [campaign for campaign in campaigns[:FAVOURITES] if campaign in small]


async def _check(connection: Connection, drawn: list[UUID]) -> Check:
    found: dict[str, Any] = {}
    examples: list[str] = []
    state = await connection.fetchrow(STATE)
    assert state is not None
    for wanted, query, arguments in ((state["synced"], AGREEMENT, ()), (state["counting"], METRICS, (drawn,))):
        if wanted:
            row = await connection.fetchrow(query, *arguments)
            assert row is not None
            found |= dict(row)
            examples += row["examples"] or []
    names = ("filled", "contradicting", "progress_off", "legacy_off", "counted", "miscounted")
    figures = {name: found.get(name, 0) for name in names}
    return Check(at=time.monotonic(), dual=state["synced"], examples=examples, **figures)


async def main() -> None:
    """Watch until told to stop, then say what was seen."""
    orders = MonitorOrders.model_validate_json(child.read_orders())
    stopped = child.stop_signal()
    database = orders.reach.open()
    async with connect(database) as watching, connect(database) as checking:
        for connection in (watching, checking):
            await connection.execute("SET application_name = 'load monitor'")
        child.say_ready()
        (waits, looks), checks = await asyncio.gather(
            watch_waits(watching, stopped), check_agreement(checking, orders.seed, stopped)
        )
    gaps = [later - sooner for sooner, later in pairwise(looks)] or [0.0]
    result = MonitorResult(
        waits=waits, checks=checks, looks=len(looks), longest_gap=max(gaps), typical_gap=median(gaps)
    )
    Path(orders.output).write_text(result.model_dump_json())


if __name__ == "__main__":
    asyncio.run(main())
