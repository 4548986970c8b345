"""The test's end of a driver: give an order, wait for a point, kill it, look what became of it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

from tasks.core.database import Database

ROOT = Path(__file__).parents[2]
PATIENCE_SECONDS = 60.0
Work = Literal["migrate", "rollback"]


class Driven:
    """A driver's child at work.

    Attributes:
        events: everything it has said since its last order.
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.events: list[dict[str, Any]] = []

    async def begin(
        self, database: Database, work: Work, *, stop_at: int | str | None = None, during: bool = False, **options: Any
    ) -> None:
        """Let a new child begin. Without `stop_at` it says every point and stops at none."""
        reached = database.model_dump(mode="json") | {
            "password": database.password.get_secret_value() if database.password else None
        }
        order = {"database": reached, "work": work, "stop_at": stop_at, "during": during, "options": options}
        self.events = []
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order).encode() + b"\n")
        await self._process.stdin.drain()
        await self.until("pid")

    async def until(self, *kinds: str) -> dict[str, Any]:
        """The next event of one of these kinds."""
        assert self._process.stdout is not None
        while True:
            line = await asyncio.wait_for(self._process.stdout.readline(), PATIENCE_SECONDS)
            assert line, "the driver is gone"
            event: dict[str, Any] = json.loads(line)
            self.events.append(event)
            if not event.keys().isdisjoint(kinds):
                return event

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the child."""
        os.kill(self.events[0]["pid"], number)

    async def ended(self) -> dict[str, Any]:
        """Wait for the child's end. Returns what it said of it: done, error, or the signal that killed it (exit < 0)."""
        exit_event = await self.until("exit")
        said: dict[str, Any] = {}
        for event in self.events:
            if "done" in event or "error" in event:
                said = event
        return {**said, **exit_event}

    @property
    def points(self) -> list[str]:
        """The labels of all points so far, in order."""
        return [event["label"] for event in self.events if "point" in event]


@asynccontextmanager
async def driver() -> AsyncIterator[Driven]:
    """A driver, ended at the end together with its child."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.kill.driver",
        cwd=ROOT, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    driven = Driven(process)
    try:
        yield driven
    finally:
        with contextlib.suppress(ProcessLookupError, IndexError):
            if not any("exit" in event for event in driven.events):
                driven.send(signal.SIGKILL)
        assert process.stdin is not None
        process.stdin.close()
        await process.wait()
