"""Moving the readers of the legacy columns, one short transaction each, while both models live."""

from __future__ import annotations

from collections.abc import Sequence

from tasks.core import errors, locks, run, sql_files
from tasks.core.database import Connection, Database
from tasks.core.dependents.compatibility import READER_VIEW, VIEW, is_there, statements
from tasks.core.dependents.find import find_dependents
from tasks.core.dependents.materialized import compose_swap, in_groups
from tasks.core.dependents.model import Dependent
from tasks.core.models import LockHold
from tasks.core.progress import Progress
from tasks.core.settings import LockLimits
from tasks.core.translation import translated

# Where the records stand among those of 000035: after the legacy columns are back, before the phases go. Materialized views come
# first: the views that read them are bound to the new ones as they are, moved or not, and then get their own definitions back.
MATERIALIZED, DEPENDENT, COMPATIBILITY = 610, 620, 700


async def move_dependents(
    database: Database, schema: str, limits: LockLimits, run_id: str, progress: Progress
) -> list[LockHold]:
    """Let every reader of the legacy columns read the compatibility view instead; the way back is recorded with each.

    Raises:
        StepFailed: names what cannot be kept, and why. What was moved before stays moved and works.
    """
    holds: list[LockHold] = []
    async with run.work_session(database, schema, run_id, "dependents") as connection:
        campaigns = await connection.fetchval(
            "SELECT to_regclass(format('%I.campaigns', current_schema()))::oid::bigint"
        )
        found = await find_dependents(connection, schema, campaigns)
        refused = [f"{one.kind} {one.identity}: {one.problem}" for one in found if one.problem]
        if refused:
            raise errors.StepFailed(
                step="moving dependents", sqlstate="2BP01", reason="; ".join(refused), remedy="Drop or rewrite them."
            )
        if not found:
            return holds
        for view in (VIEW, READER_VIEW):
            if any(one.reads == view for one in found) and not await is_there(connection, view):
                await _create_view(connection, schema, campaigns, view, found, run_id)
        groups = in_groups(found)
        for number, group in enumerate(groups):
            named = described(group)
            progress(f"dependents: {named}", number, len(groups))
            with translated(f"moving {named}", "It is as it was. Drop or rewrite it and run again."):
                if group[0].kind == "materialized view":
                    await _swap(connection, group, limits, run_id, holds)
                else:
                    await _replace(connection, group[0], limits, run_id, holds)
    return holds


def described(group: Sequence[Dependent]) -> str:
    """A dependent, or several materialized views that are swapped together, in words."""
    return f"{group[0].kind} {', '.join(one.identity for one in group)}"


async def _create_view(
    connection: Connection, schema: str, campaigns: int, view: str, found: Sequence[Dependent], run_id: str
) -> None:
    owners = [one.owner for one in found if one.reads == view and one.owner is not None]
    async with connection.transaction():
        drop = await connection.fetchval("SELECT format('DROP VIEW %I', $1::text)", view)
        if view == READER_VIEW:
            drop += "; DROP FUNCTION migration_kept_values(uuid)"
        await _save(connection, COMPATIBILITY, "compatibility view", view, drop=drop)
        async for statement in statements(connection, schema, campaigns, view, owners):
            await connection.execute(statement)
        await run.note(connection, run_id, "core-migrations", f"{view} created")


async def _replace(
    connection: Connection, one: Dependent, limits: LockLimits, run_id: str, holds: list[LockHold]
) -> None:
    """Views, functions and policies at once; triggers in the contract, when the legacy columns leave their lists."""
    in_contract = one.kind == "trigger"

    async def before(inside: Connection) -> None:
        await _save(
            inside, DEPENDENT, one.kind, one.identity,
            definition=one.definition, create=one.definition, rebuild=one.rebuilt if in_contract else None,
        )  # fmt: skip
        await run.note(inside, run_id, "core-migrations", f"moved {one.kind} {one.identity}")

    if in_contract:
        async with connection.transaction():
            await before(connection)
        return
    assert one.rebuilt is not None  # what has none has a problem, and was refused
    tables = {"campaigns": "ACCESS EXCLUSIVE"} if one.kind == "policy" else {}
    await locks.under_lock(connection, f"{one.kind} {one.identity}", tables, one.rebuilt, limits, holds, before=before)


async def _swap(
    connection: Connection, group: Sequence[Dependent], limits: LockLimits, run_id: str, holds: list[LockHold]
) -> None:
    """Build materialized views under other names, indexes and all, then swap the names."""
    swap = await compose_swap(connection, group)
    # A leftover of an interrupted build is nobody's.
    for statement in swap.clear:
        await connection.execute(statement)
    await locks.set_limits(connection, limits, locks=False)
    for build in swap.builds.values():
        for statement in build:
            await connection.execute(statement)

    async def before(inside: Connection) -> None:
        await _save(
            inside, MATERIALIZED, group[0].kind, group[0].identity,
            definition=";\n".join(one.definition for one in group), create=";\n".join(swap.back),
        )  # fmt: skip
        await run.note(inside, run_id, "core-migrations", f"moved {described(group)}")

    await locks.under_lock(connection, described(group), {}, ";\n".join(swap.swap), limits, holds, before=before)


async def _save(
    connection: Connection, position: int, kind: str, identity: str, *,
    definition: str | None = None, drop: str | None = None, create: str | None = None, rebuild: str | None = None,
) -> None:  # fmt: skip
    await connection.execute(
        sql_files.query("save_dependent"), position, kind, identity, definition, drop, create, rebuild
    )
