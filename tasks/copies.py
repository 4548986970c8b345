"""Copies of the database that the benchmark needs: made where they are asked for, dropped when the run is over."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from tasks import recorder
from tasks.core import errors
from tasks.core.backup_manifest import verify_backup
from tasks.core.benchmark import Ground
from tasks.core.benchmark_models import Clone
from tasks.core.clone import Cloner, cloner
from tasks.core.database import Database
from tasks.core.models import BackupManifest, State
from tasks.core.settings import BenchmarkParameters, MigrateParameters, QuarterlyParameters

GIGABYTE = 1e9
IN_USE = "new sessions would wait while it is made, which --paired allows"
BOTH_LIVE = "both models were live in it, with the triggers that keep them in step, which its writes pay for"
NO_COPY = (errors.CloneFailed, errors.ClientBinaryMissing, errors.ClientBinaryTooOld)
log = logging.getLogger("tasks.run")


@dataclass
class Copies:
    """Where each state is measured, with copies as far as they are needed.

    Attributes:
        kept: the state before, copied by TEMPLATE before anybody else was connected; or why it could not be.
        weakness: what makes that state another one than the untouched legacy model.
        spent: copies that patterns that write have had their turn on.
    """

    database: Database
    parameters: BenchmarkParameters
    cloner: Cloner
    kept: Clone | str | None = None
    weakness: str = ""
    spent: list[Clone] = field(default_factory=list)

    async def before(self, backup: BackupManifest) -> Ground:
        """Where the legacy model is measured: paired, the copy that is kept of it; else the database, writes on a copy.

        Raises:
            CloneFailed: if a copy of the state before was asked for and cannot be made; nothing was changed.
        """
        if self.kept is None:
            return await self._live("before-copy", backup)
        kept = self.kept
        if isinstance(kept, str):
            with recorder.current().step("before-copy"):
                kept = await self.cloner.by_restoring(kept, backup)
                recorder.current().detail(kept.sentence)
        return self._on(kept.model_copy(update={"weakness": self.weakness}))

    async def after(self) -> Ground:
        """Where the phases model is measured: the database itself, writes on a copy."""
        return await self._live("after-copy", None)

    async def pair(self, parameters: QuarterlyParameters) -> tuple[Ground, Ground]:
        """Two states to be measured in turn: a backup from before and the database, or two copies of the database.

        Raises:
            BackupDamaged: names the file.
            CloneFailed: if a copy cannot be made.
        """
        if parameters.before_backup is not None:
            with recorder.current().step("before-copy"):
                manifest = verify_backup(parameters.before_backup)
                clone = await self.cloner.by_restoring("it is the state of a backup", manifest)
                recorder.current().detail(clone.sentence)
            return self._on(clone), await self.after()
        with recorder.current().step("control-copies"):
            copied = await self.cloner.by_template()
            first = copied if isinstance(copied, Clone) else await self.cloner.by_restoring(copied)
            second = await self.cloner.again(first)
            recorder.current().detail(first.sentence)
        return self._on(first), self._on(second)

    def _on(self, clone: Clone) -> Ground:
        place = self.cloner.as_database(clone)
        return Ground(place, clone=clone, writes=place, writes_clone=clone, settings=self.cloner.settings)

    async def _live(self, step: str, backup: BackupManifest | None) -> Ground:
        while self.spent:  # one copy for writes at a time
            await self.cloner.drop(self.spent.pop().database)
        if self.parameters.benchmark_writes:
            return Ground(self.database, writes=self.database)
        size = await self.cloner.size()
        limit = self.parameters.clone_limit_gb
        if size > limit * GIGABYTE:
            too_large = f"it writes, and a copy of {size / GIGABYTE:.1f} GB is over clone_limit_gb ({limit:g})"
            return Ground(self.database, why_not=f"{too_large}; --benchmark-writes runs it on the database itself")
        with recorder.current().step(step):
            try:
                clone = await self.cloner.by_restoring(IN_USE, backup)
            except NO_COPY as error:
                log.warning("The pattern that writes is left out: %s", error)
                recorder.current().detail(f"left out: {error}")
                return Ground(self.database, why_not=f"it writes, and there is no copy to run it on: {error}")
            recorder.current().detail(clone.sentence)
        self.spent.append(clone)
        place = self.cloner.as_database(clone)
        return Ground(self.database, writes=place, writes_clone=clone, settings=self.cloner.settings)


@asynccontextmanager
async def copies(
    database: Database, parameters: BenchmarkParameters, state: State | None = None
) -> AsyncIterator[Copies]:
    """Copies for the benchmark while the body runs; what an interrupted run has left is dropped first.

    A paired migration copies its state before here, ahead of everything that would be connected to the database.

    Args:
        state: where a database that is to be migrated stands; None if it is only to be measured.
    """
    async with cloner(database) as making:
        made = Copies(database, parameters, making)
        if parameters.paired and isinstance(parameters, MigrateParameters) and parameters.stop_after is None:
            if state in {State.LEGACY, State.DUAL}:
                with recorder.current().step("before-copy"):
                    made.weakness = BOTH_LIVE if state is State.DUAL else ""
                    made.kept = await making.by_template()
                    said = made.kept.sentence if isinstance(made.kept, Clone) else f"by the backup: {made.kept}"
                    recorder.current().detail(said)
            else:
                reason = "nothing is paired: the legacy columns are gone, their state before cannot be copied"
                recorder.current().skip("before-copy", reason)
        yield made
