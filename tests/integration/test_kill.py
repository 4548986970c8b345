"""Killed at any statement, in any way, a run that is started again ends in the same database as an undisturbed one.

A sample of it runs every time; all of it runs by the marker `large`.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import signal
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tasks.core import errors
from tasks.core.database import Database, connect
from tasks.core.server import PostgresServer
from tests.kill.driven import Driven, driver
from tests.kill.ground import (
    BACK,
    GIVEN_UP_AT,
    OUR_SESSIONS,
    RICH_BACK,
    RICH_UP,
    UP,
    Blow,
    Ground,
    assert_as_undisturbed,
    crash_of,
    go_back,
    migrate,
    sigint,
    sigkill,
    sigterm,
    strike,
    terminate,
)
from tests.kill.picture import assert_same, assert_sound, picture, picture_of_application
from tests.kill.waiting import until_logged, until_true
from tests.kill.writers import Writers

BUILD_WAITS = (
    "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database() AND phase LIKE 'waiting%'"
)
# What the run says of itself when it was struck.
ENDS = {"sigkill": None, "terminate": "ConnectionLost", "crash": "ConnectionLost", "sigterm": "CancelledError"}
# The share of the points that every run comes to.
ALMOST = 0.97
grounds: dict[tuple[str, bool], Ground] = {}


@pytest.fixture
async def driven() -> AsyncIterator[Driven]:
    async with driver() as running:
        yield running


@pytest.fixture
async def ground(server: Database, driven: Driven) -> AsyncIterator[Ground]:
    """The shared server's ground; what the undisturbed run made is computed once."""
    async with _shared(server, driven, rich=False) as shared:
        yield shared


@pytest.fixture
async def rich_ground(server: Database, driven: Driven) -> AsyncIterator[Ground]:
    """The same, with all that makes a step of its own necessary."""
    async with _shared(server, driven, rich=True) as shared:
        yield shared


@asynccontextmanager
async def _shared(server: Database, driven: Driven, *, rich: bool) -> AsyncIterator[Ground]:
    key = (server.address, rich)
    if key not in grounds:
        grounds[key] = await Ground.prepare(server, driven, rich=rich)
    yield grounds[key]
    await grounds[key].tidy()


async def test_a_sample_of_all_ways_to_die_in_every_step_ends_as_if_undisturbed(
    private_server: PostgresServer, driven: Driven
) -> None:
    """One database, one run after the other, each struck a step further on, in another way; then among writers.

    Each server version takes its third of the steps. SIGKILL is what a dead worker's process gets, SIGTERM a cancel in Prefect.
    """
    ground = await Ground.prepare(private_server.database(), driven, rich=True)
    database = await ground.copy()
    async with connect(database) as connection:
        own = connection.get_server_version().major // 2 % 3
    crash = crash_of(private_server)
    blows = itertools.cycle([sigkill, terminate, sigterm, crash])
    for label in RICH_UP[own::3]:
        blow = next(blows)
        ended = await strike(driven, database, "migrate", label, blow)
        assert ended["exit"] == (-signal.SIGKILL if blow is sigkill else 1), f"{label} was not reached: {ended}"
        assert ended.get("error") == ENDS[blow.__name__], f"{label}: {ended}"
    await migrate(database)
    await assert_as_undisturbed(database, ground)
    for label, blow in zip(BACK[::2], (sigkill, terminate), strict=True):
        await strike(driven, database, "rollback", label, blow)
    with contextlib.suppress(errors.NothingToRollBack):
        await go_back(database)
    assert_same(ground.legacy, await picture_of_application(database))
    await _strike_among_writers(ground, driven, UP[2::9], sigkill)


@pytest.mark.large
async def test_killed_once_in_every_step_it_ends_as_if_undisturbed(rich_ground: Ground, driven: Driven) -> None:
    """One database, one run after the other, each killed a step further on."""
    ground = rich_ground
    database = await ground.copy()
    for label in RICH_UP:
        ended = await strike(driven, database, "migrate", label, sigkill)
        assert ended["exit"] == -signal.SIGKILL, f"{label} was not reached: {ended}"
    await migrate(database)
    await assert_as_undisturbed(database, ground)
    for label in RICH_BACK:
        ended = await strike(driven, database, "rollback", label, sigkill)
        assert ended["exit"] == -signal.SIGKILL, f"{label} was not reached: {ended}"
    with pytest.raises(errors.NothingToRollBack):
        await go_back(database)
    assert_same(ground.legacy, await picture_of_application(database))


@pytest.mark.large
@pytest.mark.parametrize("blow", [sigterm, sigint, terminate], ids=lambda blow: blow.__name__)
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


@pytest.mark.large
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


@pytest.mark.large
@pytest.mark.parametrize("given_up", GIVEN_UP_AT)
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
    assert_same(ground.legacy, await picture_of_application(database))
    await migrate(database)
    assert_same(only_rows(ground.expected), only_rows(await picture(database)))


def only_rows(seen: dict[str, str]) -> dict[str, str]:
    """A picture's data. After a way back and forth the columns' order in the schema is another."""
    return {name: value for name, value in seen.items() if name.startswith("rows of ") and "saved_objects" not in name}


@pytest.mark.large
async def test_after_crashes_of_the_server_it_ends_as_if_undisturbed(
    private_server: PostgresServer, driven: Driven
) -> None:
    ground = await Ground.prepare(private_server.database(), driven)
    await _crash_at(UP[2::6], ground, driven, private_server)


def assert_told(ended: dict[str, Any], error: str | None, point: str | int, ground: Ground) -> None:
    """A run that was struck says so. How many questions it asks of the server differs by a few from run to run."""
    if not ended["struck"]:
        assert isinstance(point, int), f"{point} was not reached: {ended}"
        assert point > ALMOST * ground.points["migrate"], f"{point} was not reached: {ended}"
        assert ended.get("done"), ended
        return
    assert ended.get("error") == error, f"{point}: {ended}"


async def _crash_at(labels: Sequence[str | int], ground: Ground, driven: Driven, server: PostgresServer) -> None:
    database = await ground.copy()
    for label in labels:
        ended = await strike(driven, database, "migrate", label, crash_of(server))
        assert_told(ended, "ConnectionLost", label, ground)
    await migrate(database)
    await assert_as_undisturbed(database, ground)


@pytest.mark.large
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


@pytest.mark.large
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
        await until_true(database, BUILD_WAITS)
        driven.send(signal.SIGKILL)
        await driven.ended()
        with caplog.at_level("INFO"):
            again = asyncio.create_task(migrate(database))
            await until_logged(caplog, "dropping the invalid index")
    await again
    assert "waiting for what an earlier run has left at work: session" in caplog.text
    assert "dropping the invalid index idx_campaigns_workflow_primary" in caplog.text
    await assert_as_undisturbed(database, ground)


# What follows is the whole matrix: every statement, each way to die, a database for each.


@pytest.mark.large
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("blow", [sigkill, terminate, sigterm], ids=lambda blow: blow.__name__)
async def test_struck_before_any_statement_on_the_way_up(rich_ground: Ground, driven: Driven, blow: Blow) -> None:
    ground = rich_ground
    for point in range(1, ground.points["migrate"] + 1):
        database = await ground.copy()
        ended = await strike(driven, database, "migrate", point, blow)
        assert_told(ended, ENDS[blow.__name__], point, ground)
        await migrate(database)
        await assert_as_undisturbed(database, ground, f"point {point}")
        await ground.tidy()


@pytest.mark.large
@pytest.mark.timeout(3600)
async def test_killed_while_any_statement_on_the_way_up_is_at_work(rich_ground: Ground, driven: Driven) -> None:
    ground = rich_ground
    for point in range(1, ground.points["migrate"] + 1):
        database = await ground.copy()
        await strike(driven, database, "migrate", point, sigkill, during=True)
        await migrate(database)
        await assert_as_undisturbed(database, ground, f"point {point}")
        await ground.tidy()


@pytest.mark.large
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("blow", [sigkill, terminate], ids=lambda blow: blow.__name__)
@pytest.mark.parametrize("given_up", GIVEN_UP_AT)
async def test_struck_at_any_statement_on_the_way_back(
    rich_ground: Ground, driven: Driven, blow: Blow, given_up: str
) -> None:
    ground = rich_ground
    for point in range(1, ground.points["rollback"] + 1):
        database, label = await ground.copy(), GIVEN_UP_AT[given_up]
        if label is None:
            await migrate(database)
        else:
            await strike(driven, database, "migrate", label, sigkill)
        await strike(driven, database, "rollback", point, blow)
        with contextlib.suppress(errors.NothingToRollBack):
            await go_back(database)
        assert_same(ground.legacy, await picture_of_application(database), f"point {point}")
        await ground.tidy()


@pytest.mark.large
@pytest.mark.timeout(3600)
async def test_crashes_of_the_server_at_any_statement(private_server: PostgresServer, driven: Driven) -> None:
    ground = await Ground.prepare(private_server.database(), driven, rich=True)
    for point in range(2, ground.points["migrate"], 7):
        await _crash_at([point], ground, driven, private_server)
        await ground.tidy()


@pytest.mark.large
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("seed", range(20))
async def test_killed_at_many_random_moments(rich_ground: Ground, driven: Driven, seed: int) -> None:
    await _kill_at_random(rich_ground, driven, seed=100 + seed, kills=5)


@pytest.mark.large
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", ["kill", "terminate", "crash"])
async def test_with_writers_at_work_struck_in_every_step(
    private_server: PostgresServer, driven: Driven, kind: str
) -> None:
    ground = await Ground.prepare(private_server.database(), driven, rich=True)
    blows = {"kill": sigkill, "terminate": terminate, "crash": crash_of(private_server)}
    await _strike_among_writers(ground, driven, UP, blows[kind])
