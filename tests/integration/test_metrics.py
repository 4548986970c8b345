"""The metrics equal a recount at every commit, under every kind of write, and touch nothing else."""

from __future__ import annotations

import asyncio
import random
import uuid

import asyncpg
import pytest

from tasks.core import sql_files
from tasks.core.database import Connection, Database, connect

RECOUNT = """
SELECT c.id::text, c.domains, c.dns_validated_domains, c.http_validated_domains, c.leads,
       coalesce(d.domains, 0), coalesce(d.dns, 0), coalesce(d.http, 0), coalesce(d.leads, 0)
FROM campaigns AS c LEFT JOIN (
    SELECT domain_generation_campaign_id AS id, count(*) AS domains, count(*) FILTER (WHERE dns_status = 'ok') AS dns,
           count(*) FILTER (WHERE http_status = 'ok') AS http, count(*) FILTER (WHERE lead_score > 0) AS leads
    FROM generated_domains GROUP BY 1
) AS d USING (id)
WHERE (c.domains, c.dns_validated_domains, c.http_validated_domains, c.leads)
    IS DISTINCT FROM (coalesce(d.domains, 0), coalesce(d.dns, 0), coalesce(d.http, 0), coalesce(d.leads, 0))
"""
INSERT = """
INSERT INTO generated_domains (id, domain_generation_campaign_id, domain_name, offset_index, dns_status, http_status, lead_score)
SELECT gen_random_uuid(), $1, $2 || n, n, $3, $4, $5 FROM generate_series(1, $6::integer) AS n
"""


async def assert_exact(connection: Connection) -> None:
    wrong = await connection.fetch(RECOUNT)
    assert not wrong, [tuple(row) for row in wrong[:3]]
    assert await connection.fetchval("SELECT count(*) FROM campaign_metric_changes") == 0
    assert await connection.fetchval("SELECT count(*) FROM campaign_metrics_baseline") == 0


@pytest.fixture
async def migrated(legacy_database: Database) -> Database:
    async with connect(legacy_database) as connection:
        await connection.execute(sql_files.migration(35, "up"))
    return legacy_database


async def test_every_kind_of_write_keeps_the_metrics_exact(migrated: Database) -> None:
    async with connect(migrated) as connection:
        await assert_exact(connection)
        one, two = [row[0] for row in await connection.fetch("SELECT id FROM campaigns ORDER BY domains DESC LIMIT 2")]
        await connection.execute(INSERT, one, "insert", "ok", "ok", 5, 500)
        await assert_exact(connection)
        await connection.copy_records_to_table(
            "generated_domains",
            records=[(uuid.uuid4(), two, f"copy{n}", n, "ok") for n in range(300)],
            columns=["id", "domain_generation_campaign_id", "domain_name", "offset_index", "dns_status"],
        )
        await assert_exact(connection)
        await connection.execute(
            "UPDATE generated_domains SET dns_status = 'error', lead_score = 0 WHERE domain_name LIKE 'insert1%'"
        )
        await connection.execute(
            "UPDATE generated_domains SET http_title = 'no metric' WHERE domain_name LIKE 'insert2%'"
        )
        await assert_exact(connection)
        await connection.execute(
            "UPDATE generated_domains SET domain_generation_campaign_id = $1 WHERE domain_name LIKE 'insert3%'", two
        )
        await assert_exact(connection)
        await connection.execute(
            "INSERT INTO generated_domains (id, domain_generation_campaign_id, domain_name, http_status)"
            " SELECT gen_random_uuid(), domain_generation_campaign_id, domain_name, 'ok' FROM generated_domains"
            " WHERE domain_name LIKE 'copy%' UNION ALL SELECT gen_random_uuid(), $1, 'fresh', 'ok'"
            " ON CONFLICT (domain_generation_campaign_id, domain_name) DO UPDATE SET http_status = excluded.http_status",
            one,
        )
        await assert_exact(connection)
        if connection.get_server_version().major >= 15:
            await connection.execute(
                "MERGE INTO generated_domains AS d"
                " USING (SELECT $1::uuid AS c, 'copy' || n AS name FROM generate_series(1, 400) AS n) AS s"
                " ON d.domain_generation_campaign_id = s.c AND d.domain_name = s.name"
                " WHEN MATCHED AND d.offset_index < 100 THEN DELETE WHEN MATCHED THEN UPDATE SET lead_score = 9"
                " WHEN NOT MATCHED THEN INSERT (id, domain_generation_campaign_id, domain_name)"
                " VALUES (gen_random_uuid(), s.c, s.name)",
                two,
            )
            await assert_exact(connection)
        await connection.execute("DELETE FROM generated_domains WHERE domain_name LIKE 'insert%'")
        await assert_exact(connection)
        await connection.execute("DELETE FROM campaigns WHERE id = $1", one)
        await assert_exact(connection)
        await connection.execute("TRUNCATE generated_domains CASCADE")
        await assert_exact(connection)
        async with connection.transaction():
            await connection.execute(INSERT, two, "again", "ok", None, None, 10)
            await connection.execute("TRUNCATE generated_domains CASCADE")
            await connection.execute(INSERT, two, "after", "ok", None, None, 7)
        await assert_exact(connection)
        assert await connection.fetchval("SELECT domains FROM campaigns WHERE id = $1", two) == 7


async def test_savepoints_and_failures_leave_no_difference_behind(migrated: Database) -> None:
    async with connect(migrated) as connection:
        campaign = await connection.fetchval("SELECT id FROM campaigns ORDER BY id LIMIT 1")
        async with connection.transaction():
            await connection.execute(INSERT, campaign, "kept", "ok", None, None, 3)
            savepoint = connection.transaction()
            await savepoint.start()
            await connection.execute(INSERT, campaign, "lost", "ok", None, None, 5)
            with pytest.raises(asyncpg.UniqueViolationError):
                await connection.execute(INSERT, campaign, "kept", "ok", None, None, 3)
            await savepoint.rollback()
        await assert_exact(connection)


async def test_a_change_of_metrics_touches_no_other_value(migrated: Database) -> None:
    ours = "domains|leads|dns_validated_domains|http_validated_domains"
    state = (
        f"SELECT id, to_jsonb(c) - '{{{ours.replace('|', ',')}}}'::text[] AS rest, xmin FROM campaigns AS c ORDER BY id"
    )
    async with connect(migrated) as connection:
        before = await connection.fetch(state)
        await connection.execute("UPDATE generated_domains SET dns_status = 'ok', http_status = 'ok', lead_score = 3")
        after = await connection.fetch(state)
        assert [row["rest"] for row in before] == [row["rest"] for row in after]
        assert [row["xmin"] for row in before] != [row["xmin"] for row in after]
        await connection.execute("UPDATE campaigns SET name = name || '!'")
        assert (
            await connection.fetchval("SELECT count(*) FROM campaigns WHERE updated_at > now() - interval '1 minute'")
            > 0
        )


async def test_a_role_that_may_only_write_domains_still_can(migrated: Database) -> None:
    async with connect(migrated) as connection:
        campaign = await connection.fetchval("SELECT id FROM campaigns ORDER BY id LIMIT 1")
        role = f"writer_{uuid.uuid4().hex[:8]}"
        await connection.execute(f"CREATE ROLE {role}; GRANT INSERT ON generated_domains TO {role}")
        try:
            await connection.execute(f"SET ROLE {role}; SET search_path = pg_catalog")
            await connection.execute(
                INSERT.replace("INTO generated", "INTO public.generated"), campaign, "r", "ok", None, None, 2
            )
            await connection.execute("RESET ROLE; RESET search_path")
            await assert_exact(connection)
        finally:
            await connection.execute(f"RESET ROLE; DROP OWNED BY {role}; DROP ROLE {role}")


async def test_writers_in_opposite_orders_do_not_deadlock(migrated: Database) -> None:
    async with connect(migrated) as connection:
        campaigns = [row[0] for row in await connection.fetch("SELECT id FROM campaigns ORDER BY id LIMIT 6")]

    async def write(seed: int) -> None:
        order = random.Random(seed)
        async with connect(migrated) as connection:
            for turn in range(25):
                async with connection.transaction():
                    for campaign in order.sample(campaigns, 3):
                        await connection.execute(INSERT, campaign, f"s{seed}t{turn}c", "ok", None, 1, 2)
                        await connection.execute(
                            "UPDATE generated_domains SET http_status = 'ok' WHERE domain_name LIKE $1",
                            f"s{seed}t{turn}c%",
                        )

    await asyncio.gather(*(write(seed) for seed in range(6)))
    async with connect(migrated) as connection:
        await assert_exact(connection)
