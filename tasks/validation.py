"""Step 7: the validation, a gate."""

from __future__ import annotations

from tasks import publish, recorder
from tasks.core import validation as core
from tasks.core.checks_page import page
from tasks.core.database import Database
from tasks.core.models import CheckResult
from tasks.core.settings import Parameters
from tasks.gates import hold_gate, tally
from tasks.steps import step


@step("validation")
async def validate_database(database: Database, parameters: Parameters) -> list[CheckResult]:
    """Run validate-migration.sql and publish what it found.

    Raises:
        GateFailed: if a check failed.
    """
    run = recorder.current_run()
    checks = await core.run_validation(database, parameters.schema_name, run.run_id, run.progress)
    run.note(validation=checks)
    run.detail(tally(checks))
    await publish.page("validation", page(tally(checks), checks), "Validation: one row for each check")
    await hold_gate("validation", checks, database, parameters)
    return checks
