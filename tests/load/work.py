"""What is done while the load goes on: the migration, and on request the way back. Each knows when its steps began."""

from __future__ import annotations

import re
import time
import uuid

from rich.console import Console

from tasks.core import core_migrations, rollback, run, transform
from tasks.core.database import Database, connect
from tasks.core.models import LockHold, TransformResult
from tasks.core.settings import MigrateParameters, RollbackParameters
from tests.load.recount import Metrics, count_metrics


class Work:
    """Something that is done under load.

    Attributes:
        steps: what it was doing, and since when by the monotonic clock.
        locks: how long each lock that keeps writers out was held, once it has come to its end.
    """

    def __init__(self, database: Database, console: Console) -> None:
        self.steps: list[tuple[str, float]] = []
        self.locks: list[LockHold] = []
        self._database = database
        self._console = console

    def _progress(self, what: str, _done: float, _total: float | None) -> None:
        step = re.split(r"[,:]| \d+ of ", what)[0]
        if not self.steps or self.steps[-1][0] != step:
            self.steps.append((step, time.monotonic()))
            self._console.print(f"  {step}")


class Migration(Work):
    """The transform and the core migrations."""

    transformed: TransformResult | None = None

    @property
    def result(self) -> TransformResult:
        """That of the transform, once it has come to its end."""
        assert self.transformed is not None
        return self.transformed

    async def __call__(self) -> None:
        """Migrate."""
        parameters, run_id = MigrateParameters(mode="apply"), str(uuid.uuid4())
        self._progress("expand", 0, None)
        async with run.exclusive_run(self._database, parameters.schema_name, parameters, run_id, "load"):
            self.transformed = await transform.transform(self._database, parameters, run_id, self._progress)
            self.locks = [
                *self.transformed.locks,
                *await core_migrations.apply_core_migrations(self._database, parameters, run_id, self._progress),
            ]


class WayBack(Work):
    """The rollback, as flows.rollback does it.

    Attributes:
        metrics: what a count said of them just before they went.
    """

    metrics: Metrics | None = None

    async def count(self) -> None:
        """Count the metrics in one snapshot, writers or not: they are exact at every commit, and will be gone."""
        async with connect(self._database, purpose="recount") as connection:
            self.metrics = await count_metrics(connection)

    async def __call__(self) -> None:
        """Go back."""
        parameters = RollbackParameters(mode="apply", confirm=self._database.database)
        run_id = str(uuid.uuid4())
        self._progress("begin", 0, None)
        async with run.exclusive_run(self._database, parameters.schema_name, parameters, run_id, "load"):
            report = await rollback.roll_back(self._database, parameters, run_id, self._progress)
        self.locks = report.locks
