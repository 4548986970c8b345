"""The weekly maintenance: what it reports, what it mends, and what it leaves alone."""

from __future__ import annotations

import asyncpg
import pytest

from tasks.core import errors
from tasks.core.database import Connection, Database, connect
from tasks.core.maintenance import maintain
from tasks.core.maintenance_page import page
from tasks.core.metrics import MetricsReport
from tasks.core.settings import LockLimits
from tasks.core.upkeep_settings import BloatLimits

LIMITS = LockLimits(statement_timeout_seconds=20)
WELL_COUNTED = MetricsReport(found=[], repaired=[])


async def spoil(connection: Connection, *names: str) -> None:
    await connection.execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = ANY ($1::text[]::regclass[]::oid[])", list(names)
    )


async def is_valid(connection: Connection, name: str) -> bool | None:
    valid: bool | None = await connection.fetchval(
        "SELECT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", name
    )
    return valid


async def test_a_migrated_database_needs_nothing_and_gets_fresh_statistics(migrated_database: Database) -> None:
    report = await maintain(migrated_database, "public", rebuild_invalid=True, limits=LIMITS)
    assert report.invalid == report.still_invalid == []
    assert report.done == []
    assert {row.index_name for row in report.found if row.action == "analyzed"} == {"campaigns", "generated_domains"}
    assert report.summary.startswith("Statistics are fresh for campaigns and generated_domains.")
    assert report.figures.startswith("2 tables analyzed, ")
    assert report.figures.endswith(", 0 invalid, 0 bloated")
    shown = page(report, WELL_COUNTED)
    assert "What was done" not in shown
    assert all(shown.count(f"| `{row.index_name}` |") >= 1 for row in report.found if row.action != "analyzed")
    async with connect(migrated_database) as connection:
        assert (
            await connection.fetchval("SELECT reltuples FROM pg_class WHERE oid = 'generated_domains'::regclass")
            == 6000
        )


async def test_an_invalid_index_is_named_and_left_until_rebuilding_is_asked_for(migrated_database: Database) -> None:
    name = "idx_campaigns_user_dashboard"
    async with connect(migrated_database) as connection:
        await spoil(connection, name)
        report = await maintain(migrated_database, "public", rebuild_invalid=False, limits=LIMITS)
        assert report.invalid == report.still_invalid == [name]
        assert report.done == []
        assert "--rebuild-invalid" in report.summary
        assert await is_valid(connection, name) is False

        report = await maintain(migrated_database, "public", rebuild_invalid=True, limits=LIMITS)
        assert [(row.index_name, row.action) for row in report.done] == [(name, "rebuilt")]
        assert report.still_invalid == []
        assert f"Rebuilt: {name}." in report.summary
        assert f"## What was done: 1\n\n| index | what | details |\n|---|---|---|\n| `{name}` | rebuilt |" in page(
            report, WELL_COUNTED
        )
        assert await is_valid(connection, name) is True
        purpose = await connection.fetchval("SELECT obj_description($1::text::regclass, 'pg_class')", name)
        assert purpose.startswith("phases migration: ")


async def test_what_an_interrupted_rebuild_left_is_dropped(migrated_database: Database) -> None:
    async with connect(migrated_database) as connection:
        for leftover in ("idx_x_ccnew", "idx_x_ccnew1", "idx_x_ccold"):
            await connection.execute(f"CREATE INDEX {leftover} ON generated_domains (tld)")
        await spoil(connection, "idx_x_ccnew", "idx_x_ccnew1")
        report = await maintain(migrated_database, "public", rebuild_invalid=True, limits=LIMITS)
        assert {(row.index_name, row.action) for row in report.done} == {
            ("idx_x_ccnew", "dropped"),
            ("idx_x_ccnew1", "dropped"),
        }
        assert await is_valid(connection, "idx_x_ccnew") is None
        # Valid: whoever named it so meant it.
        assert await is_valid(connection, "idx_x_ccold") is True


async def test_a_rebuild_that_fails_is_reported_and_leaves_nothing_new_behind(migrated_database: Database) -> None:
    async with connect(migrated_database) as connection:
        await spoil(connection, "idx_campaigns_workflow_primary")
        with pytest.raises(asyncpg.UniqueViolationError):
            await connection.execute("CREATE UNIQUE INDEX CONCURRENTLY one_per_phase ON campaigns (current_phase)")
        before = await connection.fetchval("SELECT count(*) FROM pg_index")
        report = await maintain(migrated_database, "public", rebuild_invalid=True, limits=LIMITS)
        actions = {row.index_name: row.action for row in report.done}
        assert actions["one_per_phase"] == "failed"
        assert actions["idx_campaigns_workflow_primary"] == "rebuilt"
        assert "one_per_phase_ccnew" in {row.index_name for row in report.done if row.action == "dropped"}
        assert report.still_invalid == ["one_per_phase"]
        assert await connection.fetchval("SELECT count(*) FROM pg_index") == before


async def test_a_rebuild_that_waits_too_long_gives_up_within_its_limit(migrated_database: Database) -> None:
    async with connect(migrated_database) as holder, connect(migrated_database) as connection:
        await spoil(connection, "idx_campaigns_workflow_primary")
        async with holder.transaction():
            await holder.execute("LOCK TABLE campaigns IN ROW EXCLUSIVE MODE")
            limits = LockLimits(statement_timeout_seconds=2)
            report = await maintain(migrated_database, "public", rebuild_invalid=True, limits=limits)
        assert {row.action for row in report.done} == {"failed"}
        assert report.still_invalid
        report = await maintain(migrated_database, "public", rebuild_invalid=True, limits=LIMITS)
        assert report.still_invalid == []


async def test_a_database_that_is_not_migrated_is_refused_with_what_lacks(legacy_database: Database) -> None:
    with pytest.raises(errors.NotMigrated, match="no maintain_phases_indexes"):
        await maintain(legacy_database, "public", rebuild_invalid=False, limits=LIMITS)


@pytest.fixture
async def bloated_index(migrated_database: Database) -> str:
    """An index from which nine of ten entries went, and whose pages were not given back."""
    name = "idx_airy"
    async with connect(migrated_database) as connection:
        await connection.execute(f"CREATE INDEX {name} ON generated_domains (domain_name, id)")
        await connection.execute(
            "ALTER TABLE generated_domains DISABLE TRIGGER USER;"
            "DELETE FROM generated_domains WHERE offset_index % 10 <> 0;"
            "ALTER TABLE generated_domains ENABLE TRIGGER USER"
        )
        await connection.execute("VACUUM (INDEX_CLEANUP ON) generated_domains")
    return name


@pytest.mark.parametrize("method", ["pgstattuple", "an estimate from statistics"])
async def test_a_bloated_index_is_found_named_and_rebuilt_on_request(
    migrated_database: Database, bloated_index: str, method: str
) -> None:
    few = BloatLimits(percent=50, megabytes=0.1)
    async with connect(migrated_database) as connection:
        if method == "pgstattuple":
            await connection.execute("CREATE EXTENSION pgstattuple")
        size = "SELECT pg_relation_size($1::text::regclass)"
        before = await connection.fetchval(size, bloated_index)
        found = await maintain(migrated_database, "public", rebuild_invalid=True, limits=LIMITS, bloat_limits=few)
        airy = {one.index_name: one for one in found.bloated}
        assert airy[bloated_index].method == method
        assert airy[bloated_index].percent == pytest.approx(85, abs=12)
        assert found.done == []
        assert f"Bloated: {found.bloated[0].index_name} (" in found.summary
        assert "--rebuild-bloated" in found.summary

        report = await maintain(
            migrated_database, "public", rebuild_invalid=False, limits=LIMITS, rebuild_bloated=True, bloat_limits=few
        )
        assert bloated_index in {row.index_name for row in report.done if row.action == "rebuilt"}
        assert await connection.fetchval(size, bloated_index) < before / 4
    again = await maintain(migrated_database, "public", rebuild_invalid=False, limits=LIMITS, bloat_limits=few)
    assert again.bloated == []
    assert "No index is bloated over the limits" in again.summary


@pytest.mark.parametrize("method", ["pgstattuple", "an estimate from statistics"])
async def test_a_fresh_index_is_not_taken_for_bloated(migrated_database: Database, method: str) -> None:
    async with connect(migrated_database) as connection:
        if method == "pgstattuple":
            await connection.execute("CREATE EXTENSION pgstattuple")
        await connection.execute("REINDEX TABLE generated_domains")
        await connection.execute("VACUUM (ANALYZE) generated_domains")
    report = await maintain(
        migrated_database,
        "public",
        rebuild_invalid=False,
        limits=LIMITS,
        bloat_limits=BloatLimits(percent=40, megabytes=0),
    )
    assert [one for one in report.bloat if one.index_name.startswith("uq_") and one.percent > 25] == []
    assert {one.method for one in report.bloat} == {method}
