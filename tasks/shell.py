"""Prefect and the terminal, for a run from a shell: quiet settings, a server to run on, messages and exit codes."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, TypeAlias

import prefect
from prefect import State
from prefect.client.orchestration import get_client
from prefect.context import get_settings_context, use_profile
from prefect.logging.configuration import setup_logging
from prefect.settings import PREFECT_API_URL, get_current_settings, temporary_settings
from rich.console import Console

from tasks import recorder
from tasks.core import errors
from tasks.prefect_server import start_temporary_server
from tasks.recorder import StepLog
from tasks.terminal import watching

Work: TypeAlias = Callable[[], Coroutine[Any, Any, State[Any]]]

CRASHED, INTERRUPTED = 70, 130
PIPE_WIDTH = 120  # columns, where there is no terminal to ask
COMPLAINTS = Console(stderr=True, highlight=False)

# For a run from a shell, wherever the user has no setting of their own.
SHELL_SETTINGS = {
    "PREFECT_LOGGING_EXTRA_LOGGERS": "tasks",
    # The terminal shows the run in its own way; the Prefect server still gets every line.
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
    # SQLite, the temporary server's database, locks up under many small writes.
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_READ_BATCH_SIZE": "100",
    "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_FLUSH_INTERVAL": "2",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_READ_BATCH_SIZE": "100",
}


def execute(work: Work, *, prepare: Callable[[ExitStack], State[Any] | None]) -> int:
    """Run a flow in this process, shown in the terminal.

    Args:
        work: the flow.
        prepare: what comes before it, without an event loop; a state from it is the end. What it puts on the stack stays
            until the run is over.

    Returns:
        The exit code that the final state stands for.
    """
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=PIPE_WIDTH)
    with (
        shell_settings(),
        watching(console, COMPLAINTS) as screen,
        recorder.listening(screen),
        ExitStack() as until_the_end,
    ):
        state = prepare(until_the_end) or asyncio.run(work())
        error = asyncio.run(state.aresult(raise_on_failure=False))
        if state.is_completed() and not isinstance(error, errors.MigrationToolError):
            return 0
    if not isinstance(error, errors.MigrationToolError):
        raise error
    if not screen.told:
        COMPLAINTS.print(str(error), markup=False, soft_wrap=True)
    return error.exit_code


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
        COMPLAINTS.print_exception(suppress=[prefect], width=PIPE_WIDTH)
        return CRASHED


def find_prefect(steps: StepLog, until_the_end: ExitStack) -> None:
    """Ask the Prefect server that the settings name whether it is there; where they name none, start a temporary one.

    Raises:
        PrefectUnreachable: if it does not answer.
    """
    with steps.step("prefect-server"):
        url = PREFECT_API_URL.value()
        steps.detail(url or "a temporary one, as PREFECT_API_URL names none")
        if not url:
            until_the_end.enter_context(temporary_settings({PREFECT_API_URL: start_temporary_server()}))
            return
        with get_client(sync_client=True) as client:
            failure = client.api_healthcheck()
        if failure is not None:
            raise errors.PrefectUnreachable(url=url, reason=failure)


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
