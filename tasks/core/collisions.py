"""Objects that already bear one of our names. The same definition is ours; another one is kept aside under a new name.

Renaming harms nobody where nothing calls the object by its name: an index, a constraint, a trigger. It is written down with
the statement that gives the name back, which the way back runs last of all, when ours is gone. Relations, functions and the
indexes of unique constraints (ON CONFLICT ON CONSTRAINT) are called by name and stay with preflight as blockers.
"""

from __future__ import annotations

import logging
from typing import Literal

from tasks.core import catalog, errors, locks, run, sql_files, toolkit
from tasks.core.database import Connection
from tasks.core.models import LockHold, Model
from tasks.core.settings import LockLimits

log = logging.getLogger(__name__)
STEP = "renaming what bears our names"


class Collision(Model):
    """One object of somebody else's under a name of ours.

    Attributes:
        found: what it is: a definition, or what a trigger calls.
        wanted: what we make under that name, where one statement says it.
        problem: why it cannot be renamed, where it cannot.
    """

    kind: Literal["index", "constraint", "trigger"]
    name: str
    table_name: str
    found: str
    wanted: str
    new_name: str
    rename_statement: str
    back_statement: str
    problem: str | None = None

    @property
    def described(self) -> str:
        """The object in words."""
        return f"{self.kind} {self.name}{'' if self.kind == 'index' else f' on {self.table_name}'} ({self.found})"


async def find_collisions(connection: Connection) -> list[Collision]:
    """What bears the name of one of our indexes, constraints or triggers and is something else. Changes nothing."""
    rows = await connection.fetch(catalog.index_definitions_query())
    found = await connection.fetch(
        sql_files.query("list_collisions"),
        [row[0] for row in rows],
        [row[2] for row in rows],
        [*catalog.OUR_CHECKS],
        [*catalog.our_triggers()],
        [*catalog.our_functions()],
    )
    collisions = []
    for row in found:
        wanted = row["wanted"] or catalog.OUR_CHECKS.get(row["name"], "a trigger of its own")
        if row["is_ours"] or (row["kind"] == "constraint" and catalog.plain_check(row["found"]) == wanted):
            continue
        problem = None
        if row["is_called_by_name"]:
            problem = "statements may call it by its name, so it is not renamed"
        elif not row["is_owned"]:
            problem = "only its owner may rename it"
        values = {name: row[name] for name in Collision.model_fields if name not in {"wanted", "problem"}}
        collisions.append(Collision(**values, wanted=wanted, problem=problem))
    return collisions


async def keep_aside(connection: Connection, limits: LockLimits, run_id: str) -> list[LockHold]:
    """Rename what bears our names, each in a short transaction of its own with its record.

    Returns: how long each lock that keeps readers out was held.

    Raises:
        StepFailed: names what cannot be renamed, and why; nothing was renamed.
        LockNotGranted: what was renamed before stays renamed; calling it again goes on from there.
    """
    holds: list[LockHold] = []
    collisions = await find_collisions(connection)
    refused = [f"{one.described}: {one.problem}" for one in collisions if one.problem]
    if refused:
        raise errors.StepFailed(
            step=STEP, sqlstate="42710", reason="; ".join(refused), remedy="Rename or drop them, then run again."
        )
    for one in collisions:
        await _rename(connection, one, limits, run_id, holds)
    await locks.set_limits(connection, limits, locks=False)
    return holds


async def _rename(
    connection: Connection, one: Collision, limits: LockLimits, run_id: str, holds: list[LockHold]
) -> None:
    async def before(inside: Connection) -> None:
        await toolkit.create_record(inside)
        await inside.execute(
            sql_files.query("save_renamed"), one.kind, one.new_name, f"{one.name}: {one.found}", one.back_statement
        )
        await run.note(inside, run_id, "transform", f"{one.described} is now called {one.new_name}")

    # An index is renamed under a lock of its own, which keeps nobody waiting.
    tables = {} if one.kind == "index" else {one.table_name: "ACCESS EXCLUSIVE"}
    statement = one.rename_statement
    await locks.under_lock(connection, statement, tables, statement, limits, holds, before=before)
    log.info("%s is called %s from now on; the way back gives it its name again", one.described, one.new_name)
