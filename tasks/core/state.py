"""Where a database stands between the legacy model and phases only."""

from __future__ import annotations

from tasks.core import errors, sql_files
from tasks.core.database import Connection
from tasks.core.models import State


async def read_state(connection: Connection) -> State:
    """Read it from the catalog of the schema that comes first on the search path."""
    row = await connection.fetchrow(sql_files.query("read_state"))
    assert row is not None
    if not row["tables_there"] or not (row["legacy_there"] or row["phases_there"]):
        return State.NO_CAMPAIGNS
    if row["returning"]:
        return State.RETURNING
    if row["legacy_there"]:
        return State.DUAL if row["synced"] else State.LEGACY
    return State.MIGRATED if row["optimized"] else State.CONTRACTED


async def refuse_way_back(connection: Connection, step: str) -> None:
    """See, once nobody else can begin anything, that no way back has begun and not ended: nothing goes up again until then.

    Raises:
        StepFailed: nothing was changed.
    """
    if await read_state(connection) is State.RETURNING:
        raise errors.StepFailed(
            step=step,
            sqlstate="55000",
            reason="a way back has begun and not ended",
            remedy="End it first: flows.rollback.",
        )
