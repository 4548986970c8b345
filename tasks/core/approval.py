"""A run that waits for a person's word before the legacy columns go: nothing is held meanwhile, the ledger remembers."""

from __future__ import annotations

from datetime import datetime
from typing import Literal
from uuid import UUID

from tasks.core import errors, sql_files
from tasks.core.database import Connection, Database, connect
from tasks.core.models import Model
from tasks.core.translation import translated

Closing = Literal["approved", "rejected", "abandoned", "expired", "asked again", "cancelled"]
REMEDY = "Nothing of this step was applied; run again."


class WaitingRun(Model):
    """A run that awaits approval."""

    run_id: str
    flow_name: str
    flow_run_id: str | None  # Prefect's id of it
    asked_at: datetime
    deadline: datetime
    open: bool  # the deadline is still to come
    backup_directory: str | None


class Approval(Model):
    """How a run goes on after another one has waited, or after it has waited itself."""

    waiting: WaitingRun
    closing: Closing
    decided_by: str
    reason: str = ""

    @property
    def granted(self) -> bool:
        """Whether the legacy columns may go."""
        return self.closing == "approved"


async def find_waiting_run(database: Database, schema: str) -> WaitingRun | None:
    """The run that awaits approval on this database, if one does."""
    async with connect(database, schema=schema, purpose="approval") as connection:
        if not await connection.fetchval("SELECT to_regclass('migration_approvals') IS NOT NULL"):
            return None
        return await _waiting(connection)


async def ask(
    database: Database,
    schema: str,
    run_id: str,
    *,
    flow_run_id: UUID | None,
    hours: float,
    backup_directory: str | None,
) -> datetime:
    """Write down that a run waits, and until when."""
    async with connect(database, schema=schema, purpose="approval") as connection:
        with translated("approval", REMEDY):
            asked = (UUID(run_id), flow_run_id, hours, backup_directory)
            deadline: datetime = await connection.fetchval(sql_files.query("insert_approval_request"), *asked)
            return deadline


async def close(
    database: Database, schema: str, waiting: WaitingRun, closing: Closing, who: str, reason: str = ""
) -> None:
    """Write down that a run waits no more, and why."""
    async with connect(database, schema=schema, purpose="approval") as connection:
        with translated("approval", REMEDY):
            await _close(connection, waiting, closing, who, reason)


async def settle_waiting_run(
    connection: Connection, database: Database, schema: str, approval: Approval | None, *, abandon: bool
) -> None:
    """Make way for a run that has just got the lock: what waits is closed as this run says, or keeps it out.

    Raises:
        RunAwaitsApproval: names the run that waits.
    """
    waiting = await _waiting(connection)
    if waiting is None:
        return
    if approval is not None and approval.waiting.run_id == waiting.run_id:
        await _close(connection, waiting, approval.closing, approval.decided_by, approval.reason)
    elif abandon:
        await _close(connection, waiting, "abandoned", "a later run, with abandon", "")
    elif not waiting.open:
        await _close(connection, waiting, "expired", "nobody", "")
    else:
        raise errors.RunAwaitsApproval(
            run=waiting.run_id,
            flow=waiting.flow_name,
            database=database.database,
            schema=schema,
            deadline=f"{waiting.deadline:%Y-%m-%d %H:%M %Z}",
            page=f"flow run {waiting.flow_run_id}" if waiting.flow_run_id else "it was started without one",
        )


async def _waiting(connection: Connection) -> WaitingRun | None:
    row = await connection.fetchrow(sql_files.query("find_waiting_run"))
    return WaitingRun(**dict(row)) if row is not None else None


async def _close(connection: Connection, waiting: WaitingRun, closing: Closing, who: str, reason: str) -> None:
    await connection.execute(sql_files.query("close_waiting_run"), UUID(waiting.run_id), closing, who, reason or None)
