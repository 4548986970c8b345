"""One database under measurement: its sessions, the form of each pattern, one execution at a time."""

from __future__ import annotations

import asyncio
import json
import os
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
from tasks.core.benchmark_models import Architecture, BenchmarkInputs, BenchmarkRun, Clone, PatternTiming, Work
from tasks.core.benchmark_patterns import (
    CONCURRENT,
    STATISTICS,
    Pattern,
    Row,
    bind,
    define,
    digest,
    list_patterns,
    normalise,
)
from tasks.core.database import Connection, Database, connect

SESSIONS = 10
SETTINGS = {"plan_cache_mode": "force_custom_plan", "lock_timeout": "2s", "statement_timeout": "10min"}


@dataclass
class Measured:
    """One pattern while it is being measured; `times` in ms."""

    pattern: Pattern
    statement: str
    times: list[float] = field(default_factory=list)
    work: Work | None = None
    rows: int = 0
    answer: str | None = None
    first_rows: list[tuple[Any, ...]] = field(default_factory=list)
    plan: str | None = None
    skipped: str | None = None

    @property
    def is_timed(self) -> bool:
        return self.skipped is None and self.pattern.test_name != STATISTICS


@dataclass
class Side:
    """One state of the data, measured in a session of its own.

    Attributes:
        measured: by name, in the order of the benchmark.
        sessions: those of the concurrent pattern, one per user; the users repeat if they are fewer.
    """

    connection: Connection
    architecture: Architecture
    inputs: BenchmarkInputs
    measured: dict[str, Measured] = field(default_factory=dict)
    sessions: list[tuple[Connection, UUID]] = field(default_factory=list)
    statistics: list[dict[str, Any]] = field(default_factory=list)
    prepared: dict[tuple[int, str], PreparedStatement[Any]] = field(default_factory=dict)

    @classmethod
    async def open(
        cls,
        stack: AsyncExitStack,
        database: Database,
        schema: str,
        *,
        seed: int,
        inputs: BenchmarkInputs | None = None,
        settings: dict[str, str] | None = None,
        concurrent: bool = True,
    ) -> Side:
        """Connect, define the patterns there and draw what they ask about.

        Args:
            inputs: those of another side or run, instead of drawing.
            settings: of the original, for a copy: what is set for a database is not copied with it.
            concurrent: also the sessions of the concurrent pattern.
        """
        wanted = {**(settings or {}), **SETTINGS}
        connection = await stack.enter_async_context(
            connect(database, schema=schema, purpose="benchmark", settings=wanted)
        )
        await define(connection)
        architecture, drawn = await draw(connection, seed)
        side = cls(connection, architecture, inputs or drawn)
        for pattern in await list_patterns(connection):
            side.measured[pattern.test_name] = Measured(pattern, pattern.query(architecture))
        users = side.inputs.user_ids if concurrent else []
        try:
            for number in range(SESSIONS if users else 0):
                session = connect(database, schema=schema, purpose=f"benchmark user {number + 1}", settings=wanted)
                side.sessions.append((await stack.enter_async_context(session), users[number % len(users)]))
        except errors.ServerUnreachable as error:
            refused = f"the server took {len(side.sessions)} of {SESSIONS} sessions: {error}"
            side.measured[CONCURRENT].skipped = refused
        return side

    async def warm_up(self, one: Measured) -> None:
        """The execution that does not count, with the answer, the plan and the counts of work."""
        if one.pattern.writes:
            one.plan = await self._plan(one)
            await self._rolled_back(one, count_work=True)
            return
        _, rows = await self._answer(one)
        one.rows = len(rows)
        if one.pattern.test_name == STATISTICS:
            self.statistics = [dict(row) for row in rows]
            return
        one.answer, one.first_rows = digest(rows), [normalise(row) for row in rows]
        one.plan = await self._plan(one)
        one.work = await self._work(one)

    async def time(self, one: Measured) -> None:
        """One execution that counts; of a pattern that writes nothing remains.

        One that only reads has just been executed without counting: what another pattern left in the processor's caches,
        or asked of a sleeping session, tells nothing about this one.
        """
        if not one.pattern.writes:
            await self._answer(one)
            one.times.append((await self._answer(one))[0])
            return
        elapsed, rows = await self._rolled_back(one, count_work=False)
        one.times.append(elapsed)
        if one.answer is None:
            one.rows, one.answer, one.first_rows = len(rows), digest(rows), [normalise(row) for row in rows]

    async def result(
        self,
        run_id: str,
        rounds: int,
        *,
        paired: bool = False,
        clone: Clone | None = None,
        writes_clone: Clone | None = None,
    ) -> BenchmarkRun:
        """All that was measured, with its surroundings."""
        around = await self.connection.fetchrow(sql_files.query("describe_benchmark_surroundings"))
        assert around is not None
        load = ", ".join(f"{value:.2f}" for value in os.getloadavg())
        cold = [one.pattern.test_name for one in self.measured.values() if one.work and one.work.blocks_read]
        return BenchmarkRun(
            run_id=run_id,
            architecture_type=self.architecture,
            measured_at=datetime.now(UTC).isoformat(timespec="seconds"),
            server_version=around["server_version"],
            settings=json.loads(around["settings"]),
            campaigns=around["campaigns"],
            domains=around["domains"],
            rounds=rounds,
            patterns=[_timing(one) for one in self.measured.values()],
            database_name=around["database_name"],
            inputs=self.inputs,
            statistics=[dict(zip(row, normalise(row.values()), strict=True)) for row in self.statistics],
            environment={
                "processors of the client": str(os.cpu_count()),
                "load of the client (1, 5, 15 min)": load,
                "other sessions at work": str(around["others_at_work"]),
                "cache": f"warm but for {', '.join(cold)}" if cold else "warm: every block came from the buffers",
            },
            indexes=json.loads(around["indexes"]),
            paired=paired,
            clone=clone,
            writes_clone=writes_clone,
        )

    async def _answer(self, one: Measured) -> tuple[float, list[Row]]:
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

    async def _plan(self, one: Measured) -> str:
        query = sql_files.query("explain_benchmark_pattern")
        return cast("str", await self.connection.fetchval(query, one.statement, self.inputs.model_dump_json()))

    async def _work(self, one: Measured) -> Work:
        """Of the second of two executions, so that nothing is counted that only the first one does."""
        asked = [self.inputs]
        if one.pattern.test_name == CONCURRENT:
            asked = [self.inputs.model_copy(update={"user_ids": [user]}) for _, user in self.sessions]
        total: dict[str, int] = {}
        for inputs in asked:
            for _ in range(2):
                work = await self._count(one, inputs)
            for name, count in work.items():
                total[name] = total.get(name, 0) + count
        return Work(**total)

    async def _count(self, one: Measured, inputs: BenchmarkInputs) -> dict[str, int]:
        values = (one.statement, one.pattern.writes, inputs.model_dump_json())
        counted = await self.connection.fetchval(sql_files.query("count_benchmark_work"), *values)
        return cast("dict[str, int]", json.loads(counted))

    async def _rolled_back(self, one: Measured, *, count_work: bool) -> tuple[float, list[Row]]:
        transaction = self.connection.transaction()
        await transaction.start()
        try:
            if count_work:
                one.work = Work(**await self._count(one, self.inputs))
                return 0.0, []
            statement, parameters = bind(one.statement, self.inputs)
            elapsed, rows = await _timed(await self._prepare(self.connection, statement), parameters)
            started = perf_counter()
            # What triggers defer to the commit counts, too.
            await self.connection.execute("SET CONSTRAINTS ALL IMMEDIATE")
            return elapsed + 1000 * (perf_counter() - started), rows
        finally:
            await transaction.rollback()


async def draw(connection: Connection, seed: int) -> tuple[Architecture, BenchmarkInputs]:
    """The architecture that the catalog shows, and what the patterns ask about."""
    row = await connection.fetchrow(sql_files.query("draw_benchmark_inputs"), seed)
    assert row is not None
    return row["architecture_type"], BenchmarkInputs.model_validate_json(row["inputs"])


async def _timed(prepared: PreparedStatement[Any], values: Sequence[Any]) -> tuple[float, list[Row]]:
    started = perf_counter()
    rows = await prepared.fetch(*values)
    return 1000 * (perf_counter() - started), cast("list[Row]", rows)


def _timing(one: Measured) -> PatternTiming:
    return PatternTiming(
        name=one.pattern.test_name,
        category=one.pattern.test_category,
        times_ms=one.times,
        blocks=one.work.blocks if one.work else None,
        work=one.work,
        rows=one.rows,
        answer=one.answer,
        plan=one.plan,
        skipped=one.skipped,
        note=one.pattern.note,
        writes=one.pattern.writes,
    )


LOCKED_OUT = (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError)
