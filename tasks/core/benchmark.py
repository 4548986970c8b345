"""Measures the benchmark patterns from the client, and compares the answers of their two forms.

The patterns stand in `sql/scripts/performance-benchmark.sql`; its definitions are all that is used from there. Times
are wall-clock milliseconds of a prepared statement from sending it to having all its rows, planning included
(`plan_cache_mode = force_custom_plan`: a cached generic plan would depend on how often a statement ran before).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import UTC, datetime
from time import perf_counter
from typing import Any, cast
from uuid import UUID

import asyncpg
from asyncpg.prepared_stmt import PreparedStatement

from tasks.core import errors, sql_files
from tasks.core.benchmark_answers import compare_answers
from tasks.core.benchmark_patterns import (
    CONCURRENT,
    STATISTICS,
    WRITES_NOT_ALLOWED,
    Architecture,
    Pattern,
    Row,
    bind,
    define,
    digest,
    failed,
    list_patterns,
    normalise,
)
from tasks.core.benchmark_results import keep
from tasks.core.database import Connection, Database, connect
from tasks.core.models import BenchmarkInputs, BenchmarkRun, PatternTiming
from tasks.core.progress import Progress, unheard

__all__ = ["compare_answers", "draw_inputs", "measure", "settle"]

SESSIONS = 10
SETTINGS = {"plan_cache_mode": "force_custom_plan", "lock_timeout": "2s", "statement_timeout": "10min"}


@dataclass
class _Measured:
    """One pattern while it is being measured; `times` in ms."""

    pattern: Pattern
    statement: str
    times: list[float] = field(default_factory=list)
    blocks: int | None = None
    rows: int = 0
    answer: str | None = None
    plan: str | None = None
    skipped: str | None = None


async def settle(database: Database, schema: str) -> float:
    """VACUUM (ANALYZE) of both tables, without which index-only scans and plans differ by chance.

    :returns: seconds.
    """
    started = perf_counter()
    async with connect(database, schema=schema, purpose="settle", settings={"lock_timeout": "30s"}) as connection:
        await connection.execute(sql_files.query("settle_tables"))
    return perf_counter() - started


async def draw_inputs(database: Database, schema: str, *, seed: int) -> BenchmarkInputs:
    """Draw from the data what the patterns ask about.

    On a migrated database these are the inputs of the last dual run with this seed, if there was one.

    :raises StepFailed: if this is not a campaign database.
    """
    async with connect(database, schema=schema, purpose="benchmark") as connection:
        try:
            await define(connection)
            return (await _draw(connection, seed))[1]
        except asyncpg.PostgresError as error:
            raise failed(error) from error


async def measure(
    database: Database,
    schema: str,
    *,
    rounds: int,
    seed: int,
    benchmark_writes: bool,
    run_id: str,
    parameters: BenchmarkInputs | None = None,
    progress: Progress = unheard,
) -> BenchmarkRun:
    """Time every pattern on the architecture that the catalog shows, and keep the results in the database.

    A warm-up that does not count, then `rounds` rounds, each in a random order of its own. Patterns that write come
    last, so that their dead rows slow no other, and are always rolled back.

    :param parameters: the inputs of an earlier run, to ask the same questions again; drawn from the data if None.
    :param benchmark_writes: without it, patterns that write are skipped, with the reason.
    :raises StepFailed: if a pattern cannot run at all.
    """
    async with AsyncExitStack() as stack:
        connection = await stack.enter_async_context(
            connect(database, schema=schema, purpose="benchmark", settings=SETTINGS)
        )
        try:
            await define(connection)
            architecture, inputs = await _draw(connection, seed)
            bench = _Bench(connection, architecture, parameters or inputs, random.Random(seed), rounds, progress)
            bench.measured = [_Measured(p, p.query(architecture)) for p in await list_patterns(connection)]
            await bench.open_sessions(stack, database, schema)
            await bench.read()
            await bench.write(allowed=benchmark_writes)
            run = await bench.result(run_id)
            await keep(connection, run)
        except asyncpg.PostgresError as error:
            raise failed(error) from error
        return run


@dataclass
class _Bench:
    connection: Connection
    architecture: Architecture
    inputs: BenchmarkInputs
    order: random.Random
    rounds: int
    progress: Progress
    measured: list[_Measured] = field(default_factory=list)
    sessions: list[tuple[Connection, UUID]] = field(default_factory=list)
    statistics: list[dict[str, Any]] = field(default_factory=list)
    prepared: dict[tuple[int, str], PreparedStatement[Any]] = field(default_factory=dict)

    async def open_sessions(self, stack: AsyncExitStack, database: Database, schema: str) -> None:
        """The sessions of the concurrent pattern, one per user; the users repeat if they are fewer."""
        users = self.inputs.user_ids
        try:
            for number in range(SESSIONS if users else 0):
                session = connect(database, schema=schema, purpose=f"benchmark user {number + 1}", settings=SETTINGS)
                self.sessions.append((await stack.enter_async_context(session), users[number % len(users)]))
        except errors.ServerUnreachable as error:
            self._find(CONCURRENT).skipped = f"the server took {len(self.sessions)} of {SESSIONS} sessions: {error}"
        if not users:
            self._find(CONCURRENT).skipped = "no campaign has a user"

    async def read(self) -> None:
        """All patterns that only read: warm-up with answer, plan and blocks, then the rounds."""
        reading = [one for one in self.measured if not one.pattern.writes and one.skipped is None]
        for one in reading:
            _, rows = await self._answer(one)
            one.rows, one.answer = len(rows), digest(rows)
            if one.pattern.test_name == STATISTICS:
                self.statistics = [dict(row) for row in rows]
                one.answer = None
                continue
            one.plan = await self._plan(one)
            one.blocks = await self._blocks(one)
        timed = [one for one in reading if one.pattern.test_name != STATISTICS]
        for number in range(self.rounds):
            self.order.shuffle(timed)
            for one in timed:
                one.times.append((await self._answer(one))[0])
            self.progress(f"benchmark {self.architecture}", number + 1, self.rounds)

    async def write(self, *, allowed: bool) -> None:
        """The patterns that write, each execution in a transaction that is rolled back."""
        for one in [one for one in self.measured if one.pattern.writes]:
            if not allowed:
                one.skipped = WRITES_NOT_ALLOWED
                continue
            try:
                one.plan = await self._plan(one)
                for number in range(-1, self.rounds):
                    elapsed, rows = await self._rolled_back(one, count_blocks=number < 0)
                    if number >= 0:
                        one.times.append(elapsed)
                        one.rows, one.answer = len(rows), digest(rows)
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError) as error:
                one.skipped, one.times = f"other sessions held its rows: {error}", []

    async def result(self, run_id: str) -> BenchmarkRun:
        """All that was measured, with its surroundings."""
        surroundings = await self.connection.fetchrow(sql_files.query("describe_benchmark_surroundings"))
        assert surroundings is not None
        load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
        return BenchmarkRun(
            run_id=run_id,
            architecture_type=self.architecture,
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
            server_version=surroundings["server_version"],
            settings=json.loads(surroundings["settings"]),
            campaigns=surroundings["campaigns"],
            domains=surroundings["domains"],
            rounds=self.rounds,
            patterns=[_timing(one) for one in self.measured],
            database_name=surroundings["database_name"],
            inputs=self.inputs,
            statistics=[dict(zip(row, normalise(row.values()), strict=True)) for row in self.statistics],
            environment={"processors of the client": str(os.cpu_count()), "load of the client (1, 5, 15 min)": load},
        )

    def _find(self, name: str) -> _Measured:
        return next(one for one in self.measured if one.pattern.test_name == name)

    async def _answer(self, one: _Measured) -> tuple[float, list[Row]]:
        """One execution: ms and rows. The concurrent pattern runs in all its sessions at once."""
        if one.pattern.test_name != CONCURRENT:
            statement, values = bind(one.statement, self.inputs)
            return await _timed(await self._prepare(self.connection, statement), values)
        prepared = []
        for session, user in self.sessions:
            statement, values = bind(one.statement, self.inputs, user_id=user)
            prepared.append((await self._prepare(session, statement), values))
        started = perf_counter()
        answers = await asyncio.gather(*(statement.fetch(*values) for statement, values in prepared))
        elapsed = 1000 * (perf_counter() - started)
        return elapsed, [cast("Row", row) for answer in answers for row in answer]

    async def _prepare(self, session: Connection, statement: str) -> PreparedStatement[Any]:
        """Once per session: that a statement is parsed anew is not what is measured."""
        key = (id(session), statement)
        if key not in self.prepared:
            self.prepared[key] = await session.prepare(statement)
        return self.prepared[key]

    async def _plan(self, one: _Measured) -> str:
        query = sql_files.query("explain_benchmark_pattern")
        return cast("str", await self.connection.fetchval(query, one.statement, self.inputs.model_dump_json()))

    async def _blocks(self, one: _Measured) -> int | None:
        """Of the second of two executions, so that nothing is counted that only the first one does."""
        asked = [self.inputs]
        if one.pattern.test_name == CONCURRENT:
            asked = [self.inputs.model_copy(update={"user_ids": [user]}) for _, user in self.sessions]
        total = 0
        for inputs in asked:
            values = (one.statement, one.pattern.writes, inputs.model_dump_json())
            for _ in range(2):
                blocks = await self.connection.fetchval(sql_files.query("count_benchmark_blocks"), *values)
            if blocks is None:
                return None
            total += blocks
        return total

    async def _rolled_back(self, one: _Measured, *, count_blocks: bool) -> tuple[float, list[Row]]:
        transaction = self.connection.transaction()
        await transaction.start()
        try:
            if count_blocks:
                values = (one.statement, True, self.inputs.model_dump_json())
                one.blocks = await self.connection.fetchval(sql_files.query("count_benchmark_blocks"), *values)
                return 0.0, []
            statement, parameters = bind(one.statement, self.inputs)
            elapsed, rows = await _timed(await self._prepare(self.connection, statement), parameters)
            started = perf_counter()
            # What triggers defer to the commit counts, too.
            await self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            return elapsed + 1000 * (perf_counter() - started), rows
        finally:
            await transaction.rollback()


async def _timed(prepared: PreparedStatement[Any], values: Sequence[Any]) -> tuple[float, list[Row]]:
    started = perf_counter()
    rows = await prepared.fetch(*values)
    return 1000 * (perf_counter() - started), cast("list[Row]", rows)


async def _draw(connection: Connection, seed: int) -> tuple[Architecture, BenchmarkInputs]:
    row = await connection.fetchrow(sql_files.query("draw_benchmark_inputs"), seed)
    assert row is not None
    return row["architecture_type"], BenchmarkInputs.model_validate_json(row["inputs"])


def _timing(one: _Measured) -> PatternTiming:
    return PatternTiming(
        name=one.pattern.test_name,
        category=one.pattern.test_category,
        times_ms=one.times,
        blocks=one.blocks,
        rows=one.rows,
        answer=one.answer,
        plan=one.plan,
        skipped=one.skipped,
        note=one.pattern.note,
    )
