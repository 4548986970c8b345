"""validate-migration.sql: what it passes, what it finds, and that it is loud about what it could not look at."""

from __future__ import annotations

import subprocess
import uuid
from collections.abc import Callable

import pytest

from tasks.core import errors, scripts, sql_files
from tasks.core.database import Connection, Database, connect
from tasks.core.models import CheckResult
from tasks.core.progress import unheard
from tasks.core.validation import run_validation

SCRIPT = sql_files.SCRIPTS / "validate-migration.sql"
RunPsql = Callable[..., "subprocess.CompletedProcess[str]"]

# Each fault, and the check that must name it, with a part of the key that it must give.
FAULTS_AFTER_THE_MIGRATION = {
    "ALTER TABLE campaigns ADD COLUMN launch_sequence boolean": ("legacy_columns_removed", "launch_sequence"),
    "ALTER TABLE campaigns ALTER COLUMN leads DROP NOT NULL": ("phases_columns_not_null", "leads"),
    "ALTER TABLE campaigns ALTER COLUMN current_phase SET DEFAULT 'generation'": (
        "phases_columns_defaults",
        "current_phase",
    ),
    "ALTER TABLE campaigns DROP CONSTRAINT campaigns_progress_check": (
        "phases_constraints_enforced",
        "campaigns_progress_check",
    ),
    "ALTER TABLE campaigns DROP CONSTRAINT campaigns_current_phase_check": (
        "phases_constraints_enforced",
        "campaigns_current_phase_check",
    ),
    "ALTER TABLE generated_domains DISABLE TRIGGER zzz_campaign_metrics_delete": (
        "metrics_triggers_enabled",
        "zzz_campaign_metrics_delete",
    ),
    "CREATE INDEX idx_campaigns_status ON campaigns (phase_status)": ("legacy_indexes_removed", "idx_campaigns_status"),
    "DROP VIEW campaign_performance_metrics": ("views_present", "campaign_performance_metrics"),
    "DROP INDEX idx_campaigns_user_dashboard": ("critical_indexes_present", "idx_campaigns_user_dashboard (missing)"),
    "UPDATE campaigns SET current_phase = 'launch' WHERE name = (SELECT min(name) FROM campaigns)": (
        "phases_legal",
        "(launch)",
    ),
    "UPDATE campaigns SET progress = 101 WHERE name = (SELECT max(name) FROM campaigns)": (
        "progress_in_range",
        "(101.00)",
    ),
    "DELETE FROM generated_domains WHERE dns_status = 'ok'": ("metrics_match_recount", "counted"),
    "INSERT INTO campaign_metrics_baseline SELECT id FROM campaigns LIMIT 1": (
        "metric_changes_folded",
        "never counted",
    ),
    "ALTER TABLE campaigns DROP CONSTRAINT campaigns_user_id_fkey; UPDATE campaigns"
    " SET user_id = '00000000-0000-0000-0000-000000000001' WHERE name = (SELECT min(name) FROM campaigns)": (
        "campaigns_have_valid_users",
        "user 00000000-0000-0000-0000-000000000001",
    ),
    "DELETE FROM migration_legacy_values WHERE campaign_id = (SELECT min(id::text)::uuid FROM campaigns)": (
        "legacy_values_kept",
        "",
    ),
    "DROP TABLE campaigns_backup_000035": ("backup_tables_preserved", "campaigns_backup_000035"),
    "DELETE FROM migration_saved_objects WHERE kind = 'column'": ("saved_objects_recorded", "campaign_type; status"),
}


def by_name(checks: list[CheckResult]) -> dict[str, CheckResult]:
    assert len({check.name for check in checks}) == len(checks)
    return {check.name: check for check in checks}


def new_run() -> str:
    return str(uuid.uuid4())


async def execute(database: Database, *statements: str) -> None:
    async with connect(database) as connection:
        for statement in statements:
            await connection.execute(statement)


async def test_a_migrated_database_passes_every_check(migrated_database: Database) -> None:
    checks = await run_validation(migrated_database, "public", new_run(), unheard)
    assert len(checks) > 25
    assert {check.name: check.details for check in checks if check.status == "FAIL"} == {}
    assert [check.name for check in checks if check.status == "SKIPPED"] == [
        "campaign_types_known",
        "statuses_known",
        "both_models_agree",
    ]
    recount = by_name(checks)["metrics_match_recount"]
    assert (recount.total_records, recount.invalid_records, recount.success_rate) == (60, 0, 100.0)


async def test_it_says_how_far_it_is(migrated_database: Database) -> None:
    heard: list[tuple[str, int, int | None]] = []
    checks = await run_validation(migrated_database, "public", new_run(), lambda *said: heard.append(said))
    assert heard == [("checks", number, len(checks)) for number in range(1, len(checks) + 1)]


async def test_a_legacy_database_passes_and_says_what_it_skips(legacy_database: Database) -> None:
    checks = by_name(await run_validation(legacy_database, "public", new_run(), unheard))
    assert not [check for check in checks.values() if check.status == "FAIL"]
    assert checks["statuses_known"].status == "PASS"
    assert checks["statuses_known"].total_records == 60
    assert checks["no_orphaned_domains"].total_records == 6000
    assert "this one is legacy" in checks["metrics_match_recount"].details
    assert all(check.details for check in checks.values() if check.status == "SKIPPED")


async def test_with_both_models_live_their_agreement_is_checked(legacy_database: Database) -> None:
    await execute(legacy_database, sql_files.script("migrate-campaign-data"))
    checks = by_name(await run_validation(legacy_database, "public", new_run(), unheard))
    assert not [check for check in checks.values() if check.status == "FAIL"]
    assert checks["both_models_agree"].status == "PASS"
    assert checks["metrics_match_recount"].status == "PASS"
    await execute(
        legacy_database,
        "ALTER TABLE campaigns DISABLE TRIGGER zzy_migration_sync_models",
        "UPDATE campaigns SET phase_status = 'paused' WHERE status = 'running'",
    )
    checks = by_name(await run_validation(legacy_database, "public", new_run(), unheard))
    assert checks["both_models_agree"].status == "FAIL"
    assert "/running, " in checks["both_models_agree"].details


async def test_every_planted_fault_is_found_by_its_check(migrated_database: Database) -> None:
    await execute(migrated_database, *FAULTS_AFTER_THE_MIGRATION)
    checks = by_name(await run_validation(migrated_database, "public", new_run(), unheard))
    for fault, (name, key) in FAULTS_AFTER_THE_MIGRATION.items():
        assert checks[name].status == "FAIL", (fault, checks[name])
        assert checks[name].invalid_records > 0, fault
        assert key in checks[name].details, (fault, checks[name].details)


async def test_a_missing_view_is_found(migrated_database: Database) -> None:
    await execute(migrated_database, "DROP VIEW campaign_performance_metrics")
    checks = by_name(await run_validation(migrated_database, "public", new_run(), unheard))
    assert [name for name, check in checks.items() if check.status == "FAIL"] == ["views_present"]


async def test_rows_changed_since_are_counted_apart_and_not_judged(migrated_database: Database) -> None:
    await execute(
        migrated_database,
        "UPDATE campaigns SET phase_status = 'paused', name = name || ' again'"
        " WHERE id IN (SELECT id FROM campaigns ORDER BY id LIMIT 7)",
        "DELETE FROM campaigns WHERE id = (SELECT id FROM campaigns ORDER BY id DESC LIMIT 1)",
        "INSERT INTO campaigns (name, user_id) SELECT 'new', user_id FROM campaigns WHERE user_id IS NOT NULL LIMIT 1",
    )
    checks = by_name(await run_validation(migrated_database, "public", new_run(), unheard))
    assert not [check for check in checks.values() if check.status == "FAIL"]
    assert checks["legacy_values_mapped"].total_records == 52
    assert "7 changed since and not judged" in checks["legacy_values_mapped"].details
    assert checks["campaigns_preserved"].status == "WARN"
    assert checks["campaigns_preserved"].invalid_records == 1
    assert "60 campaigns now, 60 in the backup, 1 created since" in checks["campaigns_preserved"].details


@pytest.mark.parametrize(
    ("damage", "name"),
    [
        ("SET phase_status = CASE phase_status WHEN 'paused' THEN 'failed' ELSE 'paused' END", "legacy_values_mapped"),
        ("SET metadata = '{\"lost\": true}'", "other_columns_unchanged"),
        ("SET progress = 55.5", "progress_follows_formula"),
        (
            "SET updated_at = (SELECT max(recorded_at) FROM migration_saved_objects WHERE kind = 'contracted')",
            "updated_at_kept",
        ),
    ],
)
async def test_damage_behind_the_back_of_the_stamp_is_found(
    migrated_database: Database, damage: str, name: str
) -> None:
    # What the migration itself would do if it were wrong: change rows and leave updated_at, or stamp it.
    await execute(
        migrated_database,
        "SET session_replication_role = 'replica'; UPDATE campaigns "
        f"{damage} WHERE id IN (SELECT id FROM campaigns WHERE phase_status = 'completed' ORDER BY id LIMIT 3)",
    )
    checks = by_name(await run_validation(migrated_database, "public", new_run(), unheard))
    assert checks[name].status == "FAIL"
    assert checks[name].invalid_records == 3


async def test_bad_rows_come_with_twenty_keys_and_the_query_that_finds_them(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        for constraint in await connection.fetch(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'generated_domains'::regclass AND contype = 'f'"
        ):
            await connection.execute(f'ALTER TABLE generated_domains DROP CONSTRAINT "{constraint[0]}"')
        await connection.execute("SET session_replication_role = 'replica'")
        await connection.execute(
            "UPDATE generated_domains SET domain_generation_campaign_id = gen_random_uuid()"
            " WHERE id IN (SELECT id FROM generated_domains ORDER BY id LIMIT 25)"
        )
    checks = by_name(await run_validation(legacy_database, "public", new_run(), unheard))
    orphans = checks["no_orphaned_domains"]
    assert (orphans.status, orphans.total_records, orphans.invalid_records) == ("FAIL", 6000, 25)
    keys = orphans.details.split(": ", 1)[1].removesuffix(". 5 more").split("; ")
    assert len(set(map(uuid.UUID, keys))) == 20
    assert orphans.details.endswith(". 5 more")
    assert checks["domains_reference_campaigns"].status == "WARN"
    async with connect(legacy_database) as connection:
        assert len(await connection.fetch(orphans.query)) == 25


async def test_unknown_and_missing_legacy_values_are_named(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        for constraint in await connection.fetch(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'campaigns'::regclass AND contype = 'c'"
        ):
            await connection.execute(f'ALTER TABLE campaigns DROP CONSTRAINT "{constraint[0]}"')
        await connection.execute("ALTER TABLE campaigns ALTER COLUMN campaign_type DROP NOT NULL")
        await connection.execute(
            "UPDATE campaigns SET status = 'zombie' WHERE id = (SELECT min(id::text)::uuid FROM campaigns)"
        )
        await connection.execute("UPDATE campaigns SET campaign_type = NULL WHERE status = 'paused'")
    checks = by_name(await run_validation(legacy_database, "public", new_run(), unheard))
    assert checks["statuses_known"].invalid_records == 1
    assert "(zombie)" in checks["statuses_known"].details
    assert checks["campaign_types_known"].status == "FAIL"
    assert "(NULL)" in checks["campaign_types_known"].details


async def test_a_check_that_cannot_run_fails_and_the_others_go_on(migrated_database: Database) -> None:
    await execute(
        migrated_database,
        "DROP TABLE migration_legacy_values",
        "ALTER TABLE campaigns RENAME COLUMN progress_percentage TO percent",
    )
    checks = by_name(await run_validation(migrated_database, "public", new_run(), unheard))
    assert checks["legacy_values_mapped"].status == "FAIL"
    assert "has no migration_legacy_values" in checks["legacy_values_mapped"].details
    assert checks["progress_follows_formula"].status == "FAIL"
    assert "Could not run (42703)" in checks["progress_follows_formula"].details
    assert checks["no_orphaned_domains"].status == "PASS"


async def test_before_000036_the_indexes_are_skipped_with_the_reason(legacy_database: Database) -> None:
    await execute(legacy_database, sql_files.migration(35, "up"))
    checks = by_name(await run_validation(legacy_database, "public", new_run(), unheard))
    assert checks["critical_indexes_present"].status == "SKIPPED"
    assert "000036" in checks["critical_indexes_present"].details
    assert not [check for check in checks.values() if check.status == "FAIL"]


async def test_functions_that_name_legacy_columns_are_listed(migrated_database: Database) -> None:
    await execute(
        migrated_database,
        "CREATE FUNCTION report_running() RETURNS bigint LANGUAGE plpgsql AS"
        " 'BEGIN RETURN (SELECT count(*) FROM campaigns WHERE status = ''running''); END'",
    )
    listed = by_name(await run_validation(migrated_database, "public", new_run(), unheard))[
        "functions_name_no_legacy_columns"
    ]
    assert listed.status == "WARN"
    assert "report_running()" in listed.details
    assert "search for words" in listed.details
    assert "migration_map" not in listed.details


async def test_two_candidates_for_the_users_table_are_an_error_that_names_them(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        await connection.execute("ALTER TABLE campaigns DROP CONSTRAINT campaigns_user_id_fkey")
        await connection.execute("CREATE SCHEMA auth; CREATE TABLE auth.users (id uuid PRIMARY KEY)")
    users = by_name(await run_validation(legacy_database, "public", new_run(), unheard))["campaigns_have_valid_users"]
    assert users.status == "FAIL"
    assert "auth.users" in users.details
    assert users.invalid_records == 2


async def test_psql_stops_with_the_names_of_what_failed_and_the_report_keeps_it(
    migrated_database: Database, run_psql: RunPsql
) -> None:
    for _ in range(2):
        assert "validation passed" in run_psql(migrated_database, file=SCRIPT).stderr
    run_psql(migrated_database, command="DROP INDEX idx_campaigns_phase_transitions")
    finished = run_psql(migrated_database, file=SCRIPT, check=False)
    assert finished.returncode == 3
    assert "critical_indexes_present (1)" in finished.stderr
    async with connect(migrated_database) as connection:
        failed = await connection.fetch("SELECT test_name FROM migration_validation_report WHERE status = 'FAIL'")
        assert [row["test_name"] for row in failed] == ["critical_indexes_present"]
        runs = await connection.fetchval("SELECT count(DISTINCT run_id) FROM migration_validation_results")
        assert runs == 3


async def test_nothing_but_the_results_is_written(migrated_database: Database) -> None:
    await run_validation(migrated_database, "public", new_run(), unheard)
    async with connect(migrated_database) as connection:
        before = await checksums(connection)
        await run_validation(migrated_database, "public", new_run(), unheard)
        after = await checksums(connection)
    assert {name for name in before if before[name] != after[name]} == {"migration_validation_results"}


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


async def test_a_database_without_campaigns_is_refused(empty_database: Database) -> None:
    with pytest.raises(errors.StepFailed, match="has no table campaigns and generated_domains"):
        await run_validation(empty_database, "public", new_run(), unheard)


async def test_results_that_contradict_the_verdict_are_an_error(migrated_database: Database) -> None:
    run = new_run()
    await run_validation(migrated_database, "public", run, unheard)
    async with connect(migrated_database) as connection:
        claimed = scripts.ScriptRun("validate-migration", 1, 0.1, "validation failed")
        with pytest.raises(errors.StepFailed, match="do not agree"):
            await scripts.read_results(connection, "read_validation_report", claimed, run)
