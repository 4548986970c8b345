"""A run that was cancelled in Prefect while it awaited approval: no process of it is left that could say so."""

from __future__ import annotations

import logging
from uuid import UUID

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from tasks.core import approval as core
from tasks.core.database import Database

log = logging.getLogger("tasks.run")


async def withdraw_cancelled_run(database: Database, schema: str) -> None:
    """Let a waiting run go that its Prefect server calls cancelled, so that it keeps nobody out."""
    waiting = await core.find_waiting_run(database, schema)
    if waiting is None or waiting.flow_run_id is None:
        return
    async with get_client() as client:
        try:
            flow_run = await client.read_flow_run(UUID(waiting.flow_run_id))
        except ObjectNotFound:  # of another Prefect server, which nobody can ask here
            return
    if flow_run.state is not None and flow_run.state.is_cancelled():
        log.info("run %s was cancelled while it awaited approval: it keeps nobody out any more", waiting.run_id)
        await core.close(database, schema, waiting, "cancelled", "who cancelled it in Prefect")
