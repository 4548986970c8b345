"""One run at a time: the second says who runs and stops, and a dead run is in nobody's way for long."""

from __future__ import annotations

import asyncio
import os
import re
import sys
import uuid
from typing import Any

import pytest
from pydantic import SecretStr

from tasks.core import errors, run, transform
from tasks.core.database import Database, connect
from tasks.core.progress import unheard
from tasks.core.settings import MigrateParameters
from tests.kill.waiting import until_true

PARAMETERS = MigrateParameters(mode="apply")


def a_run(database: Database, *, name: str = "migrate-to-phases", run_id: str | None = None) -> Any:
    return run.exclusive_run(database, "public", PARAMETERS, run_id or str(uuid.uuid4()), name)


async def outcomes(database: Database) -> dict[str, str]:
    async with connect(database) as connection:
        rows = await connection.fetch("SELECT run_id::text, outcome, finished_at FROM migration_runs")
    assert all((row["finished_at"] is None) == (row["outcome"] == "running") for row in rows)
    return {row["run_id"]: row["outcome"] for row in rows}


async def test_the_second_run_stops_and_names_the_first(legacy_database: Database) -> None:
    first = str(uuid.uuid4())
    async with a_run(legacy_database, run_id=first) as holding:
        with pytest.raises(errors.AnotherRunIsActive) as refused:
            async with a_run(legacy_database, name="rollback-phases"):
                pytest.fail("two runs at once")
        said = str(refused.value)
        assert f"session {holding.get_server_pid()} of {legacy_database.user} from " in said
        assert re.search(
            r"from \d+\.\d+\.\d+\.\d+ \(campaign-phases-migration migrate-to-phases run lock, since 20\d\d-", said
        )
        assert f"run {first} (migrate-to-phases) of process {os.getpid()} on " in said
        assert refused.value.exit_code == 6
        assert await outcomes(legacy_database) == {first: "running"}
    async with a_run(legacy_database):
        pass


async def test_of_many_at_once_only_one_runs(legacy_database: Database) -> None:
    async def attempt() -> bool:
        try:
            async with a_run(legacy_database):
                await asyncio.sleep(2.5)
        except errors.AnotherRunIsActive:
            return False
        return True

    assert sorted(await asyncio.gather(*(attempt() for _ in range(6)))) == [False] * 5 + [True]


async def test_another_schema_of_the_database_is_another_matter(legacy_database: Database) -> None:
    async with connect(legacy_database) as connection:
        await connection.execute("CREATE SCHEMA other")
    async with a_run(legacy_database):
        async with run.exclusive_run(legacy_database, "other", PARAMETERS, str(uuid.uuid4()), "migrate-to-phases"):
            pass


async def test_a_role_that_may_not_see_the_other_session_is_still_told(legacy_database: Database) -> None:
    role, password = f"plain_{uuid.uuid4().hex[:8]}", uuid.uuid4().hex
    async with connect(legacy_database) as connection:
        await connection.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        await connection.execute(f"GRANT ALL ON SCHEMA public TO {role}")
        await connection.execute(f"GRANT ALL ON DATABASE {legacy_database.database} TO {role}")
    try:
        plain = legacy_database.model_copy(update={"user": role, "password": SecretStr(password)})
        async with a_run(legacy_database) as holding:
            await holding.execute(f"GRANT SELECT ON migration_runs TO {role}")
            with pytest.raises(errors.AnotherRunIsActive, match=f"session {holding.get_server_pid()} of postgres"):
                async with a_run(plain):
                    pytest.fail("two runs at once")
            await holding.execute(f"REVOKE SELECT ON migration_runs FROM {role}")
            with pytest.raises(errors.AnotherRunIsActive, match=f"session {holding.get_server_pid()} of postgres"):
                async with a_run(plain):
                    pytest.fail("two runs at once")
    finally:
        async with connect(legacy_database) as connection:
            await connection.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


async def test_a_run_that_failed_or_was_cancelled_is_written_down_so(legacy_database: Database) -> None:
    failed, cancelled, done = (str(uuid.uuid4()) for _ in range(3))
    with pytest.raises(ZeroDivisionError):
        async with a_run(legacy_database, run_id=failed):
            raise ZeroDivisionError

    async def until_cancelled() -> None:
        async with a_run(legacy_database, run_id=cancelled):
            await asyncio.Event().wait()

    task = asyncio.create_task(until_cancelled())
    await until_true(legacy_database, "SELECT to_regclass('migration_runs') IS NOT NULL")
    await until_true(legacy_database, "SELECT count(*) FROM migration_runs WHERE outcome = 'running'")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    async with a_run(legacy_database, run_id=done):
        pass
    assert await outcomes(legacy_database) == {failed: "failed", cancelled: "cancelled", done: "completed"}


async def test_after_a_run_was_killed_the_lock_is_free_and_its_row_says_interrupted(legacy_database: Database) -> None:
    dead, next_one = str(uuid.uuid4()), str(uuid.uuid4())
    process = await asyncio.create_subprocess_exec(
        *_python_that_holds_the_lock(), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert legacy_database.password is not None
    reached = legacy_database.model_copy(update={"password": None}).model_dump_json()
    process.stdin.write(f"{reached}\n{legacy_database.password.get_secret_value()}\n{dead}\n".encode())
    assert await process.stdout.readline() == b"held\n"
    assert await outcomes(legacy_database) == {dead: "running"}
    process.kill()
    await process.wait()
    process.stdin.close()
    async with a_run(legacy_database, run_id=next_one):
        assert await outcomes(legacy_database) == {dead: "interrupted", next_one: "running"}


def _python_that_holds_the_lock() -> list[str]:
    program = """
import asyncio, sys
from pydantic import SecretStr
from tasks.core import run
from tasks.core.database import Database
from tasks.core.settings import MigrateParameters

async def main():
    database = Database.model_validate_json(sys.stdin.readline())
    database = database.model_copy(update={"password": SecretStr(sys.stdin.readline().strip())})
    async with run.exclusive_run(database, "public", MigrateParameters(), sys.stdin.readline().strip(), "killed"):
        print("held", flush=True)
        await asyncio.Event().wait()

asyncio.run(main())
"""
    return [sys.executable, "-c", program]


async def test_a_run_that_lost_its_lock_is_waited_for_while_it_is_at_work(
    legacy_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lock is free, but a session of it still changes the database: nobody else begins."""
    monkeypatch.setattr(run, "ORPHAN_SECONDS", 1.0)
    first = str(uuid.uuid4())
    async with a_run(legacy_database, run_id=first) as holding:
        async with run.work_session(legacy_database, "public", first, "transform") as working:
            await _terminate(legacy_database, holding.get_server_pid())
            with pytest.raises(
                errors.AnotherRunIsActive, match="left at work by a run that has lost its lock"
            ) as refused:
                async with a_run(legacy_database):
                    pytest.fail("two runs at work")
            assert f"session {working.get_server_pid()} of " in str(refused.value)
            assert (await outcomes(legacy_database))[first] == "running"
    # Its end is written down, though the connection that held the lock is gone.
    assert (await outcomes(legacy_database))[first] == "completed"


async def test_a_run_that_was_taken_for_dead_does_not_go_on(legacy_database: Database) -> None:
    first, second = str(uuid.uuid4()), str(uuid.uuid4())
    async with a_run(legacy_database, run_id=first) as holding:
        await _terminate(legacy_database, holding.get_server_pid())
        async with a_run(legacy_database, run_id=second):
            with pytest.raises(
                errors.AnotherRunIsActive, match=f"taken for dead and closed by session .* run {second}"
            ):
                await transform.transform(legacy_database, PARAMETERS, first, unheard)
    assert await outcomes(legacy_database) == {first: "interrupted", second: "completed"}


async def _terminate(database: Database, pid: int) -> None:
    async with connect(database) as connection:
        assert await connection.fetchval("SELECT pg_terminate_backend($1, 5000)", pid)
