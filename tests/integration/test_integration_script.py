"""integration-test.sql: passes on a good database of any shape, finds a bad one, and leaves no trace."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable

import pytest

from tasks.core import sql_files
from tasks.core.database import Connection, Database, connect
from tasks.core.integration import run_integration_test
from tasks.core.models import CheckResult
from tasks.core.progress import unheard
from tasks.core.validation import run_validation

SCRIPT = sql_files.SCRIPTS / "integration-test.sql"
RunPsql = Callable[..., "subprocess.CompletedProcess[str]"]


def by_status(tests: list[CheckResult], status: str) -> dict[str, str]:
    return {test.name: test.details for test in tests if test.status == status}


async def run(database: Database, schema: str = "public") -> list[CheckResult]:
    return await run_integration_test(database, schema, str(uuid.uuid4()), unheard)


async def test_a_migrated_database_passes_and_what_was_skipped_says_why(migrated_database: Database) -> None:
    await run_validation(migrated_database, "public", str(uuid.uuid4()), unheard)
    tests = await run(migrated_database)
    assert len(tests) > 30
    assert by_status(tests, "FAIL") == {}
    assert by_status(tests, "WARN") == {}
    skipped = by_status(tests, "SKIPPED")
    assert set(skipped) - {"metrics_follow_merge"} == {
        "migration_performance_comparison_answers",
        "metrics_follow_copy",
        "metrics_follow_truncate",
        "concurrent_writers_lose_nothing",
        "writers_never_deadlock",
    }
    assert all(skipped.values())
    assert all(test.execution_time_ms is not None for test in tests)


async def test_no_row_of_any_other_table_is_different_afterwards(migrated_database: Database) -> None:
    await run(migrated_database)
    async with connect(migrated_database) as connection:
        before = await checksums(connection)
        await run(migrated_database)
        after = await checksums(connection)
        assert {name for name in before if before[name] != after[name]} == {"migration_integration_results"}
        assert await connection.fetchval("SELECT count(*) FROM campaigns WHERE name LIKE 'integration test%'") == 0


async def checksums(connection: Connection) -> dict[str, str]:
    """Of every row of every table, its place and its writer included."""
    tables = await connection.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'"
    )
    return {
        name: await connection.fetchval(
            f"SELECT concat(count(*), sum(hashtext(concat(t, t.xmin, t.ctid))::numeric)) FROM {name} AS t"
        )
        for (name,) in tables
    }


@pytest.mark.parametrize(
    ("damage", "failing"),
    [
        ("ALTER TABLE generated_domains DISABLE TRIGGER zzz_campaign_metrics_insert", "metrics_follow_insert"),
        ("ALTER TABLE generated_domains DISABLE TRIGGER zzz_campaign_metrics_update", "metrics_follow_a_moved_domain"),
        ("ALTER TABLE generated_domains DISABLE TRIGGER zzz_campaign_metrics_delete", "metrics_follow_delete"),
        (
            "ALTER TABLE campaign_metric_changes DISABLE TRIGGER campaign_metric_changes_fold",
            "folded_differences_are_removed",
        ),
        ("ALTER TABLE campaigns DISABLE TRIGGER zzz_campaigns_keep_row", "metrics_leave_every_other_column_alone"),
        ("ALTER TABLE campaigns DROP CONSTRAINT campaigns_phase_status_check", "illegal_values_are_refused"),
        ("ALTER TABLE campaigns ALTER COLUMN phase_status DROP DEFAULT", "new_campaigns_begin_in_setup"),
        ("ALTER FUNCTION campaign_metrics_on_insert() SECURITY INVOKER", "metrics_functions_are_safe"),
        ("ALTER TABLE campaigns ADD CHECK (current_phase <> 'analysis')", "every_phase_and_status_is_accepted"),
        ("DROP TABLE campaigns_backup_000035", "backups_can_be_read"),
        ("DELETE FROM migration_legacy_values", "legacy_values_can_be_found_again"),
    ],
)
async def test_what_is_broken_is_found(migrated_database: Database, damage: str, failing: str) -> None:
    async with connect(migrated_database) as connection:
        if "current_phase <>" in damage:
            await connection.execute("UPDATE campaigns SET current_phase = 'setup' WHERE current_phase = 'analysis'")
        await connection.execute(damage)
    assert failing in by_status(await run(migrated_database), "FAIL")


async def test_columns_of_the_installations_own_do_not_stand_in_the_way(migrated_database: Database) -> None:
    async with connect(migrated_database) as connection:
        await connection.execute("""
            CREATE TYPE region AS ENUM ('north', 'south');
            ALTER TABLE campaigns
                ADD COLUMN serial_number text, ADD COLUMN home region, ADD COLUMN labels text[],
                ADD COLUMN external_key uuid, ADD COLUMN shouted text GENERATED ALWAYS AS (upper(name)) STORED,
                ADD COLUMN counter bigint GENERATED ALWAYS AS IDENTITY;
            SET session_replication_role = 'replica';
            UPDATE campaigns
            SET serial_number = id::text, home = 'south', labels = '{a,b}', external_key = gen_random_uuid();
            SET session_replication_role = 'origin';
            ALTER TABLE campaigns ALTER COLUMN serial_number SET NOT NULL, ALTER COLUMN home SET NOT NULL,
                ALTER COLUMN labels SET NOT NULL, ALTER COLUMN external_key SET NOT NULL,
                ADD UNIQUE (serial_number), ADD UNIQUE (external_key), ADD UNIQUE (name);
            ALTER TABLE generated_domains ADD COLUMN priority integer;
            UPDATE generated_domains SET priority = 3;
            ALTER TABLE generated_domains ALTER COLUMN priority SET NOT NULL;
        """)
    tests = await run(migrated_database)
    assert by_status(tests, "FAIL") == {}


async def test_empty_tables_pass(migrated_database: Database) -> None:
    async with connect(migrated_database) as connection:
        await connection.execute("DELETE FROM campaigns")
    assert by_status(await run(migrated_database), "FAIL") == {}


async def test_a_schema_that_needs_quoting_passes(legacy_database: Database) -> None:
    schema = 'Odd "Schema'
    async with connect(legacy_database) as connection:
        await connection.execute('ALTER SCHEMA public RENAME TO "Odd ""Schema"; CREATE SCHEMA public')
    async with connect(legacy_database, schema=schema) as connection:
        for version in (35, 36):
            await connection.execute(sql_files.migration(version, "up"))
    checks = await run_validation(legacy_database, schema, str(uuid.uuid4()), unheard)
    assert by_status(checks, "FAIL") == {}
    assert by_status(await run(legacy_database, schema), "FAIL") == {}


async def test_on_a_legacy_database_one_test_fails_and_the_others_are_skipped(legacy_database: Database) -> None:
    tests = await run(legacy_database)
    assert list(by_status(tests, "FAIL")) == ["legacy_columns_are_gone"]
    assert by_status(tests, "PASS") == {}


async def test_a_query_without_an_index_is_a_warning(migrated_database: Database) -> None:
    async with connect(migrated_database) as connection:
        for index in ("workflow_primary", "phase_transitions"):
            await connection.execute(f"DROP INDEX idx_campaigns_{index}")
    tests = await run(migrated_database)
    assert "workflow_query_uses_its_index" in by_status(tests, "WARN")
    assert "idx_campaigns_workflow_primary" in by_status(tests, "WARN")["maintain_phases_indexes_answers"]


async def test_psql_stops_with_the_names_of_what_failed_and_the_report_keeps_it(
    migrated_database: Database, run_psql: RunPsql
) -> None:
    for _ in range(2):
        assert "integration test passed" in run_psql(migrated_database, file=SCRIPT).stderr
    run_psql(migrated_database, command="ALTER TABLE campaigns DROP CONSTRAINT campaigns_progress_check")
    finished = run_psql(migrated_database, file=SCRIPT, check=False)
    assert finished.returncode == 3
    assert "illegal_values_are_refused" in finished.stderr
    assert "UPDATE campaigns SET progress = 100.01" in run_psql(
        migrated_database, command="SELECT details FROM migration_integration_test_report WHERE status = 'FAIL'"
    ).stdout  # fmt: skip
    counted = run_psql(migrated_database, command="SELECT count(DISTINCT run_id) FROM migration_integration_results")
    assert counted.stdout.strip() == "3"
