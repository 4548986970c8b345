"""The weekly maintenance."""

from __future__ import annotations

from tasks import recorder
from tasks.core import maintenance as core
from tasks.core.database import Database
from tasks.core.settings import MaintainParameters
from tasks.steps import step


@step("maintenance")
async def maintain_indexes(database: Database, parameters: MaintainParameters) -> core.MaintenanceReport:
    """Run maintain_phases_indexes(), look for invalid indexes, rebuild them if that is asked for."""
    run = recorder.current_run()
    report = await core.maintain(
        database, parameters.schema_name, rebuild_invalid=parameters.rebuild_invalid, limits=parameters.locks
    )
    run.note_extra(maintenance=report.model_dump(mode="json"))
    return report
