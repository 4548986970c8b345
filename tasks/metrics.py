"""The metrics of campaigns, recounted and on request repaired."""

from __future__ import annotations

from tasks import recorder
from tasks.core import metrics as core
from tasks.core.database import Database
from tasks.core.metrics import MetricsReport
from tasks.core.upkeep_settings import RepairParameters
from tasks.steps import step


@step("metrics")
async def recount_metrics(database: Database, parameters: RepairParameters) -> MetricsReport:
    """Count the domains of all campaigns, and write the count where it differs if that is asked for.

    Raises:
        NotMigrated: where this migration does not keep metrics.
        LockNotGranted: where a campaign stays locked by others.
    """
    run = recorder.current_run()
    report = await core.recount(
        database, parameters.schema_name, run.run_id, parameters.locks, run.progress, repair=parameters.repair_metrics
    )
    run.note_extra(metrics=report.model_dump(mode="json"))
    run.detail(report.figures)
    return report
