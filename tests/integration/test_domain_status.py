"""Results beside the domains' own statuses: compared, filled, settled as asked for, listed, and taken back."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import pytest

from tasks.core import core_migrations, errors, rollback, run, sql_files, transform
from tasks.core.database import Connection, Database, connect
from tasks.core.models import PreflightReport, State, TransformResult
from tasks.core.preflight import run_preflight
from tasks.core.progress import unheard
from tasks.core.settings import LockLimits, MigrateParameters, RollbackParameters
from tests.kill.driven import Driven, driver
from tests.kill.picture import RECOUNT
from tests.schema_dump import schema_dump

SampleFactory = Callable[..., Any]
RunPsql = Callable[..., "subprocess.CompletedProcess[str]"]
Preference = Literal["newest", "domain", "result"]

PLANTED = sql_files.SQL_DIRECTORY / "sample" / "plant_validation_results.sql"
SCRIPTS, MIGRATIONS = sql_files.SCRIPTS, sql_files.MIGRATIONS
ANSWERS = {
    "resolved": "ok", "success": "ok", "unresolved": "error", "failed": "error", "error": "error", "timeout": "timeout",
}  # fmt: skip
BEGINNING = datetime.min.replace(tzinfo=UTC)
# Would stamp every domain that is updated, and tells everybody of it.
STAMP = """
    CREATE FUNCTION stamp_domain() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        NEW.last_validated_at := now();
        NEW.http_title := 'stamped';
        RETURN NEW;
    END
    $$;
    CREATE TRIGGER stamp_domains BEFORE UPDATE ON generated_domains FOR EACH ROW EXECUTE FUNCTION stamp_domain();
"""
DOMAINS = "SELECT g.id, g.dns_status, g.http_status, g.last_validated_at FROM generated_domains AS g"
# A name is unique in a campaign: the planted results all belong to the domain of their campaign and name.
RESULTS = """
    SELECT 'dns' AS kind, g.id, r.validation_status, r.last_checked_at FROM dns_validation_results AS r
    JOIN generated_domains AS g ON g.domain_generation_campaign_id = r.dns_campaign_id AND g.domain_name = r.domain_name
    UNION ALL
    SELECT 'http', g.id, r.validation_status, r.last_checked_at FROM http_keyword_results AS r
    JOIN generated_domains AS g ON g.domain_generation_campaign_id = r.http_keyword_campaign_id
        AND g.domain_name = r.domain_name
"""
OTHER_COLUMNS = """
    SELECT md5(string_agg((to_jsonb(g) - 'dns_status' - 'http_status')::text, ';' ORDER BY g.id)) FROM generated_domains AS g
"""
ALL_COLUMNS = "SELECT md5(string_agg(to_jsonb(g)::text, ';' ORDER BY g.id)) FROM generated_domains AS g"
RESULT_ROWS = """
    SELECT (SELECT md5(string_agg(r::text, ';' ORDER BY r.id)) FROM dns_validation_results AS r)
        || (SELECT md5(string_agg(r::text, ';' ORDER BY r.id)) FROM http_keyword_results AS r)
"""
OURS = re.compile(r"campaigns_backup_000035|campaigns_pre_\w+_backup|migration_(runs|ledger|approvals)")


async def plant(database: Database, *, stamped: bool = True) -> Database:
    async with connect(database) as connection:
        await connection.execute(PLANTED.read_text())
        if stamped:
            await connection.execute(STAMP)
    return database


@pytest.fixture
async def with_results(legacy_database: Database) -> Database:
    return await plant(legacy_database)


@pytest.fixture
async def driven() -> AsyncIterator[Driven]:
    async with driver() as running:
        yield running


async def only_transform(database: Database, **options: Any) -> TransformResult:
    parameters, run_id = MigrateParameters(mode="apply", **options), str(uuid.uuid4())
    async with run.exclusive_run(database, parameters.schema_name, parameters, run_id, "test"):
        return await transform.transform(database, parameters, run_id, unheard)


async def migrate(database: Database, **options: Any) -> TransformResult:
    parameters, run_id = MigrateParameters(mode="apply", **options), str(uuid.uuid4())
    async with run.exclusive_run(database, parameters.schema_name, parameters, run_id, "test"):
        result = await transform.transform(database, parameters, run_id, unheard)
        await core_migrations.apply_core_migrations(database, parameters, run_id, unheard)
    return result


async def go_back(database: Database, **options: Any) -> rollback.RollbackReport:
    parameters = RollbackParameters(mode="apply", confirm=database.database, **options)
    run_id = str(uuid.uuid4())
    async with run.exclusive_run(database, parameters.schema_name, parameters, run_id, "test"):
        return await rollback.roll_back(database, parameters, run_id, unheard)


async def look(database: Database, **options: Any) -> PreflightReport:
    return await run_preflight(database, MigrateParameters(**options), for_apply=False)


async def statuses(connection: Connection) -> dict[tuple[Any, str], str | None]:
    rows = await connection.fetch(DOMAINS)
    return {(row["id"], kind): row[f"{kind}_status"] for row in rows for kind in ("dns", "http")}


async def expected(
    connection: Connection, prefer: Preference
) -> tuple[dict[tuple[Any, str], str | None], dict[str, Any]]:
    """What the rules make of the rows, written down a second time: each status, and the counts of dns_status."""
    newest: dict[tuple[Any, str], tuple[datetime, str]] = {}
    for kind, key, status, checked_at in await connection.fetch(RESULTS):
        found = (checked_at or BEGINNING, ANSWERS[status])
        newest[key, kind] = max(found, newest.get((key, kind), found), key=lambda one: one[0])
    settled, counts = await statuses(connection), {"agreeing": 0, "missing": 0, "contradicting": 0, "waiting": 0}
    validated = {row["id"]: row["last_validated_at"] for row in await connection.fetch(DOMAINS)}
    for (key, kind), (checked_at, answer) in newest.items():
        own, is_newer = settled[key, kind], checked_at > (validated[key] or BEGINNING)
        if own is None:
            verdict, wins = "missing", True
        elif own == answer:
            verdict, wins = "agreeing", False
        elif own == "pending" and not is_newer:
            verdict, wins = "waiting", False
        else:
            verdict, wins = "contradicting", {"newest": is_newer, "domain": False, "result": True}[prefer]
        if kind == "dns":
            counts[verdict] += 1
        if wins:
            settled[key, kind] = answer
    return settled, counts


def dump(database: Database) -> list[str]:
    entries = [entry for entry in re.split(r"\n--\n-- Name: ", schema_dump(database)) if not OURS.search(entry)]
    return sorted(line.rstrip(",") for entry in entries for line in entry.splitlines())


async def leftovers(connection: Connection) -> list[str]:
    """What a settlement needs while it is at work."""
    rows = await connection.fetch(
        "SELECT proname FROM pg_proc WHERE proname LIKE 'migration\\_status\\_%'"
        " UNION ALL SELECT tgname FROM pg_trigger WHERE tgname = 'zzz_migration_keep_domain'"
        " UNION ALL SELECT relname FROM pg_class WHERE relname LIKE 'migration\\_domain\\_status\\_plan%'"
    )
    return [row[0] for row in rows]


@pytest.mark.parametrize("prefer", ["newest", "domain", "result"])
async def test_statuses_are_filled_and_settled_as_asked_and_come_back_exactly(
    with_results: Database, prefer: Preference
) -> None:
    schema = dump(with_results)
    async with connect(with_results) as connection:
        before, wanted = await statuses(connection), await expected(connection, prefer)
        whole, others, results = [await connection.fetchval(q) for q in (ALL_COLUMNS, OTHER_COLUMNS, RESULT_ROWS)]
    outcome = await migrate(with_results, domain_status=prefer)
    async with connect(with_results) as connection:
        after = await statuses(connection)
        assert after == wanted[0]
        changed = {key for key in before if before[key] != after[key]}
        listed = await connection.fetch("SELECT * FROM migration_domain_status_changes")
        assert changed == {(row["domain_id"], k) for row in listed for k in ("dns", "http") if row[f"{k}_reason"]}
        for row in listed:
            for kind in ("dns", "http"):
                if row[f"{kind}_reason"]:
                    assert before[row["domain_id"], kind] == row[f"old_{kind}_status"]
                    assert after[row["domain_id"], kind] == row[f"new_{kind}_status"]
        assert [await connection.fetchval(q) for q in (OTHER_COLUMNS, RESULT_ROWS)] == [others, results]
        assert await connection.fetchval(RECOUNT) == 0
        assert await leftovers(connection) == []
    dns, http = outcome.domain_statuses
    assert (dns.table_name, dns.column_name) == ("public.dns_validation_results", "dns_status")
    assert dns.model_dump(include=set(wanted[1])) == wanted[1]
    assert dns.missing > 0 < http.missing
    assert dns.contradicting > 0 < http.contradicting
    assert dns.filled == dns.missing
    assert dns.filled + dns.settled + http.filled + http.settled == len(changed)
    assert (dns.settled > 0) == (prefer != "domain")

    back = await go_back(with_results)
    assert (back.statuses_restored, back.statuses_kept) == (len(changed), 0)
    async with connect(with_results) as connection:
        assert [await connection.fetchval(q) for q in (ALL_COLUMNS, RESULT_ROWS)] == [whole, results]
        assert await leftovers(connection) == []
    assert dump(with_results) == schema


async def test_settling_again_changes_nothing_and_keeps_the_first_old_values(with_results: Database) -> None:
    first = await only_transform(with_results)
    async with connect(with_results) as connection:
        changes = "SELECT * FROM migration_domain_status_changes ORDER BY domain_id"
        before, whole = await connection.fetch(changes), await connection.fetchval(ALL_COLUMNS)
        again = await only_transform(with_results)
        assert await connection.fetch(changes) == before
        assert await connection.fetchval(ALL_COLUMNS) == whole
        for one, other in zip(first.domain_statuses, again.domain_statuses, strict=True):
            assert (other.filled, other.settled, other.missing) == (one.filled, one.settled, 0)
        # One of ours that gets a newer result goes back to what was there at first; one that others wrote, to theirs.
        ours, theirs = [row["domain_id"] for row in before if row["old_dns_status"] == "ok"][:2]
        await connection.execute(
            "UPDATE dns_validation_results SET validation_status = 'unresolved', last_checked_at = now() + interval '1 day'"
            " WHERE generated_domain_id = ANY ($1)",
            [ours, theirs],
        )
        await connection.execute("UPDATE generated_domains SET dns_status = 'pending' WHERE id = $1", theirs)
        await only_transform(with_results)
        found = {row["domain_id"]: tuple(row)[1:3] for row in await connection.fetch(changes)}
        assert (found[ours], found[theirs]) == (("ok", "error"), ("pending", "error"))
        await go_back(with_results)
        after = await statuses(connection)
        assert (after[ours, "dns"], after[theirs, "dns"]) == ("ok", "pending")


async def test_killed_between_two_batches_the_next_run_goes_on(sample_factory: SampleFactory, driven: Driven) -> None:
    undisturbed, database = [await plant(await sample_factory()) for _ in range(2)]
    await driven.begin(undisturbed, "migrate")
    assert "done" in await driven.ended()
    commits = [
        number for number, label in enumerate(driven.points, 1) if label.startswith("COMMIT of SELECT migration_stat")
    ]
    assert len(commits) > 10
    async with connect(database) as connection:
        wanted = (await expected(connection, "newest"))[0]
        listed = []
        for point in ("SELECT * FROM migration_status_plan", commits[len(commits) // 2], commits[1]):
            await driven.begin(database, "migrate", stop_at=point)
            assert "point" in await driven.until("point", "exit")
            driven.send(signal.SIGKILL)
            await driven.ended()
            listed.append(await connection.fetchval("SELECT to_regclass('migration_domain_status_changes')"))
            if listed[-1]:
                listed[-1] = await connection.fetchval("SELECT count(*) FROM migration_domain_status_changes")
                assert await connection.fetchval(RECOUNT) == 0
                assert await leftovers(connection) != []
        assert listed[0] is None
        await migrate(database)
        listed.append(await connection.fetchval("SELECT count(*) FROM migration_domain_status_changes"))
        assert 0 < listed[1] < listed[2] < listed[3]
        assert await statuses(connection) == wanted
        assert await connection.fetchval(RECOUNT) == 0
        assert await leftovers(connection) == []


async def test_a_way_back_killed_anywhere_never_leaves_a_migrated_database_without_its_statuses(
    with_results: Database, driven: Driven
) -> None:
    """Who kills a way back may think better of it and only migrate again."""

    async def kill(point: str) -> None:
        await driven.begin(with_results, "rollback", stop_at=point)
        assert "point" in await driven.until("point", "exit"), f"{point} was not reached"
        driven.send(signal.SIGKILL)
        await driven.ended()

    async with connect(with_results) as connection:
        wanted, whole = (await expected(connection, "newest"))[0], await connection.fetchval(ALL_COLUMNS)
        # While both models live the statuses are settled again.
        await only_transform(with_results)
        await kill("COMMIT of SELECT restored, kept")
        await migrate(with_results)
        assert await statuses(connection) == wanted
        # On phases only nobody settles them any more: they stay until the legacy columns are back, and from there it is
        # only the way back that goes on.
        await kill("COMMIT of SELECT migration_return_columns()")
        assert (await look(with_results)).state is State.MIGRATED
        assert await statuses(connection) == wanted
        await kill("COMMIT of SELECT restored, kept")
        report = await look(with_results)
        assert report.state is State.RETURNING
        assert [finding.code for finding in report.blockers] == ["way-back"]
        await kill("COMMIT of -- Takes back what 000036")
        await go_back(with_results)
        assert await connection.fetchval(ALL_COLUMNS) == whole
        assert await leftovers(connection) == []


async def test_what_somebody_writes_meanwhile_stays_in_both_directions(legacy_database: Database) -> None:
    await only_transform(legacy_database)  # from here on no lock on the table is needed, but for the keeping trigger
    with_results = await plant(legacy_database, stamped=False)
    async with connect(with_results) as connection, connect(with_results) as writer:
        before, wanted = await statuses(connection), (await expected(connection, "newest"))[0]
        missing, held = [
            key for key, kind in before if kind == "dns" and before[key, kind] is None and wanted[key, kind]
        ][:2]
        # One domain is held until it has been passed over, and is then somebody else's.
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute("UPDATE generated_domains SET dns_status = 'pending' WHERE id = $1", held)

        with pytest.raises(errors.LockNotGranted) as refused:
            await only_transform(with_results, locks=LockLimits(lock_wait_limit_seconds=1.0))
        assert str(held) in str(refused.value)
        assert "session" in str(refused.value)
        await transaction.commit()
        await migrate(with_results)
        after = await statuses(connection)
        pending = after.pop((held, "dns"))
        assert pending in {"pending", wanted[held, "dns"]}
        assert after == {key: value for key, value in wanted.items() if key != (held, "dns")}

        await connection.execute("UPDATE generated_domains SET dns_status = 'pending' WHERE id = $1", missing)
        plan = await rollback.plan_rollback(with_results, RollbackParameters())
        done = await go_back(with_results)
        assert plan.statuses_kept == done.statuses_kept == 1
        assert plan.statuses_restored == done.statuses_restored > 100
        back = await statuses(connection)
        assert back[missing, "dns"] == "pending"
        ignored = {(missing, "dns"), (held, "dns")}
        assert {k: v for k, v in back.items() if k not in ignored} == {
            k: v for k, v in before.items() if k not in ignored
        }


async def test_a_batch_waits_for_the_writer_of_a_campaign_and_neither_loses_a_change(legacy_database: Database) -> None:
    """The metrics follow at commit, so a batch needs the campaigns' rows, which an application may hold."""
    await only_transform(legacy_database)
    await plant(legacy_database, stamped=False)
    async with connect(legacy_database) as connection, connect(legacy_database) as writer:
        wanted = (await expected(connection, "newest"))[0]
        async with writer.transaction():
            await writer.execute("UPDATE campaigns SET business_status = 'held'")
            settling = asyncio.create_task(only_transform(legacy_database))
            await asyncio.sleep(1.5)
            assert not settling.done()
            assert await connection.fetchval("SELECT count(*) FROM migration_domain_status_changes") == 0
        await settling
        assert await statuses(connection) == wanted
        assert await connection.fetchval(RECOUNT) == 0
        assert await connection.fetchval("SELECT count(*) FROM campaigns WHERE business_status = 'held'") == 60


async def test_without_tables_of_results_nothing_happens(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        whole = await connection.fetchval(ALL_COLUMNS)
    assert not [finding for finding in (await look(legacy_database)).findings if "results" in finding.code]
    outcome = await migrate(legacy_database)
    assert outcome.domain_statuses == []
    async with connect(legacy_database) as connection:
        assert await connection.fetchval(ALL_COLUMNS) == whole
        assert await connection.fetchval("SELECT to_regclass('migration_domain_status_changes')") is None
        assert await leftovers(connection) == []


async def test_preflight_counts_both_truths_and_changes_nothing(with_results: Database) -> None:
    schema = dump(with_results)
    async with connect(with_results) as connection:
        _, counts = await expected(connection, "newest")
        whole = await connection.fetchval(ALL_COLUMNS)
        for prefer in ("newest", "domain", "result"):
            report = await look(with_results, domain_status=prefer)
            assert [finding.code for finding in report.blockers] == []
            dns, http = [finding for finding in report.warnings if finding.code == "results-beside-domains"]
            assert f"{counts['agreeing']:,} domains agree, {counts['missing']:,} lack a status" in dns.message
            assert f"{counts['contradicting']:,} contradict their newest result" in dns.message
            assert f"--domain-status {prefer}" in dns.remedy
            assert http.keys == ["public.http_keyword_results"]
            assert "stamp_domains" in next(f.message for f in report.warnings if f.code == "domain-triggers")
            stray = next(finding for finding in report.warnings if finding.code == "results-without-domain")
            assert stray.count == 60
        assert await connection.fetchval(ALL_COLUMNS) == whole
    assert dump(with_results) == schema


async def test_an_unknown_result_is_refused_with_its_keys(with_results: Database) -> None:
    async with connect(with_results) as connection:
        keys = await connection.fetchval(
            "WITH bad AS (UPDATE http_keyword_results SET validation_status = 'maybe' WHERE id IN"
            " (SELECT id FROM http_keyword_results ORDER BY id LIMIT 25) RETURNING id::text)"
            " SELECT array_agg(id ORDER BY id) FROM bad"
        )
    (finding,) = (await look(with_results)).blockers
    assert finding.code == "results-unknown-status"
    assert "25 rows of public.http_keyword_results" in finding.message
    assert "'maybe' (25)" in finding.message
    assert finding.keys == keys[:20]
    with pytest.raises(errors.StepFailed, match=r"http_keyword_results.*'maybe'"):
        await only_transform(with_results)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("ALTER TABLE http_keyword_results DROP COLUMN last_checked_at", "no column last_checked_at"),
        ("ALTER TABLE http_keyword_results RENAME validation_status TO outcome", "no column validation_status"),
        ("ALTER TABLE http_keyword_results DROP COLUMN domain_name", "says by no column"),
        (
            "ALTER TABLE http_keyword_results ADD COLUMN http_campaign_id uuid REFERENCES campaigns (id)",
            "equal claims: http_campaign_id, http_keyword_campaign_id",
        ),
    ],
)
async def test_a_table_of_another_shape_is_refused_and_says_why(with_results: Database, change: str, said: str) -> None:
    async with connect(with_results) as connection:
        await connection.execute(change)
    (finding,) = (await look(with_results)).blockers
    assert finding.code == "results-shape"
    assert finding.keys == ["public.http_keyword_results"]
    assert said in finding.message
    with pytest.raises(errors.StepFailed, match=re.escape(said)):
        await only_transform(with_results)


async def test_statuses_that_the_domains_do_not_allow_are_refused_beforehand(with_results: Database) -> None:
    async with connect(with_results) as connection:
        await connection.execute("UPDATE generated_domains SET dns_status = 'error' WHERE dns_status = 'timeout'")
        for name in await connection.fetch(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'generated_domains'::regclass AND contype = 'c'"
            " AND pg_get_constraintdef(oid) LIKE '%dns_status%'"
        ):
            await connection.execute(f'ALTER TABLE generated_domains DROP CONSTRAINT "{name[0]}"')
        await connection.execute("ALTER TABLE generated_domains ADD CHECK (dns_status IN ('pending', 'ok', 'error'))")
    (finding,) = (await look(with_results)).blockers
    assert finding.code == "results-status-refused"
    assert "does not allow timeout" in finding.message


async def test_a_trigger_that_would_have_the_last_word_is_refused(with_results: Database) -> None:
    async with connect(with_results) as connection:
        await connection.execute("ALTER TRIGGER stamp_domains ON generated_domains RENAME TO zzzz_stamp_domains")
    (finding,) = (await look(with_results)).blockers
    assert (finding.code, finding.keys) == ("trigger-comes-last", ["zzzz_stamp_domains"])
    with pytest.raises(errors.StepFailed, match="zzzz_stamp_domains"):
        await only_transform(with_results)


async def test_enums_links_and_another_schema_are_found_by_the_catalog(sample_factory: SampleFactory) -> None:
    """A schema to be quoted, statuses of an enum type, results that name their domain and live elsewhere."""
    schema = "Work & Play"
    database: Database = await sample_factory(schema=schema)
    async with connect(database, schema=schema) as connection:
        for name in await connection.fetch(
            "SELECT conname FROM pg_constraint WHERE conrelid = 'generated_domains'::regclass AND contype = 'c'"
            r" AND pg_get_constraintdef(oid) LIKE '%\_status%'"
        ):
            await connection.execute(f'ALTER TABLE generated_domains DROP CONSTRAINT "{name[0]}"')
        await connection.execute(
            """
            CREATE TYPE domain_state AS ENUM ('pending', 'ok', 'error', 'timeout');
            ALTER TABLE generated_domains ALTER COLUMN dns_status TYPE domain_state USING dns_status::domain_state;
            CREATE SCHEMA results;
            CREATE TYPE results.verdict AS ENUM ('resolved', 'unresolved', 'timeout', 'error');
            CREATE TABLE results.dns_validation_results (
                "domain" uuid NOT NULL REFERENCES generated_domains (id), validation_status results.verdict NOT NULL,
                last_checked_at timestamp
            );
            INSERT INTO results.dns_validation_results
            SELECT id, 'resolved', now() FROM generated_domains WHERE dns_status IS NULL OR dns_status = 'timeout';
            """
        )
        before = await connection.fetchval(ALL_COLUMNS)
        concerned = await connection.fetchval("SELECT count(*) FROM results.dns_validation_results")
        assert concerned > 0
    assert [f.code for f in (await look(database, schema_name=schema)).blockers] == []
    (found,) = (await migrate(database, schema_name=schema)).domain_statuses
    assert found.table_name == "results.dns_validation_results"
    assert found.filled + found.settled == concerned
    async with connect(database, schema=schema) as connection:
        assert await connection.fetchval("SELECT count(*) FROM generated_domains WHERE dns_status = 'timeout'") == 0
        assert await connection.fetchval(RECOUNT) == 0
        await go_back(database, schema_name=schema)
        assert await connection.fetchval(ALL_COLUMNS) == before


async def test_partitioned_domains_and_a_view_of_results(sample_factory: SampleFactory) -> None:
    """Domains in partitions by hash, one with a stamping trigger of its own; the results are a view without a key."""
    database: Database = await sample_factory()
    async with connect(database) as connection:
        await connection.execute(
            """
            ALTER TABLE generated_domains RENAME TO plain_domains;
            CREATE TABLE generated_domains (LIKE plain_domains INCLUDING DEFAULTS) PARTITION BY HASH (id);
            CREATE TABLE domains_0 PARTITION OF generated_domains FOR VALUES WITH (MODULUS 2, REMAINDER 0);
            CREATE TABLE domains_1 PARTITION OF generated_domains FOR VALUES WITH (MODULUS 2, REMAINDER 1);
            INSERT INTO generated_domains SELECT * FROM plain_domains;
            DROP TABLE plain_domains CASCADE;
            ALTER TABLE generated_domains ADD PRIMARY KEY (id);
            CREATE INDEX ON generated_domains (domain_generation_campaign_id, domain_name);
            CREATE VIEW http_keyword_results AS
            SELECT domain_generation_campaign_id AS campaign_id, domain_name, 'success' AS validation_status,
                now() AS last_checked_at
            FROM generated_domains WHERE offset_index % 10 = 0;
            """
        )
        await connection.execute(STAMP.replace("UPDATE ON generated_domains", "UPDATE ON domains_1"))
        before, others = await connection.fetchval(ALL_COLUMNS), await connection.fetchval(OTHER_COLUMNS)
    (found,) = (await only_transform(database)).domain_statuses
    assert found.filled > 0 < found.settled
    async with connect(database) as connection:
        assert await connection.fetchval(
            "SELECT count(*) FROM generated_domains WHERE offset_index % 10 = 0 AND http_status IS DISTINCT FROM 'ok'"
        ) == 0  # fmt: skip
        assert await connection.fetchval(OTHER_COLUMNS) == others
        assert await connection.fetchval(RECOUNT) == 0
        assert (await go_back(database)).statuses_restored == found.filled + found.settled
        assert await connection.fetchval(ALL_COLUMNS) == before


async def test_by_psql_alone_it_does_the_same_and_000035_takes_it_back(
    with_results: Database, run_psql: RunPsql
) -> None:
    schema = dump(with_results)
    async with connect(with_results) as connection:
        whole, wanted = await connection.fetchval(ALL_COLUMNS), (await expected(connection, "result"))[0]
        script: Path = SCRIPTS / "settle-domain-status.sql"
        refused = run_psql(with_results, file=script, check=False)
        assert refused.returncode != 0
        assert "Run migrate-campaign-data.sql first" in refused.stderr
        run_psql(with_results, file=SCRIPTS / "migrate-campaign-data.sql")
        run_psql(with_results, command="ALTER ROLE CURRENT_USER SET migration.domain_status = 'result'")
        for _ in range(2):
            run_psql(with_results, file=script)
        run_psql(with_results, command="ALTER ROLE CURRENT_USER RESET migration.domain_status")
        assert await statuses(connection) == wanted
        assert await connection.fetchval(RECOUNT) == 0
        assert await leftovers(connection) == []
        run_psql(with_results, file=MIGRATIONS / "000035_eliminate_dual_architecture.up.sql")
        assert await connection.fetchval(RECOUNT) == 0
        for _ in range(2):
            done = run_psql(with_results, file=MIGRATIONS / "000035_eliminate_dual_architecture.down.sql")
            assert ("domain status(es) that results had given are as before" in done.stderr) == (_ == 0)
        assert await connection.fetchval(ALL_COLUMNS) == whole
    assert dump(with_results) == schema
