"""N writers and a monitor at work on a database, for as long as a body of code runs."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from pydantic import BaseModel

from tasks.core.database import Database
from tests.load.models import MonitorOrders, MonitorResult, Reach, WriterOrders, WriterResult

ROOT = Path(__file__).parents[2]
# How long a writer may take to end its transaction and write down what it did.
STOP_SECONDS = 120.0


class WriterFailed(Exception):
    """A process of the load ended by itself: its last words tell why."""


@dataclass(frozen=True)
class LoadOptions:
    """How much load: see run.py's help."""

    writers: int
    seed: int
    pause_ms: float
    hold_ms: float
    truncate_every: float


@dataclass(frozen=True)
class Window:
    """A part of the time that the load lasts: so many seconds, or as long as a work takes."""

    name: str
    seconds: float = 0.0
    work: Callable[[], Awaitable[None]] | None = None


@dataclass
class Load:
    """A load at work, and what came of it once it has ended.

    Attributes:
        marks: times of the monotonic clock at which the windows began, by name and in order; the last is "end".
    """

    children: list[tuple[str, asyncio.subprocess.Process]] = field(default_factory=list)
    marks: dict[str, float] = field(default_factory=dict)
    writers: list[WriterResult] = field(default_factory=list)
    monitor: MonitorResult | None = None

    def mark(self, name: str) -> None:
        """Write down that something begins or ends now."""
        self.marks[name] = time.monotonic()

    @property
    def spans(self) -> dict[str, tuple[float, float]]:
        """When each window began and ended."""
        return {name: (began, ended) for (name, began), (_, ended) in pairwise(self.marks.items())}

    async def last(self, seconds: float) -> None:
        """Wait, with an eye on the children.

        Raises:
            WriterFailed: one of them has ended.
        """
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            await self.check()
            await asyncio.sleep(min(0.2, max(0.0, deadline - time.monotonic())))

    async def check(self) -> None:
        """See that all are at work."""
        for name, child in self.children:
            if child.returncode is not None:
                assert child.stderr is not None
                words = (await child.stderr.read()).decode(errors="replace")
                raise WriterFailed(f"{name} ended with {child.returncode}: {words[-2000:]}")


@asynccontextmanager
async def load(database: Database, options: LoadOptions, directory: Path) -> AsyncIterator[Load]:
    """The load runs inside the `with` block; its results are in the Load afterwards.

    Args:
        directory: for the children's results.

    Raises:
        WriterFailed: a writer or the monitor did not come to its end.
    """
    reach = Reach.of(database)
    running = Load()
    try:
        for index in range(options.writers):
            orders = WriterOrders(
                reach=reach, index=index, output=str(directory / f"writer-{index}.json"), **vars(options)
            )
            await _launch(running, "tests.load.writer", f"writer {index}", orders)
        output = str(directory / "monitor.json")
        await _launch(
            running, "tests.load.monitor", "monitor", MonitorOrders(reach=reach, seed=options.seed, output=output)
        )
        for _, child in running.children:
            assert child.stdout is not None
            if not await child.stdout.readline():  # it has ended, or is about to
                await child.wait()
        await running.check()
        yield running
        await _stop(running)
        for index in range(options.writers):
            text = (directory / f"writer-{index}.json").read_text()
            running.writers.append(WriterResult.model_validate_json(text))
        running.monitor = MonitorResult.model_validate_json((directory / "monitor.json").read_text())
    finally:
        for _, child in running.children:
            if child.returncode is None:
                child.kill()
                await child.wait()


async def _launch(running: Load, module: str, name: str, orders: BaseModel) -> None:
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-m", module, cwd=ROOT,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert child.stdin is not None
    child.stdin.write(orders.model_dump_json().encode() + b"\n")
    await child.stdin.drain()
    running.children.append((name, child))


async def _stop(running: Load) -> None:
    await running.check()
    for _, child in running.children:
        assert child.stdin is not None
        child.stdin.write(b"stop\n")
        await child.stdin.drain()

    async def end(name: str, child: asyncio.subprocess.Process) -> None:
        try:
            _, words = await asyncio.wait_for(child.communicate(), STOP_SECONDS)
        except TimeoutError as error:
            raise WriterFailed(f"{name} did not stop within {STOP_SECONDS:.0f} s") from error
        if child.returncode != 0:
            raise WriterFailed(f"{name} ended with {child.returncode}: {words.decode(errors='replace')[-2000:]}")

    await asyncio.gather(*(end(name, child) for name, child in running.children))


async def windows(running: Load, spans: Sequence[Window]) -> None:
    """Let one window after the other pass."""
    for window in spans:
        running.mark(window.name)
        await (running.last(window.seconds) if window.work is None else window.work())
    running.mark("end")
