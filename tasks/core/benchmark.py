"""Measures the benchmark patterns from the client: one database by itself, or two in turn.

The patterns stand in `sql/scripts/performance-benchmark.sql`; its definitions are all that is used from there. Times
are wall-clock milliseconds of a prepared statement from sending it to having all its rows, planning included
(`plan_cache_mode = force_custom_plan`: a cached generic plan would depend on how often a statement ran before).
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from time import perf_counter

from tasks.core import sql_files
from tasks.core.benchmark_answers import compare_answers, first_difference
from tasks.core.benchmark_models import BenchmarkInputs, BenchmarkRun, Clone
from tasks.core.benchmark_patterns import WRITES_NOT_ALLOWED, define, refusals
from tasks.core.benchmark_results import keep
from tasks.core.benchmark_side import LOCKED_OUT, Measured, Side, draw
from tasks.core.database import Database, connect
from tasks.core.progress import Progress, unheard
from tasks.core.watch import watched_vacuum

__all__ = ["Ground", "PairedRuns", "compare_answers", "draw_inputs", "measure", "measure_paired", "settle"]


@dataclass(frozen=True)
class Ground:
    """Where the patterns of a state run.

    Attributes:
        reads: the database that is measured.
        clone: how it was made, where it is a copy.
        writes: where the patterns that write run, always rolled back; None skips them.
        writes_clone: how that one was made, where it is a copy.
        why_not: why they are skipped.
        settings: for the sessions on a copy: what is set for a database is not copied with it.
    """

    reads: Database
    clone: Clone | None = None
    writes: Database | None = None
    writes_clone: Clone | None = None
    why_not: str = WRITES_NOT_ALLOWED
    settings: dict[str, str] | None = None


@dataclass(frozen=True)
class PairedRuns:
    """Two states that were measured in turn.

    Attributes:
        differing: by pattern, the first row in which the answers differ.
    """

    before: BenchmarkRun
    after: BenchmarkRun
    differing: dict[str, str]


async def settle(database: Database, schema: str, progress: Progress = unheard) -> float:
    """VACUUM (ANALYZE) of both tables, without which index-only scans and plans differ by chance.

    :returns: seconds.
    """
    started = perf_counter()
    async with (
        connect(database, schema=schema, purpose="settle", settings={"lock_timeout": "30s"}) as connection,
        watched_vacuum(database, connection, progress),
    ):
        await connection.execute(sql_files.query("settle_tables"))
    return perf_counter() - started


async def draw_inputs(database: Database, schema: str, *, seed: int) -> BenchmarkInputs:
    """Draw from the data what the patterns ask about.

    On a migrated database these are the inputs of the last dual run with this seed, if there was one.

    :raises StepFailed: if this is not a campaign database.
    """
    async with connect(database, schema=schema, purpose="benchmark") as connection:
        with refusals():
            await define(connection)
            return (await draw(connection, seed))[1]


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
    ground: Ground | None = None,
) -> BenchmarkRun:
    """Time every pattern on the architecture that the catalog shows, and keep the results in the database.

    A warm-up that does not count, then `rounds` rounds, each in a random order of its own; what only reads runs twice in
    a row there, and the second time counts. Patterns that write come
    last, so that their dead rows slow no other, and are always rolled back.

    :param parameters: the inputs of an earlier run, to ask the same questions again; drawn from the data if None.
    :param benchmark_writes: run patterns that write on the database itself.
    :param ground: where they run instead; without either they are skipped, with the reason.
    :raises StepFailed: if a pattern cannot run at all.
    """
    place = ground or Ground(database, writes=database if benchmark_writes else None)
    async with AsyncExitStack() as stack:
        with refusals():
            side = await Side.open(stack, database, schema, seed=seed, inputs=parameters)
            writing = await _writing_side(stack, side, place, schema, seed)
            order = random.Random(seed)
            await _read([side], order, rounds, progress)
            await _write([side], [writing], order, rounds, progress, [place.why_not])
            run = await side.result(run_id, rounds, writes_clone=place.writes_clone)
            await keep(side.connection, run)
        return run


async def measure_paired(
    before: Ground,
    after: Ground,
    schema: str,
    *,
    rounds: int,
    seed: int,
    run_id: str,
    keep_in: Database | None,
    parameters: BenchmarkInputs | None = None,
    progress: Progress = unheard,
) -> PairedRuns:
    """Time two states in turn: in each round each pattern runs on both, in random order, one right after the other.

    What disturbs the machine for longer than one query then disturbs both alike.

    :param keep_in: where the results are kept; None keeps none, for a control run of a state against itself.
    :raises StepFailed: if a pattern cannot run at all.
    """
    async with AsyncExitStack() as stack:
        with refusals():
            first = await Side.open(stack, before.reads, schema, seed=seed, inputs=parameters, settings=before.settings)
            second = await Side.open(
                stack, after.reads, schema, seed=seed, inputs=first.inputs, settings=after.settings
            )
            writing = [
                await _writing_side(stack, side, ground, schema, seed)
                for side, ground in ((first, before), (second, after))
            ]
            order = random.Random(seed)
            await _read([first, second], order, rounds, progress)
            await _write([first, second], writing, order, rounds, progress, [before.why_not, after.why_not])
            runs = [
                await side.result(run_id, rounds, paired=True, clone=ground.clone, writes_clone=ground.writes_clone)
                for side, ground in ((first, before), (second, after))
            ]
    if keep_in is not None:
        # The copy is another database, but what was measured is a state of this one.
        runs = [run.model_copy(update={"database_name": keep_in.database}) for run in runs]
        async with connect(keep_in, schema=schema, purpose="benchmark results") as connection:
            for run in runs:
                await keep(connection, run)
    return PairedRuns(runs[0], runs[1], _differing(first, second))


async def _writing_side(stack: AsyncExitStack, side: Side, ground: Ground, schema: str, seed: int) -> Side | None:
    if ground.writes is None:
        return None
    if ground.writes == ground.reads:
        return side
    return await Side.open(
        stack, ground.writes, schema, seed=seed, inputs=side.inputs, settings=ground.settings, concurrent=False
    )


async def _read(sides: Sequence[Side], order: random.Random, rounds: int, progress: Progress) -> None:
    """All patterns that only read: warm-up, then the rounds."""
    names = _names(sides, lambda one: not one.pattern.writes)
    for name in names:
        for side in sides:
            await side.warm_up(side.measured[name])
    timed = [name for name in names if all(side.measured[name].is_timed for side in sides)]
    what = f"benchmark {' and '.join(side.architecture for side in sides)}"
    for number in range(rounds):
        order.shuffle(timed)
        for name in timed:
            for side in order.sample(sides, len(sides)):
                await side.time(side.measured[name])
        progress(what, number + 1, rounds)


async def _write(
    sides: Sequence[Side],
    writing: Sequence[Side | None],
    order: random.Random,
    rounds: int,
    progress: Progress,
    reasons: Sequence[str],
) -> None:
    """The patterns that write, where they may: each execution in a transaction that is rolled back."""
    names = _names(sides, lambda one: one.pattern.writes)
    grounds = [side for side in writing if side is not None]
    for name in names:
        if len(grounds) < len(sides):
            for side, ground, reason in zip(sides, writing, reasons, strict=True):
                other = "where the other state would run it, it may not"
                side.measured[name].skipped = reason if ground is None else other
            continue
        try:
            for ground in grounds:
                await ground.warm_up(ground.measured[name])
            for number in range(rounds):
                for ground in order.sample(grounds, len(grounds)):
                    await ground.time(ground.measured[name])
                progress(f"benchmark, {name}", number + 1, rounds)
        except LOCKED_OUT as error:
            for ground in grounds:
                ground.measured[name].skipped = f"other sessions held its rows: {error}"
                ground.measured[name].times = []
        for side, ground in zip(sides, grounds, strict=True):
            side.measured[name] = ground.measured[name]


def _names(sides: Iterable[Side], wanted: Callable[[Measured], bool]) -> list[str]:
    """The patterns that every side can run, in the order of the benchmark."""
    first, *others = sides
    return [
        name
        for name, one in first.measured.items()
        if wanted(one) and all(side.measured[name].skipped is None for side in (first, *others))
    ]


def _differing(first: Side, second: Side) -> dict[str, str]:
    return {
        name: first_difference(one.first_rows, second.measured[name].first_rows)
        for name, one in first.measured.items()
        if one.is_timed and one.answer != second.measured[name].answer
    }
