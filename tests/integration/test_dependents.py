"""Readers of the legacy columns go on reading them, with the same answers, through the contract and back."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from typing import Any

import asyncpg
import pytest

from tasks.core import core_migrations, errors, rollback, run, sql_files, transform
from tasks.core.database import Connection, Database, connect
from tasks.core.progress import unheard
from tasks.core.settings import MigrateParameters, RollbackParameters
from tests.schema_dump import schema_dump

PLANTED = sql_files.SQL_DIRECTORY / "sample" / "plant_readers.sql"
QUESTIONS = {
    "running_campaigns": "SELECT * FROM running_campaigns ORDER BY id",
    "running_campaign_counts": "SELECT * FROM running_campaign_counts ORDER BY user_id",
    "campaign_api": "SELECT * FROM campaign_api ORDER BY id",
    "campaign_documents": "SELECT * FROM campaign_documents ORDER BY id",
    "campaign_statistics": "SELECT * FROM campaign_statistics ORDER BY 1, 2",
    "campaign_statistics_top": "SELECT * FROM campaign_statistics_top ORDER BY 1, 2",
    "count_running": "SELECT count_running()",
}
SHAPES = """
SELECT c.relname, a.attname, a.attnum, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum)
FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0
WHERE c.relname ~ '^(running_|campaign_api|campaign_doc|campaign_stat)' ORDER BY 1, 3
"""
RIGHTS = """
SELECT c.relname, pg_get_userbyid(c.relowner), c.relacl::text, c.reloptions::text, c.relispopulated, obj_description(c.oid)
FROM pg_class AS c WHERE c.relname ~ '^(running_|campaign_api|campaign_doc|campaign.stat)' ORDER BY 1
"""


@pytest.fixture
async def with_readers(legacy_database: Database) -> Database:
    async with connect(legacy_database) as connection:
        await connection.execute(PLANTED.read_text())
        await connection.execute("REFRESH MATERIALIZED VIEW campaign_statistics")
        if connection.get_server_version().major >= 15:
            await connection.execute(
                "CREATE PUBLICATION some_columns FOR TABLE campaigns (id, name, status) WHERE (id IS NOT NULL)"
            )
    return legacy_database


async def migrate(database: Database) -> None:
    parameters, run_id = MigrateParameters(mode="apply"), str(uuid.uuid4())
    async with run.exclusive_run(database, "public", parameters, run_id, "test"):
        await transform.transform(database, parameters, run_id, unheard)
        await core_migrations.apply_core_migrations(database, parameters, run_id, unheard)


async def go_back(database: Database) -> None:
    parameters, run_id = RollbackParameters(mode="apply", confirm=database.database), str(uuid.uuid4())
    async with run.exclusive_run(database, "public", parameters, run_id, "test"):
        await rollback.roll_back(database, parameters, run_id, unheard)


async def answers(connection: Connection) -> dict[str, Any]:
    return {name: [tuple(row) for row in await connection.fetch(question)] for name, question in QUESTIONS.items()}


async def facts(connection: Connection, query: str) -> list[tuple[Any, ...]]:
    return [tuple(row) for row in await connection.fetch(query)]


def dump(database: Database) -> list[str]:
    ours = re.compile(r"campaigns_backup_000035|campaigns_pre_\w+_backup|migration_(runs|ledger|approvals)")
    entries = [entry for entry in re.split(r"\n--\n-- Name: ", schema_dump(database)) if not ours.search(entry)]
    return sorted(line.rstrip(",") for entry in entries for line in entry.splitlines())


async def test_every_reader_answers_as_before_and_comes_back_as_it_was(with_readers: Database) -> None:
    schema = dump(with_readers)
    async with connect(with_readers) as connection:
        before, shapes, rights = (
            await answers(connection), await facts(connection, SHAPES), await facts(connection, RIGHTS),
        )  # fmt: skip
    await migrate(with_readers)
    async with connect(with_readers) as connection:
        assert await answers(connection) == before
        assert await facts(connection, SHAPES) == shapes
        assert await facts(connection, RIGHTS) == rights
        await connection.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY campaign_statistics")
        assert await answers(connection) == before
        await connection.execute("SET ROLE campaign_reader")
        assert await connection.fetch("SELECT * FROM campaign_api LIMIT 1")
        assert await connection.fetchval("SELECT count(*) FROM campaign_jobs") >= 0
    await go_back(with_readers)
    async with connect(with_readers) as connection:
        assert await answers(connection) == before
    assert dump(with_readers) == schema


async def test_the_api_answers_queued_with_queued_until_the_phase_status_changes(with_readers: Database) -> None:
    await migrate(with_readers)
    async with connect(with_readers) as connection:
        row = await connection.fetchrow("SELECT id FROM campaign_api WHERE \"campaignStatus\" = 'queued' LIMIT 1")
        assert row is not None
        read = 'SELECT "campaignStatus" FROM campaign_api WHERE id = $1'
        await connection.execute("UPDATE campaigns SET phase_status = 'in_progress' WHERE id = $1", row["id"])
        assert await connection.fetchval(read, row["id"]) == "running"
        await connection.execute("UPDATE campaigns SET phase_status = 'not_started' WHERE id = $1", row["id"])
        assert await connection.fetchval(read, row["id"]) == "queued"


async def test_a_trigger_on_status_fires_on_the_phase_status(with_readers: Database) -> None:
    await migrate(with_readers)
    async with connect(with_readers) as connection:
        heard: list[str] = []
        await connection.add_listener("campaign_status", lambda *message: heard.append(message[-1]))
        one = await connection.fetchval("SELECT id FROM campaigns WHERE phase_status = 'paused' LIMIT 1")
        await connection.execute("UPDATE campaigns SET phase_status = 'completed' WHERE id = $1", one)
        await connection.execute("UPDATE campaigns SET name = name || '!' WHERE id = $1", one)
        await connection.fetchval("SELECT 1")
        assert heard == [str(one)]


@pytest.mark.parametrize(
    ("statement", "named", "why"),
    [
        (
            (
                "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN PERFORM NEW.status; RETURN NULL; END';"
                "CREATE TRIGGER reads_it AFTER UPDATE OF status ON campaigns FOR EACH ROW EXECUTE FUNCTION f()"
            ),
            "reads_it",
            "every write would fail",
        ),
        (
            (
                "CREATE FUNCTION running() RETURNS SETOF campaigns LANGUAGE sql AS 'SELECT * FROM campaigns';"
                "CREATE VIEW of_function AS SELECT r.id, r.status FROM running() AS r"
            ),
            "of_function",
            "depend on the legacy columns",
        ),
    ],
)
async def test_what_cannot_be_kept_says_why(
    legacy_database: Database, statement: str, named: str, why: str, sample_factory: Callable[..., Any]
) -> None:
    async with connect(legacy_database) as connection:
        await connection.execute(statement)
    with pytest.raises(errors.MigrationToolError, match=named) as refused:
        await migrate(legacy_database)
    assert why in str(refused.value)


async def test_a_kill_between_two_moves_is_gone_on_from(with_readers: Database) -> None:
    schema = dump(with_readers)
    parameters, run_id = MigrateParameters(mode="apply"), str(uuid.uuid4())
    async with connect(with_readers) as connection:
        before = await answers(connection)
    async with run.exclusive_run(with_readers, "public", parameters, run_id, "test"):
        await transform.transform(with_readers, parameters, run_id, unheard)
        with pytest.MonkeyPatch.context() as patch:
            moved = 0

            def stop(what: str, done: int, total: int | None) -> None:
                nonlocal moved
                moved += 1
                if "dependents" in what and done == 3:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                await core_migrations.apply_core_migrations(with_readers, parameters, run_id, stop)
            patch.undo()
    async with connect(with_readers) as connection:
        assert await answers(connection) == before
    await migrate(with_readers)
    async with connect(with_readers) as connection:
        assert await answers(connection) == before
    await go_back(with_readers)
    assert dump(with_readers) == schema


ROW_SECURITY = """
REVOKE SELECT (id, name, campaign_type, status, created_at, updated_at) ON campaigns FROM campaign_reader;
ALTER TABLE campaigns ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON campaigns FOR SELECT TO campaign_app USING (status <> 'archived');
ALTER TABLE campaign_events ENABLE ROW LEVEL SECURITY;
CREATE POLICY of_queued ON campaign_events USING (campaign_id IN (SELECT id FROM campaigns WHERE status = 'queued'));
CREATE VIEW by_owner AS SELECT id, status FROM campaigns;
CREATE VIEW by_reader WITH (security_invoker) AS SELECT id, status FROM campaigns;
GRANT SELECT ON by_owner, by_reader TO campaign_app, campaign_reader;
CREATE FUNCTION count_archived() RETURNS bigint LANGUAGE sql BEGIN ATOMIC
    SELECT count(*) FROM campaigns WHERE status = 'archived';
END;
"""
AS_APP = [
    "SELECT * FROM by_owner ORDER BY id", "SELECT * FROM by_reader ORDER BY id", "SELECT count_archived()",
    "SELECT id FROM campaign_events ORDER BY id", "SELECT count(*) FROM campaigns",
]  # fmt: skip


async def test_nobody_reads_more_or_less_than_row_level_security_lets_him(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        if connection.get_server_version().major < 15:
            pytest.skip("needs views with security_invoker, which came with PostgreSQL 15")
        await connection.execute(ROW_SECURITY)
    schema = dump(legacy_database)

    async def seen() -> list[Any]:
        async with connect(legacy_database) as connection:
            await connection.execute("SET ROLE campaign_app")
            found = [await facts(connection, question) for question in AS_APP]
            await connection.execute("SET ROLE campaign_reader")
            return [*found, await facts(connection, AS_APP[0])]

    before = await seen()
    await migrate(legacy_database)
    assert await seen() == before
    async with connect(legacy_database) as connection:
        for hidden in ("campaigns_with_legacy_columns", "migration_legacy_values"):
            assert not await connection.fetchval("SELECT has_table_privilege('campaign_app', $1, 'SELECT')", hidden)
    await go_back(legacy_database)
    assert await seen() == before
    assert dump(legacy_database) == schema


async def test_who_may_read_some_columns_reads_no_more_through_the_compatibility_view(with_readers: Database) -> None:
    await migrate(with_readers)
    async with connect(with_readers) as connection:
        await connection.execute("SET ROLE campaign_reader")
        assert await connection.fetch("SELECT id, status FROM campaigns_with_legacy_columns LIMIT 1")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await connection.fetch("SELECT metadata FROM campaigns_with_legacy_columns")
