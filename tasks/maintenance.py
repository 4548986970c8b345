"""The weekly maintenance."""

from __future__ import annotations

from tasks import publish, recorder
from tasks.core import maintenance as core
from tasks.core.database import Database
from tasks.core.maintenance import MaintenanceReport
from tasks.core.settings import MaintainParameters
from tasks.steps import step


@step("maintenance")
async def maintain_indexes(database: Database, parameters: MaintainParameters) -> MaintenanceReport:
    """Run maintain_phases_indexes(), look for invalid indexes, rebuild them if that is asked for.

    Raises:
        NotMigrated: if there is nothing of this migration to look after.
    """
    run = recorder.current_run()
    report = await core.maintain(
        database, parameters.schema_name, rebuild_invalid=parameters.rebuild_invalid, limits=parameters.locks
    )
    run.note_extra(maintenance=report.model_dump(mode="json"))
    run.detail(report.summary)
    await publish.models("maintenance", [*report.found, *report.done], "Indexes: what was found and done")
    return report
