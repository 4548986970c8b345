"""Gates: what must hold before a run goes on, and what happens where it does not."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tasks import recorder
from tasks.core import errors
from tasks.core import run as runs
from tasks.core import state as states
from tasks.core.database import Database, connect
from tasks.core.models import CheckResult, State
from tasks.core.settings import MigrateParameters, Parameters, RollbackParameters
from tasks.rollback import take_back
from tasks.withdrawal import withdraw_cancelled_run

PHRASES = {
    State.NO_CAMPAIGNS: "no campaign database",
    State.LEGACY: "as it was: legacy columns only, nothing of this migration at work",
    State.DUAL: "in its resting state: both models live and are kept in step, applications work as before",
    State.CONTRACTED: "between the two core migrations: the legacy columns are gone, 000036 is not complete",
    State.MIGRATED: "migrated: phases only, indexes of 000036 in place",
    State.RETURNING: "on the way back: the legacy model works, alone or beside the phases; flows.rollback ends it",
}
NAMES_SHOWN = 5
log = logging.getLogger("tasks.run")
# What has been refused or has failed while the database was being changed, as opposed to a server that went away.
FAILED_GATES = (
    errors.BackupFailed,
    errors.GateFailed,
    errors.StepFailed,
    errors.LockNotGranted,
    errors.TargetMissed,
    errors.PausedTooLong,
    errors.LegacyStatementsSeen,
    errors.VersionUnclear,
)


def tally(checks: Sequence[CheckResult]) -> str:
    """How many checks ended how, such as "12 PASS, 1 SKIPPED"."""
    counted = Counter(check.status for check in checks)
    return ", ".join(f"{counted[status]} {status}" for status in ("PASS", "WARN", "FAIL", "SKIPPED") if counted[status])


async def where_it_stands(database: Database, schema: str) -> str:
    """The state of a database as a phrase that follows "The database is"."""
    try:
        async with connect(database, schema=schema, purpose="standing") as connection:
            return PHRASES[await states.read_state(connection)]
    except errors.ServerUnreachable as error:
        return f"out of reach: {error}"


async def hold_gate(gate: str, checks: Sequence[CheckResult], database: Database, parameters: Parameters) -> None:
    """Let a run pass if no check failed.

    Raises:
        GateFailed: names the checks that failed and the state of the database.
    """
    failed = [check for check in checks if check.status == "FAIL"]
    if not failed:
        return
    shown = failed[:NAMES_SHOWN]
    named = "; ".join(f"{check.name} ({check.details})" if check.details else check.name for check in shown)
    more = f" and {len(failed) - NAMES_SHOWN} more" if len(failed) > NAMES_SHOWN else ""
    raise errors.GateFailed(
        gate=gate,
        reason=f"{len(failed)} of {len(checks)} failed: {named}{more}",
        state=await where_it_stands(database, parameters.schema_name),
        remedy=f"Open the artifact {gate.removesuffix('-test')} or report.html, mend what it names and run again;"
        " flows.rollback takes everything back.",
    )


@asynccontextmanager
async def exclusively(database: Database, parameters: Parameters) -> AsyncIterator[None]:
    """Be the only run on this database while the body runs.

    Raises:
        AnotherRunIsActive: names the other one.
    """
    run = recorder.current_run()
    if run.approval is None:
        await withdraw_cancelled_run(database, parameters.schema_name)
    async with runs.exclusive_run(
        database,
        parameters.schema_name,
        parameters,
        run.run_id,
        run.flow_name,
        approval=run.approval,
        abandon=getattr(parameters, "abandon", False),
    ):
        yield


@asynccontextmanager
async def taken_back_where_a_gate_fails(database: Database, parameters: MigrateParameters) -> AsyncIterator[None]:
    """Go all the way back when a gate fails, if the parameters ask for that.

    Raises:
        TakenBack: after that, with the first failure as its cause.
        TakingBackFailed: if the way back failed, too; the first failure comes first.
    """
    try:
        yield
    except FAILED_GATES as error:
        if parameters.on_failed_gate == "stop":
            raise
        back = RollbackParameters(
            schema_name=parameters.schema_name, mode="apply", confirm=database.database, locks=parameters.locks
        )
        try:
            await take_back(database, back)
        except errors.NothingToRollBack:
            log.info("The gate failed before there was anything to take back.")
        except errors.MigrationToolError as second:
            state = await where_it_stands(database, parameters.schema_name)
            raise errors.TakingBackFailed(reason=str(error), second=str(second), state=state) from error
        state = await where_it_stands(database, parameters.schema_name)
        raise errors.TakenBack(reason=str(error), state=state) from error
