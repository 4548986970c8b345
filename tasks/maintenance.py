"""The weekly maintenance."""

from __future__ import annotations

from tasks import publish, recorder
from tasks.core import maintenance as core
from tasks.core.database import Database
from tasks.core.errors import NotMigrated
from tasks.core.maintenance import MaintenanceReport
from tasks.core.maintenance_page import page
from tasks.core.metrics import MetricsReport
from tasks.core.models import State
from tasks.core.upkeep_settings import MaintainParameters
from tasks.steps import step


def require_migrated(database: Database, parameters: MaintainParameters, state: State) -> None:
    """Let a run pass if there are indexes of this migration to look after.

    Raises:
        NotMigrated: before anything is written.
    """
    if state not in {State.CONTRACTED, State.MIGRATED}:
        raise NotMigrated(name="indexes of 000036", database=database.database, schema=parameters.schema_name)


@step("maintenance")
async def maintain_indexes(
    database: Database, parameters: MaintainParameters, metrics: MetricsReport
) -> MaintenanceReport:
    """Run maintain_phases_indexes(), look for invalid indexes, rebuild them if that is asked for.

    Args:
        metrics: what the recount found, for the page.

    Raises:
        NotMigrated: if there is nothing of this migration to look after.
    """
    run = recorder.current_run()
    report = await core.maintain(
        database,
        parameters.schema_name,
        rebuild_invalid=parameters.rebuild_invalid,
        limits=parameters.locks,
        rebuild_bloated=parameters.rebuild_bloated,
        bloat_limits=parameters.bloat,
    )
    run.note_extra(maintenance=report.model_dump(mode="json"))
    run.detail(report.figures)
    await publish.page("maintenance", page(report, metrics), "Metrics and indexes: what was found and done")
    return report
