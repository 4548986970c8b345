"""The readers of the legacy columns go back to them, one short transaction each, while both models live."""

from __future__ import annotations

import asyncpg

from tasks.core import locks, run, sql_files
from tasks.core.database import Connection
from tasks.core.models import LockHold
from tasks.core.progress import Progress
from tasks.core.settings import LockLimits
from tasks.core.translation import translated


async def restore_dependents(
    connection: Connection, limits: LockLimits, run_id: str, progress: Progress, holds: list[LockHold]
) -> None:
    """Give views, materialized views and functions their recorded definitions; 000035 down then has nothing to build.

    A materialized view is built aside before its lock is taken. Triggers and policies are a matter of the catalog alone, and wait
    for 000035 down, when their column counts again.

    Raises:
        StepFailed: names what does not come back, and why; what came back before stays so, and works.
    """
    found = await connection.fetch(sql_files.query("list_movable_dependents"))
    for number, record in enumerate(found):
        label = f"{record['kind']} {record['identity']}"
        progress(f"dependents: {label}", number, len(found))
        with translated(f"bringing back {label}", "It still reads the compatibility view; mend it and run again."):
            await _restore(connection, record, label, limits, run_id, holds)


async def _restore(
    connection: Connection, record: asyncpg.Record, label: str, limits: LockLimits, run_id: str, holds: list[LockHold]
) -> None:
    async def before(inside: Connection) -> None:
        await inside.execute(sql_files.query("delete_saved_object"), record["id"])
        await run.note(inside, run_id, "rollback", f"back again: {label}")

    await locks.under_lock(connection, label, {}, record["create_statement"], limits, holds, before=before)
