"""Batches by primary key with writers at work: as large as the time they may take, what others hold in a later round."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

from tasks.core import locks
from tasks.core.database import Connection
from tasks.core.pace import Pacer, next_size
from tasks.core.settings import LockLimits

log = logging.getLogger(__name__)
FIRST_BATCH = 100
LARGEST_BATCH = 5000
PAUSE_BETWEEN_ROUNDS_SECONDS = 0.2

# Does up to so many rows after a key, in one transaction that it commits; gives back the last key and how many it did.
Take = Callable[[UUID | None, int], Awaitable[tuple[UUID | None, int]]]
# Names up to 20 rows that are still to be done.
Left = Callable[[], Awaitable[list[str]]]


async def work_off(
    connection: Connection,
    limits: LockLimits,
    pacer: Pacer,
    target_ms: int,
    take: Take,
    left: Left,
    report: Callable[[int], None],
) -> int:
    """Go through the rows until none is left. Rows that somebody holds are passed over and taken in a later round.

    Returns: how many were done.

    Raises:
        LockNotGranted: when nothing could be done for as long as a lock may be waited for. What is done stays done.
    """
    size, after, done, batches = FIRST_BATCH, None, 0, 0
    deadline = time.monotonic() + limits.lock_wait_limit_seconds
    await locks.set_limits(connection, limits)
    while True:
        await pacer.wait_for_others()
        began = time.monotonic()
        try:
            last, taken = await take(after, size)
            waiting = [] if taken else await left()
        except locks.RETRIED as error:
            log.info("the batch waits: %s", error)
            last, taken, waiting = None, 0, ["whose table is locked"]
        now = time.monotonic()
        if taken:
            done, batches, after = done + taken, batches + 1, last
            size = next_size(size, (now - began) * 1000, target_ms, LARGEST_BATCH)
            deadline = now + limits.lock_wait_limit_seconds
            report(done)
            continue
        if not waiting:
            return done
        if now > deadline:
            what = f"The batch of campaigns {', '.join(waiting)}"
            raise await locks.not_granted(connection, what, "campaigns", limits, batches + 1)
        after = None
        await asyncio.sleep(PAUSE_BETWEEN_ROUNDS_SECONDS)
