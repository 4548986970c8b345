from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from tasks.core import benchmark, sql_files
from tasks.core.benchmark_answers import compare_answers
from tasks.core.benchmark_models import BenchmarkInputs, BenchmarkRun
from tasks.core.comparison import compare
from tasks.core.database import Connection, Database, connect
from tasks.core.errors import ConnectionLost, StepFailed

SCRIPT = sql_files.SCRIPTS / "performance-benchmark.sql"
TRANSFORM = sql_files.SCRIPTS / "migrate-campaign-data.sql"
PATTERNS = {
    "user_campaign_dashboard": "campaign_queries",
    "campaign_type_filtering": "campaign_queries",
    "campaign_status_aggregation": "campaign_queries",
    "bulk_domain_generation": "bulk_processing",
    "bulk_validation_updates": "bulk_processing",
    "lead_generation_analytics": "bulk_processing",
    "campaign_type_index": "index_performance",
    "domain_fk_index": "index_performance",
    "concurrent_user_dashboards": "concurrent_access",
    "large_result_set": "memory_usage",
    "database_statistics": "system_metrics",
}
DATA = "SELECT md5(string_agg(d::text, chr(10) ORDER BY d.id)) FROM generated_domains AS d"
FEW_ROUNDS = "SET migration.benchmark_rounds = 2;"


async def measure(database: Database, *, writes: bool = True, schema: str = "public", **more: Any) -> BenchmarkRun:
    return await benchmark.measure(
        database, schema, rounds=5, seed=1, benchmark_writes=writes, run_id=str(uuid.uuid4()), **more
    )


async def run_by_statement(connection: Connection, text: str) -> None:
    for statement in sql_files.statements(text):
        await connection.execute(statement)


async def migrate(database: Database, schema: str = "public") -> None:
    async with connect(database, schema=schema) as connection:
        for version in (35, 36):
            await connection.execute(sql_files.migration(version, "up"))


async def transform(database: Database, schema: str = "public") -> None:
    async with connect(database, schema=schema) as connection:
        await run_by_statement(connection, TRANSFORM.read_text())


async def results(database: Database) -> list[Any]:
    async with connect(database) as connection:
        rows = await connection.fetch("SELECT * FROM migration_performance_results ORDER BY id")
    return list(rows)


async def test_the_script_runs_alone_twice_before_and_after_and_compares_both(
    legacy_database: Database, run_psql: Any
) -> None:
    for _ in range(2):
        shown = run_psql(legacy_database, file=SCRIPT).stdout
    assert "large_result_set|dual|" in shown
    await migrate(legacy_database)
    for _ in range(2):
        run_psql(legacy_database, file=SCRIPT)
    rows = await results(legacy_database)
    assert [row["architecture_type"] for row in rows] == ["dual"] * 22 + ["phases_based"] * 22
    assert len({row["run_id"] for row in rows}) == 4
    assert {row["test_name"]: row["test_category"] for row in rows} == PATTERNS
    async with connect(legacy_database) as connection:
        compared = await connection.fetch("SELECT * FROM migration_performance_comparison")
    assert [row["test_name"] for row in compared] == list(PATTERNS)
    for row in compared:
        if row["test_name"] == "concurrent_user_dashboards":
            assert row["performance_status"].startswith("skipped: plain SQL has one session")
        elif row["test_name"] == "database_statistics":
            assert row["performance_status"] == "recorded"
        else:
            assert row["performance_status"] in {"target met", "improved", "unchanged", "slower"}
            expected = 100 * (1 - row["after_time_ms"] / row["before_time_ms"])
            assert float(row["improvement_percent"]) == pytest.approx(float(expected), abs=0.01)


async def test_the_script_asks_the_same_questions_after_the_migration(legacy_database: Database, run_psql: Any) -> None:
    run_psql(legacy_database, file=SCRIPT)
    await migrate(legacy_database)
    async with connect(legacy_database) as connection:
        await connection.execute("UPDATE campaigns SET updated_at = updated_at + interval '1 year'")
    run_psql(legacy_database, file=SCRIPT)
    inputs = {
        json.dumps(json.loads(row["details"])["inputs"], sort_keys=True) for row in await results(legacy_database)
    }
    assert len(inputs) == 1


async def test_the_script_leaves_no_trace_in_the_data(legacy_database: Database, run_psql: Any) -> None:
    async with connect(legacy_database) as connection:
        before = await connection.fetchval(DATA)
        run_psql(legacy_database, file=SCRIPT)
        assert await connection.fetchval(DATA) == before
        await migrate(legacy_database)
        metrics = "SELECT md5(string_agg(c::text, '' ORDER BY c.id)) FROM campaigns AS c"
        campaigns = await connection.fetchval(metrics)
        run_psql(legacy_database, file=SCRIPT)
        assert await connection.fetchval(DATA) == before
        assert await connection.fetchval(metrics) == campaigns
        assert await connection.fetchval("SELECT count(*) FROM campaign_metric_changes") == 0


@pytest.mark.parametrize(
    ("setting", "named"),
    [
        ("SET migration.architecture_type = 'both'", "neither dual nor phases_based"),
        ("SET migration.architecture_type = 'phases_based'", "lacks the columns"),
        ("SET migration.benchmark_rounds = '0'", "at least one round"),
    ],
)
async def test_a_wrong_setting_is_an_error_and_no_measurement(
    legacy_database: Database, setting: str, named: str
) -> None:
    async with connect(legacy_database) as connection:
        await connection.execute(setting)
        with pytest.raises(Exception, match=named):
            await run_by_statement(connection, SCRIPT.read_text())
    assert await results(legacy_database) == []


async def test_the_setting_overrides_what_the_catalog_says(legacy_database: Database) -> None:
    await transform(legacy_database)
    async with connect(legacy_database) as connection:
        await connection.execute(FEW_ROUNDS + "SET migration.architecture_type = 'phases_based'")
        await run_by_statement(connection, SCRIPT.read_text())
    assert {row["architecture_type"] for row in await results(legacy_database)} == {"phases_based"}


async def test_a_table_of_somebody_else_is_not_written_to(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        await connection.execute("CREATE TABLE migration_performance_results (id int)")
        with pytest.raises(Exception, match="are taken: table migration_performance_results"):
            await run_by_statement(connection, SCRIPT.read_text())


async def test_rows_that_others_hold_skip_the_writing_pattern_with_the_reason(legacy_database: Database) -> None:
    async with connect(legacy_database) as other, connect(legacy_database) as connection:
        holding = other.transaction()
        await holding.start()
        await other.execute("SELECT 1 FROM generated_domains FOR UPDATE")
        await connection.execute(FEW_ROUNDS + "SET lock_timeout = '50ms'")
        await run_by_statement(connection, SCRIPT.read_text())
        await holding.rollback()
    skipped = {row["test_name"]: json.loads(row["details"]).get("skipped") for row in await results(legacy_database)}
    assert "other sessions held its rows" in skipped["bulk_validation_updates"]
    assert skipped["large_result_set"] is None


async def test_a_measurement_has_every_pattern_and_is_kept(legacy_database: Database) -> None:
    run = await measure(legacy_database)
    assert [pattern.name for pattern in run.patterns] == list(PATTERNS)
    assert run.architecture_type == "dual"
    assert (run.campaigns, run.domains) == (60, 6_000)
    assert run.settings["plan_cache_mode"] == "force_custom_plan"
    assert {row["table_name"] for row in run.statistics} == {"campaigns", "generated_domains"}
    for pattern in run.patterns:
        assert pattern.skipped is None
        if pattern.name != "database_statistics":
            assert len(pattern.times_ms) == 5
            assert pattern.answer is not None
            assert pattern.plan
            assert pattern.blocks is not None
            assert pattern.blocks > 0
            assert pattern.rows > 0, f"{pattern.name} has an empty answer in the sample"
    rows = await results(legacy_database)
    assert [row["test_name"] for row in rows] == list(PATTERNS)
    assert {str(row["run_id"]) for row in rows} == {run.run_id}


async def test_before_and_after_give_the_same_answers_and_can_be_compared(legacy_database: Database) -> None:
    before = await measure(legacy_database)
    await migrate(legacy_database)
    after = await measure(legacy_database, parameters=before.inputs)
    assert after.architecture_type == "phases_based"
    answers = {pattern.name: pattern.answer for pattern in before.patterns}
    assert {pattern.name: pattern.answer for pattern in after.patterns} == answers
    comparison = compare(before, after, target=40)
    assert [pattern.note for pattern in comparison.patterns] == [""] * len(PATTERNS)


async def test_a_measurement_leaves_no_trace_in_the_data(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        before = await connection.fetchval(DATA)
        await measure(legacy_database)
        assert await connection.fetchval(DATA) == before


async def test_patterns_that_write_are_skipped_unless_allowed(legacy_database: Database) -> None:
    run = await measure(legacy_database, writes=False)
    skipped = {pattern.name: pattern.skipped for pattern in run.patterns if pattern.skipped}
    assert skipped == {"bulk_validation_updates": "it writes, and benchmark_writes was not asked for on this database"}


async def test_ten_sessions_ask_at_once(legacy_database: Database) -> None:
    seen: list[int] = []

    async def watch() -> None:
        async with connect(legacy_database) as connection:
            while True:
                seen.append(
                    await connection.fetchval(
                        "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE '%benchmark user%'"
                    )
                )
                await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    await measure(legacy_database)
    watching.cancel()
    assert max(seen) == 10


async def test_inputs_depend_on_the_seed_alone(legacy_database: Database) -> None:
    first = await benchmark.draw_inputs(legacy_database, "public", seed=1)
    assert await benchmark.draw_inputs(legacy_database, "public", seed=1) == first
    assert (await benchmark.draw_inputs(legacy_database, "public", seed=2)).user_ids != first.user_ids
    assert len(first.user_ids) == 10
    await migrate(legacy_database)
    assert await benchmark.draw_inputs(legacy_database, "public", seed=1) == first


async def test_a_database_that_is_none_of_ours_is_refused(empty_database: Database) -> None:
    with pytest.raises(StepFailed, match="has no tables campaigns and generated_domains") as caught:
        await measure(empty_database)
    assert "search_path" in str(caught.value)


async def test_connections_that_are_cut_are_lost_connections_which_a_retry_can_help(legacy_database: Database) -> None:
    cuts: list[asyncio.Task[None]] = []

    async def cut() -> None:
        async with connect(legacy_database) as connection:
            await connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )

    def heard(*_: object) -> None:
        if not cuts:
            cuts.append(asyncio.create_task(cut()))

    with pytest.raises(ConnectionLost, match="The benchmark"):
        await measure(legacy_database, progress=heard)
    await asyncio.gather(*cuts)


@pytest.fixture
async def dual_database(legacy_database: Database) -> Database:
    """Both models live, as between transform and contract."""
    await transform(legacy_database)
    return legacy_database


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_both_forms_of_every_pattern_answer_alike(dual_database: Database, seed: int) -> None:
    inputs = await benchmark.draw_inputs(dual_database, "public", seed=seed)
    checks = await compare_answers(dual_database, "public", inputs, benchmark_writes=True)
    assert {check.name: check.status for check in checks} == dict.fromkeys(
        set(PATTERNS) - {"database_statistics"}, "PASS"
    )


async def test_an_answer_that_differs_fails_with_the_first_differing_row(dual_database: Database) -> None:
    inputs = await benchmark.draw_inputs(dual_database, "public", seed=1)
    async with connect(dual_database) as connection:
        await connection.execute("SET session_replication_role = replica")
        await connection.execute("UPDATE campaigns SET domains = domains + 1 WHERE id = $1", inputs.campaign_id)
    checks = {check.name: check for check in await compare_answers(dual_database, "public", inputs)}
    failed = checks["domain_fk_index"]
    assert failed.status == "FAIL"
    assert failed.invalid_records == 1
    assert failed.details.startswith("row 1 of 1 and 1: the legacy form says (")
    assert checks["large_result_set"].status == "PASS"
    assert checks["bulk_validation_updates"].status == "SKIPPED"


async def test_values_that_this_installation_maps_itself_are_answered_alike(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        for constraint in await connection.fetch(
            "SELECT format('ALTER TABLE campaigns DROP CONSTRAINT %I', conname) AS drop FROM pg_constraint"
            " WHERE conrelid = 'campaigns'::regclass AND contype = 'c'"
        ):
            await connection.execute(constraint["drop"])
        await connection.execute("UPDATE campaigns SET status = 'stalled' WHERE status = 'paused'")
        await connection.execute("UPDATE campaigns SET campaign_type = 'import' WHERE campaign_type = 'automated'")
        await run_by_statement(connection, sql_files.blocks(TRANSFORM.read_text())["mappings"])
        await connection.execute(
            "INSERT INTO migration_custom_mappings VALUES"
            " ('phase_status', false, 'stalled', 'in_progress'), ('current_phase', false, 'import', 'dns_validation')"
        )
    await transform(legacy_database)
    inputs = await benchmark.draw_inputs(legacy_database, "public", seed=1)
    checks = await compare_answers(legacy_database, "public", inputs, benchmark_writes=True)
    assert {check.status for check in checks} == {"PASS"}
    async with connect(legacy_database) as connection:
        asked = await connection.fetchval(
            "SELECT legacy_query FROM migration_benchmark_patterns() WHERE test_name = 'campaign_type_filtering'"
        )
    assert "'stalled'" in asked
    assert "'import'" in asked


@pytest.mark.parametrize(
    "domain", ["", "CREATE DOMAIN state AS campaign_status; ALTER TABLE campaigns ALTER status TYPE state"]
)
async def test_enum_columns_that_know_only_some_values_can_be_measured(legacy_database: Database, domain: str) -> None:
    async with connect(legacy_database) as connection:
        await connection.execute("UPDATE campaigns SET status = 'running' WHERE status IN ('queued', 'archived')")
        await connection.execute(
            "CREATE TABLE enum_campaigns AS TABLE campaigns;"
            "CREATE TYPE campaign_status AS ENUM ('pending', 'running', 'pausing', 'paused', 'completed', 'failed',"
            " 'cancelled');"
            "ALTER TABLE enum_campaigns ALTER status TYPE campaign_status USING status::campaign_status;"
            "CREATE SCHEMA enums; ALTER TABLE enum_campaigns SET SCHEMA enums;"
            "ALTER TABLE enums.enum_campaigns RENAME TO campaigns;"
            f"SET search_path = enums, public; {domain};"
            "CREATE TABLE enums.generated_domains AS TABLE public.generated_domains"
        )
    run = await measure(legacy_database, schema="enums")
    assert {pattern.name for pattern in run.patterns if pattern.skipped} == set()


async def test_a_schema_with_an_odd_name_is_measured(sample_factory: Callable[..., Awaitable[Database]]) -> None:
    schema = 'Camp "aigns'
    database = await sample_factory(schema=schema)
    before = await measure(database, schema=schema)
    await transform(database, schema)
    inputs = before.inputs
    assert isinstance(inputs, BenchmarkInputs)
    checks = await compare_answers(database, schema, inputs)
    assert {check.status for check in checks} == {"PASS", "SKIPPED"}


async def test_each_index_of_the_migration_serves_a_pattern(migrated_database: Database) -> None:
    await benchmark.settle(migrated_database, "public")
    inputs = await benchmark.draw_inputs(migrated_database, "public", seed=1)
    async with connect(migrated_database, settings={"enable_seqscan": "off"}) as connection:
        plans = await connection.fetch(
            "SELECT migration_benchmark_plan(phases_query, $1::text::jsonb) AS plan FROM migration_benchmark_patterns()"
            " WHERE test_name <> 'database_statistics'",
            inputs.model_dump_json(),
        )
        wanted = await connection.fetch("SELECT index_name FROM phases_index_definitions()")
    used = "\n".join(row["plan"] for row in plans)
    assert [row["index_name"] for row in wanted if row["index_name"] not in used] == []
