"""The validation: `sql/scripts/validate-migration.sql`, and what it recorded."""

from __future__ import annotations

from tasks.core import scripts
from tasks.core.database import Database, connect
from tasks.core.models import CheckResult
from tasks.core.progress import Progress

SCRIPT = "validate-migration"


async def run_validation(database: Database, schema: str, run_id: str, progress: Progress) -> list[CheckResult]:
    """Run every check, on a migrated database or on one that still has the legacy model.

    Nothing but the table of results and its view is written. A failed check is a result, not an error.

    Args:
        run_id: a UUID that the results are recorded under.

    Returns: one result for each check, in their order. Counts are rows (or catalog objects), times milliseconds.

    Raises:
        StepFailed: if the script itself could not run, for instance because the schema has no campaign tables.
    """
    async with connect(database, schema=schema, purpose="validation", settings=scripts.SESSION_LIMITS) as connection:
        done = await scripts.run_script(connection, SCRIPT, run_id=run_id, what="checks", progress=progress)
        rows = await scripts.read_results(connection, "read_validation_report", done, run_id)
    return [
        CheckResult(
            suite=row["suite"],
            name=row["test_name"],
            status=row["status"],
            total_records=row["total_records"] or 0,
            valid_records=row["valid_records"] or 0,
            invalid_records=row["invalid_records"] or 0,
            success_rate=None if row["success_rate"] is None else float(row["success_rate"]),
            execution_time_ms=float(row["execution_time_ms"]),
            details=row["details"],
            query=row["query"],
        )
        for row in rows
    ]
