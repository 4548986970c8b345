"""How long work says how far it has come, and what follows from that: how fast it goes and when it will be done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TypeAlias

# what is being counted, how much of it is done, how much there is (None: not known)
Progress: TypeAlias = Callable[[str, int, int | None], None]

# Sooner than this a rate says nothing yet.
FIRST_RATE_SECONDS = 0.5
TICK_SECONDS = 0.5
# From here on a rate has no decimals.
WHOLE_FROM = 10
# What is only expected to be done is never called done.
NEARLY = 0.99


def unheard(what: str, done: int, total: int | None) -> None:
    """A listener for those who do not want to know."""


@dataclass(frozen=True)
class Reached:
    """How far work has come.

    Attributes:
        total: None where it is not known.
        per_second: since the counting began; None while it is too early to say, or where nothing is counted.
        seconds_left: at that rate; None where the total or the rate is not known.
    """

    what: str
    done: int
    total: int | None
    per_second: float | None = None
    seconds_left: float | None = None

    @property
    def figures(self) -> str:
        """In words, such as "1,200 of 2,000, 850/s, 1 s left"."""
        parts = [f"{self.done:,}" + (f" of {self.total:,}" if self.total else "")]
        if self.per_second is not None:
            parts.append(f"{self.per_second:,.{0 if self.per_second >= WHOLE_FROM else 1}f}/s")
        if self.seconds_left is not None:
            minutes, seconds = divmod(round(self.seconds_left), 60)
            parts.append(f"{minutes} min {seconds} s left" if minutes else f"{seconds} s left")
        return ", ".join(parts)

    @property
    def share(self) -> float:
        """0 to 1; 0 where the total is not known."""
        return min(self.done / self.total, 1.0) if self.total else 0.0


class Meter:
    """Hears how far work has come and knows how fast. What is counted may change: then it begins anew."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._what: str | None = None
        self._first = 0
        self._began = 0.0

    def heard(self, what: str, done: int, total: int | None) -> Reached:
        """Where the work is now."""
        now = self._clock()
        if what != self._what or done < self._first:
            self._what, self._first, self._began = what, done, now
        gone, moved = now - self._began, done - self._first
        if gone < FIRST_RATE_SECONDS or moved <= 0:
            return Reached(what, done, total)
        rate = moved / gone
        return Reached(what, done, total, rate, max(total - done, 0) / rate if total else None)


@asynccontextmanager
async def expected(progress: Progress, what: str, total: int, seconds: float) -> AsyncIterator[None]:
    """While the body runs: progress by the time that it should take, for one statement that does not say how far it is.

    Args:
        seconds: what the same work took before; 0 where nobody knows, and then only what is done is said.
    """

    async def tick() -> None:
        began = time.monotonic()
        while seconds > 0:
            await asyncio.sleep(TICK_SECONDS)
            share = min((time.monotonic() - began) / seconds, NEARLY)
            progress(what, round(total * share), total)

    progress(what, 0, total or None)
    ticking = asyncio.create_task(tick())
    try:
        yield
    finally:
        ticking.cancel()
        await asyncio.gather(ticking, return_exceptions=True)
