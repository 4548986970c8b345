"""What each index of 000036 brings and costs: the patterns that it serves, the blocks that it saves, its size, its writes.

    python tests/load/index_worth.py --domains 2000000

On a migrated sample each index is dropped inside a transaction that is rolled back, and what changes is counted: shared
blocks of serial executions, and WAL records of writes with their triggers. Counts repeat, whatever else the machine does.
Nothing is left behind. The exit code is 1 if an index that is there for a pattern serves none, or if the indexes of both
tables take more room than before.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[2]))

from tasks.core.benchmark import draw_inputs, settle
from tasks.core.benchmark_models import BenchmarkInputs
from tasks.core.benchmark_patterns import STATISTICS, bind, define, list_patterns
from tasks.core.database import Connection, Database, connect
from tasks.core.sample import build_sample_database, create_database
from tasks.core.server import start_server
from tests.load.metric_costs import migrate

# The user's document names these four; each other one needs a pattern.
DOCUMENTED = {
    "idx_campaigns_workflow_primary", "idx_campaigns_phase_transitions", "idx_campaigns_user_dashboard",
    "idx_domains_campaign_validation_primary",
}  # fmt: skip
SCHEMA, SEED = "public", 1
REPEATS = 4
# Nothing but the statement itself writes WAL meanwhile.
SERVER_SETTINGS = {"autovacuum": "off", "checkpoint_timeout": "1h", "max_wal_size": "16GB"}
SESSION = {"max_parallel_workers_per_gather": "0", "plan_cache_mode": "force_custom_plan", "jit": "off"}

EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, TIMING OFF, FORMAT JSON) "
LIST = "SELECT index_name, pg_relation_size(index_name::regclass) AS bytes FROM phases_index_definitions()"
DROP = "SELECT format('DROP INDEX %I', $1::text)"
INDEX_BYTES = """
SELECT count(*) AS indexes, sum(pg_relation_size(i.indexrelid))::bigint AS bytes FROM pg_index AS i
WHERE i.indrelid IN ('campaigns'::regclass, 'generated_domains'::regclass)
"""
WAL_RECORDS = "SELECT wal_records FROM pg_stat_wal"
# Rows by the dozen, spread over the campaigns as the sample's are; each statement returns one row per row written.
WRITES: Mapping[str, str] = {
    "new domain": """
        INSERT INTO generated_domains (domain_generation_campaign_id, domain_name, tld, offset_index, dns_status)
        SELECT domain_generation_campaign_id, 'worth-' || domain_name, tld, offset_index + 1000000, 'pending'
        FROM generated_domains ORDER BY id LIMIT 1000 RETURNING id""",
    "DNS result": """
        UPDATE generated_domains SET dns_status = 'ok', last_validated_at = now()
        WHERE id IN (SELECT id FROM generated_domains WHERE dns_status = 'pending' ORDER BY id LIMIT 1000) RETURNING id""",
    "lead score": """
        UPDATE generated_domains SET lead_score = 50
        WHERE id IN (SELECT id FROM generated_domains WHERE lead_score IS NULL ORDER BY id LIMIT 1000) RETURNING id""",
    "status change": """
        UPDATE campaigns SET {} WHERE id IN (SELECT id FROM campaigns ORDER BY id LIMIT 1000) RETURNING id""",
}
STATUS_CHANGE = {
    "dual": "status = CASE status WHEN 'paused' THEN 'running' ELSE 'paused' END",
    "phases_based": "phase_status = CASE phase_status WHEN 'paused' THEN 'in_progress' ELSE 'paused' END",
}


@dataclass(frozen=True)
class Totals:
    """All indexes of both tables, and what a written row costs: WAL records by kind of write, triggers included."""

    indexes: int
    bytes: int
    records: Mapping[str, float]


@dataclass(frozen=True)
class IndexWorth:
    """One index.

    Attributes:
        saved: for each pattern whose plan uses it, the shared blocks with and without it.
        records: WAL records for each row, by kind of write, that would not be without it.
    """

    name: str
    bytes: int
    saved: Mapping[str, tuple[int, int]]
    records: Mapping[str, float]

    @property
    def is_idle(self) -> bool:
        """Whether nothing asks for it, neither a pattern nor the user's document."""
        return not self.saved and self.name not in DOCUMENTED


@dataclass(frozen=True)
class Worth:
    """Everything that was counted."""

    before: Totals
    after: Totals
    indexes: list[IndexWorth]


@dataclass(frozen=True)
class Seen:
    """One serial execution: shared blocks, and the indexes of the plan."""

    blocks: int
    used: frozenset[str]


async def weigh(database: Database, watching: Connection) -> Worth:
    """Count on a legacy database, migrate it, and count each index of 000036 there.

    Args:
        watching: another session, which sees the server's WAL counters.
    """
    async with session(database) as connection:
        before = await _totals(connection, watching, "dual")
    inputs = await draw_inputs(database, SCHEMA, seed=SEED)
    await settle(database, SCHEMA)
    await migrate(database)
    await settle(database, SCHEMA)
    async with session(database) as connection:
        await define(connection)
        with_all = await _read(connection, inputs)
        after = await _totals(connection, watching, "phases_based")
        indexes = []
        for row in await connection.fetch(LIST):
            name = row["index_name"]
            drop = await connection.fetchval(DROP, name)
            serves = {pattern for pattern, seen in with_all.items() if name in seen.used}
            async with undone(connection):
                await connection.execute(drop)
                without = await _read(connection, inputs, serves)
            indexes.append(
                IndexWorth(
                    name=name,
                    bytes=row["bytes"],
                    saved={pattern: (with_all[pattern].blocks, without[pattern].blocks) for pattern in without},
                    records=await _extra(connection, watching, drop),
                )
            )
    return Worth(before, after, indexes)


@asynccontextmanager
async def session(database: Database) -> AsyncIterator[Connection]:
    """A session that executes serially."""
    async with connect(database, schema=SCHEMA, purpose="index worth", settings=SESSION) as connection:
        yield connection


@asynccontextmanager
async def undone(connection: Connection) -> AsyncIterator[None]:
    """Whatever the body does is rolled back."""
    transaction = connection.transaction()
    await transaction.start()
    try:
        yield
    finally:
        await transaction.rollback()


async def _read(connection: Connection, inputs: BenchmarkInputs, wanted: set[str] | None = None) -> dict[str, Seen]:
    """Each pattern, the second of two executions: caches and hint bits are settled by then."""
    seen = {}
    for pattern in await list_patterns(connection):
        if pattern.test_name == STATISTICS or (wanted is not None and pattern.test_name not in wanted):
            continue
        statement, values = bind(pattern.phases_query, inputs)
        for _ in range(2):
            async with undone(connection):
                (plan,) = json.loads(await connection.fetchval(EXPLAIN + statement, *values))
        blocks = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
        seen[pattern.test_name] = Seen(blocks, frozenset(_indexes(plan["Plan"])))
    return seen


def _indexes(node: Mapping[str, Any]) -> set[str]:
    named = {node["Index Name"]} if "Index Name" in node else set()
    return named.union(*(_indexes(child) for child in node.get("Plans", ())))


async def _totals(connection: Connection, watching: Connection, architecture: str) -> Totals:
    row = await connection.fetchrow(INDEX_BYTES)
    assert row is not None
    return Totals(row["indexes"], row["bytes"], await _write(connection, watching, architecture))


async def _write(connection: Connection, watching: Connection, architecture: str) -> dict[str, float]:
    """WAL records for each row of each kind of write, with what triggers do at once and at the commit."""
    found = {}
    for kind, template in WRITES.items():
        statement = template.format(STATUS_CHANGE[architecture])
        await _records(connection, watching, None, statement)
        found[kind] = fmean([await _records(connection, watching, None, statement) for _ in range(REPEATS)])
    return found


async def _extra(connection: Connection, watching: Connection, drop: str) -> dict[str, float]:
    """WAL records for each row that one index is the cause of. With and without it in turns: each execution leaves dead
    entries behind, which make work for the next ones.
    """
    found = {}
    for kind, template in WRITES.items():
        statement = template.format(STATUS_CHANGE["phases_based"])
        differences = []
        for _ in range(REPEATS + 1):
            held = await _records(connection, watching, None, statement)
            differences.append(held - await _records(connection, watching, drop, statement))
        found[kind] = fmean(differences[1:])
    return found


async def _records(connection: Connection, watching: Connection, drop: str | None, statement: str) -> float:
    """WAL records per row of one execution that is rolled back."""
    before = await watching.fetchval(WAL_RECORDS)
    dropped = before
    async with undone(connection):
        if drop is not None:
            await connection.execute(drop)
    if drop is not None:
        await _report(connection)
        dropped = await watching.fetchval(WAL_RECORDS)
    async with undone(connection):
        if drop is not None:
            await connection.execute(drop)
        rows = await connection.fetch(statement)
        await connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
    await _report(connection)
    records = await watching.fetchval(WAL_RECORDS) - dropped - (dropped - before)
    return float(records) / len(rows)


async def _report(connection: Connection) -> None:
    # A backend reports its counters after a transaction, now and then or when it is told to.
    await connection.execute("SELECT pg_stat_force_next_flush()")
    await connection.execute("SELECT 1")


def tables(worth: Worth, title: str) -> list[Table]:
    """What was counted, for people."""
    indexes = Table(title=title)
    for name in ("index", "patterns served: shared blocks without it -> with it", "MB"):
        indexes.add_column(name, justify="right" if name == "MB" else "left")
    writes = Table(title="WAL records for each row written, triggers included")
    writes.add_column("")
    for kind in WRITES:
        writes.add_column(kind, justify="right")
    for index in worth.indexes:
        served = [f"{pattern} {without:,} -> {held:,}" for pattern, (held, without) in index.saved.items()]
        indexes.add_row(index.name, "\n".join(served) or "none; the document names it", _megabytes(index.bytes))
        writes.add_row(index.name, *(f"{index.records[kind]:+.2f}" for kind in WRITES))
    for name, total in (("before", worth.before), ("after", worth.after)):
        indexes.add_row(f"{name}: {total.indexes} indexes on both tables", "", _megabytes(total.bytes))
        writes.add_row(f"{name}: the whole write", *(f"{total.records[kind]:.2f}" for kind in WRITES))
    return [indexes, writes]


def markdown(worth: Worth) -> str:
    """The same as one table for the README."""
    lines = [
        f"| index | serves: shared blocks without it → with it | MB | WAL records per {' / '.join(WRITES)} |",
        "|---|---|---|---|",
    ]
    for index in worth.indexes:
        served = [f"{pattern} {without:,} → {held:,}" for pattern, (held, without) in index.saved.items()]
        records = " / ".join(f"{index.records[kind]:+.2f}" for kind in WRITES)
        lines.append(
            f"| {index.name} | {', '.join(served) or 'named in the document'} | {_megabytes(index.bytes)} | {records} |"
        )
    for name, total in (("before", worth.before), ("after", worth.after)):
        records = " / ".join(f"{total.records[kind]:.2f}" for kind in WRITES)
        lines.append(f"| all {total.indexes} indexes {name}, whole writes | | {_megabytes(total.bytes)} | {records} |")
    return "\n".join(lines)


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.1f}"


def judge(worth: Worth) -> list[str]:
    """What does not hold."""
    found = [f"{index.name} serves no pattern" for index in worth.indexes if index.is_idle]
    if worth.after.bytes >= worth.before.bytes:
        found.append(f"the indexes take {worth.after.bytes:,} bytes, and took {worth.before.bytes:,}")
    return found


async def main(options: argparse.Namespace, console: Console) -> int:
    """Build, count, migrate, count, print; returns the exit code."""
    with tempfile.TemporaryDirectory(prefix="campaign-worth-") as name:
        directory = Path(name)
        directory.chmod(0o755)  # the server of a superuser runs as another user
        server = await start_server(directory / "server", bin_directory=options.postgres_bin, settings=SERVER_SETTINGS)
        with server:
            database = await create_database(server.database(), "worth")
            await build_sample_database(
                database, campaigns=options.campaigns, domains=options.domains, seed=options.seed
            )
            async with connect(server.database(), purpose="index worth") as watching:
                worth = await weigh(database, watching)
            version = re.split(r"[ (]", server.version)[0]
    if options.markdown:
        sys.stdout.write(markdown(worth) + "\n")
    else:
        for table in tables(worth, f"PostgreSQL {version}, {options.domains:,} domains"):
            console.print(table)
    found = judge(worth)
    for problem in found:
        console.print(f"[red]{problem}[/]", highlight=False)
    return 1 if found else 0


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--campaigns", type=int, default=2000, help="campaigns of the sample")
    parser.add_argument("--domains", type=int, default=200_000, help="domains of the sample")
    parser.add_argument("--seed", type=int, default=7, help="seed of the sample")
    parser.add_argument("--markdown", action="store_true", help="print a table for the README")
    parser.add_argument("--postgres-bin", type=Path, help="bin directory of a PostgreSQL, instead of the embedded one")
    sys.exit(asyncio.run(main(parser.parse_args(), Console(width=None if sys.stdout.isatty() else 140))))
