"""The indexes of 000036 are built CONCURRENTLY ahead of it: leftovers, foreign definitions, blockers and progress."""

from __future__ import annotations

import asyncio
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import pytest

from tasks.core import core_migrations, errors, indexes, run, sql_files, state, transform
from tasks.core.database import Database, connect
from tasks.core.models import State
from tasks.core.progress import unheard
from tasks.core.settings import LockLimits, MigrateParameters
from tests.kill.waiting import until_logged, until_true

PARAMETERS = MigrateParameters(mode="apply", locks=LockLimits(lock_wait_limit_seconds=2.0))
NAME, DOMAINS_NAME = "idx_campaigns_user_dashboard", "idx_domains_campaign_leads"
DEFINITION = (
    "CREATE INDEX CONCURRENTLY idx_campaigns_user_dashboard ON campaigns (user_id, phase_status, updated_at DESC)"
)
STANDING = """
    SELECT w.index_name, coalesce(i.indisvalid AND i.indisready AND i.indislive, false) AS valid, i.indexrelid AS oid,
        obj_description(i.indexrelid, 'pg_class') AS comment
    FROM phases_index_definitions() AS w LEFT JOIN pg_index AS i ON i.indexrelid = to_regclass(w.index_name)
    ORDER BY 1
"""


@pytest.fixture
async def dual(legacy_database: Database) -> Database:
    """A database with both models live, as the transform leaves it."""
    async with a_run(legacy_database) as run_id:
        await transform.transform(legacy_database, PARAMETERS, run_id, unheard)
    return legacy_database


@asynccontextmanager
async def a_run(database: Database) -> AsyncIterator[str]:
    run_id = str(uuid.uuid4())
    async with run.exclusive_run(database, "public", PARAMETERS, run_id, "test"):
        yield run_id


async def build(database: Database, progress: Any = unheard) -> int:
    async with a_run(database) as run_id:
        return await indexes.build(database, "public", PARAMETERS.locks, run_id, progress)


async def contract(database: Database) -> None:
    async with a_run(database) as run_id:
        await core_migrations.apply_core_migrations(database, PARAMETERS, run_id, unheard)


async def leave_invalid(database: Database, definition: str) -> None:
    """Interrupt a concurrent build, as an operator's Ctrl-C or a crash does: an invalid index stays behind."""
    async with connect(database) as old, old.transaction(isolation="repeatable_read"):
        await old.fetchval("SELECT count(*) FROM campaigns")
        async with connect(database) as building:
            await building.execute("SET statement_timeout = '500ms'")
            with pytest.raises(asyncpg.QueryCanceledError):
                await building.execute(definition)


async def test_every_index_of_the_list_is_built_valid_and_marked_and_000036_finds_them(dual: Database) -> None:
    assert await build(dual) == 6
    async with connect(dual) as connection:
        before = await connection.fetch(STANDING)
        assert all(row["valid"] and row["comment"].startswith("phases migration: ") for row in before)
        await contract(dual)
        assert await connection.fetch(STANDING) == before
    assert await build(dual) == 0


async def test_an_invalid_leftover_is_dropped_and_built_again(dual: Database, caplog: pytest.LogCaptureFixture) -> None:
    await leave_invalid(dual, DEFINITION)
    async with connect(dual) as connection:
        oid = await connection.fetchval(
            "SELECT indexrelid FROM pg_index WHERE indexrelid = $1::text::regclass AND NOT indisvalid", NAME
        )
        assert oid is not None
        with caplog.at_level("INFO"):
            assert await build(dual) == 6
        assert f"dropping the invalid index {NAME}" in caplog.text
        row = next(row for row in await connection.fetch(STANDING) if row["index_name"] == NAME)
        assert row["valid"]
        assert row["oid"] != oid


async def test_000036_alone_refuses_an_invalid_leftover_by_name(dual: Database) -> None:
    await leave_invalid(dual, DEFINITION)
    async with connect(dual) as connection:
        await connection.execute(sql_files.migration(35, "up"))
        with pytest.raises(asyncpg.ObjectNotInPrerequisiteStateError, match=f"{NAME}: the index is invalid"):
            await connection.execute(sql_files.migration(36, "up"))


@pytest.mark.parametrize(
    "taken",
    [
        f"CREATE INDEX {NAME} ON campaigns (user_id)",
        f"CREATE INDEX {DOMAINS_NAME} ON generated_domains (domain_generation_campaign_id, lead_score)",
        f"CREATE TABLE {DOMAINS_NAME} (id integer)",
    ],
)
async def test_another_definition_under_our_name_is_refused_before_anything_is_built(
    dual: Database, taken: str
) -> None:
    name = taken.split()[2]
    async with connect(dual) as connection:
        await connection.execute(taken)
        with pytest.raises(errors.StepFailed, match=name) as refused:
            await build(dual)
        assert "Rename" in str(refused.value)
        assert not any(row["valid"] for row in await connection.fetch(STANDING) if row["index_name"] != name)
        await connection.execute(f"DROP {'TABLE' if 'TABLE' in taken else 'INDEX'} {name}")
    assert await build(dual) == 6


async def test_an_index_of_ours_that_somebody_made_before_stays_theirs(dual: Database) -> None:
    """It is used as it is, bears no mark, and the way back leaves it."""
    async with connect(dual) as connection:
        await connection.execute(DEFINITION.replace("CONCURRENTLY ", ""))
        await connection.execute(f"COMMENT ON INDEX {NAME} IS 'ours since 2019'")
        assert await build(dual) == 5
        await contract(dual)
        await connection.execute(sql_files.migration(36, "down"))
        assert (
            await connection.fetchval("SELECT obj_description(to_regclass($1), 'pg_class')", NAME) == "ours since 2019"
        )


async def test_who_holds_up_a_build_is_named_while_it_waits(dual: Database, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    async with connect(dual, settings={"application_name": "nightly report"}) as old:
        async with old.transaction(isolation="repeatable_read"):
            await old.fetchval("SELECT count(*) FROM generated_domains")
            building = asyncio.create_task(build(dual))
            await until_logged(caplog, "waits for session")
        await building
    line = next(line for line in caplog.text.splitlines() if "waits for session" in line)
    assert re.search(
        rf"index 1 of 6: \w+ waits for session {old.get_server_pid()} of postgres \(nightly report, idle in transaction,"
        r" transaction open for \d+ s\): SELECT count\(\*\) FROM generated_domains",
        line,
    )


async def test_who_holds_the_table_before_a_build_can_begin_is_named_too(
    dual: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """Before its first phase a build waits for its table lock, and pg_stat_progress_create_index knows nothing of it."""
    caplog.set_level("INFO")
    async with connect(dual, settings={"application_name": "manual vacuum"}) as old:
        async with old.transaction():
            await old.execute("LOCK TABLE campaigns IN SHARE UPDATE EXCLUSIVE MODE")
            building = asyncio.create_task(build(dual))
            await until_logged(caplog, f"waits for session {old.get_server_pid()} of postgres (manual vacuum")
        await building


async def test_progress_comes_from_the_server(sample_factory: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(indexes, "POLL_SECONDS", 0.01)
    database: Database = await sample_factory(campaigns=60, domains=60_000)
    async with a_run(database) as run_id:
        await transform.transform(database, PARAMETERS, run_id, unheard)
    told: list[tuple[str, int, int | None]] = []
    await build(database, lambda what, done, total: told.append((what, done, total)))
    assert any("building index" in what and total for what, _, total in told), told
    assert all(total is None or 0 <= done <= total for _, done, total in told), told
    assert any(re.fullmatch(r"index 4 of 6: idx_domains_campaign_validation_primary, .+", what) for what, _, _ in told)


async def test_an_index_that_somebody_else_is_building_is_not_taken_for_a_leftover(
    dual: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with connect(dual) as somebody:
        async with connect(dual) as old, old.transaction(isolation="repeatable_read"):
            await old.fetchval("SELECT count(*) FROM campaigns")
            theirs = asyncio.create_task(somebody.execute(DEFINITION))
            await until_true(dual, "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", NAME)
            ours = asyncio.create_task(build(dual))
            await until_logged(caplog, f"waiting for session {somebody.get_server_pid()}, which builds {NAME}")
        await theirs
        assert await ours == 5
    async with connect(dual) as connection:
        assert all(row["valid"] for row in await connection.fetch(STANDING))


async def test_an_index_that_somebody_else_never_finishes_is_named_in_the_end(dual: Database) -> None:
    async with connect(dual) as somebody:
        async with connect(dual) as old, old.transaction(isolation="repeatable_read"):
            await old.fetchval("SELECT count(*) FROM campaigns")
            theirs = asyncio.create_task(somebody.execute(DEFINITION))
            await until_true(dual, "SELECT NOT indisvalid FROM pg_index WHERE indexrelid = to_regclass($1)", NAME)
            with pytest.raises(
                errors.LockNotGranted, match=f"session {somebody.get_server_pid()}, which builds {NAME}"
            ):
                await build(dual)
        await theirs


async def test_a_build_that_is_cancelled_leaves_no_session_and_the_next_run_mends_it(dual: Database) -> None:
    async with connect(dual) as old, old.transaction(isolation="repeatable_read"):
        await old.fetchval("SELECT count(*) FROM generated_domains")
        building = asyncio.create_task(contract(dual))
        await until_true(
            dual,
            "SELECT count(*) FROM pg_stat_progress_create_index"
            " WHERE datname = current_database() AND phase LIKE 'waiting%'",
        )
        building.cancel()
        with pytest.raises(asyncio.CancelledError):
            await building
        left = await old.fetchval(
            "SELECT count(*) FROM pg_stat_progress_create_index WHERE datname = current_database()"
        )
        assert left == 0
    await contract(dual)
    async with connect(dual) as connection:
        assert await state.read_state(connection) is State.MIGRATED
        assert all(row["valid"] for row in await connection.fetch(STANDING))
