"""The quarterly benchmark."""

from __future__ import annotations

from prefect import flow

from tasks import benchmark as measuring
from tasks import command_line
from tasks.blocks import PostgresDatabase
from tasks.copies import copies
from tasks.core.settings import QuarterlyParameters
from tasks.ending import Ending, reported
from tasks.endings import benchmarked, paired
from tasks.preflight import read_standing

DEFAULTS = QuarterlyParameters()


@flow(name="benchmark-phases", flow_run_name="{database.database}", persist_result=False)
@reported(steps_in_all=7)
async def benchmark(database: PostgresDatabase, parameters: QuarterlyParameters = DEFAULTS) -> Ending:
    """Times ten patterns on a campaign database, before or after the migration, and sets them beside earlier runs."""
    target = database.to_database()
    await read_standing(target, parameters)
    async with copies(target, parameters) as made:
        if parameters.paired:
            grounds = await made.pair(parameters)
            inputs = await measuring.draw_inputs(grounds[0].reads, parameters)
            pair = await measuring.measure_pair(target, parameters, inputs, grounds)
            return paired(target, pair, await measuring.compare(pair, target, parameters))
        inputs = await measuring.draw_inputs(target, parameters)
        measured = await measuring.measure_now(target, parameters, inputs, await made.after())
    await measuring.compare_with_legacy(target, parameters, measured)
    trend = await measuring.compare_with_past(target, parameters, measured)
    measuring.require_no_regression(trend, parameters)
    return benchmarked(target, measured, trend)


if __name__ == "__main__":
    from flows.benchmark import benchmark as imported

    command_line.run(imported, QuarterlyParameters, module="flows.benchmark")
