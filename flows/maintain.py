"""The weekly maintenance."""

from __future__ import annotations

from prefect import flow

from tasks import command_line
from tasks.blocks import PostgresDatabase
from tasks.core.upkeep_settings import MaintainParameters
from tasks.ending import Ending, reported
from tasks.endings import maintained
from tasks.gates import exclusively
from tasks.maintenance import maintain_indexes, require_migrated
from tasks.metrics import recount_metrics
from tasks.preflight import read_standing

DEFAULTS = MaintainParameters()


@flow(name="maintain-phases-indexes", flow_run_name="{database.database}", persist_result=False)
@reported(steps_in_all=4)
async def maintain(database: PostgresDatabase, parameters: MaintainParameters = DEFAULTS) -> Ending:
    """Refreshes statistics, recounts the metrics and looks after the indexes of the phases model.

    It rebuilds and repairs only what it is asked to.
    """
    target = database.to_database()
    require_migrated(target, parameters, await read_standing(target, parameters))
    async with exclusively(target, parameters):
        metrics = await recount_metrics(target, parameters)
        done = await maintain_indexes(target, parameters, metrics)
    return maintained(target, done, metrics)


if __name__ == "__main__":
    from flows.maintain import maintain as imported

    command_line.run(imported, MaintainParameters, module="flows.maintain")
