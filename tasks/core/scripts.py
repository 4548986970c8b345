"""Running a script of `sql/scripts` as psql does, statement by statement, each in a transaction of its own."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from tasks.core import errors, sql_files
from tasks.core.database import Connection
from tasks.core.progress import Progress
from tasks.core.translation import translated

RUN_ID_SETTING = "migration.run_id"
# What waits longer for a lock, or runs longer, than any of these scripts needs.
SESSION_LIMITS = {"lock_timeout": "10s", "statement_timeout": "1h"}
REACHED = re.compile(r"(\d+) of (\d+)")
REMEDY = "Mend what it names and run again."


@dataclass(frozen=True)
class ScriptRun:
    """A script that ran to its end.

    Attributes:
        seconds: wall time of all its statements.
        complaint: what its last statement raised, where the script records its results and then says what failed.
    """

    name: str
    statements: int
    seconds: float
    complaint: str | None


async def run_script(connection: Connection, name: str, *, run_id: str, what: str, progress: Progress) -> ScriptRun:
    """Run `sql/scripts/<name>.sql` in autocommit and stop at the first error, as psql does with ON_ERROR_STOP.

    Only RAISE EXCEPTION in the last statement is an answer rather than an error.

    Args:
        run_id: a UUID, recorded with the script's results.
        what: what the script counts, such as "checks".

    Raises:
        StepFailed: with the server's SQLSTATE, message and hint; the statements before it are committed.
    """
    await connection.execute("SELECT set_config($1, $2, false)", RUN_ID_SETTING, run_id)
    started = time.monotonic()
    statements = sql_files.statements(sql_files.script(name))
    complaint: str | None = None
    with translated(f"{name}.sql", REMEDY):
        async with heard(connection, what, progress):
            for number, statement in enumerate(statements, start=1):
                try:
                    await connection.execute(statement)
                except asyncpg.RaiseError as error:
                    if number < len(statements):
                        raise
                    complaint = error.args[0]
    return ScriptRun(name, len(statements), time.monotonic() - started, complaint)


@asynccontextmanager
async def heard(connection: Connection, what: str, progress: Progress) -> AsyncIterator[None]:
    """While the body runs: what our SQL says in debug messages of how far it is, as progress. By hand nobody sees them, and
    in the rest of the session our log passes over them.

    Args:
        what: what is counted, such as "checks".
    """

    def hear(_connection: Any, message: Any) -> None:
        reached = REACHED.fullmatch(message.message)
        if reached is not None:
            progress(what, int(reached[1]), int(reached[2]))

    await connection.execute("SET client_min_messages = debug1")
    connection.add_log_listener(hear)
    try:
        yield
    finally:
        connection.remove_log_listener(hear)


async def read_results(
    connection: Connection, query_name: str, script_run: ScriptRun, run_id: str
) -> list[asyncpg.Record]:
    """The rows that a script recorded for a run, which must agree with what its last statement said.

    Raises:
        StepFailed: if nothing was recorded, or if the script failed and no row says why.
    """
    rows = await connection.fetch(sql_files.query(query_name), run_id)
    if not rows or (script_run.complaint is not None) != any(row["status"] == "FAIL" for row in rows):
        raise errors.StepFailed(
            step=f"{script_run.name}.sql",
            sqlstate="P0001",
            reason=f"{len(rows)} recorded results do not agree with its verdict: {script_run.complaint or 'passed'}",
            remedy="Another run may have recorded its own in between; run again.",
        )
    return rows
