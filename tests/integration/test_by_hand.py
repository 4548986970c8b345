"""The whole migration by psql alone, in the order of the user's document, each file twice; and as golang-migrate sends it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

import pytest

from tasks.core import sql_files
from tasks.core.database import Database, connect
from tests.schema_dump import schema_dump

M, S = sql_files.MIGRATIONS, sql_files.SCRIPTS
UP35 = M / "000035_eliminate_dual_architecture.up.sql"
DOWN35 = M / "000035_eliminate_dual_architecture.down.sql"
UP36 = M / "000036_optimize_phases_indexes.up.sql"
DOWN36 = M / "000036_optimize_phases_indexes.down.sql"
LEGACY = ("campaign_type", "status", "launch_sequence")
OURS = re.compile(r"\b(campaigns_backup_000035|campaigns_pre_\w+_backup|migration_(runs|ledger|approvals|\w+_results|\w+_report)"
                  r"|migration_performance_comparison|migration_benchmark_\w+)")  # fmt: skip
# What an operator reads at the end of each file, the first time and the second.
SAID = {
    S / "migrate-campaign-data.sql": ["60 campaign(s) transformed", "0 campaign(s) transformed"],
    UP35: ["000035 drops from campaigns: column (3)", "000035: campaigns has no legacy columns, nothing to do"],
    UP36: ["000036: 6 index(es) created, 0 were there already", "000036: 0 index(es) created, 6 were there already"],
    S / "validate-migration.sql": ["validation passed: 31 PASS, 3 SKIPPED"] * 2,
    S / "integration-test.sql": [" PASS, "] * 2,
    S / "rollback-data.sql": ["0 campaign(s) changed since the backup, 0 deleted, 0 created"] * 2,
    DOWN36: ["000036 down: indexes dropped: idx_", "000036 down: indexes dropped: none"],
    DOWN35: ["000035 down: the legacy model is back", "000035 down: the legacy model is in place"],
}

RunPsql = Callable[..., "subprocess.CompletedProcess[str]"]


async def checksums(database: Database) -> dict[str, str]:
    """Of every column of every table of the application, ours left out."""
    async with connect(database) as connection:
        columns = await connection.fetch(
            """
            SELECT format('%I', c.relname) AS "table", format('%I', a.attname) AS "column",
                (SELECT string_agg(format('t.%I', k.attname), ', ') FROM pg_index AS i
                 JOIN pg_attribute AS k ON k.attrelid = i.indrelid AND k.attnum = ANY (i.indkey)
                 WHERE i.indrelid = c.oid AND i.indisprimary) AS key
            FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
            WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'r' AND a.attnum > 0 AND NOT a.attisdropped
              AND coalesce(obj_description(c.oid, 'pg_class'), '') NOT LIKE 'phases migration: %'
              AND c.relname !~ '^(migration_|campaign_metric)'
            ORDER BY 1, 2
            """
        )
        return {
            f"{table}.{column}": str(
                await connection.fetchval(
                    f"SELECT sum(hash_record_extended(ROW({key}, t.{column}), 0)::numeric) FROM {table} AS t"
                )
            )
            for table, column, key in columns
        }


def dump(database: Database) -> list[str]:
    """pg_dump --schema-only, without our backup and report tables. Sorted, so that the place of the legacy columns inside
    campaigns, and with it the order of statements on single columns, does not count.
    """
    entries = [entry for entry in re.split(r"\n--\n-- Name: ", schema_dump(database)) if not OURS.search(entry)]
    lines = [line.rstrip(",") for entry in entries for line in entry.splitlines()]
    return sorted(line for line in lines if line.strip())


async def test_by_psql_alone_each_file_twice(legacy_database: Database, run_psql: RunPsql) -> None:
    before, schema = await checksums(legacy_database), dump(legacy_database)
    way_up = [S / "performance-benchmark.sql", S / "migrate-campaign-data.sql", UP35, UP36, S / "validate-migration.sql",
              S / "performance-benchmark.sql", S / "integration-test.sql"]  # fmt: skip
    for file in way_up:
        for said in SAID.get(file, ["", ""]):
            assert said in run_psql(legacy_database, file=file).stderr, file
    migrated = await checksums(legacy_database)
    kept = {name: value for name, value in before.items() if name.removeprefix("campaigns.") not in LEGACY}
    assert {name: migrated.get(name) for name in kept} == kept
    assert not {f"campaigns.{name}" for name in LEGACY} & set(migrated)
    async with connect(legacy_database) as connection:
        for view, least in {
            "migration_performance_comparison": 10,
            "migration_validation_report": 10,
            "migration_integration_test_report": 5,
            "campaign_performance_metrics": 5,
            "phases_index_performance": 4,
            "maintain_phases_indexes()": 4,
        }.items():
            assert await connection.fetchval(f"SELECT count(*) FROM {view}") >= least, view

    for file in [S / "rollback-data.sql", DOWN36, DOWN35]:
        for said in SAID[file]:
            assert said in run_psql(legacy_database, file=file).stderr, file
    assert await checksums(legacy_database) == before
    assert dump(legacy_database) == schema


async def test_without_the_data_script_000035_does_all_of_it(legacy_database: Database, run_psql: RunPsql) -> None:
    before = await checksums(legacy_database)
    for file in (UP35, UP36):
        run_psql(legacy_database, file=file)
    run_psql(legacy_database, file=S / "validate-migration.sql")
    for file in (DOWN36, DOWN35):
        run_psql(legacy_database, file=file)
    assert await checksums(legacy_database) == before


async def test_each_migration_runs_as_one_simple_query(legacy_database: Database) -> None:
    before, schema = await checksums(legacy_database), dump(legacy_database)
    async with connect(legacy_database) as connection:
        for version, direction in [(35, "up"), (36, "up"), (36, "down"), (35, "down")]:
            for _ in range(2):
                await connection.execute(sql_files.migration(version, direction))
    assert await checksums(legacy_database) == before
    assert dump(legacy_database) == schema


@pytest.mark.parametrize("file", [UP35, S / "migrate-campaign-data.sql"], ids=lambda file: file.name)
async def test_planted_dependents_are_refused_by_name_before_anything_changes(
    sample_factory: Callable[..., object], run_psql: RunPsql, file: object
) -> None:
    database: Database = await sample_factory()  # type: ignore[misc]  # the factory takes options of many types
    run_psql(database, file=sql_files.SQL_DIRECTORY / "sample" / "plant_dependents.sql")
    schema = dump(database)
    finished = run_psql(database, file=file, check=False)
    assert finished.returncode != 0
    assert "idx_campaigns_workflow_primary" in finished.stderr
    assert "are in the way as well: view active_campaigns_view." in finished.stderr
    assert dump(database) == schema
    run_psql(database, command="DROP INDEX idx_campaigns_workflow_primary")
    finished = run_psql(database, file=file, check=False)
    assert finished.returncode != 0
    assert "active_campaigns_view" in finished.stderr
    run_psql(database, command="DROP VIEW active_campaigns_view")
    run_psql(database, file=file)


async def test_an_unknown_status_is_refused_with_its_value_and_nothing_is_changed(
    legacy_database: Database, run_psql: RunPsql
) -> None:
    async with connect(legacy_database) as connection:
        for name in await connection.fetch(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'campaigns'::regclass AND contype = 'c'"
            " AND pg_get_constraintdef(oid) LIKE '%status = ANY%'"
        ):
            await connection.execute(f'ALTER TABLE campaigns DROP CONSTRAINT "{name[0]}"')
        await connection.execute(
            "UPDATE campaigns SET status = 'zombie' WHERE id = (SELECT min(id::text)::uuid FROM campaigns)"
        )
    before = await checksums(legacy_database)
    finished = run_psql(legacy_database, file=UP35, check=False)
    assert finished.returncode != 0
    assert "zombie" in finished.stderr
    assert await checksums(legacy_database) == before
