"""Flows from a shell: flags from a flow's parameters model, plain messages, and exit codes that scripts can rely on."""

from __future__ import annotations

import asyncio
import inspect
import json
import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Any, NoReturn, TypeVar

import cyclopts
from prefect import Flow
from prefect.client.orchestration import get_client
from prefect.context import get_settings_context, use_profile
from prefect.logging.configuration import setup_logging
from prefect.settings import PREFECT_API_URL, get_current_settings
from prefect.states import State
from pydantic import BaseModel, ValidationError
from rich.console import Console

from tasks import recorder
from tasks.blocks import PostgresDatabase
from tasks.core import errors
from tasks.core import report as reports
from tasks.core.database import Database, connect, database_from_surroundings
from tasks.core.models import Outcome
from tasks.core.settings import Parameters
from tasks.ending import ending_of, leave_report
from tasks.recorder import Recorder, StepLog
from tasks.terminal import watching

M = TypeVar("M", bound=BaseModel)
Work = Callable[[], Coroutine[Any, Any, State[Any]]]

CRASHED, INTERRUPTED = 70, 130
COMPLAINTS = Console(stderr=True, highlight=False)
EXIT_CODES = (
    "Exit codes: 0 the outcome is what was asked for; 2 a wrong flag or value; 3 a server or a login is not there;"
    " 4 preflight refused, or something the run needs is missing; 5 a gate or a step failed; 6 another run is active;"
    " 7 the required target was missed; 8 the demo's server did not start; 70 a crash; 130 interrupted."
)

# For a run from a shell, wherever the user has no setting of their own.
SHELL_SETTINGS = {
    "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks",
    # The terminal shows the run in its own way; the Prefect server still gets every line.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # SQLite, the ephemeral server's database, locks up under many small writes.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "2",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
}

DATABASE_HELP = (
    "postgresql://user@host:5432/database, without a password. Default: CAMPAIGN_DATABASE_URL, else PGHOST and its kin."
)


def run(flow: Flow[..., Any], parameters_type: type[Parameters], *, module: str) -> NoReturn:
    """Run a flow on a database with the flags of this process, and exit.

    Args:
        flow: takes a `database` block and `parameters`, and returns a state.
        parameters_type: the model of its parameters; its defaults are the flags' defaults.
        module: how the flow is started, for the help text.
    """
    sys.exit(main(flow, parameters_type, module=module, arguments=sys.argv[1:]))


def main(flow: Flow[..., Any], parameters_type: type[Parameters], *, module: str, arguments: Sequence[str]) -> int:
    """As `run`, with these arguments.

    Returns:
        The exit code.
    """

    def command(
        *,
        database_url: Annotated[str | None, cyclopts.Parameter(help=DATABASE_HELP)] = None,
        parameters: Annotated[Any, cyclopts.Parameter(name="*")] = parameters_type(),  # noqa: B008 - frozen
    ) -> tuple[str | None, Parameters]:
        return database_url, parameters

    command.__annotations__["parameters"] = Annotated[parameters_type, cyclopts.Parameter(name="*")]

    def begin() -> int:
        description = inspect.getdoc(flow.fn) or ""
        parsed = parse(command, module=module, description=description, arguments=arguments, of=parameters_type)
        if parsed is None:
            return 0
        database_url, parameters = parsed
        database = database_from_surroundings(database_url)
        _lend_password(database)

        before = Recorder(flow.name, database, parameters)
        reports.check_report_directory(before.directory)

        def prepare() -> State[Any] | None:
            return _prepare(before)

        async def work() -> State[Any]:
            block = PostgresDatabase.without_password(database)
            ended: State[Any] = await flow(database=block, parameters=parameters, return_state=True)
            return ended

        return execute(work, prepare=prepare)

    return guarded(begin)


def run_alone(flow: Flow[..., Any], parameters_type: type[BaseModel], *, module: str) -> NoReturn:
    """As `run`, for a flow that brings its own database."""

    def command(*, parameters: Any = parameters_type()) -> BaseModel:  # noqa: B008 - frozen
        given: BaseModel = parameters
        return given

    command.__annotations__["parameters"] = Annotated[parameters_type, cyclopts.Parameter(name="*")]

    def begin() -> int:
        description, arguments = inspect.getdoc(flow.fn) or "", sys.argv[1:]
        parameters = parse(command, module=module, description=description, arguments=arguments, of=parameters_type)
        if parameters is None:
            return 0

        async def work() -> State[Any]:
            ended: State[Any] = await flow(parameters=parameters, return_state=True)
            return ended

        return execute(work, prepare=lambda: find_prefect(StepLog()))

    sys.exit(guarded(begin))


def parse(
    command: Callable[..., Any], *, module: str, description: str, arguments: Sequence[str], of: type[BaseModel]
) -> Any | None:
    """Read the flags that `command` takes.

    Returns:
        What `command` returns, or None if only the help was asked for.

    Raises:
        BadInput: if a flag or its value is wrong.
    """
    app = cyclopts.App(
        name=f"python -m {module}",
        help=description,
        help_epilogue=EXIT_CODES,
        version_flags=[],
        default_parameter=cyclopts.Parameter(name_transform=_flag_name, negative=""),
        help_format="plaintext",
    )
    app.default(command)
    try:
        function, bound, _ = app.parse_args(
            _with_mappings_as_json(arguments, of), exit_on_error=False, print_error=False
        )
    except cyclopts.CycloptsError as error:
        remedy = f"See python -m {module} --help"
        if not isinstance(error.__cause__, ValidationError):
            line = " ".join(arguments)
            raise errors.BadInput(name="the command line", value=line, reason=str(error), remedy=remedy) from error
        first = error.__cause__.errors()[0]
        flag = "--" + ".".join(_flag_name(str(part)) for part in first["loc"])
        raise errors.BadInput(name=flag, value=first["input"], reason=first["msg"], remedy=remedy) from error
    if function is not command:  # the help has been printed
        function(*bound.args, **bound.kwargs)
        return None
    return function(*bound.args, **bound.kwargs)


def execute(work: Work, *, prepare: Callable[[], State[Any] | None]) -> int:
    """Run a flow in this process, shown in the terminal.

    Args:
        work: the flow.
        prepare: what comes before it, without an event loop; a state from it is the end.

    Returns:
        The exit code that the final state stands for.
    """
    with shell_settings(), watching(Console(highlight=False), COMPLAINTS) as screen, recorder.listening(screen):
        state = prepare() or asyncio.run(work())
        if state.is_completed():
            return 0
        error = asyncio.run(state.aresult(raise_on_failure=False))
    if not isinstance(error, errors.MigrationToolError):
        raise error
    if not screen.told:
        COMPLAINTS.print(str(error), markup=False, soft_wrap=True)
    return error.exit_code


def find_prefect(steps: StepLog) -> None:
    """Wait for the Prefect server that the settings name; without one, for Prefect's own temporary server.

    It is started here, as Ctrl-C is not heard while an event loop waits for it.

    Raises:
        PrefectUnreachable: if the server that the settings name does not answer.
    """
    with steps.step("prefect-server"), get_client(sync_client=True) as client:
        steps.detail(PREFECT_API_URL.value() or "a temporary one, as PREFECT_API_URL names none")
        if (failure := client.api_healthcheck()) is not None:
            raise errors.PrefectUnreachable(url=client.api_url, reason=failure)


def guarded(begin: Callable[[], int]) -> int:
    """Turn what stops a program into a message and an exit code."""
    try:
        return begin()
    except errors.MigrationToolError as error:
        COMPLAINTS.print(str(error), markup=False, soft_wrap=True)
        return error.exit_code
    except KeyboardInterrupt:
        COMPLAINTS.print("Interrupted.")
        return INTERRUPTED
    except Exception:  # noqa: BLE001 - the last resort: a crash is shown whole and has an exit code of its own
        COMPLAINTS.print_exception()
        return CRASHED


@contextmanager
def shell_settings() -> Iterator[None]:
    """Quiet settings for Prefect, where the user has made none: neither in the environment nor in a profile or file."""
    theirs = get_current_settings().to_environment_variables(exclude_unset=True)
    ours = {name: value for name, value in SHELL_SETTINGS.items() if name not in theirs and name not in os.environ}
    os.environ.update(ours)
    try:
        with use_profile(get_settings_context().profile, include_current_context=False):
            setup_logging(incremental=False)
            yield
    finally:
        for name in ours:
            os.environ.pop(name, None)


def _prepare(run: Recorder) -> State[Any] | None:
    """Knock at the database before Prefect starts, which takes seconds: a wrong address or password is told at once.

    Returns:
        The failed state of a run that cannot begin, reported, or None if the doors are open.
    """
    run.listener = recorder.listener()
    try:
        with run.step("connect"):
            asyncio.run(_knock(run.database))
        find_prefect(run)
    except errors.MigrationToolError as error:
        ending = ending_of(error, run)
        leave_report(run, ending.outcome, ending.message)
        return ending.as_state()
    except KeyboardInterrupt:
        leave_report(run, Outcome.CANCELLED, "The run was cancelled before it began. Nothing was changed.")
        raise
    return None


async def _knock(database: Database) -> None:
    async with connect(database, purpose="probe"):
        pass


def _lend_password(database: Database) -> None:
    """Put the password where asyncpg and pg_dump look for it by themselves: it is no parameter of the run then."""
    if database.password is not None:
        os.environ["PGPASSWORD"] = database.password.get_secret_value()


def _flag_name(field: str) -> str:
    return "schema" if field == "schema_name" else cyclopts.default_name_transform(field)


def _with_mappings_as_json(arguments: Sequence[str], of: type[BaseModel]) -> list[str]:
    """`--map-status KEY=VALUE`, as often as needed, becomes one JSON object, as keys may hold dots and blanks."""
    mappings = {f"--{_flag_name(name)}" for name, field in of.model_fields.items() if field.default_factory is dict}
    collected: dict[str, dict[str, str]] = {}
    others: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        flag, glued, value = argument.partition("=")
        if flag not in mappings:
            others.append(argument)
            continue
        key, _, mapped = (value if glued else next(remaining, "")).rpartition("=")
        collected.setdefault(flag, {})[key] = mapped
    return others + [part for flag, mapping in collected.items() for part in (flag, json.dumps(mapping))]
