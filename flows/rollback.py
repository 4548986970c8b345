"""The way back to the legacy model."""

from __future__ import annotations

from prefect import flow

from tasks import command_line
from tasks.blocks import PostgresDatabase
from tasks.core.settings import RollbackParameters
from tasks.ending import Ending, reported
from tasks.endings import forgotten, restored, rollback_planned, rolled_back
from tasks.gates import exclusively
from tasks.preflight import read_standing
from tasks.rollback import forget_backups, plan_rollback, restore_beside, take_back

PLAN = RollbackParameters()


@flow(name="rollback-phases", flow_run_name="{parameters.purpose} {database.database}", persist_result=False)
@reported(steps_in_all=4)
async def rollback(database: PostgresDatabase, parameters: RollbackParameters = PLAN) -> Ending:
    """Takes the migration back.

    As it stands (mode=plan) it changes nothing and counts what it would do.
    """
    target = database.to_database()
    if parameters.from_backup is not None:
        return restored(target, await restore_beside(target, parameters, parameters.from_backup))
    await read_standing(target, parameters)
    if parameters.forget:
        async with exclusively(target, parameters):
            return forgotten(target, await forget_backups(target, parameters))
    planned = await plan_rollback(target, parameters)
    if parameters.mode == "plan":
        return rollback_planned(target, planned)
    async with exclusively(target, parameters):
        done = await take_back(target, parameters)
    return rolled_back(target, done)


if __name__ == "__main__":
    from flows.rollback import rollback as imported

    command_line.run(imported, RollbackParameters, module="flows.rollback")
