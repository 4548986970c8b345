"""An index over a partitioned table, built online: CONCURRENTLY on each partition, then attached part by part."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

import asyncpg

from tasks.core import errors, locks, run, sql_files
from tasks.core.database import Connection
from tasks.core.models import LockHold
from tasks.core.settings import LockLimits
from tasks.core.translation import translated

log = logging.getLogger(__name__)
# `watch(label)`: reports the build and who holds it up, while it goes on.
Watch = Callable[[str], AbstractAsyncContextManager[None]]


async def build_parts(
    connection: Connection, index_name: str, limits: LockLimits, run_id: str, watch: Watch, holds: list[LockHold]
) -> bool:
    """Build the parts that lack and put them together; CREATE INDEX CONCURRENTLY knows no partitioned tables.

    Partitions below partitions are met from the deepest up. Going on from what an interrupted build left: a part that is
    invalid is built anew, one that is not attached is attached. The whole is valid once its last part is attached.

    Returns: False, with nothing done, where the table of this index is not partitioned.

    Raises:
        StepFailed: if a part's name belongs to something else, or a build fails.
        LockNotGranted: if a part cannot be attached within the limits.
    """
    query = sql_files.query("list_index_parts")
    parts = await connection.fetch(query, index_name)
    if not parts:
        return False
    _refuse_what_cannot_be(index_name, parts)
    for part in parts:
        if part["is_leaf"] and not part["valid"]:
            await _build_leaf(connection, part, run_id, watch)
    for part in (part for part in parts if not part["is_leaf"] and not part["present"]):
        await _build_whole(connection, part, limits, run_id, holds)
    for part in await connection.fetch(query, index_name):
        if not part["is_root"] and not part["attached"]:
            await _attach(connection, part, limits, run_id, holds)
    await locks.set_limits(connection, limits, locks=False)
    return True


def _refuse_what_cannot_be(index_name: str, parts: list[asyncpg.Record]) -> None:
    taken = [f"{part['part']} ({part['found']})" for part in parts if not part["same"]]
    foreign = [part["table_name"] for part in parts if part["is_foreign"]]
    if taken or foreign:
        reason = (
            f"names that the parts of {index_name} need are taken: {'; '.join(taken)}"
            if taken
            else f"foreign partitions have no indexes of ours: {', '.join(foreign)}"
        )
        raise errors.StepFailed(
            step="index build",
            sqlstate="42710",
            reason=reason,
            remedy="Rename or drop what bears the name, or detach the foreign partition, then run again.",
        )


async def _build_leaf(connection: Connection, part: asyncpg.Record, run_id: str, watch: Watch) -> None:
    name: str = part["part"]
    await connection.execute(sql_files.query("save_added_index_part"), name)
    async with watch(f"index {name}"):
        if part["present"]:
            log.info("dropping the invalid index %s, left by an interrupted build", name)
            await connection.execute(part["removal"])
        with translated(f"building index {name}", "Run again: the invalid leftover is dropped and built anew."):
            await connection.execute(part["statement"].replace("CREATE INDEX ", "CREATE INDEX CONCURRENTLY ", 1))
    await run.note(connection, run_id, "core-migrations", f"built index {name}")


async def _build_whole(
    connection: Connection, part: asyncpg.Record, limits: LockLimits, run_id: str, holds: list[LockHold]
) -> None:
    """The index of a partitioned table by itself holds nothing: a moment's lock makes it."""
    if not part["is_root"]:
        await connection.execute(sql_files.query("save_added_index_part"), part["part"])

    async def before(inside: Connection) -> None:
        await run.note(inside, run_id, "core-migrations", f"created index {part['part']}")

    statement = f"{part['statement']};\n{part['remark']}" if part["is_root"] else part["statement"]
    await locks.under_lock(connection, f"index {part['part']}", {}, statement, limits, holds, before=before)


async def _attach(
    connection: Connection, part: asyncpg.Record, limits: LockLimits, run_id: str, holds: list[LockHold]
) -> None:
    async def before(inside: Connection) -> None:
        await run.note(inside, run_id, "core-migrations", f"attached index {part['part']}")

    await locks.under_lock(connection, f"index {part['part']}", {}, part["attachment"], limits, holds, before=before)
