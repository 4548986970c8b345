"""Indexes that grew while domain statuses were settled are built anew, once, and an interrupted rebuild leaves nothing."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tasks.core import core_migrations, errors, indexes, rebuilds, rollback, run, sql_files, transform
from tasks.core import plan as plans
from tasks.core.database import Connection, Database, connect
from tasks.core.progress import unheard
from tasks.core.settings import MigrateParameters, RollbackParameters

PLANTED = sql_files.SQL_DIRECTORY / "sample" / "plant_validation_results.sql"
STATUS_INDEXES = """
CREATE INDEX by_status ON generated_domains (domain_generation_campaign_id, created_at) INCLUDE (dns_status);
COMMENT ON INDEX by_status IS 'the application''s';
CREATE INDEX by_tld ON generated_domains (tld, offset_index);
"""
FILES = """
SELECT c.relname, pg_relation_filenode(c.oid) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = 'generated_domains'::regclass
"""
REBUILT = "SELECT count(*) FROM migration_ledger WHERE detail = 'rebuilt index by_status'"
INVALID = "SELECT i.indexrelid::regclass::text FROM pg_index AS i WHERE NOT i.indisvalid ORDER BY 1"
PARAMETERS = MigrateParameters(mode="apply")


@pytest.fixture
async def grown(legacy_database: Database) -> Database:
    async with connect(legacy_database) as connection:
        await connection.execute(PLANTED.read_text() + STATUS_INDEXES)
    return legacy_database


async def settle(database: Database) -> None:
    run_id = str(uuid.uuid4())
    async with run.exclusive_run(database, "public", PARAMETERS, run_id, "test"):
        await transform.transform(database, PARAMETERS, run_id, unheard)


async def contract(database: Database) -> None:
    run_id = str(uuid.uuid4())
    async with run.exclusive_run(database, "public", PARAMETERS, run_id, "test"):
        await core_migrations.apply_core_migrations(database, PARAMETERS, run_id, unheard)


async def go_back(database: Database) -> None:
    parameters = RollbackParameters(mode="apply", confirm=database.database)
    run_id = str(uuid.uuid4())
    async with run.exclusive_run(database, "public", parameters, run_id, "test"):
        await rollback.roll_back(database, parameters, run_id, unheard)


async def files(connection: Connection) -> dict[str, int]:
    return dict(await connection.fetch(FILES))


async def leave_behind(connection: Connection, name: str) -> None:
    """What a REINDEX CONCURRENTLY leaves that was killed, by its name: an invalid index."""
    await connection.execute(f"CREATE INDEX {name} ON generated_domains (tld)")
    await connection.execute("UPDATE pg_index SET indisvalid = false WHERE indexrelid = $1::text::regclass", name)


async def test_what_holds_a_status_is_built_anew_once_and_stays_what_it_is(grown: Database) -> None:
    async with connect(grown) as connection:
        definition = await connection.fetchval("SELECT pg_get_indexdef('by_status'::regclass)")
        await settle(grown)
        before = await files(connection)
        await contract(grown)
        after = await files(connection)
        assert before["by_status"] != after["by_status"]
        assert {name for name in before if before[name] != after.get(name, before[name])} <= {
            "by_status", "idx_generated_domains_campaign_created", "idx_generated_domains_validation",
            "idx_generated_domains_name_details",
        }  # fmt: skip
        assert before["by_tld"] == after["by_tld"]
        assert await connection.fetchval("SELECT pg_get_indexdef('by_status'::regclass)") == definition
        assert await connection.fetchval("SELECT obj_description('by_status'::regclass)") == "the application's"
        # A run that goes on after it does nothing of it again; one that has settled anew does.
        async with run.work_session(grown, "public", str(uuid.uuid4()), "test") as session:
            assert await rebuilds.find_grown(session) == []
        await go_back(grown)
        await settle(grown)
        await contract(grown)
        assert await connection.fetchval(REBUILT) == 2
        assert await connection.fetch(INVALID) == []


async def test_where_few_domains_were_settled_nothing_is_built_anew(
    grown: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rebuilds, "LEAST_SHARE", 1.0)
    async with connect(grown) as connection:
        await settle(grown)
        before = await files(connection)
        await contract(grown)
        assert (await files(connection))["by_status"] == before["by_status"]


async def test_one_of_ours_is_not_built_twice_though_it_lacks_its_mark(grown: Database) -> None:
    """A run that is killed right after a build has not yet commented on the index."""
    async with connect(grown) as connection:
        await settle(grown)
        await connection.execute(sql_files.query("save_added_index"), "by_status")
        before = await files(connection)
        await contract(grown)
        assert (await files(connection)).get("by_status", before["by_status"]) == before["by_status"]


async def test_what_was_settled_by_hand_is_planned_and_built_anew(
    grown: Database, run_psql: Callable[..., Any]
) -> None:
    for script in ("migrate-campaign-data", "settle-domain-status"):
        run_psql(grown, file=sql_files.SCRIPTS / f"{script}.sql")
    plan = await plans.make_plan(grown, PARAMETERS)
    planned = [line.ledger for line in plan.statements if line.statement.startswith("REINDEX INDEX CONCURRENTLY")]
    assert "rebuilt index by_status" in planned
    await contract(grown)
    async with connect(grown) as connection:
        assert await connection.fetchval(REBUILT) == 1


@pytest.mark.parametrize("goes_on", ["forward", "back"])
async def test_what_a_killed_rebuild_has_left_goes_and_what_another_one_has_left_stays(
    grown: Database, goes_on: str
) -> None:
    async with connect(grown) as connection:
        await settle(grown)
        await connection.execute(sql_files.query("save_rebuilt_index"), "by_status")
        await leave_behind(connection, "by_status_ccnew")
        await leave_behind(connection, "by_tld_ccnew")
        await (contract(grown) if goes_on == "forward" else go_back(grown))
        assert [row[0] for row in await connection.fetch(INVALID)] == ["by_tld_ccnew"]


async def test_one_that_cannot_be_built_anew_is_named_and_the_migration_goes_on(
    grown: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await settle(grown)
    find = rebuilds.find_grown

    async def find_and_break(connection: Connection, **more: Any) -> list[Any]:
        found = [dict(index) for index in await find(connection, **more)]
        for index in found:
            if index["name"] == "by_status":
                index["statement"] = "REINDEX INDEX CONCURRENTLY by_status_that_is_gone"
        return found

    monkeypatch.setattr(rebuilds, "find_grown", find_and_break)
    with caplog.at_level(logging.WARNING, logger=rebuilds.log.name):
        await contract(grown)
    assert "index by_status stays as large as it is" in caplog.text
    assert "42P01" in caplog.text
    async with connect(grown) as connection:
        assert await connection.fetchval(REBUILT) == 0
        assert await connection.fetchval("SELECT to_regclass('idx_domains_campaign_leads') IS NOT NULL")


async def test_a_lost_connection_ends_the_run_which_can_go_on(grown: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    await settle(grown)
    watched = indexes.watched

    def cut(database: Database, connection: Connection, label: str, progress: Any) -> Any:
        if label.startswith("grown index"):
            connection.terminate()
        return watched(database, connection, label, progress)

    monkeypatch.setattr(indexes, "watched", cut)
    with pytest.raises(errors.ConnectionLost):
        await contract(grown)
    monkeypatch.undo()
    await contract(grown)
    async with connect(grown) as connection:
        assert await connection.fetchval(REBUILT) == 1
