"""What preflight says about readers of the legacy columns: what is moved, what stays, what is in the way and why."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from tasks.core import backup, benchmark, legacy_statements, sql_files
from tasks.core import plan as plans
from tasks.core.database import Database, connect
from tasks.core.models import PreflightReport
from tasks.core.preflight import inspection, run_preflight
from tasks.core.sample import build_sample_database, create_database
from tasks.core.settings import MigrateParameters

LookAfter = Callable[..., Awaitable[PreflightReport]]
READERS = sql_files.SQL_DIRECTORY / "sample" / "plant_readers.sql"
OURS = ("rehearsal", "dependents", "function", "whole-row", "view-is", "trigger-reads", "legacy-statements")
EVERYTHING = """
SELECT md5(string_agg(c::text, ',' ORDER BY c.oid)) FROM pg_class AS c WHERE relnamespace = 'public'::regnamespace
"""

_shared: dict[str, Database] = {}


@pytest.fixture
async def look_after(server: Database, tmp_path: Path) -> LookAfter:
    """`await look_after(statements)`: the report on a small sample after these statements, which are then rolled back."""
    if server.address not in _shared:
        _shared[server.address] = await create_database(server, f"dependents_{uuid.uuid4().hex[:12]}")
        await build_sample_database(_shared[server.address], campaigns=60, domains=600)
    database = _shared[server.address]

    async def run(*statements: str, **values: Any) -> PreflightReport:
        parameters = MigrateParameters(report_directory=tmp_path / "reports", **values)
        async with connect(database, schema="public", settings=inspection.SETTINGS) as connection:
            transaction = connection.transaction(isolation="repeatable_read")
            await transaction.start()
            for statement in statements:
                await connection.execute(statement)
            report = await inspection.inspect(connection, database, parameters, for_apply=True)
            await transaction.rollback()
            return report

    return run


async def look(database: Database, **values: Any) -> PreflightReport:
    return await run_preflight(database, MigrateParameters(**values), for_apply=False)


async def change(database: Database, *statements: str) -> None:
    async with connect(database) as connection:
        for statement in statements:
            await connection.execute(statement)


def warned(report: PreflightReport) -> dict[str, str]:
    """What is said by code, of the findings that this file is about."""
    return {finding.code: finding.message for finding in report.warnings if finding.code.startswith(OURS)}


@pytest.mark.parametrize(
    ("make", "moved", "stays"),
    [
        pytest.param(
            "CREATE VIEW a AS SELECT status FROM campaigns; CREATE VIEW b AS SELECT * FROM a;"
            " CREATE MATERIALIZED VIEW c AS SELECT * FROM b; CREATE INDEX c_status ON c (status)",
            ["view public.a"],
            ["view b", "materialized view c"],
            id="views on views",
        ),
        pytest.param(
            "CREATE MATERIALIZED VIEW c AS SELECT id, status FROM campaigns; CREATE VIEW d AS SELECT * FROM c",
            ["materialized view public.c"],
            ["view d"],
            id="materialized view",
        ),
        pytest.param(
            "CREATE VIEW documents AS SELECT to_jsonb(c) AS document FROM campaigns AS c",
            ["view public.documents"],
            [],
            id="whole rows",
        ),
        pytest.param(
            "CREATE POLICY visible ON campaigns USING (status <> 'archived')",
            ["policy visible ON public.campaigns"],
            [],
            id="policy",
        ),
        pytest.param(
            "CREATE MATERIALIZED VIEW one AS SELECT status FROM campaigns; CREATE MATERIALIZED VIEW two AS SELECT * FROM one;"
            " CREATE VIEW three AS SELECT * FROM two",
            ["materialized view public.one", "materialized view public.two"],
            ["view three"],
            id="materialized views on materialized views",
        ),
        pytest.param(
            "CREATE VIEW a AS WITH campaigns AS (SELECT 1 AS status) SELECT c.status, o.status AS real"
            " FROM campaigns AS c, public.campaigns AS o FOR UPDATE OF o",
            ["view public.a"],
            [],
            id="a query of the same name, and a lock",
        ),
        pytest.param(
            'ALTER TABLE campaigns ALTER status TYPE text COLLATE "C"; CREATE VIEW a AS SELECT status FROM campaigns',
            ["view public.a"],
            [],
            id="a collation",
        ),
        pytest.param(
            "CREATE PROCEDURE note(kind text) LANGUAGE sql BEGIN ATOMIC INSERT INTO campaign_events (campaign_id, event_type)"
            " SELECT id, status FROM campaigns WHERE campaign_type = kind; END",
            ["function public.note(text)"],
            [],
            id="a procedure that names its argument",
        ),
        pytest.param(
            "CREATE CONSTRAINT TRIGGER late AFTER UPDATE OF status ON campaigns FOR EACH ROW EXECUTE FUNCTION notify_change()",
            ["trigger late"],
            [],
            id="constraint trigger",
        ),
        pytest.param(
            "CREATE TRIGGER on_failure AFTER UPDATE OF status ON campaigns FOR EACH ROW WHEN (new.status = 'failed')"
            " EXECUTE FUNCTION notify_change()",
            ["trigger on_failure"],
            [],
            id="trigger",
        ),
        pytest.param(
            "CREATE FUNCTION running() RETURNS bigint LANGUAGE sql BEGIN ATOMIC"
            " SELECT count(*) FROM campaigns WHERE status = 'running'; END",
            ["function public.running()"],
            [],
            id="function with a parsed body",
        ),
        pytest.param(
            "CREATE VIEW a AS SELECT c.id, c.status, upper(c.campaign_type) AS kind, count(d.id) AS domains, c.*::text AS whole"
            " FROM campaigns AS c LEFT JOIN generated_domains AS d ON d.domain_generation_campaign_id = c.id"
            " GROUP BY c.id HAVING c.status <> 'failed' ORDER BY c.updated_at",
            ["view public.a"],
            [],
            id="grouped by the primary key",
        ),
        pytest.param(
            "CREATE VIEW v AS SELECT status FROM campaigns;"
            " CREATE FUNCTION all_of_v() RETURNS SETOF v LANGUAGE sql AS 'SELECT * FROM v'",
            ["view public.v"],
            ["function all_of_v()"],
            id="function over a view's rows",
        ),
    ],
)
async def test_what_is_moved_and_what_reads_through_it_is_one_warning(
    look_after: LookAfter, make: str, moved: list[str], stays: list[str]
) -> None:
    report = await look_after(make)
    assert report.blockers == []
    (found,) = [finding for finding in report.warnings if finding.code == "dependents-moved"]
    assert found.keys == moved
    _, _, tail = found.message.partition("read through them: ")
    assert [name.replace("public.", "") for name in tail.split(", ") if name] == sorted(stays)


@pytest.mark.parametrize(
    ("make", "named", "why"),
    [
        pytest.param(
            "CREATE RULE watch AS ON UPDATE TO campaigns WHERE new.status = 'failed'"
            " DO ALSO DELETE FROM campaign_exports WHERE campaign_id = new.id",
            "rule watch on table campaigns",
            "a rule is not moved",
            id="rule",
        ),
        pytest.param(
            "ALTER TABLE campaigns ADD is_done boolean GENERATED ALWAYS AS (status = 'completed') STORED",
            "column is_done of table campaigns",
            "DROP COLUMN would take it along",
            id="generated column",
        ),
        pytest.param(
            "ALTER TABLE campaigns ADD CONSTRAINT mixed CHECK (status <> 'completed' OR completed_at IS NOT NULL) NOT VALID",
            "constraint mixed on table campaigns",
            "a check that ties a legacy column to other columns",
            id="check over other columns, too",
        ),
        pytest.param(
            "ALTER TABLE campaigns ADD CONSTRAINT once UNIQUE (name, campaign_type, id)",
            "constraint once on table campaigns",
            "a unique constraint",
            id="unique constraint",
        ),
        pytest.param(
            "CREATE VIEW renaming AS SELECT s FROM campaigns AS c (i, n, t, s)",
            "view renaming",
            "come back in other places",
            id="columns renamed by their places",
        ),
        pytest.param(
            "CREATE FUNCTION label(c campaigns) RETURNS text LANGUAGE sql RETURN c.status",
            "function label(campaigns)",
            "takes or returns its rows",
            id="function over rows of campaigns",
        ),
        pytest.param(
            "CREATE FUNCTION every() RETURNS SETOF campaigns LANGUAGE sql AS 'SELECT * FROM campaigns';"
            " CREATE VIEW through AS SELECT e.id, e.status FROM every() AS e",
            "view through",
            "takes or returns its rows",
            id="view over a function that returns rows of campaigns",
        ),
        pytest.param(
            "CREATE SEQUENCE counting OWNED BY campaigns.status",
            "sequence counting",
            "would go with it",
            id="sequence that a legacy column owns",
        ),
        pytest.param(
            "CREATE MATERIALIZED VIEW one AS SELECT id, status, ctid AS place FROM campaigns;"
            " CREATE MATERIALIZED VIEW two AS SELECT * FROM one WHERE id IS NULL",
            "materialized view one",
            "the server does not take its new definition",
            id="materialized view that cannot be built anew",
        ),
        pytest.param(
            "CREATE MATERIALIZED VIEW one AS SELECT id, status FROM campaigns;"
            " CREATE FUNCTION all_of_it() RETURNS SETOF one LANGUAGE sql AS 'SELECT * FROM one'",
            "function all_of_it()",
            "built anew and swapped",
            id="function over a materialized view's rows",
        ),
        pytest.param(
            "CREATE MATERIALIZED VIEW one AS SELECT id, status FROM campaigns;"
            " CREATE STATISTICS both_of_it ON id, status FROM one",
            "statistics object both_of_it",
            "built anew and swapped",
            id="statistics over a materialized view",
        ),
        pytest.param(
            "CREATE VIEW locking AS SELECT c.id, c.status, x.tableoid FROM campaigns AS c JOIN campaigns AS x ON x.id = c.id",
            "view locking",
            "the server does not take its new definition",
            id="a definition that the server refuses",
        ),
    ],
)
async def test_what_is_in_the_way_says_why(look_after: LookAfter, make: str, named: str, why: str) -> None:
    (found,) = [finding for finding in (await look_after(make)).blockers if finding.code == "dependent"]
    assert found.keys[0].replace("public.", "") == named
    assert why in found.message
    assert "CASCADE" in found.remedy


async def test_what_000035_records_and_drops_itself_is_a_warning_or_nothing(look_after: LookAfter) -> None:
    report = await look_after(
        "CREATE INDEX partial_mix ON campaigns (user_id) WHERE status = 'running'",
        "CREATE UNIQUE INDEX expression_mix ON campaigns ((lower(campaign_type)), id)",
        "ALTER TABLE campaigns ADD CONSTRAINT both_legacy CHECK (campaign_type <> 'x' OR status <> 'y')",
        "CREATE STATISTICS together ON status, user_id FROM campaigns",
        "CREATE TABLE kinds (kind text PRIMARY KEY)",
        "INSERT INTO kinds SELECT DISTINCT campaign_type FROM campaigns",
        "ALTER TABLE campaigns ADD CONSTRAINT of_a_kind FOREIGN KEY (campaign_type) REFERENCES kinds NOT VALID",
    )
    assert report.blockers == []
    assert [*warned(report)] == ["dependents-recorded"]
    assert "together" in warned(report)["dependents-recorded"]


async def test_a_publication_s_column_list_is_handled_and_its_row_filter_is_in_the_way(look_after: LookAfter) -> None:
    lists = "CREATE PUBLICATION listing FOR TABLE campaigns (id, name, status)"
    try:
        report = await look_after(lists)
    except asyncpg.PostgresSyntaxError:
        return  # PostgreSQL 14 has neither
    assert "listing" in warned(report)["dependents-recorded"]
    assert report.blockers == []
    report = await look_after("CREATE PUBLICATION filtering FOR TABLE campaigns WHERE (status <> 'archived')")
    (found,) = report.blockers
    assert "filters its rows" in found.message


async def test_rules_of_the_core_tables_are_in_the_way_of_the_transform_too_unless_switched_off(
    look_after: LookAfter,
) -> None:
    rules = [
        f"CREATE RULE on_{event} AS ON {event} TO {table} DO {action}"
        for table in ("campaigns", "generated_domains")
        for event, action in (
            ("update", "INSTEAD NOTHING"),
            ("insert", "ALSO DELETE FROM campaign_exports WHERE false"),
            ("delete", "ALSO NOTIFY gone"),
        )
    ]
    found = (await look_after(*rules, stop_after="transform")).blockers
    assert len(found) == len(rules)
    assert "rule on_insert on campaigns rewrites every statement" in found[1].message
    assert "DO DELETE FROM campaign_exports" in found[1].message
    assert "ALTER TABLE generated_domains DISABLE RULE on_update" in found[-1].remedy
    switched_off = [f"ALTER TABLE {rule.split()[7]} DISABLE RULE {rule.split()[2]}" for rule in rules]
    assert (await look_after(*rules, *switched_off)).blockers == []


AFAR = """
CREATE EXTENSION postgres_fdw;
CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '192.0.2.1', dbname 'old');
CREATE FOREIGN TABLE notes (id uuid, note text) SERVER far;
"""


@pytest.mark.parametrize("table", ["campaigns", "generated_domains"])
async def test_a_foreign_table_that_inherits_is_refused_and_not_asked(look_after: LookAfter, table: str) -> None:
    codes = {
        f.code for f in (await look_after(AFAR, f"CREATE FOREIGN TABLE more () INHERITS ({table}) SERVER far")).blockers
    }
    assert codes >= {"inheritance", "foreign-partition"}


async def test_a_materialized_view_of_whole_rows_is_moved_and_what_a_way_back_does_to_it_is_said(
    look_after: LookAfter,
) -> None:
    view = "CREATE MATERIALIZED VIEW kept AS SELECT id, to_jsonb(c) AS document FROM campaigns AS c WITH NO DATA"
    report = await look_after(view)
    assert report.blockers == []
    (found,) = [finding for finding in report.warnings if finding.code == "materialized-whole-rows"]
    assert found.keys == ["public.kept"]
    assert found.remedy == "REFRESH MATERIALIZED VIEW after a way back."


async def test_views_over_foreign_tables_are_moved_and_what_only_their_server_knows_is_said(
    look_after: LookAfter,
) -> None:
    report = await look_after(
        AFAR,
        "CREATE VIEW noted AS SELECT c.id, c.status, n.note FROM campaigns AS c JOIN notes AS n USING (id)",
        "CREATE VIEW again AS SELECT * FROM notes",
        "CREATE MATERIALIZED VIEW kept AS SELECT c.id, c.status, n.note FROM campaigns AS c JOIN again AS n USING (id)"
        " WITH NO DATA",
        "CREATE FOREIGN TABLE there (id uuid, state text OPTIONS (column_name 'status')) SERVER far"
        " OPTIONS (table_name 'campaigns')",
        "CREATE FOREIGN TABLE elsewhere (id uuid, status text) SERVER far",
    )
    assert report.blockers == []
    found = {finding.code: finding for finding in report.warnings}
    assert found["dependents-moved"].keys == ["materialized view public.kept", "view public.noted"]
    assert found["foreign-table"].keys == ["there"]
    assert "(dbname old, host 192.0.2.1)" in found["foreign-table"].message
    assert found["materialized-from-afar"].keys == ["kept"]
    assert "server far answers" in found["materialized-from-afar"].remedy


@pytest.mark.parametrize(
    ("rule", "named"),
    [
        (
            "CREATE UNIQUE INDEX one_at_a_time ON campaigns (user_id, name) WHERE status = 'running'",
            "unique index public.one_at_a_time",
        ),
        (
            "ALTER TABLE campaigns ADD CONSTRAINT one_at_a_time EXCLUDE (name WITH =) WHERE (status = 'no such status')",
            "exclusion constraint public.one_at_a_time",
        ),
    ],
)
async def test_a_unique_index_whose_rule_would_be_lost_is_in_the_way_of_the_cut_over_alone(
    look_after: LookAfter, rule: str, named: str
) -> None:
    (found,) = (await look_after(rule)).blockers
    assert f"{named} rests on a legacy column, and nothing would keep its rule" in found.message
    report = await look_after(rule, stop_after="transform")
    assert report.blockers == []
    (found,) = [finding for finding in report.warnings if finding.code == "unique-rule"]
    assert "in the way of the cut-over" in found.message


SPREADS = """
CREATE TABLE history (LIKE campaigns);
CREATE FUNCTION keep_row() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN INSERT INTO history SELECT OLD.*; RETURN NULL; END';
CREATE FUNCTION archive() RETURNS void LANGUAGE sql AS 'INSERT INTO history SELECT * FROM campaigns';
"""
KEEP_ROW = "CREATE TRIGGER keep_row AFTER UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION keep_row()"


async def test_a_trigger_that_fails_once_there_are_more_columns_is_in_the_way_of_the_transform(
    look_after: LookAfter,
) -> None:
    (found,) = (await look_after(SPREADS, KEEP_ROW, stop_after="transform")).blockers
    assert "trigger keep_row on campaigns calls keep_row()" in found.message
    assert "line 1" in found.message
    report = await look_after(SPREADS, KEEP_ROW, "ALTER TABLE campaigns DISABLE TRIGGER keep_row")
    assert report.blockers == []
    warned_of = [finding.message for finding in report.warnings if finding.code == "function-spreads-rows"]
    assert len(warned_of) == 2
    assert "function archive() inserts whole rows" in warned_of[0]


async def test_a_parsed_body_that_returns_the_columns_of_today_is_in_the_way(look_after: LookAfter) -> None:
    function = (
        "CREATE FUNCTION {0}() RETURNS SETOF campaigns LANGUAGE sql BEGIN ATOMIC SELECT {1} FROM campaigns AS c; END"
    )
    report = await look_after(function.format("today", "c.*"), function.format("always", "c"), stop_after="transform")
    assert [finding.keys for finding in report.blockers] == [["today()"]]


async def test_stored_rows_of_campaigns_are_in_the_way_of_its_new_columns(look_after: LookAfter) -> None:
    (found,) = (await look_after("CREATE TABLE audit (id bigint, old_rows campaigns[])")).blockers
    assert "public.audit.old_rows" in found.message


async def test_an_event_trigger_that_refuses_is_in_the_way_and_one_that_listens_is_told(look_after: LookAfter) -> None:
    function = "CREATE FUNCTION on_ddl() RETURNS event_trigger LANGUAGE plpgsql AS"
    trigger = "CREATE EVENT TRIGGER on_ddl ON sql_drop EXECUTE FUNCTION on_ddl()"
    report = await look_after(f"{function} 'BEGIN NULL; END'", trigger)
    assert report.blockers == []
    assert any("event trigger on_ddl" in finding.message for finding in report.warnings)
    (found,) = (await look_after(f"{function} $$BEGIN RAISE 'not here'; END$$", trigger)).blockers
    assert "not here" in found.message


ROW_SECURITY = """
ALTER TABLE campaigns ENABLE ROW LEVEL SECURITY;
CREATE POLICY visible ON campaigns FOR SELECT TO campaign_app USING (status <> 'archived');
"""


async def test_row_level_security_that_a_view_cannot_stand_in_for_is_in_the_way(look_after: LookAfter) -> None:
    policy = (
        "CREATE POLICY p ON campaign_events USING (campaign_id IN (SELECT id FROM campaigns WHERE status <> 'paused'))"
    )
    (found,) = [one for one in (await look_after(ROW_SECURITY, policy)).blockers if "policy p on" in one.message]
    assert (
        "campaign_reader may read some only" in found.message or "before PostgreSQL 15 no view obeys" in found.message
    )
    view = "CREATE VIEW theirs AS SELECT status FROM campaigns; ALTER VIEW theirs OWNER TO campaign_app"
    (found,) = [one for one in (await look_after(ROW_SECURITY, view)).blockers if "view theirs" in one.message]
    assert "it belongs to campaign_app and not to the owner of campaigns" in found.message


async def test_every_kind_of_reader_at_once_is_moved_and_nothing_is_changed(sample_factory: Any) -> None:
    database = await sample_factory()
    await change(database, READERS.read_text())
    async with connect(database) as connection:
        before = await connection.fetchval(EVERYTHING)
        report = await look(database)
        assert await connection.fetchval(EVERYTHING) == before
        assert await connection.fetchval("SELECT count(*) FROM pg_proc WHERE proname LIKE 'migration%'") == 0
    assert report.blockers == []
    (moved,) = [finding for finding in report.warnings if finding.code == "dependents-moved"]
    assert moved.count == 8
    assert "view running_campaign_counts" in moved.message
    assert "campaign_app may write through view public.campaign_api" in warned(report)["view-is-written"]


async def test_a_reader_of_another_owner_is_in_the_way(sample_factory: Any, server: Database) -> None:
    database = await sample_factory()
    role = f"owner_{uuid.uuid4().hex[:8]}"
    await change(
        database,
        f"CREATE ROLE {role} LOGIN PASSWORD 'secret'",
        "CREATE VIEW theirs AS SELECT status FROM campaigns",
        f"CREATE ROLE {role}_app",
        f"ALTER VIEW theirs OWNER TO {role}_app",
        f"GRANT CREATE, USAGE ON SCHEMA public TO {role}",
        f"GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}",
    )
    try:
        report = await look(Database(**{**database.model_dump(), "user": role, "password": "secret"}))
        (found,) = [finding for finding in report.blockers if finding.code == "dependent"]
        assert f"it belongs to {role}_app" in found.message, warned(report)
        await change(
            database, f"REVOKE CREATE ON SCHEMA public FROM {role}", "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
        )
        report = await look(Database(**{**database.model_dump(), "user": role, "password": "secret"}))
        assert "permission denied" in warned(report)["rehearsal-impossible"]
        assert [finding.keys for finding in report.blockers if finding.code == "dependent"] == [["view theirs"]]
    finally:
        await change(
            database, f"DROP OWNED BY {role}, {role}_app", f"DROP ROLE {role}", f"DROP ROLE {role}_app",
        )  # fmt: skip


async def test_a_trigger_function_that_reads_a_legacy_field_is_in_the_way_with_its_line(look_after: LookAfter) -> None:
    make = (
        "CREATE FUNCTION audit() RETURNS trigger LANGUAGE plpgsql AS E'\\nBEGIN\\n  IF NEW.name <> \\'x\\' THEN\\n"
        "    RAISE NOTICE \\'%\\', NEW.status;\\n  END IF;\\n  RETURN NEW;\\nEND';"
        "CREATE TRIGGER audited AFTER UPDATE OF name ON campaigns FOR EACH ROW EXECUTE FUNCTION audit()"
    )
    (found,) = (await look_after(make)).blockers
    assert found.code == "trigger-reads-legacy-column"
    for words in ("trigger audited", "audit()", "line 4: status in `RAISE NOTICE '%', NEW.status;`", "every write"):
        assert words in found.message
    report = await look_after(make, "ALTER TABLE campaigns DISABLE TRIGGER audited")
    assert report.blockers == []
    assert "audit()" in warned(report)["function-names-legacy-column"]


@pytest.mark.parametrize(
    ("make", "named"),
    [
        ("CREATE INDEX by_label ON campaigns (label(campaigns))", "index by_label"),
        (
            "ALTER TABLE campaigns ADD CONSTRAINT labelled CHECK (label(campaigns) <> '')",
            "constraint labelled on table campaigns",
        ),
        (
            "CREATE TRIGGER labelled AFTER UPDATE ON campaigns FOR ROW WHEN (label(NEW) <> '') EXECUTE FUNCTION notify_change()",
            "trigger labelled on table campaigns",
        ),
        (
            (
                "CREATE FUNCTION label(c uuid) RETURNS text LANGUAGE sql AS 'SELECT {0} FROM campaigns WHERE id = c';"
                "CREATE POLICY labelled ON campaign_jobs USING (label(campaign_id) <> '')"
            ),
            "policy labelled on table campaign_jobs",
        ),
    ],
)
async def test_what_calls_a_function_that_reads_a_legacy_column_is_in_the_way(
    look_after: LookAfter, make: str, named: str
) -> None:
    function = (
        "CREATE FUNCTION label(c campaigns) RETURNS text LANGUAGE plpgsql IMMUTABLE AS"
        " $$BEGIN RETURN c.{0} || c.name; END$$"
    )

    async def blocked(column: str) -> dict[str, str]:
        report = await look_after(function.format(column), make.format(column))
        return {finding.code: finding.message.replace("public.", "") for finding in report.blockers}

    assert (await blocked("status"))["definition-calls-legacy-reader"].startswith(f"{named} calls label(")
    assert await blocked("business_status") == {}


@pytest.mark.parametrize(
    ("table", "campaign"), [("campaigns", "id"), ("generated_domains", "domain_generation_campaign_id")]
)
async def test_a_trigger_of_the_core_tables_that_asks_for_a_legacy_column_is_in_the_way(
    look_after: LookAfter, table: str, campaign: str
) -> None:
    make = (
        "CREATE FUNCTION still_open() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN"
        f" IF EXISTS (SELECT FROM campaigns WHERE id = NEW.{campaign} AND status = 'archived') THEN RAISE 'closed'; END IF;"
        " RETURN NEW; END$$;"
        f"CREATE TRIGGER still_open BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION still_open()"
    )
    (found,) = (await look_after(make)).blockers
    assert f"trigger still_open on {table} calls still_open(), which reads line 1: status" in found.message.replace(
        "public.", ""
    )
    assert (await look_after(make, stop_after="transform")).blockers == []
    assert (await look_after(make, f"ALTER TABLE {table} DISABLE TRIGGER still_open")).blockers == []


async def test_functions_that_use_legacy_columns_are_named_with_their_lines(look_after: LookAfter) -> None:
    report = await look_after(
        "CREATE FUNCTION kinds() RETURNS bigint LANGUAGE plpgsql AS"
        " E'\\nBEGIN\\n  RETURN (SELECT count(DISTINCT campaign_type) FROM campaigns);\\nEND'",
        "CREATE FUNCTION other() RETURNS bigint LANGUAGE sql AS 'SELECT count(status) FROM campaign_jobs -- campaigns'",
        "CREATE FUNCTION documents() RETURNS SETOF jsonb LANGUAGE sql AS 'SELECT to_jsonb(c) FROM campaigns AS c'",
        "CREATE FUNCTION hidden(x text) RETURNS void LANGUAGE plpgsql AS"
        " $$BEGIN EXECUTE 'UPDATE campaigns SET ' || x || ' = 1'; END$$",
        "CREATE FUNCTION of_jobs() RETURNS trigger LANGUAGE plpgsql AS"
        " $$BEGIN UPDATE campaigns SET status = 'running' WHERE id = NEW.campaign_id; RETURN NEW; END$$;"
        "CREATE TRIGGER begun AFTER INSERT ON campaign_jobs FOR EACH ROW EXECUTE FUNCTION of_jobs()",
    )
    assert report.blockers == []
    named = [finding.message for finding in report.warnings if finding.code == "function-names-legacy-column"]
    assert len(named) == 2
    assert "plpgsql function kinds() uses legacy columns: line 3: campaign_type" in named[0].replace("public.", "")
    assert "of_jobs()" in named[1]
    assert "called by trigger begun on campaign_jobs" in named[1].replace("public.", "")
    assert "documents()" in warned(report)["function-reads-whole-rows"]
    assert "hidden(text)" in warned(report)["function-not-looked-into"]


async def test_what_this_tool_asks_itself_is_no_legacy_statement(legacy_database: Database, tmp_path: Path) -> None:
    async with connect(legacy_database) as connection:
        await connection.execute("CREATE EXTENSION pg_stat_statements")
        await connection.fetchval("SELECT pg_stat_statements_reset() IS NULL")
    await look(legacy_database)
    await plans.make_plan(legacy_database, MigrateParameters())
    await backup.make_backup(legacy_database, "public", tmp_path / "backup")
    inputs = await benchmark.draw_inputs(legacy_database, "public", seed=1)
    run_id = str(uuid.uuid4())
    await benchmark.measure(
        legacy_database, "public", rounds=5, seed=1, benchmark_writes=False, run_id=run_id, parameters=inputs
    )
    report = await legacy_statements.look(legacy_database, "public", hours=24, record=False)
    assert report.available
    assert report.statements == []


async def test_live_statements_are_named_with_their_calls_and_nothing_is_written_down(
    legacy_database: Database,
) -> None:
    async with connect(legacy_database) as connection:
        await connection.execute("CREATE EXTENSION pg_stat_statements")
        await connection.fetchval("SELECT pg_stat_statements_reset() IS NULL")
        for _ in range(3):
            await connection.fetch("SELECT id FROM campaigns WHERE status = 'running'")
        report = await look(legacy_database)
        assert await connection.fetchval("SELECT to_regclass('migration_statement_looks')") is None
    (found,) = [finding for finding in report.warnings if finding.code == "legacy-statements"]
    assert any(key.startswith("3 calls by postgres: SELECT id FROM campaigns") for key in found.keys)
