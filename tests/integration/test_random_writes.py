"""Random writes of every kind, in several open transactions at once, between any two steps of the migration."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import asyncpg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tasks.core import sql_files, toolkit
from tasks.core.database import Connection, Database, connect
from tasks.core.sample import create_database, drop_database
from tests.load import monitor
from tests.load.recount import LEFT_OVER, WRONG_METRICS

WRITERS = 3
# Every wait for a lock ends soon, ours and the writers': all of this runs one statement after the other.
IMPATIENT = {"lock_timeout": "60ms", "application_name": "random writer"}
BATCH, MERGE_SINCE = 7, 15
# What a writer must expect: locks of the others, a unique name twice, both models changed at once, a model that is not
# there yet or no more (a cached plan included), a snapshot from before the metrics or before another's change.
EXPECTED = {"55P03", "40P01", "23505", "23514", "42703", "0A000", "40001", "25P02"}
INSERT = """
INSERT INTO generated_domains (domain_generation_campaign_id, domain_name, offset_index, dns_status, http_status, lead_score)
SELECT $1, $2 || n, n, $3, $4, $5 FROM generate_series(1, $6::integer) AS n
"""
UPSERT = """
INSERT INTO generated_domains (domain_generation_campaign_id, domain_name, http_status)
SELECT $1, 'shared-' || n, $2 FROM generate_series(1, 6) AS n
ON CONFLICT (domain_generation_campaign_id, domain_name) DO UPDATE SET http_status = excluded.http_status, lead_score = 7
"""
MERGE = """
MERGE INTO generated_domains AS d
USING (SELECT $1::uuid AS c, 'shared-' || n AS name, n FROM generate_series(1, 9) AS n) AS s
ON d.domain_generation_campaign_id = s.c AND d.domain_name = s.name
WHEN MATCHED AND s.n < 3 THEN DELETE
WHEN MATCHED THEN UPDATE SET dns_status = $2, lead_score = s.n - 4
WHEN NOT MATCHED THEN INSERT (domain_generation_campaign_id, domain_name, dns_status) VALUES (s.c, s.name, $2)
"""
UPDATE = """
UPDATE generated_domains SET dns_status = $2, lead_score = $3
WHERE domain_generation_campaign_id = $1 AND offset_index % 3 = 0
"""
MOVE = """
UPDATE generated_domains SET domain_generation_campaign_id = $2, domain_name = domain_name || $3
WHERE id IN (SELECT id FROM generated_domains WHERE domain_generation_campaign_id = $1 ORDER BY id LIMIT 9)
"""
DELETE = "DELETE FROM generated_domains WHERE domain_generation_campaign_id = $1 AND dns_status IS NOT DISTINCT FROM $2"
LEGACY = [
    ("queued", "automated"),
    ("running", "dns_validation"),
    ("archived", "analysis"),
    ("cancelled", "domain_generation"),
]
PHASES = [
    ("not_started", "setup"),
    ("in_progress", "dns_validation"),
    ("completed", "analysis"),
    ("failed", "generation"),
]
# What changes something, and which of the drawn values it takes.
CHANGES: dict[str, list[tuple[str, list[str]]]] = {
    "insert": [(INSERT, ["one", "name", "value", "value", "figure", "rows"])],
    "update": [(UPDATE, ["one", "value", "figure"])],
    "move": [(MOVE, ["one", "two", "name"])],
    "delete": [(DELETE, ["one", "value"])],
    "upsert": [(UPSERT, ["one", "value"])],
    "merge": [(MERGE, ["one", "value"])],
    "truncate": [("TRUNCATE generated_domains CASCADE", [])],
    "legacy": [
        ("UPDATE campaigns SET status = $2 WHERE id = $1", ["one", "status"]),
        ("UPDATE campaigns SET campaign_type = $2 WHERE id = $1", ["two", "type"]),
    ],
    "phases": [
        ("UPDATE campaigns SET phase_status = $2 WHERE id = $1", ["one", "phase_status"]),
        ("UPDATE campaigns SET current_phase = $2 WHERE id = $1", ["two", "phase"]),
    ],
    "progress": [("UPDATE campaigns SET progress_percentage = $2 WHERE id = $1", ["one", "percent"])],
    "create campaign": [("INSERT INTO campaigns (name, user_id) SELECT $1, user_id FROM campaigns LIMIT 1", ["name"])],
    "drop campaign": [("DELETE FROM campaigns WHERE id = $1 AND (SELECT count(*) FROM campaigns) > 9", ["one"])],
}
BEGIN = {"begin": "BEGIN", "repeatable read": "BEGIN ISOLATION LEVEL REPEATABLE READ"}
KINDS = (*CHANGES, "copy", "begin", *BEGIN, "commit", "rollback", "undone")
# A writer's number, what it does, two campaigns, a status, a figure; or None: the next step of the migration.
WRITES = st.tuples(
    st.integers(0, WRITERS - 1), st.sampled_from(KINDS), st.integers(0, 5), st.integers(0, 5),
    st.sampled_from([None, "ok", "pending", "error"]), st.integers(0, 3),
)  # fmt: skip
Write = tuple[int, str, int, int, str | None, int]
HISTORIES = st.lists(st.one_of(WRITES, WRITES, st.none()), min_size=15, max_size=60)
Step = Callable[[Connection], Awaitable[bool]]


def run(text: str) -> Step:
    async def step(connection: Connection) -> bool:
        await connection.execute(text)
        return True

    return step


async def fill(connection: Connection) -> bool:
    """One batch. Whether nothing is left."""
    row = await connection.fetchrow("SELECT last_id, filled FROM migration_fill_batch(NULL, $1, '')", BATCH)
    assert row is not None
    if row["filled"]:
        return False
    await connection.execute("SELECT migration_forget_deleted()")
    return not await connection.fetchval("SELECT count(*) FROM campaign_metrics_baseline")


def steps() -> list[Step]:
    """The migration as the pipeline takes it, each in a transaction of its own."""
    blocks = sql_files.blocks(sql_files.script("migrate-campaign-data"))
    return [
        run("".join(blocks[name] for name in toolkit.BLOCKS)),
        run("SELECT migration_backup_campaigns(), migration_find_inverse_mappings(), migration_prepare_sync()"),
        run("SELECT migration_expand_columns(), migration_install_sync()"),
        run("SELECT migration_mark_uncounted()"),
        run("SELECT migration_install_metrics()"),
        run("SELECT migration_count_metrics()"),
        fill,
        run("SELECT migration_add_checks()"),
        run("SELECT migration_validate_checks()"),
        run(sql_files.migration(35, "up")),
    ]


@dataclass
class History:
    """A migration and its writers, one statement at a time.

    Attributes:
        failures: what writers met, by SQLSTATE.
    """

    migrator: Connection
    writers: list[Connection]
    observer: Connection
    steps: list[Step] = field(default_factory=steps)
    failures: dict[str, str] = field(default_factory=dict)

    async def migrate(self) -> None:
        """The next step; one that meets a lock, or is not through, comes again."""
        if self.steps:
            try:
                if await self.steps[0](self.migrator):
                    self.steps.pop(0)
            except (asyncpg.LockNotAvailableError, asyncpg.DeadlockDetectedError):
                pass

    async def write(self, number: int, kind: str, *values: object) -> None:
        """One statement of one writer; an error takes its transaction back, as applications do."""
        writer = self.writers[number]
        try:
            await perform(writer, kind, *values)  # type: ignore[arg-type]  # as drawn
        except asyncpg.PostgresError as error:
            self.failures[str(error.sqlstate)] = str(error)
            if writer.is_in_transaction():
                await writer.execute("ROLLBACK")

    async def look(self) -> None:
        """What must agree at every commit does. Where somebody truncates, whoever looks would wait."""
        with contextlib.suppress(asyncpg.LockNotAvailableError):
            async with self.observer.transaction(isolation="repeatable_read", readonly=True):
                state = await self.observer.fetchrow(monitor.STATE)
                assert state is not None
                if state["synced"]:
                    seen = await self.observer.fetchrow(monitor.AGREEMENT)
                    assert seen is not None
                    off = (seen["contradicting"], seen["progress_off"], seen["legacy_off"])
                    assert off == (0, 0, 0), seen["examples"]
                if state["counting"]:
                    ids = await self.observer.fetchval("SELECT array_agg(id) FROM campaigns")
                    seen = await self.observer.fetchrow(monitor.METRICS, ids)
                    assert seen is not None
                    assert seen["miscounted"] == 0, seen["examples"]

    async def end(self) -> None:
        """All transactions come to their end, then the migration does, and every metric equals a recount."""
        for number in range(len(self.writers)):
            await self.write(number, "commit", 0, 0, None, 0)
        for _ in range(200):
            await self.migrate()
        assert not self.steps, "the migration did not come to its end though nobody was in its way"
        await self.assert_exact()

    async def assert_exact(self) -> None:
        row = await self.observer.fetchrow(WRONG_METRICS)
        assert row is not None
        assert row["wrong"] == 0
        assert await self.observer.fetchval(LEFT_OVER) == 0
        assert {state: words for state, words in self.failures.items() if state not in EXPECTED} == {}


async def perform(writer: Connection, kind: str, a: int, b: int, value: str | None, figure: int) -> None:
    inside = writer.is_in_transaction()
    if kind in BEGIN:
        if not inside:
            await writer.execute(BEGIN[kind])
    elif kind in {"commit", "rollback"}:
        if inside:
            await writer.execute(kind)
    elif kind == "undone" and inside:
        await writer.execute("SAVEPOINT here")
        for change_of_mind in ("insert", "update", "move"):
            await change(writer, change_of_mind, a, b, value, figure)
        await writer.execute("ROLLBACK TO here")
    elif kind != "undone":
        await change(writer, kind, a, b, value, figure)


async def change(writer: Connection, kind: str, a: int, b: int, value: str | None, figure: int) -> None:
    ids = [row[0] for row in await writer.fetch("SELECT id FROM campaigns ORDER BY id LIMIT 6")]
    (status, type_), (phase_status, phase) = LEGACY[figure], PHASES[figure]
    drawn = {
        "one": ids[a % len(ids)], "two": ids[b % len(ids)], "name": uuid.uuid4().hex[:8], "value": value, "figure": figure,
        "rows": 1 + b, "percent": 30.0 * figure, "status": status, "type": type_, "phase_status": phase_status, "phase": phase,
    }  # fmt: skip
    if kind == "copy":
        columns = ["domain_generation_campaign_id", "domain_name", "offset_index", "dns_status"]
        records = [(id_, f"{drawn['name']}{n}", n, value) for n in range(4) for id_ in (drawn["one"], drawn["two"])]
        await writer.copy_records_to_table("generated_domains", records=records[: 4 + b], columns=columns)
    elif kind != "merge" or writer.get_server_version().major >= MERGE_SINCE:
        for statement, names in CHANGES[kind]:
            await writer.execute(statement, *(drawn[name] for name in names))


async def live_through(server: Database, template: Database, history: list[Write | None]) -> None:
    database = await create_database(server, f"random_{uuid.uuid4().hex[:10]}", template=template.database)
    try:
        async with (
            connect(database, settings=IMPATIENT) as migrator,
            connect(database, settings=IMPATIENT) as observer,
            connect(database, settings=IMPATIENT) as one,
            connect(database, settings=IMPATIENT) as two,
            connect(database, settings=IMPATIENT) as three,
        ):
            lived = History(migrator, [one, two, three], observer)
            for event in history:
                await (lived.migrate() if event is None else lived.write(*event))
                await lived.look()
            await lived.end()
            # And the phases-only model goes on being written to.
            for event in history:
                if event is not None:
                    await lived.write(*event)
            for number in range(WRITERS):
                await lived.write(number, "commit", 0, 0, None, 0)
            await lived.assert_exact()
    finally:
        await drop_database(server, database.database)


SETTINGS = settings(deadline=None, suppress_health_check=list(HealthCheck))


@settings(SETTINGS, max_examples=5)
@given(history=HISTORIES)
def test_whatever_is_written_between_the_steps_the_metrics_equal_a_recount(
    server: Database, legacy_database: Database, history: list[Write | None]
) -> None:
    asyncio.run(live_through(server, legacy_database, history))


@pytest.mark.large
@settings(SETTINGS, max_examples=300)
@given(history=HISTORIES)
def test_the_same_with_many_more_histories(
    server: Database, legacy_database: Database, history: list[Write | None]
) -> None:
    asyncio.run(live_through(server, legacy_database, history))
