"""Flows from a shell: `python -m flows.migrate` and its kin."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Coroutine, Sequence
from contextlib import ExitStack
from typing import Any, NoReturn, TypeAlias

from prefect import Flow, State
from pydantic import BaseModel

from tasks.arguments import parse, parse_with_database
from tasks.blocks import PostgresDatabase
from tasks.core import errors
from tasks.core import report as reports
from tasks.core.connection_strings import database_from_surroundings
from tasks.core.database import Database, connect
from tasks.core.models import Outcome
from tasks.core.settings import Parameters
from tasks.ending import ending_of, leave_report
from tasks.recorder import Recorder, StepLog, listener
from tasks.shell import execute, find_prefect, guarded

ReportingFlow: TypeAlias = Flow[..., Coroutine[Any, Any, State[Any]]]


def run(flow: ReportingFlow, model: type[Parameters], *, module: str) -> NoReturn:
    """Run a flow on a database with the flags of this process, and exit.

    Args:
        flow: takes a `database` block and `parameters`, and returns a state.
        model: of its parameters; its defaults are the flags' defaults.
        module: how the flow is started, for the help text.
    """
    sys.exit(run_with(flow, model, sys.argv[1:], module=module))


def run_with(flow: ReportingFlow, model: type[Parameters], arguments: Sequence[str], *, module: str) -> int:
    """As `run`, with these flags.

    Returns:
        The exit code.
    """

    def begin() -> int:
        parsed = parse_with_database(model, arguments, module=module, description=_description(flow))
        if parsed is None:
            return 0
        url, parameters = parsed
        database = database_from_surroundings(url)
        _lend_password(database)
        before = Recorder(flow.name, database, parameters)
        reports.check_report_directory(before.directory)
        settled = parameters.model_copy(update={"report_directory": before.directory})

        async def work() -> State[Any]:
            block = PostgresDatabase.without_password(database)
            ended: State[Any] = await flow(database=block, parameters=settled, return_state=True)
            return ended

        return execute(work, prepare=lambda until_the_end: _prepare(before, until_the_end))

    return guarded(begin)


def run_alone(flow: ReportingFlow, model: type[BaseModel], *, module: str) -> NoReturn:
    """As `run`, for a flow that brings its own database."""

    def begin() -> int:
        parameters = parse(model, sys.argv[1:], module=module, description=_description(flow))
        if parameters is None:
            return 0

        async def work() -> State[Any]:
            ended: State[Any] = await flow(parameters=parameters, return_state=True)
            return ended

        return execute(work, prepare=lambda until_the_end: find_prefect(StepLog(), until_the_end))

    sys.exit(guarded(begin))


def _prepare(run_: Recorder, until_the_end: ExitStack) -> State[Any] | None:
    """Knock at the database before Prefect starts, which takes seconds: a wrong address or password is told at once.

    Returns:
        The failed state of a run that cannot begin, reported, or None if the doors are open.
    """
    run_.listener = listener()
    try:
        with run_.step("connect"):
            asyncio.run(_knock(run_.database))
        find_prefect(run_, until_the_end)
    except errors.MigrationToolError as error:
        ending = ending_of(error, run_)
        leave_report(run_, ending.outcome, ending.message)
        return ending.as_state()
    except KeyboardInterrupt:
        leave_report(run_, Outcome.CANCELLED, "The run was cancelled before it began. Nothing was changed.")
        raise
    return None


async def _knock(database: Database) -> None:
    async with connect(database, purpose="probe"):
        pass


def _lend_password(database: Database) -> None:
    """Put the password where asyncpg and pg_dump look for it by themselves: it is no parameter of the run then."""
    if database.password is not None:
        os.environ["PGPASSWORD"] = database.password.get_secret_value()


def _description(flow: ReportingFlow) -> str:
    return inspect.getdoc(flow.fn) or ""
