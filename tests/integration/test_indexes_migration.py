"""000036: four indexes, one list, and nothing of somebody else's touched."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

import asyncpg
import pytest

from tasks.core import sql_files
from tasks.core.database import Connection, Database, connect

UP = sql_files.MIGRATIONS / "000036_optimize_phases_indexes.up.sql"
DOWN = sql_files.MIGRATIONS / "000036_optimize_phases_indexes.down.sql"
RunPsql = Callable[..., "subprocess.CompletedProcess[str]"]

ALWAYS = {
    "idx_campaigns_workflow_primary": "campaigns USING btree (current_phase, phase_status, user_id, updated_at)",
    "idx_campaigns_phase_transitions": (
        "campaigns USING btree (current_phase, updated_at DESC) INCLUDE (id, name, phase_status)"
    ),
    "idx_campaigns_user_dashboard": "campaigns USING btree (user_id, phase_status, updated_at DESC)",
    "idx_domains_campaign_validation_primary": (
        "generated_domains USING btree (domain_generation_campaign_id, dns_status, http_status)"
    ),
}


@pytest.fixture
async def contracted_database(legacy_database: Database) -> Database:
    """The small sample after 000035 and before 000036."""
    async with connect(legacy_database) as connection:
        await connection.execute(sql_files.migration(35, "up"))
    return legacy_database


async def objects(connection: Connection) -> set[str]:
    """Every relation, index definition, comment and function of the schema."""
    rows = await connection.fetch("""
        SELECT concat(c.relname, ' ', pg_get_indexdef(c.oid), ' ', obj_description(c.oid, 'pg_class'))
        FROM pg_class AS c
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'i')
        UNION ALL
        SELECT p.oid::regprocedure::text FROM pg_proc AS p WHERE p.pronamespace = 'public'::regnamespace
    """)
    return {row[0] for row in rows}


async def test_the_four_named_indexes_are_there_as_documented(contracted_database: Database) -> None:
    async with connect(contracted_database) as connection:
        await connection.execute(UP.read_text())
        for name, definition in ALWAYS.items():
            found = await connection.fetchval("SELECT pg_get_indexdef($1::text::regclass)", name)
            assert found == f"CREATE INDEX {name} ON public.{definition}"
        listed = await connection.fetch("SELECT * FROM phases_index_definitions()")
        assert set(ALWAYS) <= {row["index_name"] for row in listed}
        for row in listed:
            printed = await connection.fetchval("SELECT pg_get_indexdef($1::text::regclass)", row["index_name"])
            assert printed.replace(" ON public.", " ON ") == row["definition"]
            assert row["purpose"].startswith("phases migration: ")


async def test_no_index_of_ours_holds_a_counter(migrated_database: Database) -> None:
    # An update of a counter would then have to write every index of the table.
    async with connect(migrated_database) as connection:
        definitions = [row[0] for row in await connection.fetch("SELECT definition FROM phases_index_definitions()")]
    on_campaigns = [text.split("(", 1)[1] for text in definitions if " ON campaigns " in text]
    assert on_campaigns
    assert not [text for text in on_campaigns if "domains" in text or "leads" in text or "progress" in text]


async def test_up_and_down_twice_leave_what_was_there(contracted_database: Database, run_psql: RunPsql) -> None:
    async with connect(contracted_database) as connection:
        before = await objects(connection)
        for file in (UP, UP):
            run_psql(contracted_database, file=file)
        migrated = await objects(connection)
        assert before < migrated
        await connection.execute(UP.read_text())
        assert await objects(connection) == migrated
        for file in (DOWN, DOWN):
            run_psql(contracted_database, file=file)
        assert await objects(connection) == before
        for file in (UP, DOWN, DOWN):
            await connection.execute(file.read_text())
        assert await objects(connection) == before


UNIQUE_INDEX = (
    "CREATE UNIQUE INDEX idx_campaigns_workflow_primary ON campaigns (current_phase, phase_status, user_id, updated_at)"
)
INVALID_INDEX = """
    CREATE INDEX idx_campaigns_phase_transitions ON campaigns (current_phase, updated_at DESC);
    UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'idx_campaigns_phase_transitions'::regclass;
"""


@pytest.mark.parametrize(
    ("taken", "name", "complaint"),
    [
        (
            "CREATE INDEX idx_domains_campaign_validation_primary ON generated_domains (dns_status)",
            "idx_domains_campaign_validation_primary",
            "another definition",
        ),
        (UNIQUE_INDEX, "idx_campaigns_workflow_primary", "another definition"),
        ("CREATE VIEW idx_campaigns_user_dashboard AS SELECT 1", "idx_campaigns_user_dashboard", "no index"),
        (INVALID_INDEX, "idx_campaigns_phase_transitions", "invalid"),
    ],
)
async def test_a_taken_name_is_refused_before_the_first_index(
    contracted_database: Database, taken: str, name: str, complaint: str
) -> None:
    async with connect(contracted_database) as connection:
        await connection.execute(taken)
        before = await objects(connection)
        with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError) as refused:
            await connection.execute(UP.read_text())
        assert name in str(refused.value)
        assert complaint in str(refused.value)
        assert await objects(connection) == before


async def test_before_000035_it_is_refused_with_what_lacks(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        before = await objects(connection)
        with pytest.raises(asyncpg.UndefinedColumnError, match=r"lacks campaigns\.current_phase"):
            await connection.execute(UP.read_text())
        assert await objects(connection) == before


async def test_an_index_that_was_there_before_is_used_and_stays(contracted_database: Database) -> None:
    async with connect(contracted_database) as connection:
        await connection.execute(
            "CREATE INDEX idx_campaigns_user_dashboard ON campaigns (user_id, phase_status, updated_at DESC)"
        )
        before = await objects(connection)
        await connection.execute(UP.read_text())
        await connection.execute(DOWN.read_text())
        assert await objects(connection) == before


async def test_what_a_killed_concurrent_build_left_goes_on_the_way_down(contracted_database: Database) -> None:
    async with connect(contracted_database) as connection:
        before = await objects(connection)
        await connection.execute(sql_files.blocks(UP.read_text())["index_definitions"])
        for row in await connection.fetch("SELECT index_name, definition FROM phases_index_definitions() LIMIT 2"):
            await connection.execute(row["definition"])
            if row["index_name"] == "idx_campaigns_workflow_primary":
                await connection.execute(
                    "UPDATE pg_index SET indisvalid = false WHERE indexrelid = $1::text::regclass", row["index_name"]
                )
            else:
                await connection.execute(sql_files.query("save_added_index"), row["index_name"])
        await connection.execute(DOWN.read_text())
        assert await objects(connection) == before


async def test_it_does_not_wait_for_a_lock_without_end(contracted_database: Database) -> None:
    async with connect(contracted_database) as holder, connect(contracted_database) as connection:
        async with holder.transaction():
            await holder.execute("LOCK TABLE campaigns IN ROW EXCLUSIVE MODE")
            await connection.execute("SET lock_timeout = '100ms'")
            with pytest.raises(asyncpg.LockNotAvailableError):
                await connection.execute(UP.read_text())
        await connection.execute(UP.read_text())


async def test_the_maintenance_function_names_what_needs_care(migrated_database: Database) -> None:
    async with connect(migrated_database) as connection:
        await connection.execute("""
            DROP INDEX idx_campaigns_workflow_primary;
            DROP INDEX idx_campaigns_user_dashboard;
            CREATE INDEX idx_campaigns_user_dashboard ON campaigns (user_id);
            CREATE INDEX broken ON campaigns (name);
            CREATE INDEX leftover_ccnew ON campaigns (name);
            UPDATE pg_index SET indisvalid = false WHERE indexrelid IN ('broken'::regclass, 'leftover_ccnew'::regclass);
        """)
        rows = {row["index_name"]: row for row in await connection.fetch("SELECT * FROM maintain_phases_indexes()")}
        assert rows["idx_campaigns_workflow_primary"]["action"] == "missing"
        assert rows["idx_campaigns_user_dashboard"]["action"] == "different"
        assert rows["broken"]["action"] == "invalid"
        assert "REINDEX INDEX CONCURRENTLY public.broken" in rows["broken"]["details"]
        assert "DROP INDEX CONCURRENTLY public.leftover_ccnew" in rows["leftover_ccnew"]["details"]
        assert rows["campaigns_pkey"]["action"] == "kept"
        assert rows["campaigns"]["action"] == rows["generated_domains"]["action"] == "analyzed"
        assert not await connection.fetchval("SELECT indisvalid FROM pg_index WHERE indexrelid = 'broken'::regclass")


async def test_a_role_that_may_not_analyze_is_told_so(migrated_database: Database) -> None:
    async with connect(migrated_database) as connection:
        await connection.execute("""
            GRANT EXECUTE ON FUNCTION maintain_phases_indexes(), phases_index_definitions() TO campaign_reader;
            GRANT SELECT ON phases_index_performance TO campaign_reader;
            SET ROLE campaign_reader;
        """)
        rows = {row["index_name"]: row for row in await connection.fetch("SELECT * FROM maintain_phases_indexes()")}
        assert rows["campaigns"]["action"] == "not analyzed"
        assert "owner" in rows["campaigns"]["details"]


async def test_nothing_is_granted_to_everybody(migrated_database: Database) -> None:
    async with connect(migrated_database) as connection:
        for function in ("maintain_phases_indexes()", "phases_index_definitions()"):
            assert not await connection.fetchval(
                "SELECT EXISTS (SELECT FROM pg_proc, aclexplode(coalesce(proacl, acldefault('f', proowner))) AS a"
                " WHERE pg_proc.oid = $1::text::regprocedure AND a.grantee = 0)",
                function,
            )


async def test_the_view_has_a_row_for_each_index_of_both_tables(migrated_database: Database) -> None:
    async with connect(migrated_database) as connection:
        rows = await connection.fetch("SELECT * FROM phases_index_performance")
        there = await connection.fetchval(
            "SELECT count(*) FROM pg_index WHERE indrelid IN ('campaigns'::regclass, 'generated_domains'::regclass)"
        )
    assert len(rows) == there
    ours = {row["index_name"]: row for row in rows if row["index_name"] in ALWAYS}
    assert set(ours) == set(ALWAYS)
    assert all(row["is_valid"] and row["bytes"] > 0 and row["scans"] is not None for row in ours.values())
    assert {row["table_name"] for row in rows} == {"campaigns", "generated_domains"}


async def test_partitions_are_looked_after_too(contracted_database: Database) -> None:
    async with connect(contracted_database) as connection:
        await connection.execute("""
            ALTER TABLE generated_domains RENAME TO old_domains;
            CREATE TABLE generated_domains (LIKE old_domains INCLUDING DEFAULTS) PARTITION BY HASH (id);
            CREATE TABLE domains_0 PARTITION OF generated_domains FOR VALUES WITH (MODULUS 2, REMAINDER 0);
            CREATE TABLE domains_1 PARTITION OF generated_domains FOR VALUES WITH (MODULUS 2, REMAINDER 1);
            INSERT INTO generated_domains SELECT * FROM old_domains;
        """)
        for _ in range(2):
            await connection.execute(UP.read_text())
        rows = await connection.fetch("SELECT table_name FROM phases_index_performance WHERE table_name ~ 'domains'")
        assert {row[0] for row in rows} == {"generated_domains", "domains_0", "domains_1"}
        found = {
            row["index_name"]: row["action"]
            for row in await connection.fetch("SELECT * FROM maintain_phases_indexes()")
        }
        assert found["idx_domains_campaign_validation_primary"] in {"kept", "unused"}
        assert found["generated_domains"] == "analyzed"
        await connection.execute(DOWN.read_text())
        assert await connection.fetchval("SELECT count(*) FROM pg_index WHERE indrelid = 'domains_0'::regclass") == 0
