"""Step 6: 000035 and 000036."""

from __future__ import annotations

from tasks import recorder
from tasks.core import core_migrations as core
from tasks.core.database import Database
from tasks.core.models import LockHold
from tasks.core.settings import MigrateParameters
from tasks.steps import step


@step("core-migrations")
async def run_core_migrations(database: Database, parameters: MigrateParameters) -> list[LockHold]:
    """Go from both models to phases only, and build the indexes."""
    run = recorder.current_run()
    holds = await core.apply_core_migrations(database, parameters, run.run_id, run.progress)
    run.add_locks(holds)
    run.detail(f"longest lock {max((hold.held_ms for hold in holds), default=0.0):.0f} ms")
    return holds
