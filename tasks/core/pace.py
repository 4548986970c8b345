"""Batches wait for those who cannot keep up: replicas that lag, and transactions so old that vacuum is held back."""

from __future__ import annotations

import asyncio
import logging
import time

from tasks.core import errors, sql_files
from tasks.core.database import Connection
from tasks.core.progress import Progress
from tasks.core.settings import Pace

log = logging.getLogger(__name__)
LOOK_EVERY_SECONDS = 1.0


class Pacer:
    """Looks at replicas and old transactions at most once a second and holds the batches back while it must."""

    def __init__(self, connection: Connection, limits: Pace, progress: Progress) -> None:
        self.connection = connection
        self.limits = limits
        self.progress = progress
        self.paused_seconds = 0.0
        self._looked = 0.0

    async def wait_for_others(self) -> None:
        """Return when the next batch may go ahead. No transaction may be open meanwhile.

        Raises:
            PausedTooLong: after `pause_limit_seconds`, naming the replica or the session that is waited for.
        """
        if time.monotonic() - self._looked < LOOK_EVERY_SECONDS:
            return
        began = time.monotonic()
        while reason := await self._reason():
            waited = time.monotonic() - began
            if waited > self.limits.pause_limit_seconds:
                raise errors.PausedTooLong(seconds=waited, reason=reason)
            log.warning("pausing: %s", reason)
            self.progress(f"pausing: {reason}", int(waited), None)
            await asyncio.sleep(LOOK_EVERY_SECONDS)
        self._looked = time.monotonic()
        self.paused_seconds += self._looked - began

    async def _reason(self) -> str | None:
        rows = await self.connection.fetch(
            sql_files.query("find_reasons_to_pause"),
            self.limits.max_replica_lag_seconds,
            self.limits.max_transaction_age_seconds,
        )
        return "; ".join(row["reason"] for row in rows) or None


def next_size(size: int, took_ms: float, target_ms: int, largest: int) -> int:
    """The batch size that should take the target time, at most doubled, so that one quick batch does not mislead."""
    return max(1, min(largest, 2 * size, int(size * 0.8 * target_ms / max(took_ms, 1.0))))
