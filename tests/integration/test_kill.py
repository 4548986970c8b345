"""Killed at any statement, in any way, a run that is started again ends in the same database as an undisturbed one."""

from __future__ import annotations

import asyncio
import contextlib
import random
import signal
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from tasks.core import core_migrations, errors, rollback, run, state, transform
from tasks.core.database import Database, connect
from tasks.core.models import State
from tasks.core.progress import unheard
from tasks.core.sample import build_sample_database, create_database, drop_database
from tasks.core.server import PostgresServer
from tasks.core.settings import MigrateParameters, RollbackParameters
from tests.kill.driven import Driven, Work, driver
from tests.kill.picture import assert_sound, differences, picture, picture_of_application
from tests.kill.writers import Writers

SampleFactory = Callable[..., Awaitable[Database]]
# Does something to the driver's child, which stands at a point, so that its work ends.
Blow = Callable[[Driven, Database], Awaitable[None]]

SAMPLE: dict[str, Any] = {"campaigns": 60, "domains": 1_500, "seed": 7}
VERSION_TABLE = """
    CREATE TABLE schema_migrations (version bigint NOT NULL PRIMARY KEY, dirty boolean NOT NULL);
    INSERT INTO schema_migrations VALUES (34, false);
"""
VERSIONS = {State.LEGACY: 34, State.DUAL: 34, State.CONTRACTED: 35, State.MIGRATED: 36}
OUR_SESSIONS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'campaign-phases%'"
)

# A point in each step of the way up, in order, and of the way back.
UP = [
    "-- A run begins",
    "SELECT migration_backup_campaigns()",
    "COMMIT of SELECT migration_expand_columns()",
    "SELECT migration_refuse_unknown_values()",
    "COMMIT of SELECT migration_install_metrics()",
    "SELECT migration_count_metrics()",
    "COMMIT of SELECT last_id, filled",
    "SELECT migration_forget_deleted()",
    "COMMIT of SELECT migration_add_checks()",
    "SELECT migration_validate_checks()",
    "CREATE INDEX CONCURRENTLY idx_campaigns_phase_transitions",
    "COMMENT ON INDEX idx_campaigns_user_dashboard",
    "CREATE INDEX CONCURRENTLY idx_domains_campaign_leads",
    "COMMIT of -- 000035",
    "COMMIT of -- Indexes for queries by phase",
    "VACUUM (ANALYZE) generated_domains",
]
BACK = ["COMMIT of -- Takes back what 000036", "-- 000035 back", "COMMIT of -- 000035 back", "ANALYZE campaigns"]
# Where a run is given up before it is taken back.
GIVEN_UP_AT = {
    "not expanded": "COMMIT of SELECT migration_expand_columns()",
    "expanded": "SELECT migration_install_metrics()",
    "counted": "COMMIT of SELECT last_id, filled",
    "dual": "COMMIT of SELECT migration_add_checks()",
    "half indexed": "CREATE INDEX CONCURRENTLY idx_domains_lead_ranking",
    "contracted": "COMMIT of -- Indexes for queries by phase",
    "migrated": None,
}
SAMPLED = {"counted", "half indexed", "migrated"}


async def sigkill(driven: Driven, database: Database) -> None:
    driven.send(signal.SIGKILL)


async def sigterm(driven: Driven, database: Database) -> None:
    driven.send(signal.SIGTERM)


async def sigint(driven: Driven, database: Database) -> None:
    driven.send(signal.SIGINT)


async def terminate(driven: Driven, database: Database) -> None:
    """An administrator's pg_terminate_backend for every session of the run."""
    async with connect(database) as connection:
        await connection.execute(
            f"SELECT pg_terminate_backend(pid) FROM ({OUR_SESSIONS}) AS s WHERE pid <> pg_backend_pid()"
        )
    driven.send(signal.SIGUSR1)


def crash_of(server: PostgresServer) -> Blow:
    async def crash(driven: Driven, database: Database) -> None:
        await asyncio.to_thread(server.restart, "immediate")
        driven.send(signal.SIGUSR1)

    return crash


@dataclass
class Ground:
    """A server with a template, and what undisturbed runs make of a copy of it."""

    admin: Database
    template: str
    made: list[str] = field(default_factory=list)
    points: dict[Work, int] = field(default_factory=dict)
    expected: dict[str, str] = field(default_factory=dict)
    legacy: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def prepare(cls, template: Database, driven: Driven) -> Ground:
        async with connect(template) as connection:
            await connection.execute(VERSION_TABLE)
        ground = cls(template, template.database)
        undisturbed = await ground.copy()
        ground.legacy = await picture_of_application(undisturbed)
        await driven.begin(undisturbed, "migrate")
        assert "done" in await driven.ended()
        ground.points["migrate"] = len(driven.points)
        ground.expected = await picture(undisturbed)
        async with connect(undisturbed) as connection:
            await assert_sound(connection)
        await driven.begin(undisturbed, "rollback")
        assert "done" in await driven.ended()
        ground.points["rollback"] = len(driven.points)
        assert differences(ground.legacy, await picture_of_application(undisturbed)) == []
        return ground

    async def copy(self) -> Database:
        server = self.admin.model_copy(update={"database": "postgres"})
        database = await create_database(server, f"kill_{uuid.uuid4().hex[:12]}", template=self.template)
        self.made.append(database.database)
        return database

    async def tidy(self) -> None:
        server = self.admin.model_copy(update={"database": "postgres"})
        while self.made:
            await drop_database(server, self.made.pop())


grounds: dict[str, Ground] = {}


@pytest.fixture
async def driven() -> AsyncIterator[Driven]:
    async with driver() as running:
        yield running


@pytest.fixture
async def ground(server: Database, sample_factory: SampleFactory, driven: Driven) -> AsyncIterator[Ground]:
    """The shared server's ground; what the undisturbed run made is computed once."""
    if server.address not in grounds:
        template = await create_database(server, f"kill_template_{uuid.uuid4().hex[:8]}")
        await build_sample_database(template, **SAMPLE)
        grounds[server.address] = await Ground.prepare(template, driven)
    yield grounds[server.address]
    await grounds[server.address].tidy()


async def migrate(database: Database) -> None:
    """What an operator does after a kill: start it again."""
    parameters, run_id = MigrateParameters(mode="apply"), str(uuid.uuid4())
    async with run.exclusive_run(database, "public", parameters, run_id, "again"):
        await transform.transform(database, parameters, run_id, unheard)
        await core_migrations.apply_core_migrations(database, parameters, run_id, unheard)


async def go_back(database: Database) -> None:
    parameters, run_id = RollbackParameters(mode="apply", confirm=database.database), str(uuid.uuid4())
    async with run.exclusive_run(database, "public", parameters, run_id, "again"):
        await rollback.roll_back(database, parameters, run_id, unheard)


async def strike(
    driven: Driven, database: Database, work: Work, point: int | str, blow: Blow, *, during: bool = False
) -> dict[str, Any]:
    """Let a child work up to a point, hit it there, and see that what it left makes sense. Returns how it ended."""
    await driven.begin(database, work, stop_at=point, during=during)
    event = await driven.until("point", "exit")
    if "exit" in event:
        return event
    await blow(driven, database)
    ended = await driven.ended()
    await assert_version_tells_the_truth(database)
    return ended


async def assert_version_tells_the_truth(database: Database) -> None:
    """golang-migrate's table is never dirty and says what the catalog says, at any moment."""
    async with connect(database) as connection, connection.transaction(isolation="repeatable_read"):
        found = await state.read_state(connection)
        version = await connection.fetchrow("SELECT version, dirty FROM schema_migrations")
        assert version is not None
        assert tuple(version) == (VERSIONS[found], False)


async def assert_as_undisturbed(database: Database, ground: Ground) -> None:
    assert differences(ground.expected, await picture(database)) == []
    async with connect(database) as connection:
        await assert_sound(connection)
        assert await connection.fetchval("SELECT count(*) FROM migration_runs WHERE outcome = 'running'") == 0


async def test_killed_once_in_every_step_it_ends_as_if_undisturbed(ground: Ground, driven: Driven) -> None:
    """One database, one run after the other, each killed a step further on."""
    database = await ground.copy()
    for number, label in enumerate(UP):
        ended = await strike(driven, database, "migrate", label, sigkill, during=number % 3 == 0)
        assert ended["exit"] == -signal.SIGKILL, f"{label} was not reached: {ended}"
    await migrate(database)
    await assert_as_undisturbed(database, ground)
    for label in BACK:
        await strike(driven, database, "rollback", label, sigkill)
    with pytest.raises(errors.NothingToRollBack):
        await go_back(database)
    assert differences(ground.legacy, await picture_of_application(database)) == []


@pytest.mark.parametrize(
    "blow", [sigterm, pytest.param(sigint, marks=pytest.mark.large), terminate], ids=lambda blow: blow.__name__
)
async def test_cancelled_interrupted_or_disconnected_it_says_so_and_can_go_on(
    ground: Ground, driven: Driven, blow: Blow
) -> None:
    database = await ground.copy()
    for label in UP[1::4]:
        ended = await strike(driven, database, "migrate", label, blow)
        assert ended["exit"] == 1, f"{label} was not reached: {ended}"
        if blow is terminate:
            assert ended["error"] == "ConnectionLost", ended["trace"]
            assert "Run again" in ended["message"]
        else:
            assert ended["error"] == ("CancelledError" if blow is sigterm else "KeyboardInterrupt"), ended["trace"]
        async with connect(database) as connection:
            assert [row["pid"] for row in await connection.fetch(f"{OUR_SESSIONS} AND pid <> pg_backend_pid()")] == []
            outcome = await connection.fetchval("SELECT outcome FROM migration_runs ORDER BY started_at DESC LIMIT 1")
            assert outcome == ("failed" if blow is terminate else "cancelled")
    await migrate(database)
    await assert_as_undisturbed(database, ground)


async def test_killed_at_random_moments_it_ends_as_if_undisturbed(ground: Ground, driven: Driven) -> None:
    await _kill_at_random(ground, driven, seed=1, kills=6)


async def _kill_at_random(ground: Ground, driven: Driven, *, seed: int, kills: int) -> None:
    chance, database = random.Random(seed), await ground.copy()
    for _ in range(kills):
        await driven.begin(database, "migrate", stop_at="no such label")
        await asyncio.sleep(chance.uniform(0.02, 0.6))
        with contextlib.suppress(ProcessLookupError):  # it was quicker
            driven.send(signal.SIGKILL)
        await driven.ended()
    await migrate(database)
    await assert_as_undisturbed(database, ground)


@pytest.mark.parametrize(
    "given_up", [name if name in SAMPLED else pytest.param(name, marks=pytest.mark.large) for name in GIVEN_UP_AT]
)
async def test_a_way_back_that_is_killed_still_ends_where_it_began(
    ground: Ground, driven: Driven, given_up: str
) -> None:
    database, label = await ground.copy(), GIVEN_UP_AT[given_up]
    if label is None:
        await migrate(database)
    else:
        await strike(driven, database, "migrate", label, sigkill)
    for point in BACK[:2]:
        ended = await strike(driven, database, "rollback", point, sigkill)
        assert ended["exit"] == -signal.SIGKILL, f"{point} was not reached: {ended}"
    await go_back(database)
    assert differences(ground.legacy, await picture_of_application(database)) == []
    await migrate(database)
    assert differences(only_rows(ground.expected), only_rows(await picture(database))) == []


def only_rows(seen: dict[str, str]) -> dict[str, str]:
    """A picture's data. After a way back and forth the columns' order in the schema is another."""
    return {name: value for name, value in seen.items() if name.startswith("rows of ") and "saved_objects" not in name}


async def test_after_crashes_of_the_server_it_ends_as_if_undisturbed(
    private_server: PostgresServer, driven: Driven
) -> None:
    ground = await _private_ground(private_server, driven)
    await _crash_at(UP[2::6], ground, driven, private_server)


async def _crash_at(labels: Sequence[str | int], ground: Ground, driven: Driven, server: PostgresServer) -> None:
    database = await ground.copy()
    for label in labels:
        ended = await strike(driven, database, "migrate", label, crash_of(server))
        assert ended.get("error") == "ConnectionLost", f"{label}: {ended}"
    await migrate(database)
    await assert_as_undisturbed(database, ground)


async def _private_ground(server: PostgresServer, driven: Driven) -> Ground:
    template = await create_database(server.database(), "kill_template")
    await build_sample_database(template, **SAMPLE)
    return await Ground.prepare(template, driven)


async def test_with_writers_at_work_every_kill_leaves_exact_metrics_and_no_row_is_lost(
    ground: Ground, driven: Driven
) -> None:
    await _strike_among_writers(ground, driven, UP[2::3], sigkill)


async def _strike_among_writers(ground: Ground, driven: Driven, labels: Sequence[str], blow: Blow) -> None:
    database = await ground.copy()
    async with Writers(database) as writers:
        for label in labels:
            await strike(driven, database, "migrate", label, blow)
        await migrate(database)
    async with connect(database) as connection:
        await assert_sound(connection)
        await writers.assert_nothing_is_lost(connection)
    assert writers.writes > 50
    assert writers.failures == {}


async def test_the_next_run_waits_for_what_the_server_still_does_for_a_dead_one(
    ground: Ground, driven: Driven, caplog: pytest.LogCaptureFixture
) -> None:
    """A killed client's session goes on with its statement until the server notices, some seconds later."""
    database = await ground.copy()
    await driven.begin(database, "migrate", stop_at="CREATE INDEX CONCURRENTLY idx_campaigns_workflow_primary")
    await driven.until("point")
    async with connect(database) as old, old.transaction():
        await old.fetch("SELECT FROM campaigns FOR UPDATE LIMIT 1")  # an index build waits for this
        driven.send(signal.SIGUSR1)
        await until_there(database, "SELECT count(*) FROM pg_stat_progress_create_index WHERE phase LIKE 'waiting%'")
        driven.send(signal.SIGKILL)
        await driven.ended()
        with caplog.at_level("INFO"):
            again = asyncio.create_task(migrate(database))
            await until_there(
                database, "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'DROP INDEX CONCURRENTLY%'"
            )
    await again
    assert "waiting for what an earlier run has left at work: session" in caplog.text
    assert "dropping the invalid index idx_campaigns_workflow_primary" in caplog.text
    await assert_as_undisturbed(database, ground)


# What follows is the whole matrix: every statement, each way to die, a database for each.


@pytest.mark.large
@pytest.mark.parametrize("blow", [sigkill, terminate, sigterm], ids=lambda blow: blow.__name__)
@pytest.mark.parametrize("during", [False, True], ids=["before", "during"])
async def test_struck_at_any_statement_on_the_way_up(ground: Ground, driven: Driven, blow: Blow, during: bool) -> None:
    if during and blow is not sigkill:
        pytest.skip("a session that is ended by itself stands at a statement; runs with [before]")
    for point in range(1, ground.points["migrate"] + 1):
        database = await ground.copy()
        ended = await strike(driven, database, "migrate", point, blow, during=during)
        assert "error" in ended or during or blow is sigkill, f"point {point}: {ended}"
        await migrate(database)
        await assert_as_undisturbed(database, ground)
        await ground.tidy()


@pytest.mark.large
@pytest.mark.parametrize("blow", [sigkill, terminate], ids=lambda blow: blow.__name__)
@pytest.mark.parametrize("given_up", GIVEN_UP_AT)
async def test_struck_at_any_statement_on_the_way_back(
    ground: Ground, driven: Driven, blow: Blow, given_up: str
) -> None:
    for point in range(1, ground.points["rollback"] + 1):
        database, label = await ground.copy(), GIVEN_UP_AT[given_up]
        if label is None:
            await migrate(database)
        else:
            await strike(driven, database, "migrate", label, sigkill)
        await strike(driven, database, "rollback", point, blow)
        with contextlib.suppress(errors.NothingToRollBack):
            await go_back(database)
        assert differences(ground.legacy, await picture_of_application(database)) == [], f"point {point}"
        await ground.tidy()


@pytest.mark.large
async def test_crashes_of_the_server_at_any_statement(private_server: PostgresServer, driven: Driven) -> None:
    ground = await _private_ground(private_server, driven)
    for point in range(2, ground.points["migrate"], 4):
        await _crash_at([point], ground, driven, private_server)
        await ground.tidy()


@pytest.mark.large
@pytest.mark.parametrize("seed", range(20))
async def test_killed_at_many_random_moments(ground: Ground, driven: Driven, seed: int) -> None:
    await _kill_at_random(ground, driven, seed=100 + seed, kills=5)


@pytest.mark.large
@pytest.mark.parametrize("blow", [sigkill, terminate, "crash"], ids=str)
async def test_with_writers_at_work_struck_in_every_step(
    private_server: PostgresServer, driven: Driven, blow: Blow | str
) -> None:
    ground = await _private_ground(private_server, driven)
    hit = crash_of(private_server) if isinstance(blow, str) else blow
    await _strike_among_writers(ground, driven, UP, hit)


async def until_there(database: Database, count: str) -> None:
    """Wait until a count in the database is above zero."""
    async with connect(database) as connection:
        for _ in range(400):
            if await connection.fetchval(f"{count} AND datname = current_database()"):
                return
            await asyncio.sleep(0.05)
    pytest.fail(f"still none: {count}")
