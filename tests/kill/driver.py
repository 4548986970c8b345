"""A process that migrates, or goes back, and can be stopped at any statement: `python -m tests.kill.driver`.

It reads one order a line (JSON), does each in a child of its own, so that a kill costs no new interpreter, and writes what
happens as JSON lines: {"pid"}, {"point", "label"}, then {"done"} or {"error", "message"}, and {"exit"} at the end.

A point is the moment before a statement is sent; its label is the statement's beginning, a commit's that of what it commits.
What is sent in one message with its locks and its commit is sent in two here, so that it can be stopped before the commit, too.
At the point that an order names, by its number or by a part of its label, the child says so and waits for SIGUSR1, or, with
"during", goes straight on, so that whoever kills it then hits the statement at work. SIGTERM cancels the work, as Prefect
does; SIGINT is the operator's Ctrl-C.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import traceback
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import asyncpg

from tasks.core import batches, core_migrations, domain_status, rollback, run, sql_files, transform
from tasks.core.database import Database
from tasks.core.progress import unheard
from tasks.core.settings import MigrateParameters, RollbackParameters
from tests.sent import parts, without_locks

# What only looks or sets a limit, and what a watcher asks in its own rhythm, makes no point.
NO_POINT = ("SELECT set_config(", "SELECT format(", "SELECT extract(")
WATCHED = {sql_files.query(name) for name in ("find_blockers", "read_index_progress", "read_statement_progress")}
# Goes with the statement that a transaction is about.
BESIDE = (
    sql_files.query("insert_ledger_line"),
    sql_files.query("insert_migration_version"),
    "TRUNCATE schema_migrations",
    "SELECT to_regclass(",
)
METHODS = ("execute", "executemany", "fetch", "fetchrow", "fetchval")
SMALL_BATCH = 20

LABEL_LENGTH = 120

go_on = asyncio.Event()


def say(**event: Any) -> None:
    sys.stdout.write(json.dumps(event) + "\n")
    sys.stdout.flush()


class Points:
    """Counts every statement that asyncpg is given and stops before the one that is asked for."""

    def __init__(self, stop_at: int | str | None, *, during: bool) -> None:
        self.stop_at, self.during = stop_at, during
        self.number, self.reached, self.last = 0, False, ""

    def install(self) -> None:
        for name in METHODS:
            setattr(asyncpg.Connection, name, self._wrapped(getattr(asyncpg.Connection, name)))

    def _wrapped(self, original: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def sent(connection: Any, query: str, *args: Any, **options: Any) -> Any:
            for part in parts(query):
                if part not in WATCHED and not part.startswith(NO_POINT):
                    await self._pass(part)
                answer = await original(connection, part, *args, **options)
            return answer

        return sent

    async def _pass(self, query: str) -> None:
        self.number += 1
        label = " ".join(without_locks(query).split())[:LABEL_LENGTH]
        if query.startswith("COMMIT"):
            label = f"COMMIT of {self.last}"
        elif not query.startswith(BESIDE):
            self.last = label
        wanted = self.stop_at in label if isinstance(self.stop_at, str) else self.stop_at == self.number
        stops = wanted and not self.reached
        if stops or self.stop_at is None:
            say(point=self.number, label=label)
        if stops:
            self.reached = True
            if not self.during:
                await go_on.wait()


async def work(order: dict[str, Any]) -> None:
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGUSR1, go_on.set)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    database = Database.model_validate(order["database"])
    run_id = str(uuid.uuid4())
    if order["work"] == "migrate":
        transform.FIRST_BATCH = transform.LARGEST_BATCH = SMALL_BATCH
        domain_status.FIRST_BATCH = domain_status.LARGEST_BATCH = SMALL_BATCH
        parameters = MigrateParameters(mode="apply", **order["options"])
        async with run.exclusive_run(database, parameters.schema_name, parameters, run_id, "killed"):
            await transform.transform(database, parameters, run_id, unheard)
            await core_migrations.apply_core_migrations(database, parameters, run_id, unheard)
    else:
        batches.FIRST_BATCH = batches.LARGEST_BATCH = SMALL_BATCH
        back = RollbackParameters(mode="apply", confirm=database.database, **order["options"])
        async with run.exclusive_run(database, back.schema_name, back, run_id, "killed"):
            await rollback.roll_back(database, back, run_id, unheard)


def obey(order: dict[str, Any]) -> int:
    say(pid=os.getpid())
    Points(order["stop_at"], during=order["during"]).install()
    try:
        asyncio.run(work(order))
    except BaseException as error:  # noqa: BLE001 - whatever ends the work is what the test wants to know
        say(error=type(error).__name__, message=str(error), trace=traceback.format_exc())
        return 1
    say(done=True)
    return 0


def main() -> None:
    # A shell in the background starts its programs with this one ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for line in sys.stdin:
        order = json.loads(line)
        child = os.fork()
        if child == 0:
            os._exit(obey(order))
        _, status = os.waitpid(child, 0)
        say(exit=os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    main()
