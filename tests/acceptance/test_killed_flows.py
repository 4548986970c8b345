"""Killed, cancelled or left without its worker, an operator's run is started again and ends as if nothing had been."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from tasks.core import state
from tasks.core.database import Database, connect
from tasks.core.models import State
from tests.kill.picture import RECOUNT
from tests.kill.waiting import until_true
from tests.prefect_stack import PrefectStack, started_stack

pytestmark = [pytest.mark.acceptance, pytest.mark.large, pytest.mark.timeout(1800)]

ROOT = Path(__file__).resolve().parents[2]
ATTEMPTS, PAUSE_SECONDS = 9000, 0.02
LEDGER = "SELECT to_regclass('migration_ledger') IS NOT NULL"
# Each is true from a later moment of the run on.
MOMENTS = [
    "SELECT true",
    "SELECT count(*) FROM migration_ledger WHERE step = 'transform'",
    "SELECT count(*) FROM migration_ledger WHERE detail LIKE 'built index %'",
    "SELECT NOT EXISTS (SELECT FROM pg_attribute WHERE attrelid = 'campaigns'::regclass AND attname = 'status')",
    "SELECT to_regclass('migration_validation_results') IS NOT NULL",
]


async def test_the_command_killed_again_and_again_ends_migrated_and_proved(
    sample_factory: Callable[..., Awaitable[Database]], tmp_path: Path
) -> None:
    database = await sample_factory()
    for number, moment in enumerate(MOMENTS):
        process = start_flow(database, tmp_path / str(number))
        try:
            await until_true_in_run(process, database, moment)
        finally:
            # The command and whatever it has started.
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
    process = start_flow(database, tmp_path / "last")
    printed, _ = await asyncio.to_thread(process.communicate)
    assert process.returncode == 0, printed
    report = json.loads((tmp_path / "last" / "report.json").read_text())
    assert report["outcome"] == "succeeded"
    assert report["validation"]["failed"] == 0
    assert report["integration"]["failed"] == 0
    await assert_migrated(database)
    async with connect(database) as connection:
        outcomes = [row[0] for row in await connection.fetch("SELECT outcome FROM migration_runs ORDER BY started_at")]
    assert outcomes[-1] == "completed"
    assert set(outcomes[:-1]) == {"interrupted"}


async def test_a_command_whose_connections_are_cut_goes_on_by_itself(
    sample_factory: Callable[..., Awaitable[Database]], tmp_path: Path
) -> None:
    database = await sample_factory()
    process = start_flow(database, tmp_path)
    try:
        for moment in MOMENTS[1:3]:
            await until_true_in_run(process, database, moment)
            async with connect(database, settings={"application_name": "administrator"}) as connection:
                await connection.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND application_name LIKE 'campaign-phases-migration%'"
                )
        printed, _ = await asyncio.to_thread(process.communicate)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    assert process.returncode == 0, printed
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["outcome"] == "succeeded"
    assert any(step["attempts"] > 1 for step in report["steps"])
    await assert_migrated(database)
    async with connect(database) as connection:
        assert await connection.fetchval("SELECT string_agg(outcome, ', ') FROM migration_runs") == "completed"


def start_flow(database: Database, reports: Path) -> subprocess.Popen[str]:
    assert database.password is not None
    url = f"postgresql://{database.user}@{database.host}:{database.port}/{database.database}?sslmode=disable"
    flags = ["--mode", "apply", "--benchmark-rounds", "5", "--report-directory", str(reports), "--database-url", url]
    return subprocess.Popen(
        [sys.executable, "-m", "flows.migrate", *flags],
        cwd=ROOT, env={**os.environ, "PGPASSWORD": database.password.get_secret_value()}, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True,
    )  # fmt: skip


async def until_true_in_run(process: subprocess.Popen[str], database: Database, query: str) -> None:
    """Wait until the run has come so far. Before the ledger is there nothing is true."""
    async with connect(database) as connection:
        for _ in range(ATTEMPTS):
            if process.poll() is not None:
                pytest.fail(f"it ended with {process.returncode}: {process.communicate()[0]}")
            if await connection.fetchval(LEDGER) and await connection.fetchval(query):
                return
            await asyncio.sleep(PAUSE_SECONDS)
    pytest.fail(f"never: {query}")


async def assert_migrated(database: Database) -> None:
    async with connect(database) as connection:
        assert await state.read_state(connection) is State.MIGRATED
        assert await connection.fetchval(RECOUNT) == 0
        assert await connection.fetchval("SELECT count(*) FROM campaign_metric_changes") == 0


# The same on a real Prefect server and worker: ones of their own, as they do not survive it.


@pytest.fixture(scope="module")
def prefect_stack() -> Iterator[PrefectStack]:
    with started_stack() as stack:
        yield stack


@asynccontextmanager
async def held_up_run(stack: Any) -> AsyncIterator[tuple[str, int]]:
    """A run of migrate-to-phases that cannot go on with its transform; its id and the id of its process."""
    database: Database = stack.campaigns
    async with connect(database, settings={"application_name": "in the way"}) as connection:
        async with connection.transaction():
            await connection.execute("LOCK TABLE campaigns IN ROW EXCLUSIVE MODE")
            run_id = await asyncio.to_thread(begin, stack)
            await until_true(database, "SELECT to_regclass('campaigns_backup_000035') IS NOT NULL", attempts=2400)
            async with connect(database) as looking:
                process_id = await looking.fetchval("SELECT process_id FROM migration_runs WHERE outcome = 'running'")
            yield run_id, process_id


def begin(stack: Any) -> str:
    deployment = stack.deployment("migrate-to-phases")["id"]
    body = {"parameters": {"parameters": parameters(stack)}, "state": {"type": "SCHEDULED"}}
    return str(stack._ask("POST", f"/deployments/{deployment}/create_flow_run", json=body)["id"])


def parameters(stack: Any) -> dict[str, Any]:
    reports = stack.directory / f"reports-{os.urandom(4).hex()}"
    return {"mode": "apply", "benchmark_rounds": 5, "report_directory": str(reports)}


async def go_on_and_back(stack: Any) -> None:
    """Migrate with a new run, then take everything back for the next test."""
    run = await asyncio.to_thread(stack.run, "migrate-to-phases", parameters(stack))
    assert run["state"]["name"] == "Completed", stack.log(run["id"])
    await assert_migrated(stack.campaigns)
    back = await asyncio.to_thread(
        stack.run, "rollback-phases",
        {"mode": "apply", "confirm": stack.campaigns.database, "report_directory": parameters(stack)["report_directory"]},
    )  # fmt: skip
    assert back["state"]["name"] == "Completed", stack.log(back["id"])
    async with connect(stack.campaigns) as connection:
        await connection.execute("DROP TABLE campaigns_backup_000035")


async def last_outcome(database: Database) -> str | None:
    async with connect(database) as connection:
        outcome: str | None = await connection.fetchval(
            "SELECT outcome FROM migration_runs ORDER BY started_at DESC LIMIT 1"
        )
        return outcome


async def test_a_flow_whose_process_is_killed_crashes_and_the_next_one_goes_on(prefect_stack: Any) -> None:
    async with held_up_run(prefect_stack) as (run_id, process_id):
        os.kill(process_id, signal.SIGKILL)
        ended = await asyncio.to_thread(prefect_stack.wait, run_id)
        assert ended["state"]["type"] == "CRASHED"
        assert await last_outcome(prefect_stack.campaigns) == "running"  # nobody was left to say otherwise
    await go_on_and_back(prefect_stack)


async def test_a_flow_that_is_cancelled_says_so_and_the_next_one_goes_on(prefect_stack: Any) -> None:
    async with held_up_run(prefect_stack) as (run_id, _):
        body = {"state": {"type": "CANCELLING"}}
        await asyncio.to_thread(prefect_stack._ask, "POST", f"/flow_runs/{run_id}/set_state", json=body)
        ended = await asyncio.to_thread(prefect_stack.wait, run_id)
        assert ended["state"]["type"] == "CANCELLED"
        assert await last_outcome(prefect_stack.campaigns) == "cancelled"
    await go_on_and_back(prefect_stack)


async def test_after_flow_and_worker_are_killed_at_once_the_next_one_goes_on(prefect_stack: Any) -> None:
    """Nobody tells Prefect: the missed heartbeat calls the dead run crashed, which frees its place."""
    async with held_up_run(prefect_stack) as (run_id, process_id):
        worker = parent_of(process_id)
        for pid in (worker, process_id):
            os.kill(pid, signal.SIGKILL)
    ended = await asyncio.to_thread(prefect_stack.wait, run_id)
    assert ended["state"]["type"] == "CRASHED"
    assert "No heartbeat for 90 seconds" in ended["state"]["message"]
    with prefect_stack.running.worker("worker-2.log"):
        await go_on_and_back(prefect_stack)
    async with connect(prefect_stack.campaigns) as connection:
        assert await connection.fetchval("SELECT count(*) FROM migration_runs WHERE outcome = 'interrupted'") >= 1


def parent_of(process_id: int) -> int:
    printed = subprocess.run(["ps", "-o", "ppid=", "-p", str(process_id)], capture_output=True, text=True, check=True)
    return int(printed.stdout)
