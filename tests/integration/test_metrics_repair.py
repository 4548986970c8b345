"""Metrics against a recount: what wrote past the triggers is found, and on request repaired, with writers at work."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from tasks.core import errors, run
from tasks.core.database import Database, connect
from tasks.core.metrics import MetricsReport, recount
from tasks.core.progress import unheard
from tasks.core.settings import LockLimits
from tasks.core.upkeep_settings import MaintainParameters
from tests.kill.picture import RECOUNT

LIMITS = LockLimits()
PAST_THE_TRIGGERS = """
SET session_replication_role = replica;
UPDATE generated_domains SET dns_status = 'ok' WHERE dns_status IS DISTINCT FROM 'ok'
    AND domain_generation_campaign_id IN (SELECT id FROM campaigns WHERE domains > 1 ORDER BY id LIMIT 2);
DELETE FROM generated_domains WHERE id = (
    SELECT max(id::text)::uuid FROM generated_domains WHERE domain_generation_campaign_id = (
        SELECT id FROM campaigns WHERE domains > 1 ORDER BY id LIMIT 1));
RESET session_replication_role;
"""
OTHERS = (
    "SELECT md5(string_agg((to_jsonb(c) - '{domains,dns_validated_domains,http_validated_domains,leads}'::text[])::text, ';'"
    " ORDER BY c.id)) FROM campaigns AS c"
)


async def recounted(database: Database, *, repair: bool, limits: LockLimits = LIMITS) -> MetricsReport:
    run_id = str(uuid.uuid4())
    async with run.exclusive_run(database, "public", MaintainParameters(), run_id, "test"):
        return await recount(database, "public", run_id, limits, unheard, repair=repair)


async def test_what_wrote_past_the_triggers_is_named_and_on_request_repaired(migrated_database: Database) -> None:
    clean = await recounted(migrated_database, repair=True)
    assert (clean.found, clean.repaired, clean.summary) == ([], [], "All metrics equal a recount.")
    async with connect(migrated_database) as connection:
        await connection.execute(PAST_THE_TRIGGERS)
        others, wrong = await connection.fetchval(OTHERS), await connection.fetchval(RECOUNT)
        assert wrong > 0

        named = await recounted(migrated_database, repair=False)
        assert len(named.found) == wrong
        assert named.repaired == []
        assert "domains" in named.found[0].apart
        assert named.summary.endswith("--repair-metrics writes it.")
        assert await connection.fetchval(RECOUNT) == wrong

        mended = await recounted(migrated_database, repair=True)
        assert mended.found == named.found == mended.repaired
        assert await connection.fetchval(RECOUNT) == 0
        assert await connection.fetchval(OTHERS) == others  # updated_at, progress and all that is not a metric
        lines = await connection.fetch("SELECT detail FROM migration_ledger WHERE step = 'metrics'")
        assert [line["detail"] for line in lines] == [str(one) for one in mended.repaired]


async def test_writers_at_work_lose_nothing_to_a_repair(migrated_database: Database) -> None:
    async with connect(migrated_database) as connection, connect(migrated_database) as writer:
        await connection.execute(PAST_THE_TRIGGERS)
        touched = await connection.fetchval("SELECT id FROM campaigns WHERE domains > 1 ORDER BY id LIMIT 1")
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute(
            "DELETE FROM generated_domains WHERE id ="
            " (SELECT id FROM generated_domains WHERE domain_generation_campaign_id = $1 LIMIT 1)",
            touched,
        )
        # Not committed: it is still counted, and its difference is folded at the commit.
        assert len((await recounted(migrated_database, repair=True)).repaired) > 0
        await transaction.commit()
        assert await connection.fetchval(RECOUNT) == 0


async def test_a_campaign_that_stays_locked_is_waited_for_and_then_named(migrated_database: Database) -> None:
    async with connect(migrated_database) as connection, connect(migrated_database) as holder:
        await connection.execute(PAST_THE_TRIGGERS)
        wrong = await connection.fetchval(RECOUNT)
        transaction = holder.transaction()
        await transaction.start()
        await holder.execute("UPDATE campaigns SET name = name WHERE domains > 1")
        with pytest.raises(errors.LockNotGranted, match="The repair of campaign"):
            await recounted(
                migrated_database, repair=True, limits=LockLimits(lock_timeout_ms=20, lock_wait_limit_seconds=0.5)
            )
        repair = asyncio.create_task(recounted(migrated_database, repair=True))
        await asyncio.sleep(0.5)
        await transaction.rollback()
        assert len((await repair).repaired) == wrong
        assert await connection.fetchval(RECOUNT) == 0


async def test_metrics_that_this_migration_does_not_keep_are_not_repaired(legacy_database: Database) -> None:
    with pytest.raises(errors.NotMigrated, match="metrics of this migration"):
        await recounted(legacy_database, repair=True)
