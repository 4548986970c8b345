"""How fast this database is right now: measured on samples, within a transaction that is taken back."""

from __future__ import annotations

import json
import logging
import math
import time
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import asyncpg
import postgast
from postgast import pg_query_pb2 as nodes

from tasks.core import sql_files
from tasks.core.benchmark_models import BenchmarkInputs
from tasks.core.benchmark_patterns import CONCURRENT, STATISTICS, bind, define, list_patterns
from tasks.core.database import Connection
from tasks.core.rehearsal import STAND_IN, taken_back

log = logging.getLogger(__name__)
SAMPLE_ROWS, SAMPLE_PERCENT = 20_000, 100.0
DUMPED_ROWS = 2_000
DOMAIN_SAMPLE = "migration_rehearsal_domains"
INDEX_SAMPLE = "migration_rehearsal_index"
# pg_dump's level here; see backup.py.
COMPRESSION = 1
# The benchmark opens so many sessions for its concurrent pattern.
SESSIONS = 10


@dataclass(frozen=True)
class Sizes:
    """Bytes and rows, partitions included; "whole" is with indexes and TOAST."""

    campaigns_bytes: int
    campaigns_whole_bytes: int
    campaigns_rows: int
    campaigns_indexes: int
    domains_bytes: int
    domains_whole_bytes: int
    domains_rows: int
    database_bytes: int


@dataclass
class Speed:
    """What was measured; seconds and bytes.

    Attributes:
        scan_rate: bytes read per second.
        ddl_seconds: one change of a table's definition.
        copied_row_seconds, written_row_seconds: one campaign copied; one updated in a table without indexes.
        dump_rate: bytes of rows that are compressed per second.
        dump_share: what is left of a byte of a table in a dump.
        benchmark_seconds: one round of all patterns that read, on the legacy model; None where they could not be run.
        indexes: seconds and bytes of each index of 000036 over the whole table, by its name.
    """

    sizes: Sizes
    scan_rate: float
    ddl_seconds: float = 0.01
    copied_row_seconds: float = 1e-5
    written_row_seconds: float = 1e-5
    dump_rate: float = 5e7
    dump_share: float = 0.25
    benchmark_seconds: float | None = None
    indexes: dict[str, tuple[float, int]] = field(default_factory=dict)

    def scan(self, size: int) -> float:
        """Seconds to read so many bytes in order."""
        return size / self.scan_rate


async def measure(
    connection: Connection, schema: str, campaigns: int, indexes: Sequence[Any], *, has_stand_in: bool
) -> Speed:
    """Read samples, and where this role may create tables build every index on a copy of them. Only within `taken_back`.

    Args:
        indexes: rows of list_missing_indexes.sql that are to be built.
        has_stand_in: whether the rehearsal has left its stand-in for campaigns.
    """
    sizes = Sizes(**dict(await _row(connection, "measure_tables")))
    percent = min(SAMPLE_PERCENT, 100.0 * SAMPLE_ROWS / max(sizes.domains_rows, 1))
    seconds, _ = await _timed(connection, sql_files.query("count_domain_sample"), percent)
    speed = Speed(sizes, scan_rate=max(sizes.domains_bytes * percent / 100 / seconds, 1e6))
    await _measure_dump(connection, speed, percent)
    for index in indexes:
        # Until it is tried: an entry takes some three times the work of reading its row, and a quarter of its bytes.
        size = sizes.campaigns_bytes if index["table_name"] == "campaigns" else sizes.domains_bytes
        speed.indexes[index["index_name"]] = (3 * speed.scan(size), size // 4)
    if has_stand_in:
        try:
            async with connection.transaction():
                await _measure_writes(connection, speed, schema, campaigns)
                await _measure_indexes(connection, speed, schema, indexes, percent)
        except asyncpg.PostgresError as error:
            log.info("writes and index builds could not be tried out: %s", error)
        await _measure_benchmark(connection, speed)
    return speed


async def _measure_dump(connection: Connection, speed: Speed, percent: float) -> None:
    rows = await connection.fetch(sql_files.query("read_domain_sample"), percent, DUMPED_ROWS)
    text = "\n".join(row["line"] for row in rows).encode()
    if not text or not speed.sizes.domains_rows:
        return
    began = time.perf_counter()
    left = len(zlib.compress(text, COMPRESSION))
    speed.dump_rate = len(text) / max(time.perf_counter() - began, 1e-6)
    speed.dump_share = left / len(rows) * speed.sizes.domains_rows / max(speed.sizes.domains_bytes, 1)


async def _measure_writes(connection: Connection, speed: Speed, schema: str, campaigns: int) -> None:
    query = sql_files.query("compose_stand_in_rows")
    statement = await connection.fetchval(query, campaigns, schema, STAND_IN, SAMPLE_ROWS)
    seconds, status = await _timed_execution(connection, statement)
    copied = max(int(status.rpartition(" ")[2]), 1)
    speed.copied_row_seconds = seconds / copied
    named = await connection.fetchval("SELECT format('%I.%I', $1::text, $2::text)", schema, STAND_IN)
    seconds, _ = await _timed_execution(connection, f"UPDATE {named} SET progress = progress + 1")  # noqa: S608 - quoted by the server
    speed.written_row_seconds = seconds / copied
    speed.ddl_seconds, _ = await _timed_execution(
        connection, f"ALTER TABLE {named} ADD COLUMN rehearsed bigint DEFAULT 0"
    )


async def _measure_indexes(
    connection: Connection, speed: Speed, schema: str, indexes: Sequence[Any], percent: float
) -> None:
    if any(index["table_name"] != "campaigns" for index in indexes):
        query = sql_files.query("compose_domain_sample")
        await connection.execute(await connection.fetchval(query, percent, schema, DOMAIN_SAMPLE))
    for index in indexes:
        is_small = index["table_name"] == "campaigns"
        rows, size = (
            (speed.sizes.campaigns_rows, speed.sizes.campaigns_bytes)
            if is_small
            else (speed.sizes.domains_rows, speed.sizes.domains_bytes)
        )
        tree = postgast.parse(index["definition"])
        (statement,) = postgast.find_nodes(tree, nodes.IndexStmt)
        statement.idxname = INDEX_SAMPLE
        statement.relation.schemaname, statement.relation.relname = schema, STAND_IN if is_small else DOMAIN_SAMPLE
        async with taken_back(connection):
            seconds, _ = await _timed_execution(connection, postgast.deparse(tree))
            sampled = await _row(connection, "measure_index_sample", schema, INDEX_SAMPLE)
        if not sampled["rows"]:
            speed.indexes[index["index_name"]] = (seconds, sampled["bytes"])
            continue
        factor = max(rows / sampled["rows"], 1.0)
        sorting = math.log(max(rows, 2)) / math.log(max(sampled["rows"], 2))
        # CONCURRENTLY reads the table a second time, to look for what came meanwhile.
        speed.indexes[index["index_name"]] = (
            seconds * factor * sorting + 2 * speed.scan(size), int(sampled["bytes"] * factor),
        )  # fmt: skip


async def _measure_benchmark(connection: Connection, speed: Speed) -> None:
    try:
        async with taken_back(connection):
            await define(connection)
            drawn = await _row(connection, "draw_benchmark_inputs", 1)
            inputs = BenchmarkInputs.model_validate(json.loads(drawn["inputs"]))
            total = 0.0
            for pattern in await list_patterns(connection):
                if pattern.writes or pattern.test_name == STATISTICS:
                    continue
                statement, values = bind(pattern.query(drawn["architecture_type"]), inputs)
                seconds, _ = await _timed(connection, statement, *values)
                total += seconds * (SESSIONS if pattern.test_name == CONCURRENT else 1)
            speed.benchmark_seconds = total
    except asyncpg.PostgresError:
        speed.benchmark_seconds = None


async def _row(connection: Connection, query: str, *values: object) -> asyncpg.Record:
    row: asyncpg.Record | None = await connection.fetchrow(sql_files.query(query), *values)
    assert row is not None
    return row


async def _timed(connection: Connection, statement: str, *values: object) -> tuple[float, list[asyncpg.Record]]:
    began = time.perf_counter()
    rows = await connection.fetch(statement, *values)
    return max(time.perf_counter() - began, 1e-4), rows


async def _timed_execution(connection: Connection, statement: str) -> tuple[float, str]:
    began = time.perf_counter()
    status: str = await connection.execute(statement)
    return max(time.perf_counter() - began, 1e-4), status
