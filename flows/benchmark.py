"""The quarterly benchmark."""

from __future__ import annotations

from prefect import flow

from tasks import command_line
from tasks.benchmark import draw_inputs, measure_now
from tasks.blocks import PostgresDatabase
from tasks.core.settings import BenchmarkParameters
from tasks.ending import Ending, reported
from tasks.endings import benchmarked
from tasks.preflight import read_standing

DEFAULTS = BenchmarkParameters()


@flow(name="benchmark-phases", persist_result=False)
@reported(steps_in_all=4)
async def benchmark(database: PostgresDatabase, parameters: BenchmarkParameters = DEFAULTS) -> Ending:
    """Times ten patterns on a campaign database, before or after the migration, and keeps the figures."""
    target = database.to_database()
    await read_standing(target, parameters)
    inputs = await draw_inputs(target, parameters)
    return benchmarked(target, await measure_now(target, parameters, inputs))


if __name__ == "__main__":
    from flows.benchmark import benchmark as imported

    command_line.run(imported, BenchmarkParameters, module="flows.benchmark")
