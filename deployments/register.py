"""`python -m deployments.register`: the work pool, its queue, the block, the automations for lost and expired runs.

It makes them on the server that Prefect's settings name. The database is the one that CAMPAIGN_DATABASE_URL, or PGHOST and its
kin, name; its password goes into the block. What is there already is brought up to date.
"""

from __future__ import annotations

import asyncio

from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.exceptions import ObjectNotFound

from deployments.automate import EXPIRY, HEARTBEAT, read_automations, save_automations
from tasks.blocks import PostgresDatabase
from tasks.core.connection_strings import database_from_surroundings
from tasks.core.database import Database

POOL, QUEUE, BLOCK = "campaign-migrations", "campaigns", "campaigns"


async def register(database: Database) -> str:
    """Make or update all of it, on the server that Prefect's settings name.

    Returns:
        What the block's test found.
    """
    async with get_client() as client:
        pool = WorkPoolCreate(
            name=POOL,
            type="process",
            concurrency_limit=1,
            description="Runs the campaign flows, one at a time.",
        )
        await client.create_work_pool(pool, overwrite=True)
        # One queue for each database: whatever its runs are of, one of them works and the others wait.
        try:
            queue = await client.read_work_queue_by_name(QUEUE, work_pool_name=POOL)
            await client.update_work_queue(queue.id, concurrency_limit=1)
        except ObjectNotFound:
            await client.create_work_queue(name=QUEUE, work_pool_name=POOL, concurrency_limit=1)
        await PostgresDatabase.register_type_and_schema(client=client)
        block = PostgresDatabase(**database.model_dump())
        await block.save(BLOCK, overwrite=True, client=client)
        await save_automations(client, read_automations(HEARTBEAT) + read_automations(EXPIRY))
    return await block.test()


if __name__ == "__main__":
    print(asyncio.run(register(database_from_surroundings(None))))  # noqa: T201 - what a command says
