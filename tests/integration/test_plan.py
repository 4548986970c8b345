"""Apply does what the plan said: the same statements in the same order, with the same locks, and nothing besides."""

from __future__ import annotations

import functools
import itertools
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from asyncpg.connection import LoggedQuery

from flows.migrate import migrate
from tasks.blocks import PostgresDatabase
from tasks.core import database as databases
from tasks.core import plan as plans
from tasks.core import sql_files, toolkit
from tasks.core.database import Connection, Database, connect
from tasks.core.models import Plan
from tasks.core.settings import MigrateParameters
from tests.sent import parts, without_locks

READERS = sql_files.SQL_DIRECTORY / "sample" / "plant_readers.sql"
PARTITIONED = """
ALTER TABLE lead_items DROP CONSTRAINT lead_items_domain_id_fkey;
ALTER TABLE domain_tags DROP CONSTRAINT domain_tags_domain_id_fkey;
ALTER TABLE keyword_extractions DROP CONSTRAINT keyword_extractions_domain_id_fkey;
ALTER TABLE generated_domains RENAME TO old_domains;
CREATE TABLE generated_domains (LIKE old_domains INCLUDING DEFAULTS) PARTITION BY RANGE (offset_index);
CREATE TABLE "first 20" PARTITION OF generated_domains FOR VALUES FROM (0) TO (20);
CREATE TABLE further PARTITION OF generated_domains DEFAULT PARTITION BY HASH (domain_generation_campaign_id);
CREATE TABLE further_0 PARTITION OF further FOR VALUES WITH (MODULUS 2, REMAINDER 0);
CREATE TABLE further_1 PARTITION OF further FOR VALUES WITH (MODULUS 2, REMAINDER 1);
INSERT INTO generated_domains SELECT * FROM old_domains;
DROP TABLE old_domains;
ALTER TABLE generated_domains ADD FOREIGN KEY (domain_generation_campaign_id) REFERENCES campaigns ON DELETE CASCADE;
CREATE INDEX by_campaign ON generated_domains (domain_generation_campaign_id, created_at);
"""
INSIDE = "inside 000035"
# Reads, settings and locks; what each lock is for says the plan's column. The ledger and the record of what was changed.
UNPLANNED = re.compile(
    r"(SELECT(?!.*\bmigration_\w+\()|SELECT.*\bmigration_benchmark_\w+|VALUES|WITH|SET|RESET|SHOW|LOCK TABLE|BEGIN"
    r"|COMMIT|ROLLBACK|SAVEPOINT|RELEASE|EXPLAIN"
    # Copies for the benchmark bear names that are drawn; the plan has the programs that fill them.
    r"|(CREATE|DROP|COMMENT ON) DATABASE"
    r"|(INSERT INTO|UPDATE) migration_(saved_objects|ledger|runs|statement_looks|custom_mappings))\b",
    re.IGNORECASE,
)
BENCHMARK = "sql/scripts/performance-benchmark.sql"
PROGRAMS = ("pg_dump", "pg_restore")


@dataclass
class Executed:
    """Every statement that this process sends to a server, in order."""

    statements: list[str] = field(default_factory=list)

    def hear(self, query: LoggedQuery) -> None:
        if query.exception is None:
            for part in parts(query.query):
                self.statements += single(without_locks(part)) if part != query.query else [plain(part)]


@pytest.fixture
def executed(monkeypatch: pytest.MonkeyPatch) -> Executed:
    heard = Executed()
    open_connection = databases._open

    async def opened(*arguments: Any) -> Connection:
        connection = await open_connection(*arguments)
        connection.add_query_logger(heard.hear)
        return connection

    monkeypatch.setattr(databases, "_open", opened)
    return heard


def plain(text: str) -> str:
    """SQL without its remarks, in one line."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("--")]
    return " ".join(" ".join(lines).split()).rstrip("; ")


def single(text: str) -> list[str]:
    """The statements of a message, those of a file together."""
    whole = plain(text)
    return [whole] if whole in known_texts() else [plain(one) for one in sql_files.statements(text)]


@functools.cache
def known_texts() -> dict[str, str]:
    """The files that longer texts stand in, by these texts as they are sent: whole, in blocks or in single statements."""
    known: dict[str, str] = {}
    for path in [*sql_files.SCRIPTS.glob("*.sql"), *sql_files.MIGRATIONS.glob("000036*.up.sql")]:
        blocks = sql_files.blocks(sql_files.read(path))
        joined = ["\n".join(some) for n in (1, 2) for some in itertools.combinations(blocks.values(), n)]
        joined.append("\n".join(blocks.get(name, "") for name in toolkit.BLOCKS))
        for text in [*joined, *sql_files.statements(sql_files.read(path))]:
            known.setdefault(plain(text), f"sql/{path.parent.name}/{path.name}")
    for path in [*sql_files.MIGRATIONS.glob("*.up.sql"), *sql_files.QUERIES.glob("create_*.sql")]:
        known[plain(sql_files.read(path))] = f"sql/{path.parent.name}/{path.name}"
    for name in ("mappings", "benchmark_definitions"):
        known[plain(sql_files.blocks(sql_files.script("performance-benchmark"))[name])] = BENCHMARK
    known[plain(sql_files.query("insert_performance_result"))] = BENCHMARK
    return known


def as_planned(statements: list[str]) -> list[str]:
    """What was executed in the words of a plan: files by their names, repeats once, reads and records left out."""
    known = known_texts().copy()
    known[plain(sql_files.blocks(sql_files.script("validate-migration"))["hand_over"])] = ""
    found = [known.get(text, text) for text in statements if not UNPLANNED.match(text)]
    return [name for name, _ in itertools.groupby(name for name in found if name)]


def to_execute(plan: Plan) -> list[str]:
    """The plan's statements that a session of this process runs, repeats once."""
    lines = [
        plain(line.statement)
        for line in plan.statements
        if line.note != INSIDE and line.statement not in PROGRAMS and not line.statement.startswith("sql/queries/save_")
    ]
    return [name for name, _ in itertools.groupby(lines)]


async def apply(database: Database, parameters: MigrateParameters) -> dict[str, Any]:
    block = PostgresDatabase(**database.model_dump())
    state = await migrate(block, parameters, return_state=True)
    assert parameters.report_directory is not None
    report: dict[str, Any] = json.loads((parameters.report_directory / "report.json").read_text())
    assert state.name == "Completed", report["message"]
    return report


CASES = {
    "a production database with a version table": (
        {"profile": "production"},
        [
            "CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL)",
            "INSERT INTO schema_migrations VALUES (34, false)",
            "CREATE EXTENSION pg_stat_statements",
        ],
    ),
    "the sample with domains in partitions of partitions": ({}, [PARTITIONED]),
}


@pytest.mark.acceptance
@pytest.mark.parametrize("case", CASES)
async def test_apply_does_what_the_plan_said(
    case: str, sample_factory: Callable[..., Any], executed: Executed, prefect_harness: None, tmp_path: Path
) -> None:
    options, planted = CASES[case]
    database = await sample_factory(**options)
    async with connect(database) as connection:
        for statement in planted:
            await connection.execute(statement)
    await plan_and_apply(database, executed, tmp_path / "report")


@pytest.mark.acceptance
async def test_going_on_from_the_resting_state_does_what_the_plan_said(
    sample_factory: Callable[..., Any], executed: Executed, prefect_harness: None, tmp_path: Path
) -> None:
    database = await sample_factory()
    async with connect(database) as connection:
        await connection.execute(READERS.read_text())
    await plan_and_apply(database, executed, tmp_path / "first", stop_after="transform")
    await plan_and_apply(database, executed, tmp_path / "second")


async def plan_and_apply(database: Database, executed: Executed, directory: Path, **values: Any) -> None:
    """Make the plan, apply it, and compare the two: statements, ledger, what 000035 drops, locks."""
    parameters = MigrateParameters(
        mode="apply", report_directory=directory, benchmark_rounds=5, accept_legacy_statements=True, **values
    )
    plan = await plans.make_plan(database, parameters)
    executed.statements.clear()
    report = await apply(database, parameters)

    begins = next(n for n, text in enumerate(executed.statements) if "IF NOT EXISTS migration_runs" in text)
    assert as_planned(executed.statements[begins:]) == to_execute(plan)

    async with connect(database) as connection:
        query = "SELECT detail FROM migration_ledger WHERE run_id = $1::text::uuid ORDER BY id"
        lines = [row["detail"] for row in await connection.fetch(query, report["run_id"])]
        dropped = await connection.fetch(sql_files.query("list_legacy_drops"))
    in_batches = re.compile(r"^(batch|domain statuses) up to .*")
    done = [line for line, _ in itertools.groupby(in_batches.sub(r"\1 up to ", line) for line in lines)]
    announced = [line.ledger for line in plan.statements if line.ledger]
    assert [line[: len(start)] for line, start in zip(done, announced, strict=True)] == announced

    inside = [line.statement for line in plan.statements if line.note == INSIDE and "TRIGGER" not in line.statement]
    assert [row["drop_statement"] for row in dropped if inside] == inside

    for hold in report["locks"]["holds"]:
        mine = [
            line
            for line in plan.statements
            if hold["statement"] in line.statement or line.ledger.endswith(hold["statement"])
        ]
        assert mine[0].lock == hold["mode"], hold


async def test_a_plan_changes_nothing_and_names_what_people_have_to_do(sample_factory: Callable[..., Any]) -> None:
    database = await sample_factory()
    async with connect(database) as connection:
        await connection.execute(READERS.read_text())
        await connection.execute(
            "CREATE FUNCTION kinds() RETURNS bigint LANGUAGE plpgsql AS"
            " E'\\nBEGIN\\n  RETURN (SELECT count(DISTINCT campaign_type) FROM campaigns);\\nEND'"
        )
        everything = "SELECT md5(string_agg(c::text, ',' ORDER BY c.oid)) FROM pg_class AS c WHERE c.oid > 16383"
        before = await connection.fetchval(everything)
        plan = await plans.make_plan(database, MigrateParameters())
        assert await connection.fetchval(everything) == before
    (work,) = plan.work_left
    assert (work.kind, work.where) == ("function", "kinds() line 3")
    assert {"backup", "applications", "duplicates", "contradictions"} <= {one.name for one in plan.decisions}
    page = plans.as_markdown(plan)
    for words in (
        "CREATE OR REPLACE VIEW public.campaign_api",
        "CREATE INDEX CONCURRENTLY",
        "kinds() line 3",
        "--keep-duplicates",
    ):
        assert words in page


async def test_expectations_come_from_this_database(sample_factory: Callable[..., Any]) -> None:
    small = await plans.make_plan(await sample_factory(domains=1_000), MigrateParameters())
    large = await plans.make_plan(await sample_factory(domains=60_000), MigrateParameters())

    def bytes_of(plan: Plan, words: str) -> int:
        return next(line.expected_bytes for line in plan.statements if words in line.statement)

    for words in ("pg_dump", "CREATE INDEX CONCURRENTLY idx_domains_campaign_validation_primary"):
        assert bytes_of(large, words) > 10 * bytes_of(small, words)


async def test_the_size_of_an_index_is_foretold(sample_factory: Callable[..., Any]) -> None:
    database = await sample_factory(domains=60_000)
    plan = await plans.make_plan(database, MigrateParameters())
    (line,) = [
        line for line in plan.statements if "CONCURRENTLY idx_domains_campaign_validation_primary" in line.statement
    ]
    async with connect(database) as connection:
        await connection.execute(line.statement)
        built = await connection.fetchval("SELECT pg_relation_size('idx_domains_campaign_validation_primary')")
    assert built / 2 < line.expected_bytes < built * 2


async def test_from_where_an_earlier_run_stopped_only_the_rest_is_planned(
    legacy_database: Database, run_psql: Callable[..., Any]
) -> None:
    whole = await plans.make_plan(legacy_database, MigrateParameters())
    run_psql(legacy_database, file=sql_files.SCRIPTS / "migrate-campaign-data.sql")
    dual = await plans.make_plan(legacy_database, MigrateParameters())
    run_psql(legacy_database, file=next(sql_files.MIGRATIONS.glob("000035*.up.sql")))
    contracted = await plans.make_plan(legacy_database, MigrateParameters())
    assert len(contracted.statements) < len(dual.statements) < len(whole.statements)
    assert any("migration_expand_columns" in line.statement for line in whole.statements)
    assert not any("migration_expand_columns" in line.statement for line in dual.statements)
    assert not any("000035" in line.statement for line in contracted.statements)
    resting = await plans.make_plan(legacy_database, MigrateParameters(stop_after="transform"))
    assert {line.step for line in resting.statements} >= {"backup", "core-migrations"}


async def test_a_plan_up_to_the_resting_state_ends_there(legacy_database: Database) -> None:
    plan = await plans.make_plan(legacy_database, MigrateParameters(stop_after="transform"))
    assert plan.statements[-1].step == "answers"
    assert not any("000035" in line.statement for line in plan.statements)
