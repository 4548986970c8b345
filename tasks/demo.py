"""A server and a sample database to try the migration on, and nothing left of them afterwards."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from prefect import State
from prefect.states import Completed, Failed

from tasks import recorder
from tasks.blocks import PostgresDatabase
from tasks.core.database import Database
from tasks.core.demo_settings import DemoParameters
from tasks.core.sample import build_sample_database, create_database
from tasks.core.server import PostgresServer, start_server
from tasks.core.settings import MigrateParameters
from tasks.steps import HOUR, step

DATABASE = "campaigns"
Tell = Callable[[str], None]


@asynccontextmanager
async def sample_server(parameters: DemoParameters, tell: Tell = print) -> AsyncIterator[Database]:
    """A server of our own in a directory of its own, gone at the end unless it is to be kept.

    Args:
        parameters: whether to keep it, and whose binaries to use.
        tell: is told how to reach a kept server and how to stop it.

    Raises:
        ServerStartFailed: with the end of the server's log.
    """
    with recorder.recording(recorder.StepLog()) as steps:
        with steps.step("postgres-server"):
            directory = Path(tempfile.mkdtemp(prefix="campaign-demo-"))
            server = await start_server(directory, bin_directory=parameters.postgres_bin)
            steps.detail(f"PostgreSQL {server.version}, {server.url(DATABASE)}")
        finished = False
        try:
            # The password stays in a file beside the server: it is nowhere in the run.
            yield server.database(DATABASE).model_copy(update={"password": None, "passfile": server.passfile})
            finished = True
        finally:
            if finished and parameters.keep:
                _keep(server, tell)
            else:
                await asyncio.shield(asyncio.to_thread(server.stop, "fast" if finished else "immediate"))


@step("sample-database", retry=False, timeout_seconds=HOUR)
async def build_sample(database: Database, parameters: DemoParameters) -> None:
    """Create the database and fill it."""
    steps = recorder.current()
    await create_database(database.model_copy(update={"database": "postgres"}), database.database)
    built = await build_sample_database(
        database,
        campaigns=parameters.campaigns,
        domains=parameters.domains,
        seed=parameters.seed,
        profile=parameters.profile,
        progress=lambda what, share: steps.progress(what, round(100 * share), 100),
    )
    steps.detail(f"{built.campaigns:,} campaigns, {built.domains:,} domains")


def to_migrate(database: Database, parameters: DemoParameters) -> tuple[PostgresDatabase, MigrateParameters]:
    """What flows.migrate is given: everything is allowed, as the database is ours alone."""
    return PostgresDatabase.without_password(database), MigrateParameters(
        mode="apply",
        report_directory=parameters.report_directory,
        target_improvement=parameters.target_improvement,
        benchmark_seed=parameters.seed,
        benchmark_writes=True,
        paired=True,
    )


async def as_own_ending(migrated: State[object]) -> State[object]:
    """The ending of the migration, as the ending of the demo."""
    result = await migrated.aresult(raise_on_failure=False)
    kind = Completed if migrated.is_completed() else Failed
    return kind(message=migrated.message, data=result)


def _keep(server: PostgresServer, tell: Tell) -> None:
    stop = server.keep()
    tell(f"The server goes on: {server.url(DATABASE)}?passfile={server.passfile}")
    tell(f"Stop it and remove {server.directory}: {stop}")
