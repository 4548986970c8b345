"""Step 9: the integration test, a gate."""

from __future__ import annotations

from tasks import publish, recorder
from tasks.core import integration as core
from tasks.core.checks_page import page
from tasks.core.database import Database
from tasks.core.models import CheckResult
from tasks.core.settings import Parameters
from tasks.gates import hold_gate, tally
from tasks.steps import step


@step("integration-test")
async def run_integration(database: Database, parameters: Parameters) -> list[CheckResult]:
    """Run integration-test.sql and publish what it found.

    Raises:
        GateFailed: if a test failed.
    """
    run = recorder.current_run()
    tests = await core.run_integration_test(database, parameters.schema_name, run.run_id, run.progress)
    run.note(integration=tests)
    run.detail(tally(tests))
    await publish.page("integration", page(tally(tests), tests), "Integration test: one row for each test")
    await hold_gate("integration-test", tests, database, parameters)
    return tests
