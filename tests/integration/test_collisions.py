"""What bears one of our names already: the same definition is ours, another one is renamed and gets its name back."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tasks.core import core_migrations, errors, rollback, run, sql_files, transform, way_back
from tasks.core.catalog import index_definitions_query
from tasks.core.collisions import find_collisions, keep_aside
from tasks.core.database import Connection, Database, connect
from tasks.core.models import LockHold, PreflightReport
from tasks.core.preflight.inspection import inspect
from tasks.core.progress import unheard
from tasks.core.settings import MigrateParameters, RollbackParameters
from tests.integration.test_dependents import dump

OTHERS = """
CREATE INDEX idx_campaigns_workflow_primary ON campaigns (created_at, name);
COMMENT ON INDEX idx_campaigns_workflow_primary IS 'by hand';
CREATE INDEX idx_campaigns_user_dashboard ON campaigns (status, user_id) WHERE status <> 'archived';
CREATE INDEX idx_domains_campaign_leads ON users (last_name);
CREATE INDEX idx_domains_lead_ranking ON generated_domains USING hash (tld);
ALTER TABLE campaigns
    ADD CONSTRAINT campaigns_progress_check CHECK (progress_percentage <= 100.5),
    ADD CONSTRAINT campaigns_metrics_check CHECK (length(status) > 0) NOT VALID,
    ADD CONSTRAINT campaigns_phases_filled FOREIGN KEY (user_id) REFERENCES users (id);
CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
CREATE TRIGGER zzz_campaign_metrics_insert AFTER INSERT ON generated_domains FOR EACH ROW EXECUTE FUNCTION tell();
CREATE TRIGGER zzz_campaigns_keep_row AFTER UPDATE ON campaigns FOR EACH STATEMENT EXECUTE FUNCTION tell();
COMMENT ON TRIGGER zzz_campaigns_keep_row ON campaigns IS 'somebody else''s';
"""
NAMES = {
    "idx_campaigns_workflow_primary", "idx_campaigns_user_dashboard", "idx_domains_campaign_leads", "idx_domains_lead_ranking",
    "campaigns_progress_check", "campaigns_metrics_check", "campaigns_phases_filled",
    "zzz_campaign_metrics_insert", "zzz_campaigns_keep_row",
}  # fmt: skip
# The rules of the phases columns as somebody may have written them: ours, in other words and in another order.
SAME_CHECKS = """
ALTER TABLE campaigns ADD current_phase varchar(40), ADD phase_status text, ADD progress numeric(5,2) DEFAULT 0;
ALTER TABLE campaigns
    ADD CONSTRAINT campaigns_current_phase_check CHECK (
        current_phase IN ('analysis', 'setup', 'http_keyword_validation', 'generation', 'dns_validation')),
    ADD CONSTRAINT campaigns_phase_status_check CHECK (
        phase_status = ANY (ARRAY['failed', 'not_started', 'completed', 'in_progress', 'paused'])) NOT VALID,
    ADD CONSTRAINT campaigns_progress_check CHECK (progress >= 0 AND progress <= 100);
COMMENT ON CONSTRAINT campaigns_phase_status_check ON campaigns IS 'ours, too';
"""


async def do(database: Database, statements: str) -> None:
    async with connect(database) as connection:
        await connection.execute(statements)


async def migrate(database: Database, **options: Any) -> list[LockHold]:
    parameters, run_id = MigrateParameters(mode="apply", **options), str(uuid.uuid4())
    async with run.exclusive_run(database, "public", parameters, run_id, "test"):
        await transform.transform(database, parameters, run_id, unheard)
        return await core_migrations.apply_core_migrations(database, parameters, run_id, unheard)


async def go_back(database: Database) -> None:
    parameters, run_id = RollbackParameters(mode="apply", confirm=database.database), str(uuid.uuid4())
    async with run.exclusive_run(database, "public", parameters, run_id, "test"):
        await rollback.roll_back(database, parameters, run_id, unheard)


async def end(*_arguments: object) -> None:
    raise InterruptedError


async def look(database: Database, **options: Any) -> PreflightReport:
    async with connect(database, schema="public") as connection:
        return await inspect(connection, database, MigrateParameters(**options), for_apply=False)


async def index_of_ours(connection: Connection, name: str) -> str:
    definition: str = await connection.fetchval(
        "SELECT replace(pg_get_indexdef($1::regclass), ' ON public.', ' ON ')", name
    )
    return definition


async def test_what_bears_our_names_is_kept_aside_and_gets_its_name_back(
    legacy_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    await do(legacy_database, OTHERS)
    schema = dump(legacy_database)
    report = await look(legacy_database)
    assert not [finding.message for finding in report.blockers]
    warned = [finding for finding in report.warnings if finding.code == "name-kept"]
    assert {finding.keys[0] for finding in warned} == NAMES

    await migrate(legacy_database)
    async with connect(legacy_database) as connection:
        for name, _table, definition, _purpose in await connection.fetch(index_definitions_query()):
            assert await index_of_ours(connection, name) == definition
        said = {finding.keys[0]: finding.message for finding in warned}
        kept = await connection.fetch(
            "SELECT identity, split_part(definition, ':', 1) AS name FROM migration_saved_objects WHERE kind LIKE 'renamed %'"
        )
        assert {row["name"] for row in kept} == NAMES
        # The warning has named the very name.
        assert all(said[row["name"]].endswith(f"under the name {row['identity']}") for row in kept)
        assert (
            await connection.fetchval(
                "SELECT obj_description('idx_campaigns_workflow_primary_before_000035'::regclass)"
            )
            == "by hand"
        )
        # Those that other triggers stand behind in order still come before ours.
        assert await connection.fetchval(
            "SELECT bool_and(t.tgname < substr(s.definition, 1, strpos(s.definition, ':') - 1)::name)"
            " FROM migration_saved_objects AS s JOIN pg_trigger AS t ON t.tgname = s.identity WHERE s.kind = 'renamed trigger'"
        )
        assert (
            await connection.fetchval(
                "SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'campaigns_progress_check'"
            )
            == "CHECK (((progress >= (0)::numeric) AND (progress <= (100)::numeric)))"
        )
    await go_back(legacy_database)
    assert dump(legacy_database) == schema
    await migrate(legacy_database)
    # Ended when the names are given back and the record of what was ours is still there: the next run takes nothing for ours.
    with monkeypatch.context() as patched:
        patched.setattr(way_back, "tidy_up", end)
        with pytest.raises(InterruptedError):
            await go_back(legacy_database)
    await go_back(legacy_database)
    assert dump(legacy_database) == schema


async def test_a_renamed_one_that_somebody_drops_is_not_missed_on_the_way_back(legacy_database: Database) -> None:
    schema = dump(legacy_database)
    await do(legacy_database, OTHERS)
    await migrate(legacy_database)
    await do(
        legacy_database,
        """
        DO $$
        DECLARE
            one record;
        BEGIN
            FOR one IN SELECT * FROM migration_saved_objects WHERE kind LIKE 'renamed %' LOOP
                CONTINUE WHEN one.identity LIKE '%user_dashboard%' OR one.identity LIKE '%metrics_check%';
                EXECUTE CASE one.kind
                    WHEN 'renamed index' THEN format('DROP INDEX %I', one.identity)
                    WHEN 'renamed constraint' THEN format('ALTER TABLE campaigns DROP CONSTRAINT %I', one.identity)
                    ELSE format('DROP TRIGGER %I ON %s', one.identity,
                                (SELECT tgrelid::regclass FROM pg_trigger WHERE tgname = one.identity)) END;
            END LOOP;
        END $$;
        """,
    )
    await go_back(legacy_database)
    await do(
        legacy_database,
        "DROP INDEX idx_campaigns_user_dashboard; ALTER TABLE campaigns DROP CONSTRAINT campaigns_metrics_check;"
        " DROP FUNCTION tell()",
    )
    assert dump(legacy_database) == schema


async def test_the_same_definition_is_taken_as_ours_and_stays_on_the_way_back(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        await connection.execute(SAME_CHECKS)
        for name, _table, definition, _purpose in await connection.fetch(index_definitions_query()):
            if name in {"idx_campaigns_phase_transitions", "idx_domains_lead_ranking"}:
                await connection.execute(definition)
        assert await find_collisions(connection) == []
        indexes = (
            "SELECT oid FROM pg_class WHERE relname IN ('idx_campaigns_phase_transitions', 'idx_domains_lead_ranking')"
        )
        before = await connection.fetch(indexes)
    schema = dump(legacy_database)
    await migrate(legacy_database)
    async with connect(legacy_database) as connection:
        assert await connection.fetch(indexes) == before
        assert await connection.fetchval(
            "SELECT bool_and(convalidated) FROM pg_constraint WHERE conname = 'campaigns_phase_status_check'"
        )
        assert not await connection.fetchval("SELECT count(*) FROM migration_saved_objects WHERE kind LIKE 'renamed %'")
    await go_back(legacy_database)
    assert dump(legacy_database) == schema


@pytest.mark.parametrize(
    ("make", "named", "why"),
    [
        pytest.param(
            "CREATE TABLE campaign_metric_changes (id bigint)",
            "table campaign_metric_changes",
            "call it by its name",
            id="table",
        ),
        pytest.param(
            "CREATE VIEW campaign_performance_metrics AS SELECT 1",
            "view campaign_performance_metrics",
            "call it by its name",
            id="view",
        ),
        pytest.param(
            "CREATE FUNCTION migration_map_status(phase_status text) RETURNS text LANGUAGE sql AS 'SELECT $1'",
            "function migration_map_status(text)",
            "call it by its name",
            id="function",
        ),
        pytest.param(
            "ALTER TABLE campaigns ADD CONSTRAINT idx_campaigns_user_dashboard UNIQUE (id, user_id)",
            "index idx_campaigns_user_dashboard",
            "may call it by its name",
            id="unique constraint",
        ),
        pytest.param(
            "CREATE TABLE idx_campaigns_user_dashboard ()",
            "table idx_campaigns_user_dashboard",
            "may call it by its name",
            id="table under the name of an index",
        ),
    ],
)
async def test_what_is_called_by_its_name_is_a_blocker_that_says_so(
    legacy_database: Database, make: str, named: str, why: str
) -> None:
    await do(legacy_database, make)
    schema = dump(legacy_database)
    (blocker,) = [finding for finding in (await look(legacy_database)).blockers if finding.code == "name-taken"]
    assert named in blocker.message
    assert why in f"{blocker.message} {blocker.remedy}"
    with pytest.raises(errors.MigrationToolError, match=named.split()[1].partition("(")[0]):
        await migrate(legacy_database)
    assert [line for line in dump(legacy_database) if "migration_" not in line] == [
        line for line in schema if "migration_" not in line
    ]


async def test_a_renamed_rule_that_refuses_our_values_is_still_a_blocker(legacy_database: Database) -> None:
    await do(
        legacy_database,
        "ALTER TABLE campaigns ADD current_phase text"
        " CONSTRAINT campaigns_current_phase_check CHECK (current_phase IN ('generation', 'analysis'))",
    )
    (blocker,) = (await look(legacy_database)).blockers
    assert blocker.code == "phases-check"
    assert "campaigns_current_phase_check" in blocker.message


@pytest.mark.parametrize(
    ("make", "named"),
    [
        ("CREATE INDEX idx_domains_lead_ranking ON generated_domains (tld)", "idx_domains_lead_ranking"),
        (
            "ALTER TABLE campaigns ADD CONSTRAINT campaigns_phases_filled CHECK (length(name) < 999)",
            "campaigns_phases_filled",
        ),
        pytest.param(
            "ALTER TABLE campaigns ADD current_phase text CONSTRAINT campaigns_current_phase_check"
            " CHECK (current_phase IN ('setup', 'generation', 'dns_validation', 'http_keyword_validation', 'analysis', 'x'))",
            "campaigns_current_phase_check",
        ),
        pytest.param(
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
            "CREATE TRIGGER zzz_campaign_metrics_delete AFTER DELETE ON generated_domains EXECUTE FUNCTION f()",
            "zzz_campaign_metrics_delete",
        ),
        ("CREATE FUNCTION campaign_metrics_fold() RETURNS integer LANGUAGE sql AS 'SELECT 1'", "campaign_metrics_fold"),
    ],
)
async def test_by_hand_the_files_refuse_before_anything_changes(
    legacy_database: Database, make: str, named: str
) -> None:
    await do(legacy_database, make)
    schema = dump(legacy_database)
    async with connect(legacy_database) as connection:
        for text in (sql_files.script("migrate-campaign-data"), sql_files.migration(35, "up")):
            with pytest.raises(Exception, match=named):
                await connection.execute(text)
    assert dump(legacy_database) == schema


async def test_the_new_name_is_one_that_nobody_has(legacy_database: Database) -> None:
    await do(
        legacy_database,
        "CREATE INDEX idx_campaigns_phase_transitions ON campaigns (name);"
        "CREATE INDEX idx_campaigns_phase_transitions_before_000035 ON campaigns (name, id)",
    )
    async with connect(legacy_database, schema="public") as connection:
        (found,) = await find_collisions(connection)
    assert found.new_name == "idx_campaigns_phase_transitions_before_000035_2"


async def test_a_run_that_ends_right_after_the_renaming_is_taken_back_or_gone_on_from(
    legacy_database: Database,
) -> None:
    await do(legacy_database, OTHERS)
    schema = dump(legacy_database)
    for ending in (go_back, migrate):
        run_id, parameters = str(uuid.uuid4()), MigrateParameters(mode="apply")
        async with (
            run.exclusive_run(legacy_database, "public", parameters, run_id, "test"),
            run.work_session(legacy_database, "public", run_id, "test") as connection,
        ):
            holds = await keep_aside(connection, parameters.locks, run_id)
            assert await find_collisions(connection) == []
        # Indexes are renamed without a lock on their table.
        assert len(holds) == len(NAMES) - 4
        await ending(legacy_database)
    await go_back(legacy_database)
    assert dump(legacy_database) == schema
