"""The integration test: `sql/scripts/integration-test.sql`, and what it recorded."""

from __future__ import annotations

from tasks.core import scripts
from tasks.core.database import Database, connect
from tasks.core.models import CheckResult
from tasks.core.progress import Progress

SCRIPT = "integration-test"


async def run_integration_test(database: Database, schema: str, run_id: str, progress: Progress) -> list[CheckResult]:
    """Test a migrated database end to end; whatever the tests write is rolled back.

    A failed test is a result, not an error. On a database that is not migrated the first test fails and the others are
    skipped.

    Args:
        run_id: a UUID that the results are recorded under.

    Returns: one result for each test, in their order; times in milliseconds.

    Raises:
        StepFailed: if the script itself could not run, for instance because the schema has no campaign tables.
    """
    async with connect(
        database, schema=schema, purpose="integration test", settings=scripts.SESSION_LIMITS
    ) as connection:
        done = await scripts.run_script(connection, SCRIPT, run_id=run_id, what="tests", progress=progress)
        rows = await scripts.read_results(connection, "read_integration_report", done, run_id)
    return [
        CheckResult(
            suite=row["test_suite"],
            name=row["test_name"],
            status=row["status"],
            total_records=0 if row["status"] == "SKIPPED" else 1,
            valid_records=1 if row["status"] in {"PASS", "WARN"} else 0,
            invalid_records=1 if row["status"] == "FAIL" else 0,
            success_rate={"PASS": 100.0, "WARN": 100.0, "FAIL": 0.0}.get(row["status"]),
            execution_time_ms=float(row["execution_time_ms"]),
            details=row["details"],
        )
        for row in rows
    ]
