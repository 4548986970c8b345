"""From the dual architecture to phases only: the order of the steps, the gates, the branches."""

from __future__ import annotations

from prefect import flow

from tasks import approval, benchmark, command_line
from tasks.backup import make_backup
from tasks.blocks import PostgresDatabase
from tasks.copies import copies
from tasks.core.models import State
from tasks.core.settings import MigrateParameters
from tasks.core_migrations import run_core_migrations
from tasks.cut_over import hold_cut_over
from tasks.ending import Ending, reported
from tasks.endings import already_migrated, awaiting_approval, planned, resting, standing, succeeded
from tasks.gates import exclusively, taken_back_where_a_gate_fails
from tasks.integration import run_integration
from tasks.preflight import check_database, is_unproved, make_plan
from tasks.transform import transform_data
from tasks.validation import validate_database

PLAN = MigrateParameters()


@flow(name="migrate-to-phases", flow_run_name="{parameters.mode} {database.database}", persist_result=False)
@reported(steps_in_all=14)
async def migrate(database: PostgresDatabase, parameters: MigrateParameters = PLAN) -> Ending:
    """Moves a campaign database to phases only.

    As it stands (mode=plan) it changes nothing and shows what it would do.
    """
    target = database.to_database()
    await approval.hear(target, parameters)
    found = await check_database(target, parameters)
    if parameters.mode == "status":
        return standing(found)
    if found.state is State.MIGRATED and not await is_unproved(target, parameters):
        return already_migrated(found)
    if parameters.mode == "plan":
        return planned(found, await make_plan(target, parameters))

    async with (
        copies(target, parameters, found.state) as made,
        exclusively(target, parameters),
        taken_back_where_a_gate_fails(target, parameters),
    ):
        backup = await make_backup(target, parameters)
        inputs = await benchmark.draw_inputs(target, parameters)
        if found.state in {State.CONTRACTED, State.MIGRATED} or approval.was_measured(parameters):
            before: benchmark.Before = await benchmark.recall_before(target, parameters)
        else:
            before = await benchmark.measure_before(target, parameters, inputs, await made.before(backup))
        if found.state in {State.LEGACY, State.DUAL}:  # no earlier run got further than the legacy columns
            await transform_data(target, parameters)
            await benchmark.compare_answers(target, parameters, inputs)
            if parameters.stop_after == "transform":
                return resting(found)
            await hold_cut_over(target, parameters)
            if parameters.require_approval and (deadline := await approval.ask(target, parameters)):
                return awaiting_approval(target, deadline)
        await run_core_migrations(target, parameters)
        await validate_database(target, parameters)
        measured = await benchmark.measure_after(target, parameters, inputs, before, await made.after())
        comparison = await benchmark.compare(measured, target, parameters)
        await run_integration(target, parameters)
        benchmark.require_target(comparison, parameters)
    return succeeded(found, comparison)


if __name__ == "__main__":
    from flows.migrate import migrate as imported

    command_line.run(imported, MigrateParameters, module="flows.migrate")
