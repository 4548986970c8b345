"""The migration on a sample database: a server of its own, a legacy database, flows.migrate on it."""

from __future__ import annotations

from typing import Any

from prefect import State, flow

from flows.migrate import migrate
from tasks import command_line
from tasks.core.demo_settings import DemoParameters
from tasks.demo import as_own_ending, build_sample, sample_server, to_migrate

DEFAULTS = DemoParameters()


@flow(name="demo", persist_result=False)
async def demo(parameters: DemoParameters = DEFAULTS) -> State[Any]:
    """Starts a PostgreSQL server, builds a sample legacy database, migrates it and stops the server."""
    async with sample_server(parameters) as database:
        await build_sample(database, parameters)
        block, how = to_migrate(database, parameters)
        migrated: State[Any] = await migrate(block, how, return_state=True)
        return await as_own_ending(migrated)


if __name__ == "__main__":
    from flows.demo import demo as imported

    command_line.run_alone(imported, DemoParameters, module="flows.demo")
