"""The metrics equal a recount at every commit, under every kind of write, and touch nothing else."""

from __future__ import annotations

import asyncio
import random
import uuid
from collections.abc import Callable

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.core import sql_files, toolkit
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


WRITES = st.lists(
    st.tuples(
        st.sampled_from(["insert", "update", "move", "delete", "upsert", "status", "campaign", "drop campaign"]),
        st.integers(0, 5), st.integers(0, 5), st.sampled_from([None, "ok", "pending", "error"]), st.integers(0, 3),
    ),
    min_size=4, max_size=25,
)  # fmt: skip


@settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
@given(writes=WRITES, cut=st.integers(0, 6), data=st.data())
def test_random_writes_interleaved_with_the_transform_stay_exact(
    server: Database,
    sample_factory: Callable[..., object],
    legacy_database: Database,
    writes: object,
    cut: int,
    data: object,
) -> None:
    """Each step of the migration runs between two random writes, some of them inside an open transaction."""
    asyncio.run(_interleave(legacy_database, writes, cut))  # type: ignore[arg-type]  # hypothesis hands out object


async def _interleave(database: Database, writes: list[tuple[str, int, int, str | None, int]], cut: int) -> None:
    blocks = sql_files.blocks(sql_files.script("migrate-campaign-data"))
    steps = [
        "".join(blocks[name] for name in toolkit.BLOCKS),
        "SELECT migration_backup_campaigns(); SELECT migration_find_inverse_mappings()",
        "SELECT migration_expand_columns(), migration_install_sync()",
        "SELECT migration_install_metrics()",
        "SELECT migration_count_metrics()",
        "SELECT migration_fill_batch(NULL, 7, '')",
        "SELECT migration_transform()",
        sql_files.migration(35, "up"),
    ]
    async with connect(database) as writer, connect(database) as migrator:
        await migrator.execute("SET lock_timeout = '2s'")
        for number, write in enumerate(writes):
            await _write(writer, *write)
            if number >= cut and steps:
                await migrator.execute(steps.pop(0))
                if not steps:
                    break
        # What the random writes left over, and then the phases-only model goes on being written to.
        for step in steps:
            await migrator.execute(step)
        await assert_exact(migrator)
        for write in writes:
            if write[0] != "status":
                await _write(writer, *write)
        await assert_exact(migrator)
        await migrator.execute(sql_files.migration(35, "down"))


async def _write(connection: Connection, kind: str, a: int, b: int, value: str | None, score: int) -> None:
    ids = [row[0] for row in await connection.fetch("SELECT id FROM campaigns ORDER BY id LIMIT 6")]
    one, two, name = ids[a % len(ids)], ids[b % len(ids)], uuid.uuid4().hex[:8]
    if kind == "insert":
        await connection.execute(INSERT, one, name, value, value, score, 1 + b)
    elif kind == "update":
        await connection.execute(
            "UPDATE generated_domains SET dns_status = $2, lead_score = $3 WHERE domain_generation_campaign_id = $1",
            one,
            value,
            score,
        )
    elif kind == "move":
        await connection.execute(
            "UPDATE generated_domains SET domain_generation_campaign_id = $2, domain_name = domain_name || $3"
            " WHERE id IN (SELECT id FROM generated_domains WHERE domain_generation_campaign_id = $1 LIMIT 9)",
            one, two, name,
        )  # fmt: skip
    elif kind == "delete":
        await connection.execute(
            "DELETE FROM generated_domains WHERE domain_generation_campaign_id = $1 AND dns_status IS NOT DISTINCT FROM $2",
            one,
            value,
        )
    elif kind == "upsert":
        async with connection.transaction():
            await connection.execute(INSERT, one, "same", value, None, score, 1)
            await connection.execute(
                "INSERT INTO generated_domains (id, domain_generation_campaign_id, domain_name, http_status)"
                " VALUES (gen_random_uuid(), $1, 'same1', 'ok') ON CONFLICT (domain_generation_campaign_id, domain_name)"
                " DO UPDATE SET http_status = 'ok', domain_name = generated_domains.domain_name || $2",
                one, name,
            )  # fmt: skip
    elif kind == "status":
        await connection.execute("UPDATE campaigns SET progress_percentage = $2 WHERE id = $1", one, float(score))
    elif kind == "campaign":
        await connection.execute(
            "INSERT INTO campaigns (name, user_id) SELECT $1, user_id FROM campaigns LIMIT 1", name
        )
    elif len(ids) > 3:
        await connection.execute("DELETE FROM campaigns WHERE id = $1", one)
