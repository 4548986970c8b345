"""Before the legacy columns go: does anybody still use them?"""

from __future__ import annotations

from tasks import publish, recorder
from tasks.core import legacy_statements as core
from tasks.core.database import Database
from tasks.core.settings import MigrateParameters
from tasks.steps import step


@step("cut-over")
async def hold_cut_over(database: Database, parameters: MigrateParameters) -> None:
    """Show the statements that still name legacy columns: a gate, unless they were accepted.

    Raises:
        LegacyStatementsSeen: names those most often run.
    """
    run = recorder.current_run()
    seen = await core.look(database, parameters.schema_name, hours=parameters.legacy_statement_hours, record=True)
    run.note_extra(legacy_statements=seen.model_dump(mode="json"))
    if not seen.available:
        run.detail("pg_stat_statements is not there: which statements still name legacy columns is not known")
        return
    await publish.models("legacy-statements", seen.statements, "Statements that still name legacy columns")
    run.detail(f"{len(seen.statements)} statements still name legacy columns")
    core.require_silence(seen, parameters)
