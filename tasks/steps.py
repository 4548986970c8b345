"""What makes a function a step: a Prefect task that is recorded, and retried where a retry can help."""

from __future__ import annotations

import functools
import textwrap
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import asyncpg
from prefect import Task, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State as PrefectState
from prefect.client.schemas.objects import TaskRun
from prefect.context import TaskRunContext

from tasks import recorder
from tasks.core.errors import ServerUnreachable
from tasks.core.models import StepRecord

P = ParamSpec("P")
R = TypeVar("R")

# A connection that went away: the server restarted, a network hiccup, an administrator's pg_terminate_backend.
CONNECTION_LOST = (
    ServerUnreachable,
    ConnectionError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
)
RETRY_DELAYS_SECONDS = (2.0, 10.0, 30.0)
RETRY_JITTER = 0.5  # each delay is stretched by up to this share
FIGURES_LENGTH = 90  # what fits on a line of the run's page
MINUTE, HOUR = 60.0, 3600.0


def step(
    name: str, *, retry: bool = True, timeout_seconds: float = 12 * HOUR
) -> Callable[[Callable[P, Coroutine[Any, Any, R]]], Task[P, Coroutine[Any, Any, R]]]:
    """Make an async function a step of a flow.

    Args:
        name: shown in the run page, in the terminal and in report.json.
        retry: go on after a lost connection. A step that is retried must not repeat what is done.
        timeout_seconds: the longest that one attempt may take; what the server does has limits of its own.
    """

    def decorate(function: Callable[P, Coroutine[Any, Any, R]]) -> Task[P, Coroutine[Any, Any, R]]:
        @functools.wraps(function)
        async def recorded(*args: P.args, **kwargs: P.kwargs) -> R:
            steps = recorder.current()
            try:
                with steps.step(name):
                    return await function(*args, **kwargs)
            finally:
                _show_figures(steps.steps[name])

        made: Task[P, Coroutine[Any, Any, R]] = task(
            name=name,
            task_run_name=name,
            cache_policy=NO_CACHE,
            persist_result=False,
            retries=len(RETRY_DELAYS_SECONDS) if retry else 0,
            retry_delay_seconds=list(RETRY_DELAYS_SECONDS),
            retry_jitter_factor=RETRY_JITTER,
            retry_condition_fn=connection_was_lost,
            timeout_seconds=timeout_seconds,
        )(recorded)
        return made

    return decorate


def _show_figures(ended: StepRecord) -> None:
    """What a step has brought, or why it failed, stands behind its name in the run's page.

    The name goes to the server with the last state.
    """
    context = TaskRunContext.get()
    if context is not None:
        brought = textwrap.shorten(ended.detail, FIGURES_LENGTH, placeholder=" ...")
        context.task_run.name = f"{ended.name}: {brought}" if brought else ended.name


def connection_was_lost(_task: Task[..., Any], _run: TaskRun, state: PrefectState[Any]) -> bool:
    """Whether a step failed for a reason that passes by itself. A failed gate does not."""
    return isinstance(state.data, CONNECTION_LOST)
