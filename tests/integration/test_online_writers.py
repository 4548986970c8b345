"""What writers meet while both models live and at the moment of their commit, one situation at a time."""

from __future__ import annotations

import asyncio
import uuid

import asyncpg
import pytest

from tasks.core import sql_files, toolkit
from tasks.core.database import Connection, Database, connect
from tests.load.recount import LEFT_OVER, WRONG_METRICS

INSERT = """
INSERT INTO generated_domains (domain_generation_campaign_id, domain_name, dns_status)
SELECT $1, $2 || '-' || n, 'ok' FROM generate_series(1, 3) AS n
"""
# Before the server looks for deadlocks, which it does after a second.
AT_ONCE_SECONDS = 0.9


async def assert_exact(connection: Connection) -> None:
    row = await connection.fetchrow(WRONG_METRICS)
    assert row is not None
    assert row["wrong"] == 0
    assert await connection.fetchval(LEFT_OVER) == 0


async def two_campaigns(connection: Connection) -> tuple[uuid.UUID, uuid.UUID]:
    """In the order in which they are folded."""
    one, two = await connection.fetch("SELECT id FROM campaigns ORDER BY id LIMIT 2")
    return one["id"], two["id"]


async def expand(connection: Connection) -> None:
    """Both models live, and no metrics yet."""
    await toolkit.install(connection)
    await connection.execute("SELECT migration_backup_campaigns(), migration_find_inverse_mappings()")
    await connection.execute("SELECT migration_prepare_sync()")
    await connection.execute("SELECT migration_expand_columns(), migration_install_sync()")


async def test_who_writes_domains_lets_a_holder_of_campaigns_pass_instead_of_deadlocking(
    migrated_database: Database,
) -> None:
    async with connect(migrated_database) as holder, connect(migrated_database) as writer:
        one, two = await two_campaigns(holder)
        await holder.execute("BEGIN")
        await holder.execute("UPDATE campaigns SET name = name || '!' WHERE id = $1", two)
        await writer.execute("BEGIN")
        for campaign in (one, two):
            await writer.execute(INSERT, campaign, "writer")
        commit = asyncio.create_task(writer.execute("COMMIT"))
        await asyncio.sleep(0.2)
        assert not commit.done()
        await holder.execute(INSERT, one, "holder")
        await asyncio.wait_for(holder.execute("COMMIT"), AT_ONCE_SECONDS)
        await asyncio.wait_for(commit, AT_ONCE_SECONDS)
        await assert_exact(holder)


async def test_a_lock_timeout_of_the_application_still_ends_the_wait_for_a_campaign(
    migrated_database: Database,
) -> None:
    async with connect(migrated_database) as holder, connect(migrated_database) as writer:
        one, two = await two_campaigns(holder)
        await writer.execute("SET lock_timeout = '150ms'")
        async with holder.transaction():
            await holder.execute("UPDATE campaigns SET name = name || '!' WHERE id = $1", two)
            await writer.execute("BEGIN")
            for campaign in (one, two):
                await writer.execute(INSERT, campaign, "writer")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await writer.execute("COMMIT")
        await assert_exact(holder)


async def test_a_campaign_created_while_the_metrics_are_being_set_up_is_counted(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        await expand(connection)
        await connection.execute("SELECT migration_mark_uncounted()")
        campaign = await connection.fetchval(
            "INSERT INTO campaigns (name, user_id) SELECT 'late', user_id FROM campaigns LIMIT 1 RETURNING id"
        )
        await connection.execute(INSERT, campaign, "early")
        await connection.execute("SELECT migration_install_metrics()")
        await connection.execute(INSERT, campaign, "late")
        await connection.execute("SELECT migration_count_metrics()")
        await connection.execute("SELECT migration_fill_batch(NULL, 1000, '')")
        await assert_exact(connection)
        assert await connection.fetchval("SELECT domains FROM campaigns WHERE id = $1", campaign) == 6


async def test_a_campaign_that_a_phases_writer_set_up_does_not_hold_up_the_contract(legacy_database: Database) -> None:
    """The legacy type of setup is domain_generation, which by itself maps to generation."""
    async with connect(legacy_database) as connection:
        await connection.execute(sql_files.script("migrate-campaign-data"))
        campaign = await connection.fetchval("SELECT id FROM campaigns WHERE campaign_type = 'dns_validation' LIMIT 1")
        await connection.execute("UPDATE campaigns SET current_phase = 'setup' WHERE id = $1", campaign)
        created = await connection.fetchval(
            "INSERT INTO campaigns (name, user_id, current_phase, phase_status)"
            " SELECT 'new', user_id, 'setup', 'not_started' FROM campaigns LIMIT 1 RETURNING id"
        )
        types = "SELECT DISTINCT campaign_type FROM campaigns WHERE id = ANY ($1::uuid[])"
        assert await connection.fetchval(types, [campaign, created]) == "domain_generation"
        await connection.execute(sql_files.migration(35, "up"))
        kept = await connection.fetch("SELECT current_phase FROM campaigns WHERE id IN ($1, $2)", campaign, created)
        assert [row["current_phase"] for row in kept] == ["setup", "setup"]


async def test_setup_on_a_generation_campaign_before_the_migration_is_still_a_question(
    legacy_database: Database,
) -> None:
    async with connect(legacy_database) as connection:
        await connection.execute("ALTER TABLE campaigns ADD COLUMN current_phase text, ADD COLUMN phase_status text")
        await connection.execute(
            "UPDATE campaigns SET current_phase = 'setup' WHERE campaign_type = 'domain_generation'"
        )
        with pytest.raises(asyncpg.CheckViolationError, match="contradict"):
            await connection.execute(sql_files.script("migrate-campaign-data"))


def test_a_trigger_function_that_runs_with_rights_of_its_owner_has_its_search_path_from_the_start() -> None:
    """By psql each statement commits by itself: a second run must not leave a trigger at work without one."""
    statements = sql_files.statements(sql_files.blocks(sql_files.script("migrate-campaign-data"))["toolkit"])
    definers = [
        statement for statement in statements if "RETURNS trigger" in statement and "SECURITY DEFINER" in statement
    ]
    assert len(definers) >= 6
    for statement in definers:
        assert "SET search_path" in statement.partition("$function$")[0] or "migration_keep_legacy_values" in statement
