"""The monthly look at the data."""

from __future__ import annotations

from prefect import flow

from tasks import command_line
from tasks.blocks import PostgresDatabase
from tasks.core.upkeep_settings import ValidateParameters
from tasks.ending import Ending, reported
from tasks.endings import validated
from tasks.gates import exclusively
from tasks.metrics import recount_metrics
from tasks.preflight import read_standing
from tasks.validation import validate_database

DEFAULTS = ValidateParameters()


@flow(name="validate-phases", flow_run_name="{database.database}", persist_result=False)
@reported(steps_in_all=4)
async def validate(database: PostgresDatabase, parameters: ValidateParameters = DEFAULTS) -> Ending:
    """Checks the data of a campaign database, before or after the migration.

    It changes nothing but its own report tables, unless metrics are to be repaired.
    """
    target = database.to_database()
    state = await read_standing(target, parameters)
    if parameters.repair_metrics:
        async with exclusively(target, parameters):
            await recount_metrics(target, parameters)
    checks = await validate_database(target, parameters)
    return validated(target, state, checks)


if __name__ == "__main__":
    from flows.validate import validate as imported

    command_line.run(imported, ValidateParameters, module="flows.validate")
