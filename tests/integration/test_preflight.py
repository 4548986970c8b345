"""What preflight says about databases with one thing wrong: the value, the rows, the remedy, and nothing is changed."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import pytest

from tasks.core import errors, sql_files
from tasks.core.client_binaries import find_client_binary
from tasks.core.database import Connection, Database, connect
from tasks.core.models import PreflightReport, State
from tasks.core.preflight import inspection, run_preflight, summary
from tasks.core.preflight import surroundings as surroundings_module
from tasks.core.run import lock_key
from tasks.core.sample import build_sample_database, create_database
from tasks.core.server import PostgresServer
from tasks.core.settings import MigrateParameters

Look = Callable[..., Awaitable[PreflightReport]]
LookAfter = Callable[[str], Awaitable[PreflightReport]]
FIRST = "(SELECT id FROM campaigns ORDER BY id LIMIT 1)"


@pytest.fixture
def look(tmp_path: Path) -> Look:
    async def run(database: Database, *, for_apply: bool = True, **values: Any) -> PreflightReport:
        parameters = MigrateParameters(**{"report_directory": tmp_path / "reports", **values})
        return await run_preflight(database, parameters, for_apply=for_apply)

    return run


_shared: dict[str, Database] = {}


@pytest.fixture
async def look_after(server: Database, tmp_path: Path) -> LookAfter:
    """`await look_after(statements)`: the report on a small sample after these statements, which are then rolled back."""
    if server.address not in _shared:
        _shared[server.address] = await create_database(server, f"preflight_{uuid.uuid4().hex[:12]}")
        await build_sample_database(_shared[server.address], campaigns=60, domains=600)
    database = _shared[server.address]
    parameters = MigrateParameters(report_directory=tmp_path / "reports")

    async def run(statements: str) -> PreflightReport:
        async with connect(database, schema="public", settings=inspection.SETTINGS) as connection:
            transaction = connection.transaction(isolation="repeatable_read")
            await transaction.start()
            await connection.execute(statements)
            report = await inspection.inspect(connection, database, parameters, for_apply=True)
            await transaction.rollback()
            return report

    return run


async def change(database: Database, *statements: str) -> None:
    async with connect(database) as connection:
        for statement in statements:
            await connection.execute(statement)


def codes(report: PreflightReport, severity: str = "blocker") -> list[str]:
    return sorted({finding.code for finding in report.findings if finding.severity == severity})


async def state_of_everything(connection: Connection) -> list[Any]:
    """Enough of the catalog and the rows to notice any change."""
    return [
        await connection.fetchval(
            "SELECT md5(string_agg(format('%s %s %s %s', relnamespace, relname, relfilenode, relkind), ',' ORDER BY oid))"
            " FROM pg_class"
        ),
        await connection.fetchval(
            "SELECT md5(string_agg(format('%s %s %s', attrelid, attname, atttypid), ',' ORDER BY attrelid, attnum))"
            " FROM pg_attribute"
        ),
        await connection.fetchval("SELECT md5(string_agg(prosrc, ',' ORDER BY oid)) FROM pg_proc"),
        await connection.fetchval("SELECT md5(string_agg(tgname || tgrelid, ',' ORDER BY oid)) FROM pg_trigger"),
        await connection.fetchval("SELECT md5(string_agg(c::text, ',' ORDER BY id)) FROM campaigns AS c"),
        await connection.fetchval("SELECT md5(string_agg(d::text, ',' ORDER BY id)) FROM generated_domains AS d"),
    ]


async def test_the_sample_database_has_no_blocker(legacy_database: Database, look: Look) -> None:
    report = await look(legacy_database)
    assert report.blockers == []
    assert (report.state, report.users_table) == (State.LEGACY, "public.users")
    assert (report.campaigns, report.domains) == (60, 6_000)
    assert len(report.census) == 54
    assert sum(row.campaigns for row in report.census) == 60
    assert all(row.current_phase and row.phase_status for row in report.census)
    triggers = next(finding for finding in report.warnings if finding.code == "application-triggers")
    assert "set_campaigns_updated_at" in triggers.keys


async def test_preflight_changes_nothing_even_where_much_is_wrong(sample_factory: Any, look: Look) -> None:
    database = await sample_factory(profile="production", phases_columns="partial")
    await change(
        database,
        "ALTER TABLE campaigns DROP CONSTRAINT chk_campaigns_status, DROP CONSTRAINT campaigns_user_id_fkey",
        f"UPDATE campaigns SET status = 'snoozed', user_id = NULL WHERE id = {FIRST}",
    )
    async with connect(database) as connection:
        before = await state_of_everything(connection)
        report = await look(database)
        assert await state_of_everything(connection) == before
    assert {"unknown-status", "campaign-without-user"} <= set(codes(report))
    assert {"dependents-moved", "name-kept"} <= set(codes(report, "warning"))


@pytest.mark.parametrize(
    ("spoil", "code", "words"),
    [
        pytest.param(
            "ALTER TABLE generated_domains DROP COLUMN lead_score CASCADE",
            "missing-column",
            ["generated_domains has no column lead_score", "--schema"],
            id="column gone",
        ),
        pytest.param(
            "ALTER TABLE campaigns DROP COLUMN status CASCADE",
            "missing-column",
            ["campaigns has no column status"],
            id="legacy column gone",
        ),
        pytest.param(
            "ALTER TABLE campaigns ALTER progress_percentage DROP DEFAULT,"
            " DROP CONSTRAINT chk_campaigns_progress_percentage; DROP TRIGGER check_campaigns_ranges ON campaigns;"
            " ALTER TABLE campaigns ALTER progress_percentage TYPE text",
            "column-type",
            ["campaigns.progress_percentage is text, this migration needs number"],
            id="column of another type",
        ),
        pytest.param(
            "ALTER TABLE campaigns DROP CONSTRAINT chk_campaigns_status;"
            f" UPDATE campaigns SET status = 'snoozed' WHERE id = {FIRST}",
            "unknown-status",
            ["1 campaign has the unknown status 'snoozed'", "--map-status"],
            id="unknown status",
        ),
        pytest.param(
            "ALTER TABLE campaigns DROP CONSTRAINT chk_campaigns_campaign_type;"
            f" UPDATE campaigns SET campaign_type = 'mystery' WHERE id = {FIRST}",
            "unknown-campaign-type",
            ["1 campaign has the unknown campaign_type 'mystery'", "--map-campaign-type"],
            id="unknown type",
        ),
        pytest.param(
            "ALTER TABLE campaigns ALTER campaign_type DROP NOT NULL;"
            f" UPDATE campaigns SET campaign_type = NULL WHERE id = {FIRST}",
            "null-campaign-type",
            ["1 campaign has no campaign_type (NULL)", "--map-null-campaign-type"],
            id="NULL type",
        ),
        pytest.param(
            "ALTER TABLE campaigns DROP CONSTRAINT campaigns_user_id_fkey;"
            f" UPDATE campaigns SET user_id = gen_random_uuid() WHERE id = {FIRST}",
            "campaign-without-user",
            ["1 campaign without a user (1 whose user is not in public.users)", "Give these campaigns a user"],
            id="user gone",
        ),
        pytest.param(
            f"UPDATE campaigns SET user_id = NULL WHERE id = {FIRST}",
            "campaign-without-user",
            ["1 campaign without a user (1 with no user_id)"],
            id="no user",
        ),
        pytest.param(
            "DROP INDEX idx_campaigns_user_type_status, idx_campaigns_name_search;"
            " UPDATE campaigns SET name = (SELECT string_agg(md5(n::text), '') FROM generate_series(1, 200) AS n)"
            f" WHERE id = {FIRST}",
            "name-too-long",
            ["1 campaign with a name too long for idx_campaigns_phase_transitions (the longest has 6,400 bytes)"],
            id="name too long for an index",
        ),
        pytest.param(
            "ALTER TABLE generated_domains DROP CONSTRAINT generated_domains_campaign_fkey;"
            " INSERT INTO generated_domains (domain_generation_campaign_id, domain_name)"
            " VALUES (gen_random_uuid(), 'lost.example')",
            "orphaned-domains",
            ["1 orphaned domain", "Delete these domains"],
            id="orphaned domain",
        ),
        pytest.param(
            "ALTER TABLE campaigns DROP CONSTRAINT campaigns_user_id_fkey; CREATE SCHEMA auth;"
            " CREATE TABLE auth.users (id uuid PRIMARY KEY)",
            "users-table-ambiguous",
            ["auth.users, public.users", "foreign key"],
            id="two users tables",
        ),
        pytest.param(
            "ALTER TABLE users RENAME TO people; ALTER TABLE campaigns DROP CONSTRAINT campaigns_user_id_fkey",
            "users-table-missing",
            ["no users table"],
            id="no users table",
        ),
        pytest.param(
            "ALTER TABLE campaigns ADD domains smallint",
            "phases-column-type",
            ["campaigns.domains is smallint: this migration needs bigint"],
            id="phases column of another type",
        ),
        pytest.param(
            "ALTER TABLE campaigns ADD current_phase varchar(12)",
            "phases-column-short",
            ["character varying(12), too short for 'dns_validation', 'http_keyword_validation'"],
            id="phases column too short",
        ),
        pytest.param(
            "ALTER TABLE campaigns ADD current_phase text CONSTRAINT old_rule"
            " CHECK (current_phase IN ('generation', 'analysis'))",
            "phases-check",
            ["old_rule", "does not allow setup, dns_validation, http_keyword_validation"],
            id="phases column under a narrower rule",
        ),
        pytest.param(
            "CREATE TABLE migration_runs (id bigint)", "name-taken", ["table migration_runs"], id="table name taken"
        ),
        pytest.param(
            "CREATE TYPE migration_ledger AS ENUM ('a')", "name-taken", ["type migration_ledger"], id="type name taken"
        ),
        pytest.param(
            "CREATE FUNCTION maintain_phases_indexes() RETURNS void LANGUAGE sql AS 'SELECT'",
            "name-taken",
            ["function maintain_phases_indexes()"],
            id="function name taken",
        ),
        pytest.param(
            "CREATE TRIGGER zzzz_mine BEFORE UPDATE ON campaigns FOR EACH ROW EXECUTE FUNCTION set_updated_at()",
            "trigger-comes-last",
            ["trigger zzzz_mine on campaigns", "RENAME TO"],
            id="trigger after ours",
        ),
        pytest.param(
            "ALTER TABLE campaigns RENAME TO stored; CREATE VIEW campaigns AS SELECT * FROM stored",
            "table-kind",
            ["campaigns is a view"],
            id="campaigns is a view",
        ),
        pytest.param(
            "UPDATE campaigns SET error_message = NULL; UPDATE campaigns SET error_message = '' WHERE status = 'failed';"
            "ALTER TABLE campaigns ADD CONSTRAINT \"says why\" CHECK (error_message <> '') NOT VALID,"
            " ADD CONSTRAINT \"says what\" CHECK (name <> '') NOT VALID",
            "broken-rule",
            ["campaigns that says why would refuse as soon as they are written"],
            id="a rule that was never checked",
        ),
        pytest.param(
            "CREATE TABLE more_campaigns () INHERITS (campaigns)",
            "inheritance",
            ["campaigns is part of an inheritance tree"],
            id="inheritance",
        ),
        pytest.param(
            "CREATE TABLE schema_migrations (version varchar PRIMARY KEY)",
            "version-table-shape",
            ["public.schema_migrations is not golang-migrate's table", "version character varying not null"],
            id="another tool's version table",
        ),
        pytest.param(
            "CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL);"
            " INSERT INTO schema_migrations VALUES (34, true)",
            "version-dirty",
            ["golang-migrate's version 34 is dirty", "`migrate force 34`"],
            id="dirty version",
        ),
        pytest.param(
            "CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL);"
            " INSERT INTO schema_migrations VALUES (31, false)",
            "version-other",
            ["golang-migrate's version is 31, not 34", "--expected-version"],
            id="version too low",
        ),
        pytest.param(
            "CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL);"
            " INSERT INTO schema_migrations VALUES (37, false)",
            "version-ahead",
            ["golang-migrate's version is 37, yet the legacy columns are there"],
            id="version too high",
        ),
        pytest.param(
            "CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)",
            "version-none",
            ["golang-migrate's table is empty"],
            id="no version",
        ),
    ],
)
async def test_one_thing_wrong_is_one_clear_blocker(
    look_after: LookAfter, spoil: str, code: str, words: list[str]
) -> None:
    report = await look_after(spoil)
    assert code in codes(report)
    found = next(finding for finding in report.blockers if finding.code == code)
    said = f"{found.message} {found.remedy}"
    for text in words:
        assert text in said
    assert found.message[1:] in summary(report)


async def test_unknown_values_pass_once_the_parameters_map_them(legacy_database: Database, look: Look) -> None:
    await change(
        legacy_database,
        "ALTER TABLE campaigns DROP CONSTRAINT chk_campaigns_status, ALTER campaign_type DROP NOT NULL",
        f"UPDATE campaigns SET status = 'snoozed', campaign_type = NULL WHERE id = {FIRST}",
    )
    report = await look(legacy_database, map_status={"snoozed": "paused"}, map_null_campaign_type="setup")
    assert report.blockers == []
    mapped = next(row for row in report.census if row.status == "snoozed")
    assert (mapped.current_phase, mapped.phase_status) == ("setup", "paused")


async def test_a_known_value_cannot_be_mapped_otherwise(legacy_database: Database, look: Look) -> None:
    report = await look(legacy_database, map_status={"queued": "paused"})
    assert codes(report) == ["known-value-mapped"]
    assert "'queued' to paused, but that value is known: it becomes not_started" in report.blockers[0].message


async def test_up_to_twenty_keys_are_named_and_all_are_counted(legacy_database: Database, look: Look) -> None:
    await change(legacy_database, "UPDATE campaigns SET user_id = NULL")
    (found,) = (await look(legacy_database)).blockers
    assert (len(found.keys), found.count) == (20, 60)


async def test_contradictions_block_until_a_side_is_preferred(sample_factory: Any, look: Look) -> None:
    database = await sample_factory(phases_columns="partial")
    await change(
        database,
        "UPDATE campaigns SET current_phase = NULL, phase_status = NULL",
        "UPDATE campaigns SET phase_status = 'failed' WHERE status = 'running'",
        "UPDATE campaigns SET current_phase = 'analysis' WHERE campaign_type IN ('dns_validation', 'comprehensive')",
    )
    report = await look(database)
    assert codes(report) == ["contradicting-current-phase", "contradicting-phase-status"]
    assert "running with failed" in summary(report)
    assert "dns_validation with analysis" in summary(report)
    assert "comprehensive" not in summary(report)
    assert "--prefer" in summary(report)
    for side in ("phases", "legacy"):
        assert (await look(database, prefer=side)).blockers == []


async def test_a_phase_that_is_none_is_a_blocker(sample_factory: Any, look: Look) -> None:
    database = await sample_factory(phases_columns="partial")
    await change(
        database,
        "UPDATE campaigns SET current_phase = NULL, phase_status = NULL",
        f"UPDATE campaigns SET current_phase = 'dreaming' WHERE id = {FIRST}",
    )
    (found,) = (await look(database)).blockers
    assert found.code == "phases-value"
    assert "'dreaming'" in found.message


@pytest.mark.parametrize("schema", ["tenant", 'Mixed "Case"'])
async def test_a_database_without_the_tables_says_where_they_are(sample_factory: Any, look: Look, schema: str) -> None:
    database = await sample_factory(schema=schema)
    report = await look(database)
    (found,) = report.blockers
    assert found.code == "not-a-campaign-database"
    assert found.message == (
        f"'{database.database}' is not a campaign database: schema 'public' has no table campaigns and no table"
        " generated_domains"
    )
    assert schema in found.remedy
    assert report.state is State.NO_CAMPAIGNS
    assert (await look(database, schema_name=schema)).blockers == []


async def test_a_schema_that_does_not_exist_is_named(empty_database: Database, look: Look) -> None:
    (found,) = (await look(empty_database, schema_name="nowhere")).blockers
    assert "its schema 'nowhere' does not exist" in found.message


async def test_a_missing_or_unchecked_foreign_key_is_a_warning_where_no_domain_is_orphaned(
    legacy_database: Database, look: Look
) -> None:
    await change(legacy_database, "ALTER TABLE generated_domains DROP CONSTRAINT generated_domains_campaign_fkey")
    report = await look(legacy_database)
    assert report.blockers == []
    assert "foreign-key-missing" in codes(report, "warning")
    await change(
        legacy_database,
        "ALTER TABLE generated_domains ADD CONSTRAINT late FOREIGN KEY (domain_generation_campaign_id)"
        " REFERENCES campaigns (id) NOT VALID",
    )
    report = await look(legacy_database)
    assert report.blockers == []
    assert "foreign-key-not-valid" in codes(report, "warning")


async def test_column_numbers_near_the_limit_are_a_blocker(legacy_database: Database, look: Look) -> None:
    adds = ", ".join(f"ADD c{number} integer" for number in range(1_565))
    drops = ", ".join(f"DROP c{number}" for number in range(1_565))
    async with connect(legacy_database) as connection:
        used = await connection.fetchval("SELECT max(attnum) FROM pg_attribute WHERE attrelid = 'campaigns'::regclass")
    await change(
        legacy_database,
        f"ALTER TABLE campaigns {adds}",
        f"ALTER TABLE campaigns {drops}",
        "ALTER TABLE campaigns " + ", ".join(f"ADD d{number} integer" for number in range(1_590 - 1_565 - used)),
    )
    (found,) = (await look(legacy_database)).blockers
    assert "campaigns has used 1,590 of at most 1,600 column numbers" in found.message


async def test_by_hand_the_same_standing_is_dual_then_migrated(
    legacy_database: Database, look: Look, run_psql: Callable[..., Any]
) -> None:
    await change(
        legacy_database,
        "CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)",
        "INSERT INTO schema_migrations VALUES (34, false)",
    )
    run_psql(legacy_database, file=sql_files.SCRIPTS / "migrate-campaign-data.sql")
    report = await look(legacy_database)
    assert (report.state, report.blockers, report.migration_version) == (State.DUAL, [], 34)
    assert "go on from there" in next(f.remedy for f in report.warnings if f.code == "earlier-run")

    (contract,) = sql_files.MIGRATIONS.glob("000035*.up.sql")
    run_psql(legacy_database, file=contract)
    report = await look(legacy_database)
    assert (report.state, report.blockers) == (State.CONTRACTED, [])

    (indexes,) = sql_files.MIGRATIONS.glob("000036*.up.sql")
    run_psql(legacy_database, file=indexes)
    report = await look(legacy_database)
    assert (report.state, report.blockers, report.campaigns) == (State.MIGRATED, [], 60)
    assert "version-behind" in codes(report, "warning")


async def test_legacy_columns_removed_by_somebody_else_are_no_standing_of_ours(sample_factory: Any, look: Look) -> None:
    database = await sample_factory(phases_columns="partial")
    await change(
        database,
        "UPDATE campaigns SET current_phase = 'generation', phase_status = 'paused'",
        "ALTER TABLE campaigns DROP campaign_type, DROP status, DROP launch_sequence",
    )
    assert codes(await look(database)) == ["foreign-contract"]


async def test_a_partitioned_domains_table_passes_with_a_warning(legacy_database: Database, look: Look) -> None:
    await change(
        legacy_database,
        "ALTER TABLE generated_domains RENAME TO old_domains",
        "CREATE TABLE generated_domains (LIKE old_domains, FOREIGN KEY (domain_generation_campaign_id)"
        " REFERENCES campaigns (id)) PARTITION BY HASH (domain_generation_campaign_id)",
        "CREATE TABLE domains_0 PARTITION OF generated_domains FOR VALUES WITH (MODULUS 1, REMAINDER 0)",
        "INSERT INTO generated_domains SELECT * FROM old_domains",
    )
    report = await look(legacy_database)
    assert report.blockers == []
    assert "partitioned" in codes(report, "warning")
    assert report.domains == 6_000


@pytest.fixture
async def make_role(server: Database, legacy_database: Database) -> Any:
    """`await make_role(*grants)`: a role of its own that logs in with a password; gone afterwards."""
    made: list[str] = []

    async def make(*statements: str) -> Database:
        name = f"role_{uuid.uuid4().hex[:10]}"
        made.append(name)
        await change(
            legacy_database,
            f"CREATE ROLE {name} LOGIN PASSWORD 'secret'",
            *(statement.replace("ROLE_NAME", name) for statement in statements),
        )
        return Database(**{**legacy_database.model_dump(), "user": name, "password": "secret"})

    yield make
    for name in made:
        await change(legacy_database, f"REASSIGN OWNED BY {name} TO CURRENT_USER", f"DROP OWNED BY {name}")
        await change(server, f"DROP ROLE {name}")


async def test_a_role_that_may_only_read_is_refused_in_clear_words(
    legacy_database: Database, look: Look, make_role: Any
) -> None:
    role = await make_role(
        "GRANT USAGE ON SCHEMA public TO ROLE_NAME", "GRANT SELECT ON ALL TABLES IN SCHEMA public TO ROLE_NAME"
    )
    report = await look(role)
    found = [finding for finding in report.blockers if finding.code == "not-owner"]
    assert [finding.keys for finding in found] == [["campaigns"], ["generated_domains"]]
    assert f"role {role.user} does not own table campaigns (postgres does) and may read it only" in found[0].message
    assert "Connect as postgres" in found[0].remedy
    assert report.campaigns == 60


async def test_a_role_with_read_only_sessions_is_refused(legacy_database: Database, look: Look, make_role: Any) -> None:
    role = await make_role(
        "ALTER ROLE ROLE_NAME SUPERUSER", "ALTER ROLE ROLE_NAME SET default_transaction_read_only = on"
    )
    report = await look(role)
    assert codes(report) == ["read-only"]
    assert role.user in report.blockers[0].message
    assert "default_transaction_read_only = off" in report.blockers[0].remedy


async def test_a_role_that_sees_nothing_gets_blockers_and_no_crash(
    legacy_database: Database, look: Look, make_role: Any
) -> None:
    role = await make_role()
    assert {"not-owner", "backup-rights", "users-table-rights"} <= set(codes(await look(role)))
    await change(legacy_database, "REVOKE ALL ON SCHEMA public FROM PUBLIC")
    assert codes(await look(role)) == ["schema-rights"]


async def test_a_member_of_the_owning_role_passes(legacy_database: Database, look: Look, make_role: Any) -> None:
    group = await make_role("GRANT ALL ON SCHEMA public TO ROLE_NAME")
    member = await make_role(f"GRANT {group.user} TO ROLE_NAME", "GRANT pg_read_all_stats TO ROLE_NAME")
    async with connect(legacy_database) as connection:
        tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    await change(legacy_database, *(f"ALTER TABLE {row[0]} OWNER TO {group.user}" for row in tables))
    report = await look(member)
    assert report.blockers == []
    assert "activity-hidden" not in codes(report, "warning")


async def test_rows_that_row_level_security_hides_are_a_blocker(
    legacy_database: Database, look: Look, make_role: Any
) -> None:
    role = await make_role("GRANT ALL ON SCHEMA public TO ROLE_NAME", "GRANT pg_read_all_data TO ROLE_NAME")
    await change(
        legacy_database,
        f"ALTER TABLE campaigns OWNER TO {role.user}",
        f"ALTER TABLE generated_domains OWNER TO {role.user}",
        "ALTER TABLE campaigns ENABLE ROW LEVEL SECURITY",
        "ALTER TABLE campaigns FORCE ROW LEVEL SECURITY",
    )
    assert codes(await look(role)) == ["backup-row-security", "row-security"]
    assert "row-security-forced" in codes(await look(legacy_database), "warning")


async def test_a_wrong_password_and_a_missing_database_are_told_apart(legacy_database: Database, look: Look) -> None:
    with pytest.raises(errors.LoginRefused, match="refused user 'postgres'"):
        await look(Database(**{**legacy_database.model_dump(), "password": "wrong"}))
    with pytest.raises(errors.DatabaseMissing, match="'nosuchdatabase'"):
        await look(Database(**{**legacy_database.model_dump(), "database": "nosuchdatabase"}))
    with pytest.raises(errors.ServerUnreachable, match=r"127\.0\.0\.1:1 "):
        await look(Database(**{**legacy_database.model_dump(), "port": 1}))
    with pytest.raises(errors.LoginRefused, match='database "template0" is not currently accepting connections'):
        await look(Database(**{**legacy_database.model_dump(), "database": "template0"}))


async def test_a_login_that_the_server_does_not_let_in_is_told_why(
    legacy_database: Database, look: Look, make_role: Any
) -> None:
    role = await make_role()
    async with connect(legacy_database) as connection:
        await connection.execute(f'ALTER ROLE "{role.user}" CONNECTION LIMIT 0')
    with pytest.raises(errors.ServerBusy, match="too many connections for role"):
        await look(role)
    async with connect(legacy_database) as connection:
        await connection.execute(f'ALTER ROLE "{role.user}" CONNECTION LIMIT -1')
        await connection.execute(f'REVOKE CONNECT ON DATABASE "{role.database}" FROM PUBLIC')
    with pytest.raises(errors.LoginRefused, match=f'permission denied for database "{role.database}"'):
        await look(role)


async def test_tls_that_is_asked_for_and_not_there_is_told_apart_from_a_server_that_is_not_there(
    legacy_database: Database, look: Look, tmp_path: Path
) -> None:
    with pytest.raises(errors.TlsRefused, match="sslmode 'require'"):
        await look(legacy_database.model_copy(update={"tls_mode": "require"}))
    lacking = {"tls_mode": "verify-full", "tls_root_certificate": tmp_path / "no.crt"}
    with pytest.raises(errors.BadInput, match=r"sslrootcert is '.*no\.crt': No such file"):
        await look(legacy_database.model_copy(update=lacking))


async def test_an_old_transaction_is_named_with_its_query(
    legacy_database: Database, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.core.preflight.activity.OLD_TRANSACTION_SECONDS", 0.2)
    async with connect(legacy_database, purpose="idler") as connection, connection.transaction():
        await connection.execute("SELECT count(*) FROM campaigns")
        await asyncio.sleep(0.3)
        report = await look(legacy_database)
    found = next(finding for finding in report.warnings if finding.code == "long-transaction")
    assert "idler" in found.message
    assert "SELECT count(*) FROM campaigns" in found.message


async def test_a_table_that_somebody_keeps_locked_is_reported_with_the_session(
    legacy_database: Database, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(inspection.SETTINGS, "lock_timeout", "200ms")
    async with connect(legacy_database, purpose="locker") as connection, connection.transaction():
        await connection.execute("LOCK TABLE campaigns IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(errors.LockNotGranted, match=r"session \d+ of postgres .*LOCK TABLE campaigns"):
            await look(legacy_database)


async def test_a_prepared_transaction_with_locks_on_the_tables_is_a_blocker(
    private_server: PostgresServer, look: Look
) -> None:
    await change(private_server.database(), "ALTER SYSTEM SET max_prepared_transactions = 2")
    private_server.restart()
    database = await create_database(private_server.database(), "app")
    await build_sample_database(database, campaigns=60, domains=600)
    await change(
        database,
        "BEGIN; SELECT 1; PREPARE TRANSACTION 'harmless'",
        f"BEGIN; SELECT FROM campaigns WHERE id = {FIRST} FOR UPDATE; PREPARE TRANSACTION 'stuck'",
    )
    report = await look(database)
    assert codes(report) == ["prepared-transaction"]
    assert "'stuck' of postgres" in report.blockers[0].message
    assert "ROLLBACK PREPARED" in report.blockers[0].remedy
    assert "'harmless'" in next(f.message for f in report.warnings if f.code == "prepared-transaction")
    await change(database, "ROLLBACK PREPARED 'stuck'", "ROLLBACK PREPARED 'harmless'")


async def test_publications_are_warned_of_and_subscriptions_are_blockers(legacy_database: Database, look: Look) -> None:
    await change(
        legacy_database,
        "SET client_min_messages = error; CREATE PUBLICATION outbound FOR TABLE campaigns, generated_domains",
    )
    report = await look(legacy_database)
    assert report.blockers == []
    assert "outbound" in next(f.message for f in report.warnings if f.code == "publication")


async def test_an_invalid_index_is_named_with_the_way_to_remove_it(legacy_database: Database, look: Look) -> None:
    with pytest.raises(asyncpg.UniqueViolationError):
        await change(legacy_database, "CREATE UNIQUE INDEX CONCURRENTLY half_built ON generated_domains (tld)")
    report = await look(legacy_database)
    assert report.blockers == []
    found = next(finding for finding in report.warnings if finding.code == "invalid-index")
    assert "half_built" in found.message
    assert "DROP INDEX CONCURRENTLY half_built" in found.remedy


async def test_another_run_at_work_is_named(legacy_database: Database, look: Look) -> None:
    async with connect(legacy_database, purpose="the other run") as connection:
        await connection.fetchval("SELECT pg_advisory_lock($1)", lock_key("public"))
        report = await look(legacy_database)
    assert "the other run" in next(f.message for f in report.warnings if f.code == "another-run")


@pytest.fixture
def no_client_programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine whose PATH has one directory and no PostgreSQL program anywhere else; the directory is given."""
    directory = tmp_path / "bin"
    directory.mkdir()
    monkeypatch.setenv("PATH", str(directory))
    monkeypatch.setattr("tasks.core.client_binaries.DEBIAN_INSTALLATIONS", tmp_path / "nothing")
    monkeypatch.setattr("tasks.core.client_binaries.embedded_bin_directory", lambda: tmp_path / "nothing")
    return directory


async def test_a_missing_pg_dump_is_a_blocker_of_apply_and_a_warning_of_plan(
    legacy_database: Database, look: Look, no_client_programs: Path
) -> None:
    report = await look(legacy_database)
    assert codes(report) == ["client-missing"]
    assert "pg_dump for PostgreSQL" in summary(report)
    assert "Install the PostgreSQL client package" in summary(report)
    report = await look(legacy_database, for_apply=False)
    assert report.blockers == []
    assert "client-missing" in codes(report, "warning")


async def test_a_pg_dump_older_than_the_server_is_refused_with_both_versions(
    legacy_database: Database, look: Look, no_client_programs: Path
) -> None:
    for name in ("pg_dump", "pg_restore"):
        program = no_client_programs / name
        program.write_text(f"#!/bin/sh\necho '{name} (PostgreSQL) 13.4'\n")
        program.chmod(0o755)
    report = await look(legacy_database)
    assert codes(report) == ["client-too-old"]
    assert f"{no_client_programs / 'pg_dump'} is version 13" in summary(report)
    assert find_client_binary("pg_dump", 13) == no_client_programs / "pg_dump"


async def test_directories_that_cannot_be_used_are_refused_with_the_option_to_change(
    legacy_database: Database, look: Look, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("here already")
    report = await look(legacy_database, backup_directory=tmp_path / "file" / "backup")
    assert codes(report) == ["directory-unusable"]
    assert "is not a directory" in summary(report)
    assert "--backup-directory" in summary(report)
    report = await look(legacy_database, backup_directory=tmp_path)
    assert "it is not empty" in summary(report)
    report = await look(legacy_database, report_directory=Path("/proc/nowhere"))
    assert "--report-directory" in summary(report)


async def test_a_full_disk_is_refused_with_what_is_there_and_what_is_needed(
    legacy_database: Database, look: Look, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "tasks.core.preflight.surroundings.shutil.disk_usage", lambda _place: SimpleNamespace(free=1024 * 1024)
    )
    report = await look(legacy_database)
    assert "disk-full" in codes(report)
    assert "1 MiB are free, about 16 MiB are needed" in summary(report)


async def test_a_server_elsewhere_has_a_disk_that_is_not_known(
    legacy_database: Database, look: Look, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(surroundings_module, "LOCAL_HOSTS", frozenset())
    report = await look(legacy_database)
    assert report.blockers == []
    assert "disk-unknown" in codes(report, "warning")


async def test_it_says_which_of_how_many_checks_it_is_at(legacy_database: Database) -> None:
    heard: list[tuple[str, int, int | None]] = []
    await inspection.run_preflight(
        legacy_database, MigrateParameters(), lambda *reached: heard.append(reached), for_apply=False
    )
    assert heard == [("checks", number, len(heard)) for number in range(len(heard))]
    assert len(heard) > 20


async def test_a_run_that_died_is_called_interrupted_while_nobody_has_closed_it(
    legacy_database: Database, look: Look, run_psql: Callable[..., Any]
) -> None:
    run_psql(legacy_database, file=sql_files.SCRIPTS / "migrate-campaign-data.sql")
    await change(
        legacy_database,
        sql_files.query("create_ledger"),
        "INSERT INTO migration_runs (run_id, flow_name, parameters, host, process_id, sql_files)"
        " VALUES (gen_random_uuid(), 'migrate-to-phases', '{}', 'h', 1, '{}')",
    )
    (found,) = [finding for finding in (await look(legacy_database)).warnings if finding.code == "earlier-run"]
    assert "interrupted)" in found.message
