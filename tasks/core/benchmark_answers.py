"""Do the legacy and the phases form of each pattern give the same answer? Asked while both models live."""

from __future__ import annotations

from time import perf_counter

from tasks.core.benchmark_models import BenchmarkInputs
from tasks.core.benchmark_patterns import (
    CONCURRENT,
    STATISTICS,
    WRITES_NOT_ALLOWED,
    Pattern,
    bind,
    define,
    list_patterns,
    normalise,
    refusals,
)
from tasks.core.database import Connection, Database, connect
from tasks.core.models import AnswerCheck

SUITE = "benchmark answers"
SETTINGS = {"lock_timeout": "2s", "statement_timeout": "10min"}


async def compare_answers(
    database: Database, schema: str, inputs: BenchmarkInputs, *, benchmark_writes: bool = False
) -> list[AnswerCheck]:
    """Run both forms of each pattern in one REPEATABLE READ snapshot and compare their rows one by one.

    For a database in which both models live: after the transform, before the contract.

    :param benchmark_writes: without it, patterns that write are SKIPPED; with it they are rolled back.
    :returns: one check per pattern; a FAIL names the first row that differs.
    :raises StepFailed: if a form cannot run, for instance because one of the models is not there.
    """
    async with connect(database, schema=schema, purpose="compare answers", settings=SETTINGS) as connection:
        with refusals():
            await define(connection)
            every = [one for one in await list_patterns(connection) if one.test_name != STATISTICS]
            async with connection.transaction(isolation="repeatable_read"):
                return [await _compare(connection, one, inputs, benchmark_writes=benchmark_writes) for one in every]


async def _compare(
    connection: Connection, pattern: Pattern, inputs: BenchmarkInputs, *, benchmark_writes: bool
) -> AnswerCheck:
    if pattern.writes and not benchmark_writes:
        return AnswerCheck(suite=SUITE, name=pattern.test_name, status="SKIPPED", details=WRITES_NOT_ALLOWED)
    started = perf_counter()
    legacy = await _answer(connection, pattern, pattern.legacy_query, inputs)
    between = perf_counter()
    phases = await _answer(connection, pattern, pattern.phases_query, inputs)
    ended = perf_counter()
    equal = sum(one == other for one, other in zip(legacy, phases, strict=False))
    longer = max(len(legacy), len(phases))
    return AnswerCheck(
        suite=SUITE,
        name=pattern.test_name,
        status="PASS" if equal == longer else "FAIL",
        total_records=longer,
        valid_records=equal,
        invalid_records=longer - equal,
        success_rate=100 * equal / longer if longer else None,
        execution_time_ms=1000 * (ended - started),
        legacy_ms=1000 * (between - started),
        phases_ms=1000 * (ended - between),
        details=f"{longer} rows are the same" if equal == longer else first_difference(legacy, phases),
    )


async def _answer(
    connection: Connection, pattern: Pattern, query: str, inputs: BenchmarkInputs
) -> list[tuple[object, ...]]:
    rows: list[tuple[object, ...]] = []
    for user in inputs.user_ids if pattern.test_name == CONCURRENT else [None]:
        statement, values = bind(query, inputs, user_id=user)
        savepoint = connection.transaction()
        await savepoint.start()
        try:
            rows += [normalise(row) for row in await connection.fetch(statement, *values)]
        finally:
            await savepoint.rollback()
    return rows


def first_difference(
    legacy: list[tuple[object, ...]],
    phases: list[tuple[object, ...]],
    names: tuple[str, str] = ("legacy form", "phases form"),
) -> str:
    """The first row in which two answers differ, for people; rows are counted from 1."""
    for number in range(max(len(legacy), len(phases))):
        before = legacy[number] if number < len(legacy) else "no row"
        after = phases[number] if number < len(phases) else "no row"
        if before != after:
            where = f"row {number + 1} of {len(legacy)} and {len(phases)}"
            return f"{where}: the {names[0]} says {before}, the {names[1]} {after}"
    return "no row differs"
