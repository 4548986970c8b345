"""Waiting for something to become true, with an end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tasks.core.database import Database, connect

ATTEMPTS, PAUSE_SECONDS = 600, 0.05


async def until_true(database: Database, query: str, *arguments: Any, attempts: int = ATTEMPTS) -> None:
    """Ask a database again and again, on a connection of its own, until the answer is neither NULL nor false nor 0."""
    async with connect(database) as connection:
        for _ in range(attempts):
            if await connection.fetchval(query, *arguments):
                return
            await asyncio.sleep(PAUSE_SECONDS)
    pytest.fail(f"not within {attempts * PAUSE_SECONDS:.0f} s: {query}")


async def until_logged(caplog: pytest.LogCaptureFixture, words: str) -> None:
    """Wait until a text stands in the captured log."""
    for _ in range(ATTEMPTS):
        if words in caplog.text:
            return
        await asyncio.sleep(PAUSE_SECONDS)
    pytest.fail(f"never logged: {words}\n{caplog.text}")
