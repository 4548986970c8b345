"""What a run shows in the Prefect UI: artifacts under keys that never change, so that each key has a history."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal
from uuid import UUID

import httpx
from prefect.artifacts import (
    acreate_markdown_artifact,
    acreate_progress_artifact,
    acreate_table_artifact,
    aupdate_progress_artifact,
)
from prefect.context import FlowRunContext, TaskRunContext
from prefect.exceptions import PrefectException
from pydantic import BaseModel

from tasks.recorder import Recorder

Key = Literal[
    "preflight",
    "plan",
    "census",
    "backup",
    "answers",
    "approval",
    "benchmark",
    "progress",
    "validation",
    "integration",
    "comparison",
    "comparison-table",
    "legacy-statements",
    "maintenance",
    "restore",
    "rollback",
    "summary",
    "timeline",
    "trend",
]
PROGRESS_EVERY_SECONDS = 3.0

log = logging.getLogger("tasks.publish")


async def page(key: Key, markdown: str, description: str) -> None:
    """Publish a markdown page."""
    await _attempt(key, acreate_markdown_artifact(markdown=markdown, key=key, description=description))


async def table(key: Key, rows: Sequence[Mapping[str, Any]], description: str) -> None:
    """Publish a table. Rows without any are published as a page that says so: an empty table shows nothing at all."""
    if not rows:
        await page(key, f"{description}: nothing.", description)
        return
    cells = [{name: _cell(value) for name, value in row.items()} for row in rows]
    await _attempt(key, acreate_table_artifact(table=cells, key=key, description=description))


async def models(key: Key, rows: Sequence[BaseModel], description: str) -> None:
    """Publish models as a table, one row each."""
    await table(key, [row.model_dump(mode="json") for row in rows], description)


@asynccontextmanager
async def progress_of(recorder: Recorder, steps_in_all: int) -> AsyncIterator[None]:
    """Keep a progress artifact up to date while the body runs: the share of the steps that are done, in the end all."""
    if _outside():
        yield
        return
    over = asyncio.Event()
    pump = asyncio.create_task(_show_progress(recorder, steps_in_all, over))
    try:
        yield
    except BaseException:  # who is being cancelled has no time for pages
        pump.cancel()
        with suppress(asyncio.CancelledError):
            await pump
        raise
    over.set()
    await pump


async def _show_progress(recorder: Recorder, steps_in_all: int, over: asyncio.Event) -> None:
    artifact: UUID | None = None
    shown = None
    while True:
        last = over.is_set()
        now = _share_done(recorder, steps_in_all)
        if now != shown:
            percent, text = now
            if artifact is None:
                created = acreate_progress_artifact(progress=percent, key="progress", description=text)
                artifact = await _attempt("progress", created)
            else:
                await _attempt("progress", aupdate_progress_artifact(artifact, progress=percent, description=text))
            shown = now
        if last:
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(over.wait(), PROGRESS_EVERY_SECONDS)


def _share_done(recorder: Recorder, steps_in_all: int) -> tuple[float, str]:
    if recorder.complete:
        return 100.0, "done"
    over = sum(step.state in {"completed", "skipped"} for step in recorder.steps.values())
    text = next(reversed(recorder.steps), "starting")
    share = float(over)
    if recorder.latest is not None:
        text = f"{text}: {recorder.latest.what}, {recorder.latest.figures}"
        share += recorder.latest.share
    return round(min(100.0 * share / steps_in_all, 100.0), 1), text


async def _attempt(key: str, publication: Awaitable[Any]) -> Any:
    """A page that the Prefect server does not take is no reason to stop a migration: the report holds it, too."""
    if _outside():
        if asyncio.iscoroutine(publication):
            publication.close()
        return None
    try:
        return await publication
    except (httpx.HTTPError, PrefectException) as error:
        log.warning("The artifact %s could not be published: %s", key, error)
        return None


def _outside() -> bool:
    """Whether this is no Prefect run, as in a test of one function: then there is no page to publish to."""
    return FlowRunContext.get() is None and TaskRunContext.get() is None


def _cell(value: Any) -> str | int | float | bool | None:
    if value is None or isinstance(value, str | int | bool):
        return value
    if isinstance(value, float):
        return round(value, 3)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    return str(value)
