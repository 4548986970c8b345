"""The way back: what it would do, and doing it."""

from __future__ import annotations

from pathlib import Path

from tasks import publish, recorder
from tasks.core import forget, restore
from tasks.core import rollback as core
from tasks.core.database import Database
from tasks.core.errors import BadInput
from tasks.core.forget import ForgetReport
from tasks.core.restore import RestoreReport
from tasks.core.rollback import RollbackReport
from tasks.core.rollback_page import page, restore_page
from tasks.core.settings import RollbackParameters
from tasks.steps import MINUTE, step


@step("rollback-plan", retry=False, timeout_seconds=10 * MINUTE)
async def plan_rollback(database: Database, parameters: RollbackParameters) -> RollbackReport:
    """Count what would be kept and changed, and publish it.

    Raises:
        NothingToRollBack: if there is no migration to take back.
    """
    found = await core.plan_rollback(database, parameters)
    run = recorder.current_run()
    run.note_extra(rollback=found.model_dump(mode="json", exclude={"locks"}))
    run.detail(
        f"{found.unchanged:,} campaigns as they were, {found.changed:,} changed since, {found.created:,} created since"
    )
    await publish.page("rollback", page(found, "What the way back would do"), "What the way back would do")
    return found


@step("rollback")
async def take_back(database: Database, parameters: RollbackParameters) -> RollbackReport:
    """Run 000036 and 000035 down, and rollback-data.sql if that is asked for.

    Raises:
        BadInput: unless the database's name is typed out in `confirm`.
    """
    confirm(database, parameters)
    run = recorder.current_run()
    done = await core.roll_back(database, parameters, run.run_id, run.progress)
    run.add_locks(done.locks)
    run.note_extra(rollback=done.model_dump(mode="json", exclude={"locks"}))
    run.detail(f"{done.state_before} to {done.state_after}")
    await publish.page("rollback", page(done, "What the way back did"), "What the way back did")
    return done


@step("restore", retry=False)
async def restore_beside(database: Database, parameters: RollbackParameters, directory: Path) -> RestoreReport:
    """Restore a backup into a new database. The old one is not touched, so nothing has to be confirmed."""
    run = recorder.current_run()
    done = await restore.restore_backup(database, parameters.schema_name, directory, run.progress)
    run.note_extra(restore=done.model_dump(mode="json"))
    run.detail(f"{done.tables} tables, {done.rows:,} rows in {done.database}")
    await publish.page("restore", restore_page(done), "A backup, restored beside the database")
    return done


@step("forget", retry=False)
async def forget_backups(database: Database, parameters: RollbackParameters) -> ForgetReport:
    """Drop the backup tables.

    Raises:
        BadInput: unless the database's name is typed out in `confirm`.
    """
    confirm(database, parameters)
    run = recorder.current_run()
    done = await forget.forget_backups(database, parameters.schema_name, parameters.locks, run.run_id)
    run.note_extra(forgotten=done.model_dump(mode="json"))
    return done


def confirm(database: Database, parameters: RollbackParameters) -> None:
    """Hold on unless the operator typed out which database is meant.

    Raises:
        BadInput: says what to type.
    """
    if parameters.confirm != database.database:
        raise BadInput(
            name="confirm",
            value=parameters.confirm,
            reason="the way back must be confirmed with the name of the database",
            remedy=f"Give confirm={database.database} (--confirm {database.database})",
        )
