"""Indexes that grew while domain statuses were settled are built anew, once, and an interrupted rebuild leaves nothing."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from tasks.core import core_migrations, errors, indexes, rebuilds, rollback, run, sql_files, transform
from tasks.core import plan as plans
from tasks.core.database import Connection, Database, connect
from tasks.core.preflight import run_preflight
from tasks.core.progress import unheard
from tasks.core.settings import LockLimits, MigrateParameters, RollbackParameters
from tests.conftest import SampleFactory

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
REBUILT = "SELECT count(*) FROM migration_ledger WHERE detail = 'rebuilt index public.by_status'"
INVALID = "SELECT i.indexrelid::regclass::text FROM pg_index AS i WHERE NOT i.indisvalid ORDER BY 1"
PARAMETERS = MigrateParameters(mode="apply")
LIMITS = LockLimits()


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
    parameters = MigrateParameters(mode="apply", locks=LIMITS)
    async with run.exclusive_run(database, "public", parameters, run_id, "test"):
        await core_migrations.apply_core_migrations(database, parameters, run_id, unheard)


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
        # A run that goes on after it does nothing of it again, even if it has settled one more; one that has settled all does.
        assert await rebuilds.find_grown(connection) == []
        await connection.execute("UPDATE migration_domain_status_changes SET changed_at = now() WHERE ctid = '(0,1)'")
        assert await rebuilds.find_grown(connection) == []
        await connection.execute("UPDATE migration_domain_status_changes SET changed_at = now()")
        assert "public.by_status" in {index["name"] for index in await rebuilds.find_grown(connection)}
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
    assert "rebuilt index public.by_status" in planned
    await contract(grown)
    async with connect(grown) as connection:
        assert await connection.fetchval(REBUILT) == 1


@pytest.mark.parametrize("goes_on", ["forward", "back", "back by hand"])
async def test_what_a_killed_rebuild_has_left_goes_and_what_another_one_has_left_stays(
    grown: Database, goes_on: str
) -> None:
    long, cut = "by_status_" + 53 * "x", "by_status_" + 47 * "x" + "_ccold1"[:6]
    async with connect(grown) as connection:
        await connection.execute(f"CREATE INDEX {long} ON generated_domains (http_status)")
        await connection.execute("CREATE INDEX by_s ON generated_domains (tld)")
        await settle(grown)
        if goes_on == "back by hand":
            await contract(grown)
        for name in ("public.by_status", f"public.{long}"):
            await connection.execute(sql_files.query("save_rebuilt_index"), name)
        for name in ("by_status_ccnew", "by_status_ccnew1", cut, "by_tld_ccnew", "by_s_ccnew"):
            await leave_behind(connection, name)
        report = await run_preflight(grown, PARAMETERS, for_apply=False)
        remedies = {one.keys[0]: one.remedy for one in report.warnings if one.code == "invalid-index"}
        assert {name for name, remedy in remedies.items() if "the run drops" in remedy} == {
            "by_status_ccnew", "by_status_ccnew1", cut
        }  # fmt: skip
        if goes_on == "forward":
            await contract(grown)
        elif goes_on == "back":
            await go_back(grown)
        else:
            await connection.execute(sql_files.migration(36, "down"))
        assert [row[0] for row in await connection.fetch(INVALID)] == ["by_s_ccnew", "by_tld_ccnew"]


async def test_who_reads_for_long_holds_up_neither_the_migration_nor_the_way_back(
    grown: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A rebuild waits for older transactions, and so does dropping what it leaves."""
    monkeypatch.setattr(sys.modules[__name__], "LIMITS", LockLimits(lock_wait_limit_seconds=0.5))
    await settle(grown)
    find = rebuilds.find_grown
    async with connect(grown) as reader:
        transaction = reader.transaction()

        async def find_while_one_reads(connection: Connection, **more: Any) -> list[Any]:
            found = await find(connection, **more)
            await transaction.start()
            await reader.execute("SELECT FROM generated_domains LIMIT 1")
            return [index for index in found if index["bare_name"] == "by_status"]

        monkeypatch.setattr(rebuilds, "find_grown", find_while_one_reads)
        with caplog.at_level(logging.WARNING, logger=rebuilds.log.name):
            await contract(grown)
        assert "stays for now" in caplog.text
        async with connect(grown) as connection:
            left = [row[0] for row in await connection.fetch(INVALID)]
            assert left == ["by_status_ccold"]
            assert await connection.fetchval(REBUILT) == 1, "the new one is in its place"
            await rebuilds.drop_leftovers(connection, LIMITS)
            assert [row[0] for row in await connection.fetch(INVALID)] == left
            await transaction.rollback()
            await go_back(grown)
            assert await connection.fetch(INVALID) == []


async def test_parts_of_ours_are_not_built_twice(sample_factory: SampleFactory) -> None:
    database: Database = await sample_factory()
    async with connect(database) as connection:
        await connection.execute(
            """
            ALTER TABLE generated_domains RENAME TO plain_domains;
            CREATE TABLE generated_domains (LIKE plain_domains INCLUDING DEFAULTS) PARTITION BY HASH (id);
            CREATE TABLE "Part 0" PARTITION OF generated_domains FOR VALUES WITH (MODULUS 2, REMAINDER 0);
            CREATE TABLE "Part 1" PARTITION OF generated_domains FOR VALUES WITH (MODULUS 2, REMAINDER 1);
            INSERT INTO generated_domains SELECT * FROM plain_domains;
            DROP TABLE plain_domains CASCADE;
            ALTER TABLE generated_domains ADD PRIMARY KEY (id);
            CREATE INDEX ON generated_domains (domain_generation_campaign_id, domain_name);
            CREATE INDEX of_all ON generated_domains (dns_status, created_at);
            CREATE INDEX "By Status" ON "Part 0" (lower(http_status), tld);
            """
        )
        await connection.execute(PLANTED.read_text())
        plan = await plans.make_plan(database, PARAMETERS)
        planned = [line.ledger for line in plan.statements if line.statement.startswith("REINDEX INDEX CONCURRENTLY")]
        await settle(database)
        await contract(database)
        done = await connection.fetch("SELECT detail FROM migration_ledger WHERE detail LIKE 'rebuilt index %'")
        assert sorted(row["detail"] for row in done) == sorted(planned)
        assert len(planned) == 3
        assert 'rebuilt index public."By Status"' in planned


async def test_one_that_cannot_be_built_anew_is_named_and_the_migration_goes_on(
    grown: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await settle(grown)
    find = rebuilds.find_grown

    async def find_and_break(connection: Connection, **more: Any) -> list[Any]:
        found = [dict(index) for index in await find(connection, **more)]
        for index in found:
            if index["bare_name"] == "by_status":
                index["statement"] = "REINDEX INDEX CONCURRENTLY by_status_that_is_gone"
        return found

    monkeypatch.setattr(rebuilds, "find_grown", find_and_break)
    with caplog.at_level(logging.WARNING, logger=rebuilds.log.name):
        await contract(grown)
    assert "index public.by_status stays as large as it is" in caplog.text
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
